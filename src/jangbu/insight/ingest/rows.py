"""Rows as dicts: checked when they are spooled, turned into a batch when they are loaded."""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa

from jangbu.insight.ingest.arrow import arrow_schema, arrow_type
from jangbu.kernel.errors import JangbuError, LoadError
from jangbu.kernel.tenancy import tenant_id
from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.ports import TableSpec


def encode(spec: TableSpec, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows as JSON has them. A column that a row leaves out is null.

    Raises:
        LoadError: an unknown column, a value of another type, one that doesn't fit, or no tenant. Refused here, at the door: a
            row that can't be loaded would hold up all behind it.
    """
    encoded = [_encode(spec, row) for row in rows]
    decode(spec, encoded)
    return encoded


def decode(spec: TableSpec, rows: Sequence[Mapping[str, Any]]) -> pa.RecordBatch:
    """One batch of the table's columns."""
    arrays = []
    for column in spec.columns:
        back = _FROM_JSON.get(column.type, _same)
        values = [None if (value := row.get(column.name)) is None else back(value) for row in rows]
        try:
            arrays.append(pa.array(values, arrow_type(column)))
        except (pa.ArrowInvalid, OverflowError) as error:
            raise LoadError(f"A value of {column.name!r} doesn't fit {arrow_type(column)}: {error}", value=column.name) from error
    return pa.RecordBatch.from_arrays(arrays, schema=arrow_schema(spec.columns))


def _encode(spec: TableSpec, row: Mapping[str, Any]) -> dict[str, Any]:
    types = {column.name: column.type for column in spec.columns}
    for name in row:
        if name not in types:
            raise LoadError(f"{spec.name!r} has no column {name!r}.", value=name, known=sorted(types))
    if spec.tenant_column is not None:
        _check_tenant(spec, row.get(spec.tenant_column))
    return {name: _to_json(spec.name, name, types[name], value) for name, value in row.items() if value is not None}


def _check_tenant(spec: TableSpec, tenant: object) -> None:
    try:
        tenant_id(tenant if isinstance(tenant, str) else "")
    except JangbuError as error:
        raise LoadError(f"A row for {spec.name!r} has no tenant: {error.detail}", value=tenant) from error


def _to_json(table: str, name: str, type_: FieldType, value: Any) -> Any:
    accepts, convert = _TO_JSON[type_]
    if not accepts(value):
        raise LoadError(f"{table!r} takes {name!r} as {type_.value}, not {value!r:.80}.", value=name)
    return convert(value)


def _same(value: Any) -> Any:
    return value


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_double(value: Any) -> bool:
    return (isinstance(value, float) and math.isfinite(value)) or _is_int(value)


def _is_decimal(value: Any) -> bool:
    return (isinstance(value, Decimal) and value.is_finite()) or _is_int(value)


def _is_time(value: Any, *, aware: bool) -> bool:
    return isinstance(value, datetime) and (value.tzinfo is not None) == aware


_TO_JSON: Final[Mapping[FieldType, tuple[Callable[[Any], bool], Callable[[Any], Any]]]] = {
    FieldType.TEXT: (lambda value: isinstance(value, str), str),
    FieldType.INTEGER: (_is_int, int),
    FieldType.DECIMAL: (_is_decimal, str),
    FieldType.DOUBLE: (_is_double, float),
    FieldType.BOOLEAN: (lambda value: isinstance(value, bool), bool),
    FieldType.DATE: (lambda value: isinstance(value, date) and not isinstance(value, datetime), lambda value: value.isoformat()),
    FieldType.INSTANT: (lambda value: _is_time(value, aware=True), lambda value: value.astimezone(UTC).isoformat()),
    FieldType.LOCAL: (lambda value: _is_time(value, aware=False), lambda value: value.isoformat()),
}

_FROM_JSON: Final[Mapping[FieldType, Callable[[Any], Any]]] = {
    FieldType.DECIMAL: Decimal,
    FieldType.DATE: date.fromisoformat,
    FieldType.INSTANT: datetime.fromisoformat,
    FieldType.LOCAL: datetime.fromisoformat,
}
