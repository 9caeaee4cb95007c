"""How DuckDB reads the files of a scan: Parquet as it lies; and, where other engines have deleted rows of some files by their
positions, these files without those rows.

The second way costs such a file a join on (file, position): 5M rows of ten files, of which a tenth is deleted, take twice as long.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from jangbu.kernel.errors import Unsupported
from jangbu.platform.engines.ports import Scan
from jangbu.platform.engines.texts import identifier, quoted
from jangbu.platform.lakehouse.ports import DataFile, Deleted, Foreign, TableFiles

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN_FILES: Final = 2
"""Files of a scan that are named where it is only shown; the rest are counted."""

DELETED: Final = "deleted rows"
"""What the relation of (path, position) is called where a scan is only shown."""

_FILE: Final = "file of the row"
_POSITION: Final = "file_row_number"
"""DuckDB's own name."""


def source(scan: Scan, registered: str, shown: int | None = None) -> str:
    """What stands after FROM. `registered` is the relation of the scan's rows, or of the deleted ones of its files.

    Raises:
        Unsupported: rows are deleted by their positions, and a column has the name that DuckDB gives these.
    """
    if scan.rows is not None:
        return identifier(registered)
    if scan.files is None:
        raise ValueError(f"The scan {scan.name!r} has neither files nor rows.")
    files = scan.files
    if not files.files:
        return _nothing(files.schema)
    if files.deleted is None:
        return _read(files.files, _options(files), shown)
    return _without_deleted(scan.name, files, files.deleted, registered, shown)


def _without_deleted(name: str, files: TableFiles, deleted: Deleted, registered: str, shown: int | None) -> str:
    if any(column.casefold() == _POSITION for column in files.schema.names):
        raise Unsupported(
            f"{name!r} has a column {_POSITION!r}, and rows of its files are deleted by their positions, which DuckDB calls so.",
            value=_POSITION,
            hint="Have its data files rewritten, or ask on another engine.",
        )
    whole = [file for file in files.files if file.path not in deleted.files]
    others = [file for file in files.files if file.path in deleted.files]
    found = f"{_POSITION} = true, filename = {quoted(_FILE)}"
    same = f"lying.{identifier(_FILE)} = gone.path AND lying.{_POSITION} = gone.position"
    lying = (
        f"SELECT * EXCLUDE ({identifier(_FILE)}, {_POSITION}) FROM {_read(others, f'{_options(files)}, {found}', shown)} AS lying "
        f"ANTI JOIN {identifier(registered)} AS gone ON {same}"
    )
    if not whole:
        return f"({lying})"
    return f"(SELECT * FROM {_read(whole, _options(files), shown)} UNION ALL BY NAME {lying})"


def _read(files: Sequence[DataFile], options: str, shown: int | None) -> str:
    paths = [file.path for file in files]
    if shown is not None and len(paths) > shown:
        named = ", ".join(quoted(path) for path in paths[:shown])
        return f"read_parquet([{named} /* and {len(paths) - shown} more */], {options})"
    return f"read_parquet({listed(paths)}, {options})"


def _options(files: TableFiles) -> str:
    foreign = files.foreign or Foreign()
    paths = "hive_partitioning = true, hive_types_autocast = false" if foreign.in_paths else "hive_partitioning = false"
    return f"{paths}{_fields(files)}" + ("" if foreign.alike or files.evolved else ", union_by_name = true")


def _fields(files: TableFiles) -> str:
    """Where files differ in names or types, their columns are found by the ids that stand in them; what a file lacks is null."""
    if not files.evolved:
        return ""
    fields = (
        f"{id_}: {{name: {quoted(field.name)}, type: {quoted(type_name(field.type))}, default_value: NULL}}"
        for id_, field in zip(files.ids, files.schema, strict=True)
    )
    return f", schema = MAP {{{', '.join(fields)}}}"


def _nothing(schema: "pa.Schema") -> str:
    columns = ", ".join(f"CAST(NULL AS {type_name(field.type)}) AS {identifier(field.name)}" for field in schema)
    return f"(SELECT {columns} WHERE FALSE)"


def type_name(type_: "pa.DataType") -> str:
    import pyarrow as pa

    if pa.types.is_decimal(type_):
        return f"DECIMAL({type_.precision}, {type_.scale})"
    if pa.types.is_timestamp(type_):
        return "TIMESTAMPTZ" if type_.tz else "TIMESTAMP"
    known = {pa.string(): "VARCHAR", pa.int64(): "BIGINT", pa.float64(): "DOUBLE", pa.bool_(): "BOOLEAN", pa.date32(): "DATE"}
    return known[type_]


def listed(values: Iterable[str]) -> str:
    """A list of texts."""
    return f"[{', '.join(map(quoted, values))}]"
