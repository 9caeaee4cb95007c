"""Hands a leg to its server and brings Arrow back, in the catalog's types whatever the engine made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import pyarrow as pa
from sqlglot import exp

from jangbu.insight.catalog.contracts import DataSource, SeparationKind
from jangbu.insight.dashboards.contracts import LegReport
from jangbu.insight.dashboards.data_layer.arrow import conformed
from jangbu.insight.dashboards.data_layer.pins import Pinning, Pins
from jangbu.insight.dashboards.query_layer.compiler import CompiledLeg, ScanNeed, compile_leg
from jangbu.insight.dashboards.query_layer.leg import Leg
from jangbu.kernel.errors import Unsupported, unknown_name
from jangbu.platform.engines.ports import CancelToken, Engine, Scan, Statement
from jangbu.platform.lakehouse.ports import TableFiles


@dataclass(frozen=True, slots=True)
class Servers:
    """`default` is the engine of data sources that name none; `timeout` is in seconds, for one statement."""

    engines: Mapping[str, Engine]
    default: str
    pinning: Pinning
    timeout: float

    def engine_of(self, source: DataSource) -> Engine:
        name = source.binding.engine or self.default
        if name not in self.engines:
            raise unknown_name("engine", name, self.engines)
        engine = self.engines[name]
        if not engine.capabilities.answers:
            hint = "Name another one in JANGBU_ENGINE, or in the data source's `binding`."
            raise Unsupported(f"The engine {name!r} does upkeep and backfills; it answers no questions.", value=name, hint=hint)
        if source.binding.outside is not None and not engine.capabilities.foreign:
            hint = "Bind it to an engine that can, such as duckdb."
            raise Unsupported(f"{name!r} can't read {source.name!r} where others write it.", value=name, hint=hint)
        return engine

    def compile(self, leg: Leg) -> tuple[CompiledLeg, Engine]:
        engine = self.engine_of(leg.data_source)
        return compile_leg(leg, engine.emitter), engine

    def statement(self, leg: Leg, select: exp.Select, needs: Sequence[ScanNeed], pins: Pins) -> Statement:
        engine = self.engine_of(leg.data_source)
        return Statement(engine.render(select), tuple(self._scan(leg, need, pins) for need in needs))

    def _scan(self, leg: Leg, need: ScanNeed, pins: Pins) -> Scan:
        is_base = need.data_source is leg.data_source
        field, span = (leg.time_field, leg.span) if is_base and not _reads_itself(leg) else (None, None)
        separated = need.data_source.separation.kind is SeparationKind.COLUMN
        return Scan(
            name=need.data_source.name,
            columns=need.columns,
            files=self.pinning.files(pins, need.data_source, field, span),
            tenant_column=need.data_source.separation.column if separated else None,
            tenants=leg.tenants if separated else None,
        )

    def run(
        self, leg: Leg, statement: Statement, schema: pa.Schema, purpose: str, cancel: CancelToken | None
    ) -> tuple[pa.Table, LegReport]:
        """The statement's rows in the given schema, and what it took."""
        engine = self.engine_of(leg.data_source)
        start = perf_counter()
        table = conformed(engine.run(statement, timeout=self.timeout, cancel=cancel), schema)
        report = LegReport(leg.data_source.name, engine.name, table.num_rows, (perf_counter() - start) * 1000, purpose=purpose)
        return table, report


def reading(files: TableFiles, engine: Engine) -> str:
    """How the engine reads the files of a scan, and why."""
    if not files.files:
        return "nothing: no file may hold such rows"
    if not engine.capabilities.files:
        return "the table at its pinned snapshot, by the catalog"
    if files.deleted is None:
        return "Parquet files as they lie: no rows of them are deleted"
    gone, all_, by = len(files.deleted.files), len(files.files), files.deleted.by
    return f"Parquet files, {gone} of {all_} without the rows that other engines deleted in them (delete files: {by})"


def _reads_itself(leg: Leg) -> bool:
    """A relation of the data source to itself shares the scan, which then can't be cut to the span."""
    return any(related is leg.data_source for related in leg.related.values())
