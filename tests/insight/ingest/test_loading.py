"""A load: applied once, as a whole, or not at all."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from ingest_place import CALENDAR, SALES, SHOP, MovableClock, Place, data_source, day, days, sales

from jangbu.insight.catalog.contracts import SeparationKind
from jangbu.insight.ingest.contracts import LoadMode, LoadResult
from jangbu.insight.ingest.facade import Ingest
from jangbu.kernel.errors import InvalidTime, LoadError, OutOfBounds
from jangbu.kernel.tenancy import TenantId
from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.ports import TimeRange

A = sales(("apple", "1.50", day(1)), ("apricot", "2", day(2)))
B = sales(("bread", "3", day(1)))
OTHER = TenantId("other")


def append(place: Place, rows: Any, tenant: TenantId = SHOP, **more: Any) -> LoadResult:
    return place.ingest.load(SALES, tenant=tenant, batches=rows, mode=LoadMode.APPEND, **more)


def replace(place: Place, rows: Any, span: TimeRange | None = None, tenant: TenantId = SHOP, **more: Any) -> LoadResult:
    return place.ingest.load(SALES, tenant=tenant, batches=rows, mode=LoadMode.REPLACE, span=span, **more)


def test_rows_get_their_tenant_and_a_version(place: Place) -> None:
    result = append(place, A)
    assert (result.rows, result.version, result.changed) == (2, 1, True)
    assert place.rows() == [
        {"tenant": "shop", "product": "apple", "price": Decimal("1.5000"), "sold_at": day(1)},
        {"tenant": "shop", "product": "apricot", "price": Decimal("2.0000"), "sold_at": day(2)},
    ]
    assert place.events() == [("TenantDataUpdated", {"tenant": "shop", "data_source": "sales", "version": 1})]


def test_the_same_rows_are_never_there_twice(place: Place) -> None:
    first = append(place, A)
    second = append(place, A)
    assert second == LoadResult(first.run, "sales", SHOP, 2, 1, changed=False)
    assert place.products() == ["apple", "apricot"]
    assert len(place.events()) == 1


def test_an_append_that_was_done_stays_done_whatever_came_after(place: Place) -> None:
    """So that a message delivered late, once more, adds nothing; what a replacement took away comes back by a replacement."""
    append(place, A)
    replace(place, B)
    assert append(place, A).changed is False
    assert place.products() == ["bread"]


def test_how_rows_are_cut_into_batches_does_not_matter(place: Place) -> None:
    append(place, A)
    assert append(place, A.to_batches(max_chunksize=1)).changed is False
    assert append(place, iter(A.to_batches(max_chunksize=1))).changed is False


def test_how_columns_are_encoded_does_not_matter(place: Place) -> None:
    append(place, A)
    other = A.select(["sold_at", "price", "product"])
    for column, type_ in (("product", pa.large_string()), ("product", pa.dictionary(pa.int32(), pa.string()))):
        other = other.set_column(other.schema.get_field_index(column), column, other[column].cast(type_))
    other = other.set_column(0, "sold_at", other["sold_at"].cast(pa.timestamp("ns", tz="Asia/Seoul")))
    assert append(place, other).changed is False


def test_other_rows_of_the_same_number_are_another_load(place: Place) -> None:
    append(place, A)
    assert append(place, sales(("apple", "1.50", day(1)), ("apricot", "2.0001", day(2)))).changed is True
    assert place.version() == 2


def test_two_tenants_load_the_same_without_meeting(place: Place) -> None:
    append(place, A)
    assert append(place, A, OTHER).changed is True
    assert replace(place, B, tenant=OTHER).version == 2
    assert place.products() == ["apple", "apricot"]
    assert place.products(OTHER) == ["bread"]
    assert place.version() == 1


def test_a_replacement_takes_the_place_of_its_range_only(place: Place) -> None:
    append(place, sales(("early", "1", day(1)), ("middle", "1", day(5)), ("late", "1", day(9))))
    replace(place, sales(("new", "1", day(6))), days(4, 8))
    assert place.products() == ["early", "late", "new"]


def test_a_replacement_without_a_range_takes_the_place_of_all(place: Place) -> None:
    append(place, A)
    replace(place, B)
    assert place.products() == ["bread"]


def test_a_replacement_by_nothing_empties_its_range(place: Place) -> None:
    append(place, sales(("in", "1", day(5)), ("out", "1", day(9))))
    assert replace(place, sales(), days(4, 8)).version == 2
    assert place.products() == ["out"]


def test_repeating_the_last_replacement_changes_nothing(place: Place) -> None:
    replace(place, A, days(1, 10))
    assert replace(place, A, days(1, 10)).changed is False
    assert place.version() == 1


def test_a_then_b_then_a_again_leaves_a(place: Place) -> None:
    runs = [replace(place, rows, days(1, 10)) for rows in (A, B, A, B, A)]
    assert [run.changed for run in runs] == [True] * 5
    assert len({run.run for run in runs}) == 5
    assert place.products() == ["apple", "apricot"]
    assert place.version() == 5


@pytest.mark.parametrize(
    ("between", "is_applied_again"),
    [
        (lambda place: replace(place, B, days(1, 2)), True),
        (lambda place: replace(place, sales(("x", "1", day(20))), days(15, 25)), False),
        (lambda place: replace(place, B), True),
        (lambda place: append(place, B), True),
        (lambda place: append(place, sales(("x", "1", day(20))), span=days(15, 25)), False),
        (lambda place: replace(place, B, days(1, 10), OTHER), False),
        (lambda place: replace(place, sales(("x", "1", day(11))), days(10, 12)), False),
    ],
    ids=[
        "part of it",
        "another range",
        "everything",
        "an append of any time",
        "an append elsewhere",
        "another tenant",
        "next to it",
    ],
)
def test_a_replacement_is_repeated_if_its_range_was_touched_since(place: Place, between: Any, is_applied_again: bool) -> None:
    replace(place, A, days(1, 10))
    assert between(place).changed
    assert replace(place, A, days(1, 10)).changed is is_applied_again
    assert place.products()[:2] == ["apple", "apricot"]


def test_a_content_given_by_the_caller_saves_the_reading(place: Place) -> None:
    def unread() -> Iterator[pa.RecordBatch]:
        pytest.fail("read")
        yield

    append(place, A, content="file 1")
    assert append(place, unread(), content="file 1").changed is False
    assert append(place, B, content="file 2").changed is True


def test_progress_counts_rows(place: Place) -> None:
    seen: list[tuple[str, int, int | None]] = []
    append(place, A.to_batches(max_chunksize=1), progress=lambda *step: seen.append(step))
    assert seen == [("sales", 1, None), ("sales", 2, None)]


def test_shared_rows_have_no_tenant_and_a_version_of_their_own(place: Place) -> None:
    holidays = pa.table({"day": pa.array([date(2017, 3, 1)]), "name": ["삼일절"]})
    result = place.ingest.load(CALENDAR, tenant=None, batches=holidays, mode=LoadMode.REPLACE)
    assert (result.tenant, result.version) == (None, 1)
    assert place.rows("calendar", None) == [{"day": date(2017, 3, 1), "name": "삼일절"}]
    assert set(place.ingest.versions([SHOP], ["sales", "calendar"])) == {(None, "calendar")}
    assert place.events()[-1][1]["tenant"] is None


# What can't be loaded


def table(**columns: Any) -> pa.Table:
    kept = {**{name: A[name] for name in A.schema.names}, **columns}
    return pa.table({name: column for name, column in kept.items() if column is not None})


NAIVE = pa.array([day(1).replace(tzinfo=None)] * 2, pa.timestamp("us"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (table(price=None), "lack 'price'"),
        (pa.table({}), "lack 'product', 'price', 'sold_at'"),
        (table(prise=A["price"]), "no column 'prise'.*Did you mean 'price'"),
        (table(tenant=pa.array(["other"] * 2)), "no column 'tenant'"),
        (table(product=pa.array([1, 2])), "'product' as string, not int64"),
        (table(price=pa.array([1.5, 2.0])), "not double.*round it first"),
        (table(price=pa.array([Decimal("1.00001")] * 2)), "'price' doesn't fit"),
        (table(sold_at=NAIVE), "not timestamp"),
        (table(sold_at=pa.array([1, 2], pa.timestamp("ns", tz="UTC"))), "'sold_at' doesn't fit"),
    ],
)
def test_rows_that_do_not_fit_are_refused_and_leave_nothing(place: Place, rows: pa.Table, message: str) -> None:
    with pytest.raises(LoadError, match=message):
        append(place, rows)
    assert (place.data_files(), place.version(), place.events()) == (0, 0, [])


@pytest.mark.parametrize("at", [day(1), day(10), None])
def test_rows_outside_the_range_are_refused(place: Place, at: datetime | None) -> None:
    """A row that the next replacement of the range wouldn't take away would be there twice."""
    rows = sales(("x", "1", day(5)), ("y", "1", at))
    for mode in (LoadMode.APPEND, LoadMode.REPLACE, LoadMode.MERGE):
        keys = ("product",) if mode is LoadMode.MERGE else ()
        with pytest.raises(LoadError, match="sold_at"):
            place.ingest.load(SALES, tenant=SHOP, batches=rows, mode=mode, keys=keys, span=days(4, 10))
    assert place.data_files() == 0


def test_an_error_while_the_rows_are_read_leaves_nothing(place: Place) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield from A.to_batches()
        raise OSError("the line went dead")

    with pytest.raises(OSError, match="line went dead"):
        append(place, broken())
    assert (place.data_files(), place.version(), place.events()) == (0, 0, [])
    assert append(place, A).version == 1


def test_a_needless_load_leaves_no_files(place: Place) -> None:
    append(place, A)
    files = place.data_files()
    append(place, A)
    assert place.data_files() == files


@pytest.mark.parametrize(
    "load",
    [
        lambda ingest: ingest.load(SALES, tenant=None, batches=A, mode=LoadMode.APPEND),
        lambda ingest: ingest.load(CALENDAR, tenant=SHOP, batches=A, mode=LoadMode.APPEND),
        lambda ingest: ingest.load(
            data_source("own", {"x": FieldType.TEXT}, separation=SeparationKind.CONNECTION),
            tenant=SHOP,
            batches=A,
            mode=LoadMode.APPEND,
        ),
    ],
    ids=["whose?", "shared", "on the tenant's server"],
)
def test_a_load_says_whose_rows_it_brings(place: Place, load: Any) -> None:
    with pytest.raises(LoadError):
        load(place.ingest)


NO_TIME = data_source("products", {"tenant": FieldType.TEXT, "product": FieldType.TEXT})
LOCAL = data_source("visits", {"tenant": FieldType.TEXT, "at": FieldType.LOCAL}, time="at")


@pytest.mark.parametrize(
    ("source", "span"),
    [
        (SALES, TimeRange(day(9), day(1))),
        (SALES, TimeRange(day(1), day(1))),
        (SALES, TimeRange(datetime(2017, 3, 1), datetime(2017, 3, 2))),  # noqa: DTZ001 - naive on purpose
        (LOCAL, days(1, 2)),
        (LOCAL, TimeRange(datetime(2017, 3, 1), datetime(2017, 3, 2))),  # noqa: DTZ001 - as a local time is
        (NO_TIME, days(1, 2)),
    ],
    ids=["turned round", "empty", "naive for instants", "aware for local times", "no zone for as_of", "no time"],
)
def test_a_range_has_the_kind_of_the_time_column(place: Place, source: Any, span: TimeRange) -> None:
    with pytest.raises(InvalidTime):
        place.ingest.load(source, tenant=SHOP, batches=sales(), mode=LoadMode.REPLACE, span=span)


# Until when


def as_of(place: Place, source: str = "sales") -> datetime:
    return place.ingest.versions([SHOP], [source])[SHOP, source].as_of


def test_data_are_loaded_until_the_end_of_their_range(place: Place) -> None:
    replace(place, A, days(1, 10))
    assert as_of(place) == datetime(2017, 3, 10, tzinfo=UTC)


def test_an_older_range_does_not_make_them_look_older(place: Place) -> None:
    replace(place, A, days(1, 10))
    replace(place, B, days(1, 2))
    assert as_of(place) == datetime(2017, 3, 10, tzinfo=UTC)


def test_all_anew_may_be_older(place: Place) -> None:
    replace(place, A, as_of=day(9))
    replace(place, B, as_of=day(5))
    assert as_of(place) == day(5)


def test_a_range_that_has_not_ended_is_loaded_until_now(place: Place) -> None:
    clock = MovableClock(day(5))
    ingest = Ingest(place.database, place.lakehouse, clock)
    ingest.load(SALES, tenant=SHOP, batches=A, mode=LoadMode.REPLACE, span=days(1, 30))
    assert as_of(place) == day(5)
    clock.forward(days=1)
    ingest.load(SALES, tenant=SHOP, batches=B, mode=LoadMode.APPEND)
    assert as_of(place) == day(6)


def test_the_end_of_a_local_range_is_in_the_time_fields_zone(place: Place) -> None:
    seoul = data_source("visits", {"tenant": FieldType.TEXT, "at": FieldType.LOCAL}, time="at", zone="Asia/Seoul")
    span = TimeRange(datetime(2017, 3, 1), datetime(2017, 3, 2))  # noqa: DTZ001 - as a local time is
    rows = pa.table({"at": pa.array([datetime(2017, 3, 1, 23)], pa.timestamp("us"))})  # noqa: DTZ001
    place.ingest.load(seoul, tenant=SHOP, batches=rows, mode=LoadMode.REPLACE, span=span)
    assert as_of(place, "visits") == datetime(2017, 3, 1, 15, tzinfo=UTC)


# History


def test_the_history_tells_every_load_the_newest_first(place: Place) -> None:
    append(place, A)
    replace(place, B, days(1, 10))
    append(place, A, OTHER)
    found = place.ingest.loads([SHOP])
    assert [(load.mode, load.span, load.rows, load.version) for load in found] == [
        (LoadMode.REPLACE, days(1, 10), 1, 2),
        (LoadMode.APPEND, None, 2, 1),
    ]
    assert all(load.started_at <= load.completed_at for load in found)
    assert place.ingest.loads([SHOP], offset=1, limit=1) == found[1:]
    assert place.ingest.loads([SHOP], ["other"]) == ()


def test_a_page_of_history_has_bounds(place: Place) -> None:
    for offset, limit in ((-1, 1), (0, 0), (0, 1_001)):
        with pytest.raises(OutOfBounds):
            place.ingest.loads([SHOP], offset=offset, limit=limit)
