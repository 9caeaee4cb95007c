"""A load that makes its table's upkeep due gets it, by way of the event and a command."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ingest_place import SALES, SHOP, Place, day, sales
from sqlalchemy import select

from jangbu.insight.ingest.command_handlers.upkeep_table import upkeep
from jangbu.insight.ingest.commands import UpkeepTable
from jangbu.insight.ingest.contracts import LoadMode
from jangbu.insight.ingest.event_handlers.watch_tables import watch
from jangbu.insight.ingest.events import TenantDataUpdated
from jangbu.insight.ingest.facade import Ingest, UpkeepRules
from jangbu.kernel.errors import UnknownName
from jangbu.kernel.handlers import Context
from jangbu.platform.cache.memory import MemoryCache
from jangbu.platform.cache.ports import Cache, Key
from jangbu.platform.database.ports import Database
from jangbu.platform.database.schema import outbox


class OneSource:
    def data_source(self, name: str, _tenants: Any = ()) -> Any:
        if name != "sales":
            raise UnknownName(f"There is no data source {name!r}.", value=name)
        return SALES


@dataclass
class Parts:
    cache: Cache
    database: Database
    ingest: Ingest
    catalog: Any


@pytest.fixture
def parts(place: Place) -> Parts:
    cache = MemoryCache(longest=1_000_000, longest_value=1_000)
    return Parts(cache, place.database, Ingest(place.database, place.lakehouse, place.clock, UpkeepRules(joinable=4)), OneSource())


def context(parts: Parts, message: str = "m1") -> Context[Any]:
    return Context(parts, "watch_tables", message, 1, datetime.now(UTC))


def commands(place: Place) -> list[dict[str, Any]]:
    with place.database.reading() as connection:
        return [row.payload for row in connection.execute(select(outbox).where(outbox.c.name == "UpkeepTable"))]


def load(parts: Parts, count: int) -> None:
    for number in range(count):
        rows = sales((f"p{number}", "1", day(1)))
        parts.ingest.load(SALES, tenant=SHOP, batches=rows, mode=LoadMode.APPEND)


def test_a_table_that_is_light_is_left_alone(place: Place, parts: Parts) -> None:
    load(parts, 3)
    watch(TenantDataUpdated(SHOP, "sales", 3), context(parts))
    assert commands(place) == []
    upkeep(UpkeepTable("sales"), context(parts))
    assert place.lakehouse.state("sales").files == 3


def test_upkeep_that_is_due_is_asked_for_once_a_message_and_done(place: Place, parts: Parts) -> None:
    load(parts, 4)
    for _ in range(2):
        watch(TenantDataUpdated(SHOP, "sales", 4), context(parts))
    assert commands(place) == [{"table": "sales"}]
    upkeep(UpkeepTable("sales"), context(parts))
    assert place.lakehouse.state("sales").files == 1
    upkeep(UpkeepTable("sales"), context(parts))
    assert place.products() == ["p0", "p1", "p2", "p3"]


def test_what_is_not_defined_any_more_holds_nothing_up(place: Place, parts: Parts) -> None:
    watch(TenantDataUpdated(SHOP, "gone", 1), context(parts))
    watch(TenantDataUpdated(SHOP, "sales", 1), context(parts))
    assert commands(place) == []


def test_the_hourly_one_looks_at_every_table(place: Place, parts: Parts) -> None:
    load(parts, 4)
    upkeep(UpkeepTable(), context(parts))
    assert place.lakehouse.state("sales").files == 1


def test_loads_that_follow_each_other_ask_once_however_slow_upkeep_is(place: Place, parts: Parts) -> None:
    load(parts, 4)
    for number in range(5):
        watch(TenantDataUpdated(SHOP, "sales", number), context(parts, f"m{number}"))
    assert commands(place) == [{"table": "sales"}]


def test_a_table_that_others_keep_is_left_to_them(place: Place, parts: Parts) -> None:
    load(parts, 4)
    others = parts.cache.acquire(Key(None, "upkeep", "sales"), timedelta(minutes=1))
    for command in (UpkeepTable("sales"), UpkeepTable()):
        upkeep(command, context(parts))
    assert place.lakehouse.state("sales").files == 4
    parts.cache.release(others)
    upkeep(UpkeepTable("sales"), context(parts))
    assert place.lakehouse.state("sales").files == 1


def test_upkeep_that_fails_holds_up_no_other(place: Place, parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    load(parts, 4)
    with monkeypatch.context() as broken:
        broken.setattr(parts.ingest.upkeep, "run", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            upkeep(UpkeepTable("sales"), context(parts))
    upkeep(UpkeepTable("sales"), context(parts))
    assert place.lakehouse.state("sales").files == 1
