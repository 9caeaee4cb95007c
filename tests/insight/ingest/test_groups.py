"""Loads that are ready while a commit of their table goes on are committed together; none fails for another."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from ingest_place import SALES, LakehouseWith, Place, day, sales
from support.databases import ADAPTERS

from jangbu.insight.ingest.contracts import LoadMode, LoadResult
from jangbu.insight.ingest.facade import Ingest
from jangbu.kernel.errors import Unavailable
from jangbu.kernel.tenancy import TenantId

pytestmark = pytest.mark.parametrize("adapter", ADAPTERS, indirect=True)


class Gate:
    """A lakehouse's commit that waits, the first time, until others are ready as well."""

    def __init__(self, place: Place, commit: Callable[..., Any] | None = None) -> None:
        self.commits: list[int] = []
        self.entered, self.open = threading.Event(), threading.Event()
        self._commit = commit or place.lakehouse.commit
        methods = {"commit": self._through}
        self.ingest = Ingest(place.database, LakehouseWith(place.lakehouse, **methods), place.clock)  # type: ignore[arg-type]

    def _through(self, staged: Any, drops: Any) -> Any:
        self.commits.append(staged.rows)
        self.entered.set()
        self.open.wait(20)
        return self._commit(staged, drops)


def load(ingest: Ingest, tenant: str, rows: int = 1) -> LoadResult:
    made = sales(*((f"{tenant}{number}", "1", day(1)) for number in range(rows)))
    return ingest.load(SALES, tenant=TenantId(tenant), batches=made, mode=LoadMode.APPEND)


def all_waiting(gate: Gate, number: int) -> None:
    (line,) = gate.ingest._commits._grouping._lines.values()
    for _ in range(2000):
        if len(line.waiting) == number:
            return
        threading.Event().wait(0.005)
    raise AssertionError(f"{len(line.waiting)} wait")


def test_what_waits_for_a_commit_is_committed_together(place: Place) -> None:
    gate = Gate(place)
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(load, gate.ingest, "a")
        assert gate.entered.wait(20)
        others = [pool.submit(load, gate.ingest, name) for name in "bcdef"]
        all_waiting(gate, 5)
        gate.open.set()
        assert [each.result().version for each in [first, *others]] == [1] * 6
    assert gate.commits == [1, 5]
    assert place.lakehouse.state("sales").snapshots == 2
    assert all(place.products(TenantId(name)) == [f"{name}0"] for name in "abcdef")
    assert {payload["tenant"] for _, payload in place.events()} == set("abcdef")


def test_two_loads_of_one_tenant_are_never_in_one_commit(place: Place) -> None:
    gate = Gate(place)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(load, gate.ingest, "a")
        assert gate.entered.wait(20)
        second, third = pool.submit(load, gate.ingest, "b", 1), pool.submit(load, gate.ingest, "b", 2)
        all_waiting(gate, 2)
        gate.open.set()
        first.result()
        assert sorted([second.result().version, third.result().version]) == [1, 2]
    assert len(gate.commits) == 3


def test_a_load_that_cannot_be_committed_fails_alone(place: Place) -> None:
    def commit(staged: Any, drops: Any) -> Any:
        if staged.rows != 1:
            raise OSError("the odd one")
        return place.lakehouse.commit(staged, drops)

    gate = Gate(place, commit)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(load, gate.ingest, "a")
        assert gate.entered.wait(20)
        others = [pool.submit(load, gate.ingest, name) for name in "bd"]
        odd = pool.submit(load, gate.ingest, "odd", 2)
        all_waiting(gate, 3)
        gate.open.set()
        assert [each.result().version for each in [first, *others]] == [1, 1, 1]
        with pytest.raises(OSError, match="the odd one"):
            odd.result()
    assert place.data_files() == 3
    assert not place.ingest.has_open_intent([TenantId("odd"), TenantId("b")], ["sales"])


def test_who_waits_for_one_that_is_interrupted_is_told_to_try_again(place: Place) -> None:
    def commit(staged: Any, _drops: Any) -> Any:
        if staged.rows == 2:
            raise KeyboardInterrupt
        return place.lakehouse.commit(staged, _drops)

    gate = Gate(place, commit)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(load, gate.ingest, "a")
        assert gate.entered.wait(20)
        pair = [pool.submit(load, gate.ingest, name) for name in "bc"]
        all_waiting(gate, 2)
        gate.open.set()
        assert first.result().version == 1
        errors = [each.exception() for each in pair]
    assert {type(error) for error in errors} == {KeyboardInterrupt, Unavailable}
    assert place.data_files() == 1
    assert load(place.ingest, "b").version == 1


@pytest.mark.slow
def test_many_threads_of_many_tenants_lose_and_double_nothing(place: Place) -> None:
    def loads(tenant: str) -> None:
        for number in range(1, 6):
            load(place.ingest, tenant, number)

    tenants = [f"t{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(loads, tenants))
    for tenant in tenants:
        assert place.version(tenant=TenantId(tenant)) == 5
        assert len(place.products(TenantId(tenant))) == 15
    assert place.lakehouse.state("sales").snapshots < 40, "some were committed together"
