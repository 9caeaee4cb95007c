"""Arrow types of the catalog's, and tables brought to them."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jangbu.insight.catalog.contracts import Dimension
from jangbu.insight.dashboards.query_layer.leg import Leg
from jangbu.kernel.errors import EngineError
from jangbu.kernel.types import FieldType


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
