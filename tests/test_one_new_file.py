"""A new measure, data source, analysis kind, engine, connector and handler each take one new file, found through the settings."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from jangbu.entrypoints.background import Background
from jangbu.entrypoints.bootstrap import Application
from jangbu.entrypoints.cli import app
from jangbu.entrypoints.settings import load
from jangbu.insight.dashboards.requests import parse_request
from jangbu.insight.ingest.contracts import LoadMode
from jangbu.kernel.tenancy import TenantId

pytestmark = pytest.mark.slow

BAKERY = TenantId("bakery")
LOAVES = """
version: 1
kind: data_source
name: loaves
label: {{ko: 빵, en: Loaves}}
description: {{ko: 구운 빵이에요., en: Every loaf that was sold.}}
binding: {{table: loaves{engine}}}
separation: {{kind: column, column: tenant}}
columns:
  tenant: {{type: text}}
  flour: {{type: text}}
  price: {{type: decimal}}
  sold_at: {{type: instant}}
time_fields:
  sold_at: {{column: sold_at, label: {{ko: 판매 시각, en: Sold at}}}}
dimensions:
  flour:
    column: flour
    label: {{ko: 밀가루, en: Flour}}
    description: {{ko: 밀가루 종류예요., en: What it is baked of.}}
"""
TAKINGS = """
version: 1
kind: measures
data_source: loaves
measures:
  - name: takings
    kind: simple
    formula: sum(price)
    label: {ko: 매출, en: Takings}
    description: {ko: 빵을 판 금액이에요., en: What the loaves were sold for.}
    unit: currency
    format: money
"""
DEAREST = """
version: 1
kind: measures
data_source: loaves
measures:
  - name: dearest
    kind: simple
    formula: max(if(flour = 'rye', price, null))
    label: {ko: 가장 비싼 호밀빵, en: Dearest rye loaf}
    description: {ko: 가장 비싼 호밀빵 값이에요., en: The price of the dearest rye loaf.}
    unit: currency
    format: money
"""
RANK = '''
"""Places of the rows by the first measure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jangbu.kernel.discovery import Plugin
from jangbu.kernel.types import FieldType


@dataclass(frozen=True, slots=True)
class Rank:
    first: int
    measures: int = 1
    columns: tuple[tuple[str, FieldType, int | None], ...] = (("rank", FieldType.INTEGER, 0),)

    def facts(self, measures: Sequence[str]) -> Mapping[str, str]:
        return {}

    def order(self, measures: Sequence[str], dimensions: Sequence[str]) -> list[tuple[str, bool]] | None:
        return [(measures[0], True)]

    def sql(self, rows: str, measures: Sequence[str], dimensions: Sequence[str], facts: Mapping[str, float | None]) -> str:
        place = f"RANK() OVER (ORDER BY {measures[0]} DESC NULLS LAST)"
        return f"SELECT *, CAST({place} + {self.first - 1} AS BIGINT) AS rank FROM {rows}"


def build(parameters: Mapping[str, Any], path: str) -> Rank:
    return Rank(parameters.get("first", 1))


PLUGIN = Plugin(
    kind="analysis", name="rank", summary="Places of the rows.", open=build, fields={"first": {"type": "integer", "default": 1}}
)
'''
PARROT = '''
"""An engine that repeats what DuckDB says, and leaves having, order and limit to others."""

from pathlib import Path
from time import monotonic, sleep
from typing import Any

from jangbu.kernel.discovery import Plugin


def open_parrot(*, roots: list[str], spill: Path, threads: int | None = None) -> Any:
    from jangbu.platform.engines.duckdb import open_engine
    from jangbu.platform.engines.ports import Capabilities

    engine = open_engine(roots=roots, spill=spill, threads=threads, memory_mb=500)

    class Parrot:
        name = "parrot"
        capabilities = Capabilities(dialect="duckdb", finishes=False)

        def __getattr__(self, name: str) -> Any:
            return getattr(engine, name)

    return Parrot()


PLUGIN = Plugin(kind="engine", name="parrot", summary="Repeats what DuckDB says.", open=open_parrot, requires=("duckdb",))
'''
OVEN = '''
"""The oven's own list of loaves."""

from typing import Any

from jangbu.kernel.discovery import Plugin


class Oven:
    def streams(self) -> list[Any]:
        import pyarrow as pa

        from jangbu.insight.ingest.ports import Stream

        rows = pa.table({"flour": ["spelt"], "price": ["9.9000"], "sold_at": ["2017-03-02T10:00:00Z"]})
        return [Stream("loaves", lambda: _typed(rows).to_batches(), rows=1, content="oven 1")]


def _typed(rows: Any) -> Any:
    import pyarrow as pa

    types = {"flour": pa.string(), "price": pa.decimal128(18, 4), "sold_at": pa.timestamp("us", tz="UTC")}
    return rows.cast(pa.schema(types.items()))


PLUGIN = Plugin(kind="connector", name="oven", summary="The oven's own list of loaves.", open=Oven)
'''
LEDGER = '''
"""Notes each batch of loaves."""

from typing import Any

from jangbu.insight.ingest.contracts import TenantDataUpdated
from jangbu.kernel.handlers import Context, Handler


def note(event: TenantDataUpdated, context: Context[Any]) -> None:
    if event.data_source == "loaves":
        (context.parts.folder / "noted").write_text(f"{event.tenant} {event.version}")


PLUGIN = Handler(kind="event_handler", name="ledger", summary="Notes each batch.", handles=TenantDataUpdated, open=note)
'''
BELL = '''
"""Rings a bell, periodically."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from jangbu.kernel.handlers import Context, Handler, Job
from jangbu.kernel.messages import Command


@dataclass(frozen=True, slots=True)
class RingBell(Command):
    times: int


def ring(command: RingBell, context: Context[Any]) -> None:
    (context.parts.folder / "rung").write_text(f"{command.times} times")


PLUGIN = Handler(
    kind="command_handler",
    name="bell",
    summary="Rings the bell.",
    handles=RingBell,
    open=ring,
    jobs=(Job("noon", timedelta(seconds=0.1), RingBell(12)),),
)
'''
ROWS = pa.table(
    {
        "flour": ["rye", "wheat", "rye", "oat"],
        "price": pa.array([Decimal("4.10"), Decimal("3.00"), Decimal("5.20"), Decimal("2.50")], pa.decimal128(18, 4)),
        "sold_at": pa.array([datetime(2017, 3, day, 12, tzinfo=UTC) for day in (1, 2, 3, 4)], pa.timestamp("us", tz="UTC")),
    }
)


@dataclass
class Place:
    """A user's own folder with their settings. What is dropped into it counts at the next start."""

    folder: Path
    application: Application

    def drop(self, name: str, text: str) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        self.restart()

    def restart(self) -> None:
        self.application.close()
        self.application = started()

    def load(self) -> None:
        source = self.application.catalog.data_source("loaves")
        self.application.ingest.load(source, tenant=BAKERY, batches=ROWS, mode=LoadMode.APPEND)

    def rows(self, **request: Any) -> list[list[Any]]:
        answer = self.application.dashboards.query(self.application.operator(), parse_request(json.dumps(request)))
        return [list(row.values()) for row in answer.table.to_pylist()]


def started() -> Application:
    application = Application(load())
    application.start()
    return application


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    for setting, folder in (("FOLDER", "data"), ("DEFINITIONS", "definitions"), ("PLUGIN_FOLDERS", "plugins")):
        (tmp_path / folder).mkdir()
        monkeypatch.setenv(f"JANGBU_{setting}", str(tmp_path / folder))
    place = Place(tmp_path, started())
    place.application.access.create_tenant("bakery", "Bakery", "Europe/Berlin", "EUR")
    yield place
    place.application.close()


@pytest.fixture
def bakery(place: Place) -> Place:
    """With a data source, one measure, and rows."""
    (place.folder / "definitions" / "takings.yml").write_text(TAKINGS)
    place.drop("definitions/loaves.yml", LOAVES.format(engine=""))
    place.load()
    return place


def test_a_data_source(place: Place) -> None:
    place.drop("definitions/loaves.yml", LOAVES.format(engine=""))
    place.load()
    page = place.application.dashboards.values(place.application.operator(), "loaves", "flour", search="E")
    assert page.values == ("rye", "wheat")


def test_a_measure(bakery: Place) -> None:
    bakery.drop("definitions/dearest.yml", DEAREST)
    assert bakery.rows(data_source="loaves", measures=["dearest"]) == [[Decimal("5.2000")]]


def test_a_measure_counts_without_a_start_too(bakery: Place) -> None:
    (bakery.folder / "definitions" / "dearest.yml").write_text(DEAREST)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bakery.application.catalog, "_refresh_seconds", 0)
        assert bakery.rows(data_source="loaves", measures=["dearest"]) == [[Decimal("5.2000")]]


def test_an_analysis(bakery: Place) -> None:
    bakery.drop("plugins/analyses/rank.py", RANK)
    asked = {"data_source": "loaves", "measures": ["takings"], "dimensions": ["flour"], "analysis": {"kind": "rank", "first": 10}}
    assert [(row[0], row[-1]) for row in bakery.rows(**asked)] == [("rye", 10), ("wheat", 11), ("oat", 12)]


def test_an_engine(bakery: Place) -> None:
    bakery.drop("plugins/engines/parrot.py", PARROT)
    bakery.drop("definitions/loaves.yml", LOAVES.format(engine=", engine: parrot"))
    asked: dict[str, Any] = {
        "data_source": "loaves",
        "measures": ["takings"],
        "dimensions": ["flour"],
        "filter": {"field": "takings", "op": "gt", "values": [2.5]},
        "order": [{"field": "takings", "direction": "asc"}],
        "limit": 1,
    }
    application = bakery.application
    answer = application.dashboards.query(application.operator(), parse_request(json.dumps(asked)))
    assert answer.table.to_pylist() == [{"flour": "wheat", "takings": Decimal("3.0000")}]
    assert answer.meta.truncated
    assert [(leg.server, leg.rows) for leg in answer.meta.legs] == [("parrot", 3)]
    assert b'jangbu_engine_statements_total{engine="parrot",outcome="ok"} 1.0' in application.metrics.exposition()


def test_how_an_engine_is_asked_that_leaves_the_end_to_others(bakery: Place) -> None:
    bakery.drop("plugins/engines/parrot.py", PARROT)
    bakery.drop("definitions/loaves.yml", LOAVES.format(engine=", engine: parrot"))
    asked = parse_request('{"data_source": "loaves", "measures": ["takings"], "dimensions": ["flour"], "limit": 1}')
    explained = bakery.application.dashboards.explain(bakery.application.operator(), asked)
    assert [leg["server"] for leg in explained.legs] == ["parrot", "workbench"]
    assert "ORDER BY" not in explained.legs[0]["sql"]
    assert "ORDER BY" in explained.legs[1]["sql"]


def test_an_engine_as_the_default_of_every_data_source(bakery: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JANGBU_ENGINE", "parrot")
    bakery.drop("plugins/engines/parrot.py", PARROT)
    assert bakery.rows(data_source="loaves", measures=["takings"]) == [[Decimal("14.8000")]]


def test_a_connector(bakery: Place) -> None:
    bakery.drop("plugins/connectors/oven.py", OVEN)
    command = ("loads", "run", "oven", "--tenant", "bakery", "--json")
    first, again = (json.loads(CliRunner().invoke(app, command).stdout)["loads"] for _ in range(2))
    assert first == [{"data_source": "loaves", "tenant": "bakery", "version": 2, "rows": 1, "bad": 0, "changed": True}]
    assert again == [{**first[0], "changed": False}]
    assert bakery.rows(data_source="loaves", measures=["takings"]) == [[Decimal("9.9000")]]


@pytest.mark.parametrize(
    ("file", "text", "left", "content"),
    [("event_handlers/ledger.py", LEDGER, "noted", "bakery 1"), ("command_handlers/bell.py", BELL, "rung", "12 times")],
)
def test_a_handler(bakery: Place, file: str, text: str, left: str, content: str) -> None:
    bakery.drop(f"plugins/{file}", text)
    Background(bakery.application).start()
    written, ends = bakery.application.folder / left, monotonic() + 20
    while not (written.exists() and written.read_text() == content):
        assert monotonic() < ends
        sleep(0.05)
