"""Rows that don't fit are set aside with the load they belong to, and can be replayed after a mend."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa
import pytest
from ingest_place import SALES, SHOP, LakehouseWith, MovableClock, Place, day, days, sales
from support.databases import ADAPTERS

from jangbu.insight.ingest.contracts import BadRow, LoadMode, LoadResult, QuarantineState
from jangbu.insight.ingest.facade import Ingest
from jangbu.kernel.errors import LoadError, NotFound
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.lakehouse.ports import TableColumn

pytestmark = pytest.mark.parametrize("adapter", ADAPTERS, indirect=True)

OTHER = TenantId("other")


def texts(*rows: tuple[str | None, str | None, Any]) -> pa.Table:
    """Rows as a file brings them."""
    written = [(name, price, at.isoformat() if at is not None else None) for name, price, at in rows]
    columns = list(zip(*written, strict=True)) if rows else [(), (), ()]
    return pa.table(
        {name: pa.array(list(c), pa.string()) for name, c in zip(("product", "price", "sold_at"), columns, strict=True)}
    )


class Plainly:
    """A converter that knows prices in digits, and those words that it is told."""

    def __init__(self, **words: str) -> None:
        self._words = words

    def __call__(
        self, batch: pa.RecordBatch, _columns: Sequence[TableColumn], first_row: int
    ) -> tuple[pa.RecordBatch, Sequence[BadRow]]:
        good, bad = [], []
        for number, row in enumerate(batch.to_pylist(), first_row):
            price = self._words.get(row["price"], row["price"])
            try:
                good.append((row["product"], str(Decimal(price)), row["sold_at"]))
            except InvalidOperation:
                bad.append(BadRow(number, "price", "not_a_number", row["price"], row))
        made = sales(*((name, price, None) for name, price, _ in good))
        times = pa.array([at for _, _, at in good], pa.string()).cast(pa.timestamp("us", "UTC"))
        return made.set_column(2, "sold_at", times).combine_chunks().to_batches()[0] if good else empty(), bad


def empty() -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=sales().schema)


ROWS = texts(("apple", "1", day(1)), ("bread", "two", day(2)), ("cake", "3", day(3)), ("dough", "four", day(4)))


def load(place: Place, rows: pa.Table = ROWS, mode: LoadMode = LoadMode.APPEND, **more: Any) -> LoadResult:
    given = {"tenant": SHOP, "converter": Plainly(), "keys": ("product",) if mode is LoadMode.MERGE else ()} | more
    return place.ingest.load(SALES, batches=rows, mode=mode, **given)


def waiting(place: Place, tenant: TenantId = SHOP) -> list[tuple[int, str | None, str | None]]:
    found = place.ingest.quarantined([tenant], state=QuarantineState.WAITING)
    return [(each.row.number, each.row.column, each.row.value) for each in found]


def test_bad_rows_are_set_aside_with_their_number_reason_and_payload(place: Place) -> None:
    result = load(place)
    assert (result.rows, result.bad) == (2, 2)
    assert place.products() == ["apple", "cake"]
    first, second = place.ingest.quarantined([SHOP])
    assert (first.run, first.data_source, first.tenant, first.state) == (result.run, "sales", SHOP, QuarantineState.WAITING)
    assert (first.row.number, first.row.column, first.row.reason, first.row.value) == (2, "price", "not_a_number", "two")
    assert first.row.payload == {"product": "bread", "price": "two", "sold_at": day(2).isoformat()}
    assert second.row.number == 4
    assert place.ingest.loads([SHOP])[0].bad == 2


def test_the_same_load_again_sets_nothing_aside_twice(place: Place) -> None:
    load(place)
    assert load(place).changed is False
    assert len(waiting(place)) == 2


def test_rows_outside_the_range_and_without_their_key_are_set_aside_too(place: Place) -> None:
    rows = texts(("apple", "1", day(1)), (None, "2", day(2)), ("bread", "x", day(2)), ("cake", "3", day(20)), ("dough", "4", None))
    result = load(place, rows, LoadMode.MERGE, span=days(1, 10))
    assert (result.rows, result.bad) == (1, 4)
    found = place.ingest.quarantined([SHOP])
    assert sorted((each.row.number, each.row.column, each.row.reason) for each in found) == [
        (2, "product", "missing_value"),
        (3, "price", "not_a_number"),
        (4, "sold_at", "outside_range"),
        (5, "sold_at", "outside_range"),
    ]


def test_a_load_that_is_mostly_bad_is_refused_as_a_whole(place: Place) -> None:
    rows = texts(*((f"p{number}", "1" if number % 5 else "bad", day(1)) for number in range(1000)))
    with pytest.raises(LoadError, match=r"200 of 1,000 rows don't fit 'sales' \(price: not_a_number 200 x\); nothing was loaded"):
        load(place, rows)
    assert (place.data_files(), place.version(), waiting(place)) == (0, 0, [])


def test_what_others_have_set_aside_is_not_seen(place: Place) -> None:
    load(place)
    load(place, tenant=OTHER)
    assert len(place.ingest.quarantined([SHOP])) == len(place.ingest.quarantined([OTHER])) == 2
    assert place.ingest.quarantined([TenantId("nobody")]) == ()


def test_they_are_paged_and_asked_for_by_load(place: Place) -> None:
    first, second = load(place), load(place, texts(("x", "bad", day(1))))
    assert [each.run for each in place.ingest.quarantined([SHOP])] == [second.run, first.run, first.run]
    assert len(place.ingest.quarantined([SHOP], run=first.run, limit=1, offset=1)) == 1
    assert place.ingest.quarantined([SHOP], ["products"]) == ()


# Together with the load, or not at all


def test_a_load_that_is_not_committed_sets_nothing_aside(place: Place) -> None:
    def fail(*_: object) -> None:
        raise OSError("no")

    broken = Ingest(place.database, LakehouseWith(place.lakehouse, commit=fail), place.clock)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="no"):
        broken.load(SALES, tenant=SHOP, batches=ROWS, mode=LoadMode.APPEND, converter=Plainly())
    assert place.ingest.quarantined([SHOP]) == ()


@pytest.mark.parametrize("committed", [True, False])
def test_they_follow_the_recovery_of_their_load(place: Place, committed: bool) -> None:
    clock = MovableClock()

    def lost(*arguments: Any) -> None:
        if committed and len(arguments) > 1 and not isinstance(arguments[0], str):
            place.lakehouse.commit(*arguments)
        raise OSError("gone")

    methods = {"commit": lost, "find_run": lost}
    broken = Ingest(place.database, LakehouseWith(place.lakehouse, **methods), clock)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="gone"):
        broken.load(SALES, tenant=SHOP, batches=ROWS, mode=LoadMode.APPEND, converter=Plainly())
    assert place.ingest.quarantined([SHOP]) == ()
    clock.forward(hours=1)
    assert [done.finished for done in Ingest(place.database, place.lakehouse, clock).recover()] == [committed]
    assert len(waiting(place)) == (2 if committed else 0)


# Replays


def replay(place: Place, run: str, tenant: TenantId = SHOP, **words: str) -> tuple[int | None, int]:
    done = place.ingest.replay(SALES, run, tenant=tenant, converter=Plainly(**words))
    return (done.load.rows if done.load else None), done.left


def test_rows_that_fit_after_a_mend_are_loaded_and_the_others_wait_on(place: Place) -> None:
    run = load(place).run
    assert replay(place, run, two="2") == (1, 1)
    assert place.products() == ["apple", "bread", "cake"]
    assert (place.version(), waiting(place)) == (2, [(4, "price", "four")])
    assert replay(place, run, two="2") == (None, 1)
    assert replay(place, run, four="4") == (1, 0)
    assert replay(place, run, four="4") == (None, 0)
    assert place.products() == ["apple", "bread", "cake", "dough"]
    assert {each.state for each in place.ingest.quarantined([SHOP])} == {QuarantineState.REPLAYED}


def test_a_replay_of_a_merge_merges(place: Place) -> None:
    load(place, texts(("bread", "1", day(1))), LoadMode.MERGE)
    run = load(place, ROWS, LoadMode.MERGE).run
    replay(place, run, two="2", four="4")
    assert place.products() == ["apple", "bread", "cake", "dough"]


def test_a_replay_that_fails_leaves_them_waiting(place: Place) -> None:
    run = load(place).run

    def fail(*_: object) -> None:
        raise OSError("no")

    broken = Ingest(place.database, LakehouseWith(place.lakehouse, commit=fail), place.clock)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="no"):
        broken.replay(SALES, run, tenant=SHOP, converter=Plainly(two="2"))
    assert len(waiting(place)) == 2
    assert replay(place, run, two="2") == (1, 1)


def test_two_replays_at_once_load_a_row_once(place: Place) -> None:
    run = load(place).run

    def stage_late(*arguments: Any) -> Any:
        staged = place.lakehouse.stage(*arguments)
        replay(place, run, two="2")
        return staged

    slow = Ingest(place.database, LakehouseWith(place.lakehouse, stage=stage_late), place.clock)  # type: ignore[arg-type]
    assert slow.replay(SALES, run, tenant=SHOP, converter=Plainly(two="2")).load is None
    assert place.products() == ["apple", "bread", "cake"]


def test_another_tenants_load_can_not_be_replayed(place: Place) -> None:
    run = load(place).run
    with pytest.raises(NotFound):
        replay(place, run, OTHER)
    with pytest.raises(NotFound):
        replay(place, "no-such-run")


# What is of no matter any more


@pytest.mark.parametrize(
    ("span", "superseded"), [(None, True), (days(1, 10), True), (days(1, 30), True), (days(2, 10), False), (days(10, 20), False)]
)
def test_a_later_replacement_of_the_whole_range_supersedes_them(place: Place, span: Any, superseded: bool) -> None:
    run = load(place, ROWS, LoadMode.REPLACE, span=days(1, 10)).run
    place.ingest.load(SALES, tenant=SHOP, batches=sales(), mode=LoadMode.REPLACE, span=span)
    assert (waiting(place) == []) is superseded
    assert replay(place, run, two="2", four="4") == ((None, 0) if superseded else (2, 0))


def test_a_replacement_keeps_its_own(place: Place) -> None:
    load(place, ROWS, LoadMode.REPLACE)
    assert len(waiting(place)) == 2


def test_dismissed_rows_wait_no_more_but_can_be_seen(place: Place) -> None:
    run = load(place).run
    assert place.ingest.dismiss(run, tenant=OTHER) == 0
    assert place.ingest.dismiss(run, tenant=SHOP) == 2
    assert place.ingest.dismiss(run, tenant=SHOP) == 0
    assert replay(place, run, two="2") == (None, 0)
    assert {each.state for each in place.ingest.quarantined([SHOP])} == {QuarantineState.DISMISSED}
