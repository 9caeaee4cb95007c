"""The three steps when something goes wrong in this process, or another stands still."""

import threading
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pytest
from ingest_place import CALENDAR, SALES, SHOP, LakehouseWith, MovableClock, Place, day, days, sales
from sqlalchemy import select, update
from support.databases import ADAPTERS

from jangbu.insight.ingest import lease
from jangbu.insight.ingest.commits import Commits
from jangbu.insight.ingest.contracts import LoadMode, LoadResult
from jangbu.insight.ingest.facade import Delivery, Ingest
from jangbu.insight.ingest.lease import LEASE, kept
from jangbu.insight.ingest.tables import load_intents
from jangbu.kernel.errors import Conflict, StorageError, Unavailable
from jangbu.kernel.tenancy import TenantId

pytestmark = pytest.mark.parametrize("adapter", ADAPTERS, indirect=True)

A, B = sales(("apple", "1", day(1))), sales(("bread", "1", day(2)))


def ingest_with(place: Place, clock: Any = None, **methods: Callable[..., Any]) -> Ingest:
    return Ingest(place.database, LakehouseWith(place.lakehouse, **methods), clock or place.clock)  # type: ignore[arg-type]


def append(ingest: Ingest, rows: Any) -> LoadResult:
    return ingest.load(SALES, tenant=SHOP, batches=rows, mode=LoadMode.APPEND)


def raising(error: BaseException) -> Callable[..., Any]:
    def method(*_: object) -> None:
        raise error

    return method


def after(method: Callable[..., Any], error: BaseException) -> Callable[..., Any]:
    def both(*arguments: object) -> None:
        method(*arguments)
        raise error

    return both


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_commit_that_fails_leaves_nothing(place: Place, error: BaseException) -> None:
    with pytest.raises(type(error)):
        append(ingest_with(place, commit=raising(error)), A)
    assert not place.ingest.has_open_intent([SHOP], ["sales"])
    assert (place.data_files(), place.version(), place.events()) == (0, 0, [])
    assert append(place.ingest, A).version == 1


def test_a_commit_that_happened_though_it_raised_is_finished(place: Place) -> None:
    result = append(ingest_with(place, commit=after(place.lakehouse.commit, OSError("no answer"))), A)
    assert (result.version, result.changed) == (1, True)
    assert place.products() == ["apple"]
    assert append(place.ingest, A).changed is False


def test_an_interrupt_after_the_commit_is_raised_and_the_load_finished(place: Place) -> None:
    with pytest.raises(KeyboardInterrupt):
        append(ingest_with(place, commit=after(place.lakehouse.commit, KeyboardInterrupt())), A)
    assert place.version() == 1
    assert not place.ingest.has_open_intent([SHOP], ["sales"])


def left_open(place: Place, clock: MovableClock, *, committed: bool) -> None:
    """An intent whose process can't tell what became of its commit, and lives on."""
    lost = OSError("the lakehouse is gone")
    change = after(place.lakehouse.commit, lost) if committed else raising(lost)
    with pytest.raises(OSError, match="lakehouse is gone"):
        append(ingest_with(place, clock, commit=change, find_run=raising(lost)), A)
    assert place.ingest.has_open_intent([SHOP], ["sales"])


@pytest.mark.parametrize("committed", [True, False])
def test_an_intent_of_unknown_fate_is_settled_when_its_lease_ends(place: Place, committed: bool) -> None:
    clock = MovableClock()
    left_open(place, clock, committed=committed)
    ingest = ingest_with(place, clock)
    assert ingest.recover(clock.now() + LEASE - timedelta(seconds=1)) == ()
    clock.forward(seconds=LEASE.total_seconds())
    assert [(done.data_source, done.tenants, done.finished) for done in ingest.recover()] == [("sales", (SHOP,), committed)]
    assert place.version() == int(committed)
    assert append(ingest, A).changed is not committed
    assert place.products() == ["apple"]


def test_a_table_that_cant_be_read_keeps_no_other_ones_loads_from_their_recovery(place: Place) -> None:
    clock = MovableClock()
    calendar = pa.table({"day": pa.array([date(2017, 3, 1)]), "name": pa.array(["Samiljeol"])})
    lost = OSError("the lakehouse is gone")
    broken = ingest_with(place, clock, commit=raising(lost), find_run=raising(lost))
    for source, tenant, rows in ((SALES, SHOP, A), (CALENDAR, None, calendar)):
        with pytest.raises(OSError, match="lakehouse is gone"):
            broken.load(source, tenant=tenant, batches=rows, mode=LoadMode.APPEND)
    clock.forward(hours=1)

    def torn(table: str, attempt: str) -> Any:
        if table == "sales":
            raise StorageError("The metadata of 'sales' are torn.")
        return place.lakehouse.find_run(table, attempt)

    with pytest.raises(StorageError, match="are torn"):
        ingest_with(place, clock, find_run=torn).recover()
    assert (place.version("calendar", None), place.version()) == (0, 0)
    assert not place.ingest.has_open_intent([], ["calendar"])
    assert place.ingest.has_open_intent([SHOP], ["sales"])
    assert [done.data_source for done in ingest_with(place, clock).recover()] == ["sales"]


class DatabaseThatFails:
    """One whose transactions fail as long as `broken` is set, as on a full disk."""

    def __init__(self, real: Any) -> None:
        self._real, self.broken = real, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def transaction(self) -> Any:
        if self.broken:
            raise Unavailable("The disk is full.")
        return self._real.transaction()


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("tenants", [1, 2])
def test_a_database_that_fails_after_the_commit_loses_no_rows(place: Place, committed: bool, tenants: int) -> None:
    database, clock = DatabaseThatFails(place.database), MovableClock()

    def commit(*arguments: Any) -> Any:
        database.broken = True
        if not committed:
            raise Unavailable("The disk is full.")
        return place.lakehouse.commit(*arguments)

    ingest = Ingest(database, LakehouseWith(place.lakehouse, commit=commit), clock)  # type: ignore[arg-type]
    deliveries = [Delivery(TenantId(name), lambda: A, "a") for name in ("shop", "other")[:tenants]]
    with pytest.raises(Unavailable, match="disk is full"):
        ingest.load_many(SALES, deliveries, mode=LoadMode.APPEND)
    assert place.products() == ["apple"] * committed
    database.broken = False
    clock.forward(seconds=LEASE.total_seconds())
    assert [done.finished for done in place.ingest.recover(clock.now())] == [committed]
    results = place.ingest.load_many(SALES, deliveries, mode=LoadMode.APPEND)
    assert [(result.changed, result.version) for result in results] == [(not committed, 1)] * tenants
    assert place.products() == ["apple"]


def test_an_open_intent_concerns_its_tenant_and_data_source_only(place: Place) -> None:
    left_open(place, MovableClock(), committed=False)
    assert not place.ingest.has_open_intent(["other"], ["sales"])
    assert not place.ingest.has_open_intent([SHOP], ["products"])
    assert place.ingest.has_open_intent(["other", SHOP], ["products", "sales"])


def test_an_open_intent_of_others_holds_no_other_tenant_up(place: Place) -> None:
    left_open(place, MovableClock(), committed=False)
    assert place.ingest.load(SALES, tenant="other", batches=A, mode=LoadMode.APPEND).version == 1  # type: ignore[arg-type]


def test_who_waits_too_long_is_told_so_and_leaves_no_files(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = MovableClock()
    left_open(place, clock, committed=False)
    files = place.data_files()
    monkeypatch.setattr("jangbu.insight.ingest.commits.PATIENCE", 0.05)
    with pytest.raises(Unavailable, match="'sales' goes on for too long"):
        append(ingest_with(place, clock), B)
    assert place.data_files() == files


def test_two_loads_of_the_same_data_commit_one_after_the_other(place: Place) -> None:
    """Or the history could name another as the last than the lakehouse has."""
    in_commit, go_on = threading.Event(), threading.Event()
    results: list[LoadResult] = []

    def slow(*arguments: Any) -> Any:
        in_commit.set()
        go_on.wait(20)
        return place.lakehouse.commit(*arguments)

    def load(ingest: Ingest, rows: Any) -> None:
        results.append(ingest.load(SALES, tenant=SHOP, batches=rows, mode=LoadMode.REPLACE, span=days(1, 10)))

    first = threading.Thread(target=load, args=(ingest_with(place, commit=slow), A))
    second = threading.Thread(target=load, args=(place.ingest, B))
    first.start()
    assert in_commit.wait(20)
    second.start()
    second.join(0.5)
    assert second.is_alive()
    go_on.set()
    first.join(20)
    second.join(20)
    assert [result.version for result in results] == [1, 2]
    assert place.products() == ["bread"]


def test_a_lease_is_renewed_while_the_commit_goes_on(place: Place) -> None:
    clock = MovableClock()
    left_open(place, clock, committed=False)

    def ends() -> Any:
        with place.database.reading() as connection:
            return connection.execute(select(load_intents.c.lease_ends_at, load_intents.c.attempt)).one()

    before, attempt = ends()
    renewed = threading.Event()
    with kept(place.database, attempt, timedelta(seconds=0.04)):
        for _ in range(200):
            if ends().lease_ends_at != before:
                renewed.set()
                break
            threading.Event().wait(0.02)
    assert renewed.is_set()
    after_the_block = ends().lease_ends_at
    threading.Event().wait(0.1)
    assert ends().lease_ends_at == after_the_block


def test_a_busy_database_does_not_end_the_renewals(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[str] = []

    def busy(_connection: object, attempt: str, _ends: object) -> None:
        tries.append(attempt)
        raise Unavailable("busy")

    monkeypatch.setattr(lease.repository, "renew_lease", busy)
    with kept(place.database, "attempt", timedelta(seconds=0.02)):
        for _ in range(500):
            if len(tries) >= 2:
                break
            threading.Event().wait(0.01)
    assert len(tries) >= 2


def test_an_owner_that_shows_life_in_time_is_not_dropped(place: Place) -> None:
    """The lease had ended, the marker wasn't found, and before the intent was dropped the owner renewed it."""
    clock = MovableClock()
    left_open(place, clock, committed=False)
    clock.forward(hours=1)

    def renewed_meanwhile(*_: object) -> None:
        with place.database.transaction() as work:
            work.connection.execute(update(load_intents).values(lease_ends_at=clock.now() + LEASE))

    assert ingest_with(place, clock, find_run=renewed_meanwhile).recover() == ()
    assert place.ingest.has_open_intent([SHOP], ["sales"])


def test_two_recoveries_at_once_finish_a_load_once(place: Place) -> None:
    clock = MovableClock()
    left_open(place, clock, committed=True)
    clock.forward(hours=1)
    attempt = _attempt(place)

    def other_first(table: str, run: str) -> Any:
        Commits(place.database, place.lakehouse, clock).recover(attempt, clock.now())
        return place.lakehouse.find_run(table, run)

    ingest_with(place, clock, find_run=other_first).recover()
    assert place.version() == 1
    assert len(place.events()) == 1


def standing_still(place: Place, clock: MovableClock, meanwhile: Callable[[Ingest], Any]) -> Ingest:
    """Its process stops for an hour exactly between intent and commit; others give it up and go on."""

    def commit(*arguments: Any) -> Any:
        clock.forward(hours=1)
        meanwhile(ingest_with(place, clock))
        return place.lakehouse.commit(*arguments)

    return ingest_with(place, clock, commit=commit)


def test_what_was_given_up_and_replaced_by_others_is_not_committed(place: Place) -> None:
    def replace(ingest: Ingest, rows: Any) -> LoadResult:
        return ingest.load(SALES, tenant=SHOP, batches=rows, mode=LoadMode.REPLACE, span=days(1, 10))

    clock = MovableClock()
    with pytest.raises(Conflict, match="given up"):
        replace(standing_still(place, clock, lambda ingest: replace(ingest, B)), A)
    assert (place.products(), place.version(), place.data_files()) == (["bread"], 1, 1)
    assert replace(ingest_with(place, clock), A).version == 2
    assert place.products() == ["apple"]


def test_an_append_that_others_gave_up_and_did_again_is_there_once(place: Place) -> None:
    clock = MovableClock()
    result = append(standing_still(place, clock, lambda ingest: append(ingest, A)), A)
    assert (place.products(), place.version(), len(place.events())) == (["apple"], 1, 1)
    assert result.version == 1
    assert place.data_files() == 1, "what the one that stood still had staged is removed"


def test_an_append_that_was_given_up_and_not_done_again_says_so(place: Place) -> None:
    clock = MovableClock()
    with pytest.raises(Conflict, match="given up"):
        append(standing_still(place, clock, Ingest.recover), A)
    assert (place.products(), place.version(), place.data_files()) == ([], 0, 0)
    assert append(ingest_with(place, clock), A).changed is True
    assert place.products() == ["apple"]


def test_what_was_given_up_and_committed_but_not_yet_recorded_by_others_is_there_once(place: Place) -> None:
    clock = MovableClock()

    def commit_only(ingest: Ingest) -> None:
        ingest.recover()
        left_open(place, clock, committed=True)

    with pytest.raises(Conflict, match="given up"):
        append(standing_still(place, clock, commit_only), A)
    clock.forward(hours=1)
    assert [done.finished for done in ingest_with(place, clock).recover()] == [True]
    assert (place.products(), place.version()) == (["apple"], 1)


def test_a_commit_that_happens_just_before_it_is_given_up_is_finished(place: Place) -> None:
    clock = MovableClock()
    left_open(place, clock, committed=True)
    clock.forward(hours=1)
    too_early = ingest_with(place, clock, find_run=lambda *_: None)
    assert [done.finished for done in too_early.recover()] == [True]
    assert place.version() == 1


def _attempt(place: Place) -> str:
    with place.database.reading() as connection:
        return connection.execute(select(load_intents.c.attempt)).scalar_one()
