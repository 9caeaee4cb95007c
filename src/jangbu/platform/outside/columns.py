"""Stored columns against the definition's: which types are converted as they are read, and what is said of the others.

Converted is what keeps every value: integers and whole decimals to text, the way identifiers are kept; numbers to wider ones. Three
conversions do more, since definitions ask for them: doubles become decimals rounded at the column's scale, times lose what is finer
than a microsecond, and text in the files' paths is read as what the column is. A value that doesn't fit fails the question.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from jangbu.kernel.errors import CatalogError
from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.ports import TableColumn
from jangbu.platform.lakehouse.tables.layout import arrow_type

_INTEGERS: Final = (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32())
_SHORT: Final = (pa.int8(), pa.int16(), pa.int32(), pa.uint8(), pa.uint16(), pa.uint32())
"""Integers that a double holds exactly."""
_INT64_DIGITS: Final = 18


def _is_text(stored: pa.DataType) -> bool:
    return pa.types.is_string(stored) or pa.types.is_large_string(stored) or pa.types.is_string_view(stored)


def _is_whole(stored: pa.DataType) -> bool:
    return pa.types.is_integer(stored) or (pa.types.is_decimal128(stored) and stored.scale == 0)


_ACCEPTED: Final[Mapping[FieldType, Callable[[pa.DataType, TableColumn], bool]]] = {
    FieldType.TEXT: lambda stored, _: _is_text(stored) or _is_whole(stored),
    FieldType.INTEGER: lambda stored, _: (
        stored in _INTEGERS or (pa.types.is_decimal128(stored) and stored.scale == 0 and stored.precision <= _INT64_DIGITS)
    ),
    FieldType.DECIMAL: lambda stored, column: (
        stored in _INTEGERS or pa.types.is_floating(stored) or (pa.types.is_decimal128(stored) and stored.scale <= column.scale)
    ),
    FieldType.DOUBLE: lambda stored, _: pa.types.is_floating(stored) or stored in _SHORT,
    FieldType.BOOLEAN: lambda stored, _: pa.types.is_boolean(stored),
    FieldType.DATE: lambda stored, _: pa.types.is_date(stored),
    FieldType.INSTANT: lambda stored, _: pa.types.is_timestamp(stored) and stored.tz is not None,
    FieldType.LOCAL: lambda stored, _: pa.types.is_timestamp(stored) and stored.tz is None,
}
_FROM_PATHS: Final = (FieldType.TEXT, FieldType.INTEGER, FieldType.DECIMAL, FieldType.DOUBLE, FieldType.DATE)


def plain(stored: pa.DataType) -> pa.DataType:
    """What a dictionary's values are."""
    return stored.value_type if pa.types.is_dictionary(stored) else stored


def is_converted(stored: pa.DataType, column: TableColumn) -> bool:
    """Whether values stored as `stored` are read as the column's."""
    return _ACCEPTED[column.type](plain(stored), column)


def casts(stored: pa.Schema, columns: Sequence[TableColumn]) -> frozenset[str]:
    """The columns that the scan has to convert."""
    found = by_name(stored)
    return frozenset(each.name for each in columns if plain(found[each.name.casefold()].type) != arrow_type(each))


def by_name(stored: pa.Schema) -> "dict[str, pa.Field[Any]]":
    """Engines don't tell capitals in names of columns from small letters."""
    return {field.name.casefold(): field for field in stored}


def check(mistakes: Iterator[tuple[str, CatalogError]]) -> None:
    """Raises CatalogError: the first of them."""
    for _, mistake in mistakes:
        raise mistake


def mistakes(
    name: str, stored: pa.Schema, columns: Sequence[TableColumn], in_paths: Sequence[str] = ()
) -> Iterator[tuple[str, CatalogError]]:
    """What keeps the data source `name` from being read as `columns`: (column, mistake) for each that is missing or of a type that
    isn't converted."""
    found = by_name(stored)
    for column in columns:
        field = found.get(column.name.casefold())
        if field is None:
            known = [each.name for each in stored]
            yield (
                column.name,
                CatalogError(f"The table of {name!r} has no column {column.name!r}.", value=column.name, known=known),
            )
        elif column.name in in_paths and column.type not in _FROM_PATHS:
            yield column.name, CatalogError(f"{column.name!r} stands in the paths of {name!r}; it can't be {column.type}.")
        elif column.name not in in_paths and not is_converted(field.type, column):
            yield column.name, _of_another_type(name, field, column)


def _of_another_type(name: str, field: "pa.Field[Any]", column: TableColumn) -> CatalogError:
    hint = "Declare the column as what is stored, or have it stored otherwise."
    if pa.types.is_timestamp(field.type) and column.type in (FieldType.INSTANT, FieldType.LOCAL):
        hint = f"Declare it as {FieldType.LOCAL if field.type.tz is None else FieldType.INSTANT}."
    return CatalogError(
        f"The table of {name!r} stores {column.name!r} as {field.type}, which isn't read as {column.type}.",
        value=str(field.type),
        hint=hint,
    )
