"""The embedded cache does what a dictionary with ends would, whatever is asked and however time goes; and it stays small."""

from dataclasses import dataclass
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from jangbu.kernel.tenancy import TenantId
from jangbu.platform.cache.memory import OVERHEAD, MemoryCache
from jangbu.platform.cache.ports import Key, Lease, Standing

MINUTE = timedelta(minutes=1)
TENANTS = [TenantId("a"), TenantId("b")]


@dataclass
class MovableClock:
    at: float = 1_000.0

    def __call__(self) -> float:
        return self.at


def key(name: str, tenant: TenantId = TENANTS[0]) -> Key:
    return Key(tenant, "result", name)


keys = st.builds(key, st.sampled_from("xyz"), st.sampled_from(TENANTS))
ttls = st.integers(1, 120).map(lambda half: timedelta(seconds=half / 2))


class LikeADictionary(RuleBasedStateMachine):
    """Large enough that nothing is pushed out."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = MovableClock()
        self.cache = MemoryCache(longest=1 << 20, longest_value=50, now=self.clock)
        self.values: dict[Key, tuple[bytes, float]] = {}
        self.counters: dict[Key, tuple[int, float]] = {}
        self.leases: dict[Key, tuple[str, float]] = {}
        self.known: list[Lease] = []

    @rule(half=st.integers(0, 100))
    def time_goes_on(self, half: int) -> None:
        self.clock.at += half / 2
        for place in (self.values, self.counters, self.leases):
            for late in [each for each, (_, ends) in place.items() if ends <= self.clock.at]:
                del place[late]  # type: ignore[attr-defined]

    @rule(given=st.dictionaries(keys, st.binary(max_size=60)), ttl=ttls)
    def set(self, given: dict[Key, bytes], ttl: timedelta) -> None:
        fitting = {each: value for each, value in given.items() if len(value) <= 50}
        assert self.cache.set(given, ttl) == len(fitting)
        for each in given:
            self.values.pop(each, None)
        self.values |= {each: (value, self.clock.at + ttl.total_seconds()) for each, value in fitting.items()}

    @rule(asked=st.lists(keys))
    def get(self, asked: list[Key]) -> None:
        assert self.cache.get(asked) == {each: self.values[each][0] for each in asked if each in self.values}

    @rule(gone=st.lists(keys))
    def delete(self, gone: list[Key]) -> None:
        assert self.cache.delete(gone)
        for each in gone:
            self.values.pop(each, None)

    @rule(counter=keys, ttl=ttls, by=st.integers(-3, 3))
    def increase(self, counter: Key, ttl: timedelta, by: int) -> None:
        before, ends = self.counters.get(counter, (0, self.clock.at + ttl.total_seconds()))
        self.counters[counter] = (before + by, ends)
        assert self.cache.increase(counter, ttl, by) == before + by

    @rule(wanted=keys, ttl=ttls)
    def acquire(self, wanted: Key, ttl: timedelta) -> None:
        lease = self.cache.acquire(wanted, ttl)
        assert lease.standing is (Standing.OTHERS if wanted in self.leases else Standing.HELD)
        if wanted not in self.leases:
            self.leases[wanted] = (lease.token, self.clock.at + ttl.total_seconds())
        self.known.append(lease)

    @rule(data=st.data(), ttl=ttls)
    def renew(self, data: st.DataObject, ttl: timedelta) -> None:
        if self.known:
            lease = data.draw(st.sampled_from(self.known))
            assert (self.cache.renew(lease, ttl) is Standing.HELD) is self.is_held(lease)
            if self.is_held(lease):
                self.leases[lease.key] = (lease.token, self.clock.at + ttl.total_seconds())

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        if self.known:
            lease = data.draw(st.sampled_from(self.known))
            assert self.cache.release(lease) is self.is_held(lease)
            if self.is_held(lease):
                del self.leases[lease.key]

    @rule(tenant=st.sampled_from(TENANTS))
    def forget(self, tenant: TenantId) -> None:
        places = (self.values, self.counters, self.leases)
        theirs = [(place, each) for place in places for each in place if each.tenant == tenant]  # type: ignore[attr-defined]
        assert self.cache.count(tenant) == len(theirs)
        assert self.cache.forget(tenant) == len(theirs)
        for place, each in theirs:
            del place[each]

    def is_held(self, lease: Lease) -> bool:
        return self.leases.get(lease.key, ("", 0.0))[0] == lease.token

    @invariant()
    def it_holds_what_it_says(self) -> None:
        assert self.cache.count(TENANTS[0]) == sum(
            each.tenant == TENANTS[0] for place in (self.values, self.counters, self.leases) for each in place
        )
        assert (self.cache.held_bytes() or 0) >= sum(len(value) for value, _ in self.values.values())


LikeADictionary.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestLikeADictionary = LikeADictionary.TestCase


class Bounded(RuleBasedStateMachine):
    """Small: what was used longest ago goes first, and never more than has to."""

    ROOM = 4 * (OVERHEAD + 100)

    def __init__(self) -> None:
        super().__init__()
        self.cache = MemoryCache(longest=self.ROOM, longest_value=1_000)
        self.model: dict[Key, bytes] = {}

    def size(self, each: Key, value: bytes) -> int:
        return len(value) + len(each.kind) + len(each.name) + OVERHEAD

    @rule(name=st.sampled_from("uvwxyz"), length=st.integers(0, 1_100))
    def set(self, name: str, length: int) -> None:
        value = bytes(length)
        kept = self.cache.set({key(name): value}, MINUTE)
        self.model.pop(key(name), None)
        if length <= 1_000:
            self.model[key(name)] = value
        while sum(self.size(*item) for item in self.model.items()) > self.ROOM:
            del self.model[next(iter(self.model))]
        assert kept == (key(name) in self.model)

    @rule(name=st.sampled_from("uvwxyz"))
    def get(self, name: str) -> None:
        if key(name) in self.model:
            self.model[key(name)] = self.model.pop(key(name))
        assert self.cache.get([key(name)]) == ({key(name): self.model[key(name)]} if key(name) in self.model else {})

    @invariant()
    def it_stays_within_its_bound(self) -> None:
        assert self.cache.held_bytes() == sum(self.size(*item) for item in self.model.items())
        assert (self.cache.held_bytes() or 0) <= self.ROOM


Bounded.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestBounded = Bounded.TestCase


def test_a_value_that_would_fill_it_pushes_nothing_out() -> None:
    cache = MemoryCache(longest=2_000, longest_value=10_000)
    cache.set({key("x"): b"1"}, MINUTE)
    assert cache.set({key("y"): bytes(3_000)}, MINUTE) == 0
    assert cache.get([key("x")]) == {key("x"): b"1"}


def test_values_never_push_out_counters_and_leases() -> None:
    cache = MemoryCache(longest=2_000, longest_value=1_000)
    cache.increase(key("n"), MINUTE)
    lease = cache.acquire(key("l"), MINUTE)
    for number in range(100):
        cache.set({key(str(number)): bytes(500)}, MINUTE)
    assert cache.increase(key("n"), MINUTE) == 2
    assert cache.release(lease)


def test_counters_and_leases_whose_time_is_over_take_no_room() -> None:
    clock = MovableClock()
    cache = MemoryCache(longest=2_000, longest_value=1_000, now=clock)
    for number in range(10_000):
        clock.at += 1
        cache.increase(key(f"n{number}"), MINUTE)
        cache.acquire(key(f"l{number}"), MINUTE)
    assert len(cache._counters.there) <= 61
    assert len(cache._counters._ends) <= 61
    assert len(cache._leases.there) <= 61
