"""What every cache does, in memory and on real servers. An adapter is added to `OPENERS`."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Barrier
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

import pytest
from services.running import Running

from jangbu.kernel.errors import OutOfBounds
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.cache.memory import MemoryCache
from jangbu.platform.cache.ports import LONGEST, Cache, Counts, Key, Lease, Standing
from jangbu.platform.cache.redis import open_cache

MINUTE = timedelta(minutes=1)
SHORT = timedelta(seconds=0.2)
"""A time to live that a test can wait for. Nothing here fails because a machine is slow: tests wait for the end, not for a time."""
LONGEST_VALUE = 1 << 20
A, B = TenantId("a"), TenantId("b")


@dataclass
class Counted:
    """What was counted, by operation and outcome."""

    there: dict[tuple[str, str], int] = field(default_factory=dict)

    def cache(self, operation: str, outcome: str, number: int = 1) -> None:
        self.there[operation, outcome] = self.there.get((operation, outcome), 0) + number

    def of(self, operation: str) -> dict[str, int]:
        return {outcome: number for (name, outcome), number in self.there.items() if name == operation and number}


def _shared(servers: str, prefix: str, counts: Counts | None, **given: Any) -> Cache:
    return open_cache(servers=servers, prefix=prefix, longest_value=LONGEST_VALUE, counts=counts, timeout=5, **given)


Open = Callable[[Running, str, Counts | None], Cache]
OPENERS: Mapping[str, Open] = {
    "valkey": lambda server, prefix, counts: _shared(f"{server['host']}:{server['port']}", prefix, counts),
    "valkey-cluster": lambda server, prefix, counts: _shared(server["nodes"], prefix, counts, form="cluster"),
    "valkey-sentinel": lambda server, prefix, counts: _shared(
        server["sentinels"], prefix, counts, form="sentinel", group=server["group"]
    ),
}
"""By the servers that they are over."""


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture(params=["memory", *(pytest.param(name, marks=pytest.mark.services(name)) for name in OPENERS)])
def open_(request: pytest.FixtureRequest, counted: Counted) -> Iterator[Callable[[], Cache]]:
    """Opens caches that hold the same, where that is possible, and closes them."""
    opened: list[Cache] = []
    prefix = uuid4().hex[:12]

    def open_one() -> Cache:
        if request.param == "memory":
            opened.append(MemoryCache(longest=64 << 20, longest_value=LONGEST_VALUE, counts=counted))
        else:
            opened.append(OPENERS[request.param](request.getfixturevalue("service")(request.param), prefix, counted))
        return opened[-1]

    yield open_one
    for cache in opened:
        cache.close()


@pytest.fixture
def cache(open_: Callable[[], Cache]) -> Cache:
    return open_()


def key(name: str, tenant: TenantId | None = A, kind: str = "result") -> Key:
    return Key(tenant, kind, name)


def until(condition: Callable[[], object], seconds: float = 10) -> None:
    ends = monotonic() + seconds
    while not condition():
        assert monotonic() < ends, "it didn't come to be"
        sleep(0.01)


# Values


def test_what_is_set_is_there_and_the_rest_is_missing(cache: Cache, counted: Counted) -> None:
    assert cache.set({key("one"): b"1", key("two"): b"\x00\xff" * 1000, key("empty"): b""}, MINUTE) == 3
    found = cache.get([key("one"), key("two"), key("empty"), key("three")])
    assert found == {key("one"): b"1", key("two"): b"\x00\xff" * 1000, key("empty"): b""}
    assert (counted.of("set"), counted.of("get")) == ({"done": 3}, {"hit": 3, "miss": 1})


def test_a_value_is_replaced(cache: Cache) -> None:
    cache.set({key("one"): b"1"}, MINUTE)
    cache.set({key("one"): b"2"}, MINUTE)
    assert cache.get([key("one")]) == {key("one"): b"2"}


def test_what_is_deleted_is_gone(cache: Cache) -> None:
    cache.set({key(name): b"x" for name in "abc"}, MINUTE)
    assert cache.delete([key("a"), key("b"), key("nothing")])
    assert cache.get([key(name) for name in "abc"]) == {key("c"): b"x"}


def test_a_value_is_gone_when_its_time_is_over(cache: Cache) -> None:
    cache.set({key("short"): b"x"}, SHORT)
    cache.set({key("long"): b"y"}, MINUTE)
    until(lambda: not cache.get([key("short")]))
    assert cache.get([key("long")]) == {key("long"): b"y"}


def test_a_new_time_holds_from_its_setting_on(cache: Cache) -> None:
    cache.set({key("one"): b"x"}, SHORT)
    cache.set({key("one"): b"y"}, MINUTE)
    sleep(SHORT.total_seconds() * 1.5)
    assert cache.get([key("one")]) == {key("one"): b"y"}


def test_what_is_too_long_isnt_kept_and_no_older_value_answers_for_it(cache: Cache, counted: Counted) -> None:
    cache.set({key("one"): b"old"}, MINUTE)
    assert cache.set({key("one"): b"x" * (LONGEST_VALUE + 1), key("two"): b"x" * LONGEST_VALUE}, MINUTE) == 1
    assert set(cache.get([key("one"), key("two")])) == {key("two")}
    assert counted.of("set") == {"done": 2, "too_long": 1}


def test_nothing_is_asked_for_nothing(cache: Cache) -> None:
    assert (cache.get([]), cache.set({}, MINUTE), cache.delete([])) == ({}, 0, True)


def test_many_keys_are_answered_together(cache: Cache) -> None:
    """On a cluster they are on all of its servers."""
    values = {key(f"{number}"): str(number).encode() for number in range(1000)}
    assert cache.set(values, MINUTE) == 1000
    assert cache.get(values) == values
    assert cache.delete(values)
    assert cache.get(values) == {}


@pytest.mark.parametrize("ttl", [timedelta(0), -MINUTE, LONGEST * 2])
def test_a_time_that_is_none_is_refused(cache: Cache, ttl: timedelta) -> None:
    lease = Lease(key("one"), "x", Standing.HELD)
    for call in (
        lambda: cache.set({key("one"): b"x"}, ttl),
        lambda: cache.increase(key("one"), ttl),
        lambda: cache.acquire(key("one"), ttl),
        lambda: cache.renew(lease, ttl),
    ):
        with pytest.raises(OutOfBounds, match="time to live of"):
            call()


# Whose they are

ALIKE = [
    key("x"),
    key("x", B),
    key("x", None),
    key("x", kind="other"),
    key("b:x"),
    key("x", kind="result:b"),
    key("result:x", kind=""),
    key("장부"),
    key("%EC%9E%A5%EB%B6%80"),
    key("{x}"),
    key("x" * 300),
    key("x" * 299 + "y"),
    key("\ud800"),
    key("x\r\nGET y\x00"),
]


def test_keys_that_differ_never_meet(cache: Cache) -> None:
    values = {each: str(number).encode() for number, each in enumerate(ALIKE)}
    assert len({each.text() for each in ALIKE}) == len(ALIKE)
    assert cache.set(values, MINUTE) == len(ALIKE)
    assert cache.get(ALIKE) == values
    assert [cache.increase(each, MINUTE, number) for number, each in enumerate(ALIKE, 1)] == list(range(1, len(ALIKE) + 1))
    assert {cache.acquire(each, MINUTE).standing for each in ALIKE} == {Standing.HELD}


def test_one_tenant_sees_nothing_of_another(cache: Cache) -> None:
    same = {tenant: key("revenue@7", tenant) for tenant in (A, B)}
    cache.set({same[A]: b"a's"}, MINUTE)
    assert cache.get([same[B]]) == {}
    cache.set({same[B]: b"b's"}, MINUTE)
    assert cache.get([same[A]]) == {same[A]: b"a's"}
    assert (cache.increase(same[A], MINUTE), cache.increase(same[A], MINUTE), cache.increase(same[B], MINUTE)) == (1, 2, 1)
    assert [cache.acquire(same[tenant], MINUTE).standing for tenant in (A, B)] == [Standing.HELD] * 2


def test_all_of_a_tenant_is_forgotten_and_nothing_of_another(cache: Cache) -> None:
    similar = [TenantId(name) for name in ("a", "aa", "a-", "b")]
    for tenant in similar:
        cache.set({key(f"{number}", tenant): b"x" for number in range(50)}, MINUTE)
        cache.increase(key("n", tenant), MINUTE)
        cache.acquire(key("l", tenant), MINUTE)
    cache.set({key("a", None): b"x"}, MINUTE)
    assert [cache.count(tenant) for tenant in similar] == [52] * 4
    assert cache.forget(A) == 52
    assert [cache.count(tenant) for tenant in similar] == [0, 52, 52, 52]
    assert cache.get([key("1"), key("1", B), key("a", None)]) == {key("1", B): b"x", key("a", None): b"x"}
    assert cache.increase(key("n"), MINUTE) == 1


# Counters


def test_a_counter_counts_and_is_no_value(cache: Cache) -> None:
    assert [cache.increase(key("n"), MINUTE, by) for by in (1, 1, 5, -3)] == [1, 2, 7, 4]
    assert cache.get([key("n")]) == {}
    cache.set({key("n"): b"text"}, MINUTE)
    assert cache.increase(key("n"), MINUTE) == 5


def test_a_counter_begins_again_when_the_time_of_its_first_increase_is_over(cache: Cache) -> None:
    began = monotonic()
    assert cache.increase(key("n"), SHORT * 2) == 1
    until(lambda: cache.increase(key("n"), MINUTE, 0) == 0)
    assert monotonic() - began >= SHORT.total_seconds() * 2 * 0.9


def test_many_threads_count_each_once(open_: Callable[[], Cache]) -> None:
    cache = open_()
    others = [open_() if cache.is_shared else cache for _ in range(3)]
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda number: others[number % 3].increase(key("n"), MINUTE), range(200)))
    assert sorted(each for each in told if each is not None) == list(range(1, 201))


# Leases


def test_a_lease_has_one_holder_until_it_is_released(cache: Cache, counted: Counted) -> None:
    mine = cache.acquire(key("l"), MINUTE)
    others = cache.acquire(key("l"), MINUTE)
    assert (mine.standing, others.standing) == (Standing.HELD, Standing.OTHERS)
    assert mine.token != others.token
    assert not cache.release(others)
    assert cache.renew(others, MINUTE) is Standing.OTHERS
    assert cache.acquire(key("l"), MINUTE).standing is Standing.OTHERS
    assert cache.release(mine)
    assert not cache.release(mine)
    assert cache.acquire(key("l"), MINUTE).standing is Standing.HELD
    assert counted.of("acquire") == {"held": 2, "others": 2}


def test_a_lease_ends_and_its_former_holder_cant_end_anothers(cache: Cache) -> None:
    first = cache.acquire(key("l"), SHORT)
    taken: list[Lease] = []
    until(lambda: taken.append(cache.acquire(key("l"), MINUTE)) or taken[-1].standing is Standing.HELD)
    assert cache.renew(first, MINUTE) is Standing.OTHERS
    assert not cache.release(first)
    assert cache.acquire(key("l"), MINUTE).standing is Standing.OTHERS
    assert cache.release(taken[-1])


def test_a_renewed_lease_holds_on(cache: Cache) -> None:
    lease = cache.acquire(key("l"), timedelta(seconds=1))
    assert cache.renew(lease, MINUTE) is Standing.HELD
    sleep(1.2)
    assert cache.acquire(key("l"), MINUTE).standing is Standing.OTHERS
    assert cache.release(lease)


def test_of_many_that_want_a_lease_one_has_it(open_: Callable[[], Cache]) -> None:
    cache = open_()
    caches = [open_() if cache.is_shared else cache for _ in range(4)]
    start = Barrier(8)

    def want(number: int) -> list[Standing]:
        start.wait()
        return [caches[number % 4].acquire(key(f"l{turn}"), MINUTE).standing for turn in range(20)]

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(want, range(8)))
    for turn in range(20):
        assert sorted(each[turn] for each in told) == [Standing.HELD] + [Standing.OTHERS] * 7


def test_a_shared_cache_holds_for_all_that_open_it(open_: Callable[[], Cache]) -> None:
    one, other = open_(), open_()
    if not one.is_shared:
        pytest.skip("this one is its process's alone")
    one.set({key("x"): b"1"}, MINUTE)
    lease = one.acquire(key("l"), MINUTE)
    assert other.get([key("x")]) == {key("x"): b"1"}
    assert other.acquire(key("l"), MINUTE).standing is Standing.OTHERS
    assert other.release(lease)


def test_it_says_whether_it_is_reached_and_what_it_holds_here(cache: Cache) -> None:
    cache.set({key("x"): b"1" * 1000}, MINUTE)
    assert cache.is_reachable()
    held = cache.held_bytes()
    assert held is None if cache.is_shared else (held or 0) > 1000
