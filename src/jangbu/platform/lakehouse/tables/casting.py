"""Rows as they come, cast strictly to a table's types: nothing is lost, nothing is guessed."""

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from jangbu.kernel.errors import LoadError
from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.ports import TableColumn
from jangbu.platform.lakehouse.tables.layout import Layout, arrow_type


def _is_text(type_: pa.DataType) -> bool:
    return bool(pt.is_string(type_) or pt.is_large_string(type_) or pt.is_string_view(type_))


_TAKES: Mapping[FieldType, Callable[[pa.DataType], bool]] = {
    FieldType.TEXT: lambda t: _is_text(t) or (pt.is_dictionary(t) and _is_text(t.value_type)),
    FieldType.INTEGER: lambda t: bool(pt.is_integer(t)),
    FieldType.DECIMAL: lambda t: bool(pt.is_decimal(t) or pt.is_integer(t)),
    FieldType.DOUBLE: lambda t: bool(pt.is_floating(t) or pt.is_integer(t)),
    FieldType.BOOLEAN: lambda t: bool(pt.is_boolean(t)),
    FieldType.DATE: lambda t: bool(pt.is_date(t)),
    FieldType.INSTANT: lambda t: bool(pt.is_timestamp(t) and t.tz is not None),
    FieldType.LOCAL: lambda t: bool(pt.is_timestamp(t) and t.tz is None),
}
"""What each type may be cast from, as long as every value fits exactly."""


def cast_rows(rows: pa.Table, layout: Layout, table: str) -> pa.Table:
    """`rows` with the table's columns, in their order, of their types; those that the rows lack are null.

    Raises:
        LoadError: columns are unknown, of another type, hold a value that doesn't fit, or a row has no tenant.
    """
    _check_names(rows.schema, layout, table)
    there = set(rows.schema.names)
    columns = [
        _cast(rows.column(column.name), column, table) if column.name in there else nulls(rows.num_rows, arrow_type(column))
        for column in layout.columns
    ]
    if layout.tenant is not None:
        _check_tenants(columns[[column.name for column in layout.columns].index(layout.tenant)], layout.tenant, table)
    return pa.table(columns, schema=layout.arrow)


def nulls(count: int, type_: pa.DataType) -> "pa.ChunkedArray[Any]":
    """A column without values."""
    return pa.chunked_array([pa.nulls(count).cast(type_)])


def _check_names(schema: pa.Schema, layout: Layout, table: str) -> None:
    known = [column.name for column in layout.columns]
    missing = [layout.tenant] if layout.tenant is not None and layout.tenant not in schema.names else []
    unknown = [name for name in schema.names if name not in known]
    twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
    said = [
        f"{what}: {', '.join(names)}" for what, names in (("missing", missing), ("unknown", unknown), ("twice", twice)) if names
    ]
    if said:
        raise LoadError(f"The columns of the rows aren't those of the table {table!r} ({'; '.join(said)}).", known=known)


def _cast(values: "pa.ChunkedArray[Any]", column: TableColumn, table: str) -> "pa.ChunkedArray[Any]":
    to = arrow_type(column)
    if values.type == to:
        return values
    if not pt.is_null(values.type) and not _TAKES[column.type](values.type):
        raise LoadError(
            f"The column {column.name!r} of the table {table!r} is {to}; these rows hold {values.type}.", value=str(values.type)
        )
    try:
        return _safely(values, to)
    except pa.ArrowInvalid:
        bad = _first_bad(values, to)
        raise LoadError(
            f"The column {column.name!r} of the table {table!r} is {to}, which {bad!r} doesn't fit.", value=str(bad)
        ) from None


def _safely(values: "pa.ChunkedArray[Any]", to: pa.DataType) -> "pa.ChunkedArray[Any]":
    if pt.is_decimal(to) and pt.is_integer(values.type):
        # An integer needs 19 digits before the point on the way.
        values = values.cast(pa.decimal256(19 + to.scale, to.scale))
    return values.cast(to)


def _first_bad(values: "pa.ChunkedArray[Any]", to: pa.DataType) -> str:
    start, end = 0, len(values)
    while end - start > 1:
        middle = (start + end) // 2
        try:
            _safely(values.slice(start, middle - start), to)
            start = middle
        except pa.ArrowInvalid:
            end = middle
    return str(values[start].as_py())


def _check_tenants(tenants: "pa.ChunkedArray[Any]", name: str, table: str) -> None:
    if tenants.null_count or pc.any(pc.equal(tenants, pa.scalar(""))).as_py():
        raise LoadError(f"The column {name!r} of the table {table!r} says whose a row is; in these rows it is empty.")
