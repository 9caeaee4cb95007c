"""A validated request to SQL text, warm catalog of 500 measures, beside SQLGlot's parser.

What needs the disk is left out: tenants, versions and data files are given.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import Any

import sqlglot

import jangbu
from bench.harness import BUILD, Entry, interleaved, rounds
from bench.parts.sales import ASKED, END, START
from bench.parts.warehouse import DEFINITIONS
from jangbu.insight.access.contracts import Tenant
from jangbu.insight.catalog.contracts import Catalog
from jangbu.insight.catalog.loader import Layer
from jangbu.insight.catalog.service import load
from jangbu.insight.dashboards.contracts import QueryRequest
from jangbu.insight.dashboards.dashboard_layer.answering import Runner
from jangbu.insight.dashboards.dashboard_layer.names import Names
from jangbu.insight.dashboards.dashboard_layer.planning import Surroundings, plan_of
from jangbu.insight.dashboards.dashboard_layer.resolution import question_of
from jangbu.insight.dashboards.data_layer.pins import Pins
from jangbu.insight.dashboards.data_layer.servers import Servers
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.engines.duckdb import open_engine
from jangbu.platform.engines.ports import Engine
from jangbu.platform.lakehouse.ports import Snapshot, TableFiles

MEASURES = 500
GOALS = {1: 2.0, 10: 8.0, 50: 40.0}
PACK = Path(jangbu.__file__).parent / "insight" / "catalog" / "definitions"
GENERATED = BUILD / "definitions"
MICROS = (int(START.timestamp()) * 1_000_000, int(END.timestamp()) * 1_000_000 - 1)


@dataclass(frozen=True, slots=True)
class NoFiles:
    """In the place of `Pinning`: every table is there, with no file."""

    def files(self, *_: Any) -> TableFiles:
        import pyarrow as pa

        return TableFiles(Snapshot("bench_sales", "", None), (), pa.schema([]))


def run() -> list[Entry]:
    engine = open_engine(roots=[BUILD], spill=BUILD / "spill")
    try:
        catalog = _catalog()
        compiled = {count: _compiler(catalog, engine, count) for count in GOALS}
        texts = {count: compile_() for count, compile_ in compiled.items()}
        cases: dict[str, Callable[[], object]] = {}
        for count in GOALS:
            cases[f"compile {count}"] = compiled[count]
            cases[f"parse {count}"] = partial(sqlglot.parse_one, texts[count], dialect="duckdb")
        milliseconds = interleaved(cases, rounds(101), warm_up=5)
    finally:
        engine.close()
    return list(_entries(milliseconds, texts, sum(len(source.measures) for source in catalog.data_sources.values())))


def _entries(milliseconds: Mapping[str, float], texts: Mapping[int, str], measures: int) -> Iterator[Entry]:
    for count, goal in GOALS.items():
        name = "compile" if count == 1 else f"compile_{count}"
        ours, parsing = milliseconds[f"compile {count}"], milliseconds[f"parse {count}"]
        size = {"measures in the catalog": measures, "characters of SQL": len(texts[count])}
        yield Entry(name, ours, "ms", goal, beside={"sqlglot.parse_one (ms)": parsing, **size})
        yield Entry(f"{name}_to_parse", ours / parsing, "x", beside={"compile (ms)": ours, "sqlglot.parse_one (ms)": parsing})


def _compiler(catalog: Catalog, engine: Engine, count: int) -> Callable[[], str]:
    """Compiles a question of `count` measures by day and category, with a filter, as an HTTP request would be."""
    request = QueryRequest.model_validate_json(_question(catalog, count))
    tenant = Tenant(TenantId(ASKED), "Bench", "America/New_York", "USD")
    servers = Servers({"duckdb": engine}, "duckdb", NoFiles(), 60.0)  # type: ignore[arg-type]  # stands in for Pinning
    pins = Pins((tenant.id,), {}, {})
    around = Surroundings(lambda *_: MICROS, lambda _: True)

    def compile_() -> str:
        question = question_of(request, catalog, [tenant], ())
        plan = plan_of(question, Names.of(catalog, request.data_source), None, around, totals=False)
        runner = Runner(servers, engine, pins)
        return ";\n".join(statement.body for _, _, statement in runner.statements(plan))

    return compile_


def _question(catalog: Catalog, count: int) -> str:

    names = [name for name in catalog.data_sources["bench_sales"].measures if name != "revenue"]
    step = len(names) // count
    return json.dumps(
        {
            "data_source": "bench_sales",
            "measures": ["revenue", *names[::step]][:count],
            "dimensions": ["category"],
            "filter": {"field": "channel", "op": "equals", "values": ["store"]},
            "time": {"range": ["2017-01-01", "2017-12-31"]},
            "time_frequency": "day",
        }
    )


def _catalog() -> Catalog:
    """The pack, the bench's own definitions, and generated measures up to `MEASURES`."""
    layers = [Layer("pack", PACK), Layer("bench", DEFINITIONS)]
    there = sum(len(source.measures) for source in load(layers).catalog.data_sources.values())
    rmtree(GENERATED, ignore_errors=True)
    GENERATED.mkdir(parents=True)
    document = {"version": 1, "kind": "measures", "data_source": "bench_sales", "measures": _generated(MEASURES - there)}
    (GENERATED / "measures.yml").write_text(json.dumps(document, ensure_ascii=False, indent=1))
    return load([*layers, Layer("generated", GENERATED)]).catalog


def _generated(count: int) -> list[dict[str, Any]]:
    """Sums with a formula or a filter of their own, distinct counts, ratios and derived ones, in turn."""
    kinds: Sequence[Callable[[int], dict[str, Any]]] = (
        lambda at: {"kind": "simple", "formula": f"sum(sales_value * {at % 7 + 1})", "unit": "currency", "format": "money"},
        lambda at: {
            "kind": "simple",
            "formula": "sum(quantity)",
            "filter": {"field": "store", "op": "in", "values": [str(300 + at % 200), str(301 + at % 199)]},
            "unit": "count",
            "format": "integer",
        },
        lambda at: {
            "kind": "distinct",
            "formula": "count_distinct(product)",
            "filter": {"field": "category", "op": "starts_with", "values": [f"category {at % 4}"]},
            "unit": "count",
            "format": "integer",
        },
        lambda at: {"kind": "ratio", "numerator": _name(at - 3), "denominator": _name(at - 2), "format": "percent"},
        lambda at: {"kind": "derived", "formula": f"revenue - {_name(at - 4)}", "unit": "currency", "format": "money"},
    )
    measures = []
    for at in range(count):
        text = {"ko": f"지표 {at}", "en": f"Measure {at}"}
        kind = kinds[at % 5] if at >= 5 else kinds[at % 3]
        measures.append({"name": _name(at), **kind(at), "label": text, "description": text})
    return measures


def _name(at: int) -> str:
    return f"measure_{at:03d}"
