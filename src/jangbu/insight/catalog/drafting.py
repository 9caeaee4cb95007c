"""First definitions of a data source from the schema of what it is bound to: for people to go on from."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jangbu.insight.catalog.checks import RESERVED, RESERVED_ENDINGS
from jangbu.insight.catalog.contracts import Outside
from jangbu.insight.catalog.outside import opened
from jangbu.insight.catalog.schemas import NAME_PATTERN
from jangbu.kernel.errors import InvalidRequest, unknown_name
from jangbu.kernel.types import FieldType

if TYPE_CHECKING:
    import pyarrow as pa

_KEY: Final = re.compile(r"(^|_)(id|key|code|no|number|sku|upc|zip)$")
"""Names of integers that tell one thing from another: nobody sums them."""
_MONEY: Final = re.compile(r"(^|_)(amount|price|revenue|sales|cost|spend|fee|tax|discount|refund|total|value|budget)(_|$)")


@dataclass(frozen=True, slots=True)
class Draft:
    """The texts of two definition files, by their names, and the stored columns that no definition can hold."""

    files: Mapping[str, str]
    left_out: tuple[str, ...]


def place_of(path: str, table: str | None) -> Outside:
    """What a path means: a catalog where a `table` of it is named, an Iceberg table, or Parquet files."""
    found = Path(path).expanduser().absolute()
    if table is not None:
        return Outside(catalog=path if "://" in path else str(found), table=table)
    if path.endswith(".metadata.json") or (found / "metadata").is_dir():
        return Outside(metadata=str(found))
    return Outside(parquet=str(found))


def checked_name(name: str) -> str:
    """A data source's name.

    Raises:
        InvalidRequest: a definition can't have it.
    """
    if re.fullmatch(NAME_PATTERN, name):
        return name
    hint = "Use a-z, 0-9 and _, at most 63, beginning with a letter, e.g. web_orders."
    raise InvalidRequest(f"{name[:80]!r} can't be a data source's name.", value=name, hint=hint)


def drafted(name: str, outside: Outside, folders: Sequence[Path], tenant_column: str | None) -> Draft:
    """See `CatalogFacade.draft`."""
    from jangbu.platform.outside.folders import Folders
    from jangbu.platform.outside.ports import Shape

    table = opened(checked_name(name), outside, Shape(()), Folders(folders))
    stored = table.stored(table.look())
    columns = {field.name.lower(): found for field in stored if (found := _column(field, tenant_column))}
    if tenant_column is not None and tenant_column not in columns:
        raise unknown_name("column", tenant_column, columns)
    types = {column: FieldType(found["type"]) for column, found in columns.items() if column != tenant_column}
    source = _source(name, outside, columns, types, tenant_column)
    files = {f"{name}.yml": _text(source), f"{name}_measures.yml": _text(_measures(name, types))}
    return Draft(files, tuple(field.name for field in stored if field.name.lower() not in columns))


def _column(field: "pa.Field[Any]", tenant_column: str | None) -> dict[str, Any] | None:
    """The column as a definition writes it, None where its name or type can't be in one."""
    import pyarrow as pa

    from jangbu.platform.lakehouse.ports import TableColumn
    from jangbu.platform.outside.columns import is_converted, plain

    name, stored = field.name.lower(), plain(field.type)
    if not re.fullmatch(NAME_PATTERN, name):
        return None
    kind = FieldType.TEXT if name == tenant_column else _type(name, stored)
    if isinstance(stored, pa.Decimal128Type) and stored.scale <= 4:
        return {"type": FieldType.DECIMAL.value, "precision": stored.precision, "scale": stored.scale}
    return {"type": kind.value} if kind is not None and is_converted(stored, TableColumn(name, kind)) else None


def _type(name: str, stored: "pa.DataType") -> FieldType | None:
    import pyarrow.types as types

    tests: tuple[tuple[Callable[[Any], bool], FieldType], ...] = (
        (types.is_integer, FieldType.TEXT if _KEY.search(name) else FieldType.INTEGER),
        (types.is_decimal, FieldType.DECIMAL),
        (types.is_floating, FieldType.DECIMAL if _MONEY.search(name) else FieldType.DOUBLE),
        (types.is_boolean, FieldType.BOOLEAN),
        (types.is_date, FieldType.DATE),
        (types.is_timestamp, FieldType.INSTANT if getattr(stored, "tz", None) else FieldType.LOCAL),
        (lambda given: types.is_string(given) or types.is_large_string(given) or types.is_string_view(given), FieldType.TEXT),
    )
    return next((kind for test, kind in tests if test(stored)), None)


def _source(
    name: str, outside: Outside, columns: Mapping[str, Any], types: Mapping[str, FieldType], tenant_column: str | None
) -> dict[str, Any]:
    times = [column for column, kind in types.items() if kind.is_time]
    times.sort(key=lambda column: types[column] is FieldType.DATE)  # finer ones first
    source: dict[str, Any] = {
        "version": 1,
        "kind": "data_source",
        "name": name,
        **_words(name),
        "binding": _binding(outside),
        "separation": {"kind": "column", "column": tenant_column} if tenant_column is not None else {"kind": "shared"},
        "columns": dict(columns),
    }
    if times:
        source["time_fields"] = {time: {"column": time, "label": _words(time)["label"]} for time in times}
        source["default_time_field"] = times[0]
    source["dimensions"] = {
        column: {"column": column, **_words(column)}
        for column, kind in types.items()
        if kind in (FieldType.TEXT, FieldType.BOOLEAN) and column not in RESERVED
    }
    return source


def _binding(outside: Outside) -> dict[str, Any]:
    if outside.parquet is not None:
        return {"parquet": outside.parquet}
    if outside.metadata is not None:
        return {"iceberg": {"metadata": outside.metadata}}
    return {"iceberg": {"catalog": outside.catalog, "table": outside.table}}


def _measures(name: str, types: Mapping[str, FieldType]) -> dict[str, Any]:
    """How many rows there are, and the sum of each number."""
    numbers = [column for column, kind in types.items() if kind.is_number and not column.endswith(RESERVED_ENDINGS)]
    return {
        "version": 1,
        "kind": "measures",
        "data_source": name,
        "measures": [_count(types), *(_sum(column, types[column]) for column in numbers if column not in RESERVED)],
    }


def _count(taken: Iterable[str]) -> dict[str, Any]:
    name = next(name for name in ("rows", "row_count", "number_of_rows") if name not in taken)
    return {"name": name, "kind": "simple", "formula": "count()", **_words(name), "unit": "count", "format": "integer"}


def _sum(column: str, kind: FieldType) -> dict[str, Any]:
    money = kind is FieldType.DECIMAL and _MONEY.search(column) is not None
    measure = {"name": column, "kind": "simple", "formula": f"sum({column})", **_words(column)}
    if money:
        return measure | {"unit": "currency", "format": "money"}
    return measure | {"format": "integer" if kind is FieldType.INTEGER else "decimal"}


def _words(name: str) -> dict[str, Any]:
    """A label and a description to begin with."""
    words = name.replace("_", " ").capitalize()
    return {"label": {"ko": words, "en": words}, "description": {"ko": words, "en": words}}


def _text(document: Mapping[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True, width=120)
