"""A question has one answer: Trino, over the lakehouse's tables on S3, gives DuckDB's, to the last digit of a decimal. In these
tables lie rows that Trino has deleted by their positions, and DuckDB reads them as well: with plain files it makes three.

TRINO_CASES is how many random questions of each kind are asked; every run asks the same ones.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from reference.data import MODEL, TENANT_ZONE, TENANTS, frame
from reference.reference import assert_same
from reference.strategies import NOW, Case, case_of, to_json
from services.plugin import GetService
from support.plain_files import PlainFiles
from support.stores import store_of
from support.trino_lake import TrinoLake, command, trino_lake
from support.world import arrow_of

from jangbu.insight.dashboards.contracts import Answer
from jangbu.insight.dashboards.facade import Dashboards
from jangbu.kernel.errors import JangbuError
from jangbu.kernel.types import FieldType
from jangbu.platform.engines.duckdb import open_engine
from jangbu.platform.engines.ports import Engine
from jangbu.platform.lakehouse.ports import Snapshot, TableColumn, TableFiles, TableSpec

pytestmark = [pytest.mark.slow, pytest.mark.services("trino", "postgres", "s3")]
EACH = int(os.environ.get("TRINO_CASES", "10"))
DOUBLE = TableColumn("is_double", FieldType.BOOLEAN)
LOADED = 16
"""The tables of so many cases, with their corners, lie in one table."""


@dataclass
class OnTrino(PlainFiles):
    """The same data on both: files for DuckDB, tables for Trino, and for DuckDB again. Each row of a table has a double that was
    deleted."""

    lake: TrinoLake = field(kw_only=True)
    trino: Engine = field(init=False)
    beside: Engine = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.trino = self.lake.engine()
        spill, store = self.folder / "spill", store_of(self.lake.s3)
        self.beside = open_engine(roots=[self.lake.lakehouse.root()], spill=spill, memory_mb=1000, threads=1, store=store)

    def put(self, tables: Any) -> None:
        super().put(tables)
        for name, rows in tables.items():
            source = self.catalog.catalog_for().data_sources[name]
            columns = (*(TableColumn(column.name, column.type) for column in source.columns.values()), DOUBLE)
            self.lake.lakehouse.create(
                TableSpec(name, columns, "tenant", source.time_fields[source.default_time_field or ""].column)
            )
            table = arrow_of(source, rows).add_column(0, "tenant", [rows["tenant"].tolist()])
            double = [pa.repeat(pa.scalar(value), len(table)) for value in (False, True)]
            both = pa.concat_tables([table.append_column(DOUBLE.name, values) for values in double])
            self.lake.lakehouse.commit(self.lake.lakehouse.stage(name, both, "one"))
            command(self.lake.server, f"DELETE FROM {self.lake.catalog}.jangbu.{name} WHERE {DOUBLE.name}")
            assert (self.lake.lakehouse.state(name).delete_files > 0) == bool(len(table))

    def on(self, engine: Engine) -> Dashboards:
        """Of the tables in the lakehouse."""
        there = _Tables(self)
        return Dashboards(
            access=self,  # type: ignore[arg-type]
            catalog=self.catalog,
            ingest=self,  # type: ignore[arg-type]
            lakehouse=there,  # type: ignore[arg-type]
            engines={engine.name: engine},
            workbench=self.engine,
            analyses=self.dashboards._analyses,
            default_engine=engine.name,
        )


@dataclass
class _Tables:
    """The lakehouse on S3."""

    shop: OnTrino

    def current(self, table: str) -> Snapshot:
        return self.shop.lake.lakehouse.current(table)

    def files(self, *asked: Any) -> TableFiles:
        return self.shop.lake.lakehouse.files(*asked)

    def root(self) -> str:
        return self.shop.lake.lakehouse.root()


@dataclass
class Both:
    shop: OnTrino
    trino: Dashboards
    beside: Dashboards


@pytest.fixture(scope="module")
def both(service: GetService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    with trino_lake(service) as lake:
        shop = OnTrino(tmp_path_factory.mktemp("files"), NOW, TENANT_ZONE, lake=lake)
        exact = [number for number in range(10 * LOADED) if Random(number).random() < 0.75][:LOADED]
        several = [case_of(number).tables for number in exact]
        shop.put({name: pd.concat([tables[name] for tables in several], ignore_index=True) for name in MODEL.sources})
        yield Both(shop, shop.on(shop.trino), shop.on(shop.beside))
        shop.engine.close()
        shop.beside.close()
        shop.trino.close()


def outcome(ask: Any) -> Answer | JangbuError:
    try:
        answer: Answer = ask()
    except JangbuError as error:
        return error
    return answer


def check(both: Both, body: str, held: tuple[str, ...]) -> Answer | None:
    duckdb = outcome(lambda: both.shop.ask(body, *held))
    return compared(both, both.trino, body, held, duckdb)


def compared(both: Both, other: Dashboards, body: str, held: tuple[str, ...], duckdb: Answer | JangbuError) -> Answer | None:
    both.shop.dashboards, before = other, both.shop.dashboards
    try:
        trino = outcome(lambda: both.shop.ask(body, *held))
    finally:
        both.shop.dashboards = before
    if isinstance(duckdb, JangbuError) or isinstance(trino, JangbuError):
        assert (type(duckdb), str(duckdb)) == (type(trino), str(trino)), body
        return None
    assert trino.columns == duckdb.columns
    assert trino.table.schema == duckdb.table.schema
    assert_same(_rows(trino), _rows(duckdb))
    assert trino.meta.truncated == duckdb.meta.truncated
    assert (trino.totals is None) == (duckdb.totals is None)
    if trino.totals is not None and duckdb.totals is not None:
        assert_same(_wire(trino.totals), _wire(duckdb.totals))
    assert {leg.server for leg in trino.meta.legs} <= set(other._servers.engines)
    return trino


def _rows(answer: Answer) -> list[list[Any]]:
    return _wire(answer.table)


def _wire(table: Any) -> list[list[Any]]:
    columns = [column.to_pylist() for column in table.columns]
    return [[value.isoformat() if hasattr(value, "hour") else value for value in row] for row in zip(*columns, strict=True)]


KINDS = {"one source": {}, "several tenants": {"held": TENANTS}, "two sources": {"both_sources": True}}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", range(EACH))
def test_random_questions(both: Both, kind: str, number: int) -> None:
    case: Case = case_of(1_000 + number, **KINDS[kind])  # type: ignore[arg-type]
    check(both, to_json(case.request), case.held)
    plain = outcome(lambda: both.shop.ask(to_json(case.request), *case.held))
    compared(both, both.beside, to_json(case.request), case.held, plain)


ZONES = ["America/New_York", "Asia/Seoul", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]
FREQUENCIES = ["minute", "hour", "day", "week", "sunday_week", "month", "quarter", "year"]


@pytest.mark.parametrize("frequency", FREQUENCIES)
def test_every_frequency_in_every_zone_with_every_measure(both: Both, frequency: str) -> None:
    measures = [name for name, measure in MODEL.sources["sales"].measures.items() if measure.time_field is None]
    for zone in ZONES:
        request = {
            "data_source": "sales",
            "measures": measures,
            "time_frequency": frequency,
            "time": {"zone": zone},
            "limit": 100_000,
        }
        answer = check(both, json.dumps(request), TENANTS)
        assert answer is not None
        assert answer.table.num_rows > 0


TEXTS = ["GROCERY", "_", "\\", "😀", "", "é"]
TEXT_OPS = ("equals", "contains", "starts_with", "ends_with", "not_contains", "gt", "lte")
PATTERNS = ("^G", "(?i)^g", r"\W", "채|과", r"\pL+", "b$", ".b")
NULLABLE = ("department", "line_value", "weight", "returned", "ordered_on")
OPERATORS = [
    *(("department", op, [text]) for text in TEXTS for op in TEXT_OPS),
    *(("department", op, ["GROCERY", "채소"]) for op in ("in", "not_in", "between", "not_equals")),
    *(("department", op, [pattern]) for pattern in PATTERNS for op in ("matches", "not_matches")),
    *((name, op, []) for name in NULLABLE for op in ("is_null", "is_not_null")),
    ("department", "is_empty", []),
    ("department", "is_not_empty", []),
    *(("line_value", op, [1.0625]) for op in ("equals", "not_equals", "gt", "gte", "lt", "lte")),
    ("line_value", "between", [-1, 100]),
    ("line_value", "equals", [10**37]),
    ("line_value", "lt", [10**30]),
    *(("weight", op, [12.125]) for op in ("equals", "gt", "lte")),
    *(("quantity", op, [3]) for op in ("equals", "not_equals", "gt", "lte")),
    ("quantity", "in", [1, 2, 2**62]),
    ("quantity", "gt", [-(2**63)]),
    ("returned", "equals", [True]),
    ("returned", "not_equals", [True]),
    *(("ordered_on", op, ["2017-03-31"]) for op in ("before", "after", "on", "not_on")),
    ("ordered_on", "in_range", ["2017-03-01", "2017-04-01"]),
    *(("sold_at", op, ["2017-03-31"]) for op in ("before", "after", "on")),
    ("sold_at", "in_range", ["2017-03-12T06:59:59.999999Z", "2017-11-05T06:00:00Z"]),
    ("tenant", "equals", ["acme"]),
]  # fmt: skip


def test_every_operator(both: Both) -> None:
    """Each leaf and its negation, in one question: a measure can't carry a condition of the asker's, so each is asked alone."""
    answered = 0
    for name, op, values in OPERATORS:
        leaf: dict[str, Any] = {"field": name, "op": op, "values": values} if values else {"field": name, "op": op}
        for ignore in (False, True) if name == "department" and values else (False,):
            asked = {**leaf, "ignore_case": True} if ignore else leaf
            request = {"data_source": "sales", "measures": ["lines", "revenue"], "filter": {"not": asked} if ignore else asked}
            answered += check(both, json.dumps(request), TENANTS) is not None
    assert answered > len(OPERATORS) * 0.8


def test_nothing_there_is_nothing_on_both(both: Both) -> None:
    request = {"data_source": "sales", "measures": ["revenue", "average_line", "spread"], "time": {"range": "1999"}, "totals": True}
    assert check(both, json.dumps(request), TENANTS) is not None
    assert frame("sales", []).empty
