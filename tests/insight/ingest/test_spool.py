"""Rows that wait in the database, and are loaded together."""

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from datetime import UTC, date, datetime
from decimal import Decimal
from threading import Event
from typing import Any

import pytest
from ingest_place import CALENDAR, SALES, SHOP, LakehouseWith, MovableClock, Place, data_source, day
from support.databases import ADAPTERS

from jangbu.insight.ingest import spooling
from jangbu.insight.ingest.facade import Ingest
from jangbu.kernel.errors import Conflict, LoadError
from jangbu.kernel.types import FieldType

pytestmark = pytest.mark.parametrize("adapter", ADAPTERS, indirect=True)

EVERYTHING = data_source("everything", {"tenant": FieldType.TEXT, **{type_.value: type_ for type_ in FieldType}})


def row(product: str, tenant: str = "shop", **more: Any) -> dict[str, Any]:
    return {"tenant": tenant, "product": product, "price": Decimal("1.5"), "sold_at": day(1), **more}


def test_spooled_rows_are_loaded_by_the_next_flush(place: Place) -> None:
    place.ingest.spool(SALES, [row("a"), row("b")])
    place.ingest.spool(SALES, [row("c")])
    assert place.version() == 0
    (result,) = place.ingest.flush_spool(SALES)
    assert (result.tenant, result.rows, result.version) == (SHOP, 3, 1)
    assert place.products() == ["a", "b", "c"]
    assert place.rows()[0] == {"tenant": "shop", "product": "a", "price": Decimal("1.5000"), "sold_at": day(1)}


def test_a_flush_of_nothing_does_nothing(place: Place) -> None:
    assert place.ingest.flush_spool(SALES) == ()
    place.ingest.spool(SALES, [])
    assert place.ingest.flush_spool(SALES) == ()
    assert place.lakehouse.tables() == ()


def test_a_second_flush_finds_nothing(place: Place) -> None:
    place.ingest.spool(SALES, [row("a")])
    place.ingest.flush_spool(SALES)
    assert place.ingest.flush_spool(SALES) == ()


def test_the_same_rows_spooled_twice_are_two(place: Place) -> None:
    """They are things that happened, not a content that is sent again."""
    for _ in range(2):
        place.ingest.spool(SALES, [row("a")])
        place.ingest.flush_spool(SALES)
    assert place.products() == ["a", "a"]


def test_every_tenant_seen_gets_a_version(place: Place) -> None:
    place.ingest.spool(SALES, [row("a"), row("b", "other"), row("c", "other")])
    results = place.ingest.flush_spool(SALES)
    assert [(result.tenant, result.rows, result.version) for result in results] == [("other", 2, 1), ("shop", 1, 1)]
    assert [payload["tenant"] for _, payload in place.events()] == ["other", "shop"]
    place.ingest.spool(SALES, [row("d")])
    place.ingest.flush_spool(SALES)
    assert (place.version(), place.version(tenant="other")) == (2, 1)  # type: ignore[arg-type]


def test_data_sources_do_not_meet(place: Place) -> None:
    place.ingest.spool(CALENDAR, [{"day": date(2017, 3, 1), "name": "삼일절"}])
    place.ingest.spool(SALES, [row("a")])
    (result,) = place.ingest.flush_spool(CALENDAR)
    assert (result.tenant, result.rows) == (None, 1)
    assert place.rows("calendar", None) == [{"day": date(2017, 3, 1), "name": "삼일절"}]
    assert len(place.ingest.flush_spool(SALES)) == 1


def test_a_flush_takes_a_bounded_number_the_oldest_first(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spooling, "ROWS_A_FLUSH", 2)
    place.ingest.spool(SALES, [row(name) for name in "abc"])
    place.ingest.flush_spool(SALES)
    assert place.products() == ["a", "b"]
    place.ingest.flush_spool(SALES)
    assert place.products() == ["a", "b", "c"]


def test_values_of_every_type_come_back_as_they_were(place: Place) -> None:
    values = {
        "text": "장부 \"'\\\n",
        "integer": -(2**63),
        "decimal": Decimal("-12345678901234.5678"),
        "double": 0.1,
        "boolean": False,
        "date": date(1, 1, 1),
        "instant": datetime(2017, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        "local_timestamp": datetime(2017, 12, 31, 23, 59, 59, 999999),  # noqa: DTZ001 - as a local time is
    }
    place.ingest.spool(EVERYTHING, [{"tenant": "shop", **values}, {"tenant": "shop"}])
    place.ingest.flush_spool(EVERYTHING)
    assert place.rows("everything") == [{"tenant": "shop", **dict.fromkeys(values)}, {"tenant": "shop", **values}]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"prise": 1}, "no column 'prise'.*Did you mean 'price'"),
        ({"price": 1.5}, "'price' as decimal, not 1.5"),
        ({"price": Decimal("NaN")}, "'price' as decimal"),
        ({"price": Decimal("1.00001")}, "'price' doesn't fit"),
        ({"price": 10**18}, "'price' doesn't fit"),
        ({"product": 7}, "'product' as text, not 7"),
        ({"sold_at": datetime(2017, 1, 1)}, "'sold_at' as instant"),  # noqa: DTZ001 - naive on purpose
        ({"sold_at": date(2017, 1, 1)}, "'sold_at' as instant"),
        ({"tenant": None}, "no tenant"),
        ({"tenant": "Not An Id"}, "no tenant"),
        ({"tenant": 7}, "no tenant"),
    ],
)
def test_a_row_that_could_not_be_loaded_is_refused_at_the_door(place: Place, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(LoadError, match=message):
        place.ingest.spool(SALES, [row("good"), {**row("bad"), **wrong}])
    assert place.ingest.flush_spool(SALES) == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"integer": True},
        {"integer": 2**63},
        {"double": float("nan")},
        {"boolean": 1},
        {"date": day(1)},
        {"local_timestamp": day(1)},
    ],
)
def test_types_are_not_guessed(place: Place, wrong: dict[str, Any]) -> None:
    with pytest.raises(LoadError):
        place.ingest.spool(EVERYTHING, [{"tenant": "shop", **wrong}])


def test_a_flush_waits_for_rows_that_another_one_is_loading(place: Place) -> None:
    loading, go_on = Event(), Event()

    def commit(staged: Any, drops: Any) -> Any:
        loading.set()
        assert go_on.wait(10)
        return place.lakehouse.commit(staged, drops)

    place.ingest.spool(SALES, [row("a")])
    slow = Ingest(place.database, LakehouseWith(place.lakehouse, commit=commit), place.clock)  # type: ignore[arg-type]
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(slow.flush_spool, SALES)
        assert loading.wait(10)
        second = pool.submit(lambda: (place.ingest.flush_spool(SALES), place.products()))
        with pytest.raises(FutureTimeout):
            second.result(0.3)
        go_on.set()
        assert second.result(10) == ((), ["a"])
        assert first.result(10)[0].rows == 1


def test_a_flush_that_fails_gives_its_rows_back(place: Place) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    place.ingest.spool(SALES, [row("a")])
    broken = Ingest(place.database, LakehouseWith(place.lakehouse, commit=fail), place.clock)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="disk full"):
        broken.flush_spool(SALES)
    assert place.data_files() == 0
    assert [result.rows for result in place.ingest.flush_spool(SALES)] == [1]


def test_rows_of_a_flush_that_was_given_up_are_loaded_by_the_next_alone(place: Place) -> None:
    """The next has more rows, so it is another run: the marker alone wouldn't tell that the first one's rows are in it."""
    clock = MovableClock()
    place.ingest.spool(SALES, [row("a")])

    def commit(*arguments: Any) -> Any:
        clock.forward(hours=1)
        other = Ingest(place.database, place.lakehouse, clock)
        other.recover()
        other.spool(SALES, [row("b")])
        assert [result.rows for result in other.flush_spool(SALES)] == [2]
        return place.lakehouse.commit(*arguments)

    stood_still = Ingest(place.database, LakehouseWith(place.lakehouse, commit=commit), clock)  # type: ignore[arg-type]
    with pytest.raises(Conflict, match="given up"):
        stood_still.flush_spool(SALES)
    assert (place.products(), place.version(), place.data_files()) == (["a", "b"], 1, 1)
    assert place.ingest.flush_spool(SALES) == ()


def test_rows_taken_by_another_flush_meanwhile_are_left_to_it(place: Place) -> None:
    def other_first(*arguments: Any) -> Any:
        if place.version() == 0:
            place.ingest.flush_spool(SALES)
            place.ingest.spool(SALES, [row("later")])
        return place.lakehouse.stage(*arguments)

    place.ingest.spool(SALES, [row("a")])
    slower = Ingest(place.database, LakehouseWith(place.lakehouse, stage=other_first), place.clock)  # type: ignore[arg-type]
    assert [result.rows for result in slower.flush_spool(SALES)] == [1]
    assert place.products() == ["a", "later"]
    assert place.data_files() == 2
