"""Hands a leg to its server and brings Arrow back, in the catalog's types whatever the engine made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from jangbu.insight.catalog.contracts import DataSource, Dimension, SeparationKind
from jangbu.insight.dashboards.contracts import LegReport
from jangbu.insight.dashboards.data_layer.pins import Pinning, Pins
from jangbu.insight.dashboards.query_layer.compiler import CompiledLeg, ScanNeed, compile_leg
from jangbu.insight.dashboards.query_layer.leg import Leg
from jangbu.kernel.errors import EngineError, unknown_name
from jangbu.kernel.types import FieldType
from jangbu.platform.engines.ports import CancelToken, Engine, Scan, Statement


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
        return self.engines[name]

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


def _reads_itself(leg: Leg) -> bool:
    """A relation of the data source to itself shares the scan, which then can't be cut to the span."""
    return any(related is leg.data_source for related in leg.related.values())


def leg_schema(leg: Leg) -> pa.Schema:
    """The Arrow schema of a compiled leg's rows."""
    fields = [("bucket", bucket_type(leg))] if leg.frequency is not None else []
    fields += [(f"d{index}", arrow_type(_type(part))) for index, part in enumerate(leg.dimensions)]
    fields += [(f"c{index}", arrow_type(part.type)) for index, part in enumerate(leg.components)]
    return pa.schema(fields)


def _type(dimension: Dimension | str) -> FieldType:
    return dimension.type if isinstance(dimension, Dimension) else FieldType.TEXT


def bucket_type(leg: Leg) -> pa.DataType:
    if leg.frequency is not None and leg.frequency.is_finer_than_day:
        return pa.timestamp("us", tz=leg.zone)
    return pa.date32()


def arrow_type(type_: FieldType, zone: str = "UTC") -> pa.DataType:
    """The one Arrow type of a field's type."""
    types: dict[FieldType, pa.DataType] = {
        FieldType.TEXT: pa.string(),
        FieldType.INTEGER: pa.int64(),
        FieldType.DECIMAL: pa.decimal128(38, 4),
        FieldType.DOUBLE: pa.float64(),
        FieldType.BOOLEAN: pa.bool_(),
        FieldType.DATE: pa.date32(),
        FieldType.INSTANT: pa.timestamp("us", tz=zone),
        FieldType.LOCAL: pa.timestamp("us"),
    }
    return types[type_]


def conformed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the schema's names and types, column by column in order; NaN and infinities become null.

    Raises:
        EngineError: another number of columns, or a value that the type can't hold.
    """
    if table.num_columns != len(schema):
        raise EngineError(f"The engine returned {table.num_columns} columns for {len(schema)}.")
    try:
        columns = [_conformed(column, field.type) for column, field in zip(table.columns, schema, strict=True)]
    except pa.ArrowInvalid as error:
        raise EngineError(f"The engine returned a value that doesn't fit: {error}.") from error
    return pa.Table.from_arrays(columns, schema=schema)


def _conformed(column: "pa.ChunkedArray[Any]", type_: pa.DataType) -> "pa.ChunkedArray[Any] | pa.Array[Any]":
    if pa.types.is_timestamp(type_) and type_.tz is not None and pa.types.is_timestamp(column.type) and column.type.tz is None:
        return pc.assume_timezone(column, type_.tz, ambiguous="earliest", nonexistent="latest")
    converted = column if column.type == type_ else column.cast(type_)
    if pa.types.is_floating(type_):
        finite: pa.ChunkedArray[Any] = pc.if_else(pc.is_finite(converted), converted, pa.scalar(None, type_))
        return finite
    return converted
