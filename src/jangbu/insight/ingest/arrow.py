"""Batches as they come, and as a data source's table takes them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jangbu.insight.catalog.contracts import Column, DataSource, SeparationKind
from jangbu.kernel.errors import LoadError
from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.ports import TableColumn, TableSpec, TimeRange

_MICROS_A_DAY: Final = 86_400_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def table_spec(source: DataSource) -> TableSpec:
    """The lakehouse table of a data source, the tenant column first where it has one and doesn't list it.

    Raises:
        LoadError: its rows lie elsewhere, so nothing is loaded into it.
    """
    if source.binding.outside is not None:
        raise LoadError(
            f"{source.name!r} is read where others write it; nothing is loaded into it.",
            value=source.name,
            hint="Load into a data source that is bound to a table.",
        )
    columns = [TableColumn(column.name, column.type, column.precision, column.scale) for column in source.columns.values()]
    tenant = tenant_column(source)
    if tenant is not None and tenant not in source.columns:
        columns.insert(0, TableColumn(tenant, FieldType.TEXT))
    time = source.time_fields[source.default_time_field].column if source.default_time_field else None
    renamed = {column.name: column.renamed_from for column in source.columns.values() if column.renamed_from}
    return TableSpec(source.binding.table, tuple(columns), tenant, time, renamed, source.dropped_columns)


def tenant_column(source: DataSource) -> str | None:
    """The column that keeps tenants apart, None for what is shared.

    Raises:
        LoadError: tenants have servers of their own, so nothing is loaded.
    """
    if source.separation.kind is SeparationKind.CONNECTION:
        raise LoadError(f"{source.name!r} is asked on each tenant's own server; it isn't loaded.", value=source.name)
    return source.separation.column if source.separation.kind is SeparationKind.COLUMN else None


def arrow_type(column: Column | TableColumn) -> pa.DataType:
    """How a column's values are in Arrow."""
    match column.type:
        case FieldType.TEXT:
            return pa.string()
        case FieldType.INTEGER:
            return pa.int64()
        case FieldType.DECIMAL:
            return pa.decimal128(column.precision, column.scale)
        case FieldType.DOUBLE:
            return pa.float64()
        case FieldType.BOOLEAN:
            return pa.bool_()
        case FieldType.DATE:
            return pa.date32()
        case FieldType.INSTANT:
            return pa.timestamp("us", tz="UTC")
        case FieldType.LOCAL:
            return pa.timestamp("us")


def arrow_schema(columns: Iterable[TableColumn]) -> pa.Schema:
    return pa.schema([pa.field(column.name, arrow_type(column)) for column in columns])


def batches_of(data: "pa.Table | Iterable[pa.RecordBatch]") -> Iterator[pa.RecordBatch]:
    """The batches; one at least for a table, so that an empty one's columns are looked at too."""
    if isinstance(data, pa.Table):
        data = data.to_batches() or [pa.RecordBatch.from_pylist([], schema=data.schema)]
    yield from data


def conform(batch: pa.RecordBatch, columns: tuple[TableColumn, ...], source: str) -> pa.RecordBatch:
    """The batch with these columns, in this order, in our types. Only what loses nothing is converted: text of another encoding,
    numbers of another width, times of another unit or zone.

    Raises:
        LoadError: a column is missing, unknown or of another type, or a value doesn't fit.
    """
    names = [column.name for column in columns]
    for name in batch.schema.names:
        if name not in names:
            raise LoadError(f"{source!r} has no column {name!r}.", value=name, known=sorted(names))
    missing = [name for name in names if name not in batch.schema.names]
    if missing:
        raise LoadError(
            f"The rows for {source!r} lack {', '.join(map(repr, missing))}.", value=missing[0], known=batch.schema.names
        )
    arrays = [_convert(batch.column(column.name), column, source) for column in columns]
    return pa.RecordBatch.from_arrays(arrays, schema=arrow_schema(columns))


def with_tenant(batch: pa.RecordBatch, spec: TableSpec, tenant: str) -> pa.RecordBatch:
    """The batch with the tenant column filled in, in the order of the table."""
    fill = pa.repeat(pa.scalar(tenant, pa.string()), batch.num_rows)
    arrays = [fill if column.name == spec.tenant_column else batch.column(column.name) for column in spec.columns]
    return pa.RecordBatch.from_arrays(arrays, schema=arrow_schema(spec.columns))


def check_span(times: "pa.Array[Any]", span: TimeRange, column: str) -> None:
    """Hold rows to the range that they are loaded as: one outside it, or without a time, wouldn't be replaced the next time.

    Raises:
        LoadError: a row is outside, or has no time.
    """
    if times.null_count:
        raise LoadError(
            f"{times.null_count:,} rows have no {column!r}; a load of a time range needs it in every row.", value=column
        )
    if not len(times):
        return
    micros = _micros(times)
    first, last = pc.min(micros).as_py(), pc.max(micros).as_py()
    if first < _as_micros(span.start) or last >= _as_micros(span.end):
        outside = first if first < _as_micros(span.start) else last
        raise LoadError(
            f"A row's {column!r} is {_shown(outside)}, outside {span.start.isoformat()} to {span.end.isoformat()}.",
            value=_shown(outside),
            hint="Give the whole range that the rows cover; its end isn't part of it.",
        )


def within(times: "pa.Array[Any]", span: TimeRange) -> "pa.BooleanArray":
    """Whether each time is in the range; no time isn't."""
    micros = _micros(times)
    first, end = pa.scalar(_as_micros(span.start)), pa.scalar(_as_micros(span.end))
    inside = pc.and_(pc.greater_equal(micros, first), pc.less(micros, end))
    return cast("pa.BooleanArray", pc.fill_null(inside, pa.scalar(False)))


def last_of_each(rows: pa.Table, keys: Sequence[str]) -> pa.Table:
    """The rows without those that a later one agrees with in every key; in their order."""
    codes = np.zeros(rows.num_rows, np.int64)
    for key in keys:
        encoded = rows.column(key).combine_chunks().dictionary_encode()
        pairs = codes * max(len(encoded.dictionary), 1) + encoded.indices.to_numpy()
        codes = np.unique(pairs, return_inverse=True)[1]
    _, from_the_end = np.unique(codes[::-1], return_index=True)
    if len(from_the_end) == rows.num_rows:
        return rows
    return rows.take(np.sort(rows.num_rows - 1 - from_the_end))


def _convert(array: "pa.Array[Any]", column: TableColumn, source: str) -> "pa.Array[Any]":
    wanted = arrow_type(column)
    if array.type == wanted:
        return array
    given = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    if not (pa.types.is_null(given) or _ACCEPTED[column.type](given)):
        raise LoadError(
            f"{source!r} takes {column.name!r} as {wanted}, not {array.type}.",
            value=str(array.type),
            hint="Convert it, or round it first.",
        )
    try:
        return array.cast(wanted)
    except pa.ArrowInvalid as error:
        raise LoadError(f"A value of {column.name!r} doesn't fit {wanted}: {error}", value=column.name) from error


def _is_text(given: pa.DataType) -> bool:
    return pa.types.is_string(given) or pa.types.is_large_string(given) or pa.types.is_string_view(given)


_ACCEPTED: Final[Mapping[FieldType, Callable[[pa.DataType], bool]]] = {
    FieldType.TEXT: _is_text,
    FieldType.INTEGER: pa.types.is_integer,
    FieldType.DECIMAL: pa.types.is_decimal,
    FieldType.DOUBLE: pa.types.is_floating,
    FieldType.BOOLEAN: pa.types.is_boolean,
    FieldType.DATE: pa.types.is_date,
    FieldType.INSTANT: lambda given: pa.types.is_timestamp(given) and given.tz is not None,
    FieldType.LOCAL: lambda given: pa.types.is_timestamp(given) and given.tz is None,
}


def _micros(times: "pa.Array[Any]") -> "pa.Array[Any]":
    if pa.types.is_date32(times.type):
        return pc.multiply(times.cast(pa.int32()).cast(pa.int64()), _MICROS_A_DAY)
    return times.cast(pa.int64())


def _as_micros(moment: datetime) -> int:
    since = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _shown(micros: int) -> str:
    return (_EPOCH + timedelta(microseconds=micros)).replace(tzinfo=None).isoformat()
