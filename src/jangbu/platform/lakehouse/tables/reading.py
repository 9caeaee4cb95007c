"""Rows of a data file, in the table's columns of today: by field ids, as older files may name or type them otherwise."""

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import IO, Any, Final, cast

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io import FileIO

from jangbu.kernel import storage
from jangbu.platform.lakehouse.tables.casting import nulls
from jangbu.platform.lakehouse.tables.layout import Layout

FOOTERS: Final = 4_096
"""How many files' footers are kept; files never change."""

_FIELD_ID: Final = b"PARQUET:field_id"
_DELETED_PATH: Final = 2_147_483_546
_DELETED_ROW: Final = 2_147_483_544
"""Iceberg's ids of the columns of position deletes: the data file's path, and the row itself, which few writers repeat."""


def read_rows(io: FileIO, layout: Layout, path: str, names: Collection[str] | None = None, *, anew: bool = False) -> pa.Table:
    """The file's rows with these columns (None: all of the table's), in the table's order and types; what it lacks is null. Of a
    file of position deletes they are the rows that it repeats, mostly none. What is kept of its footer isn't used where it is to be
    read `anew`.

    Raises:
        Missing: there is no such file any more.
        StorageError: it is torn or was damaged.
    """
    wanted = [
        (field, id_) for field, id_ in zip(layout.arrow, layout.field_ids, strict=True) if names is None or field.name in names
    ]
    with storage.reading(path, layout.table):
        footer, own = (_read_footer if anew else _footer)(_Source(io, path))
        deletes = _DELETED_PATH in own
        there = [own[id_] for id_ in ([_DELETED_ROW] if deletes else (id_ for _, id_ in wanted)) if id_ in own]
        with (
            io.new_input(path).open() as stream,
            # What is read may be written anew: the checksums tell that it is what was written first.
            pq.ParquetFile(cast("IO[Any]", stream), metadata=footer, page_checksum_verification=True) as file,
        ):
            rows = file.read(columns=there)
    count = footer.num_rows
    if deletes:
        rows, own, count = _repeated(rows, own)
    columns = [rows.column(own[id_]).cast(field.type) if id_ in own else nulls(count, field.type) for field, id_ in wanted]
    return pa.table(columns, schema=pa.schema([field for field, _ in wanted]))


def _repeated(rows: pa.Table, own: Mapping[int, str]) -> tuple[pa.Table, dict[int, str], int]:
    """The rows in a file of deletes, as if they lay in a file of their own."""
    if _DELETED_ROW not in own:
        return rows, {}, 0
    column = rows.column(own[_DELETED_ROW])
    schema = pa.schema(list(column.type))
    flat = pa.Table.from_struct_array(column) if len(column) else schema.empty_table()
    return flat, _by_id(schema), flat.num_rows


class _Source:
    """Footers are kept by the path alone."""

    def __init__(self, io: FileIO, path: str) -> None:
        self.io, self.path = io, path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Source) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)


def _read_footer(source: _Source) -> tuple[pq.FileMetaData, dict[int, str]]:
    """The footer, and the names of the columns by their field ids."""
    with source.io.new_input(source.path).open() as stream, pq.ParquetFile(cast("IO[Any]", stream)) as file:
        return file.metadata, _by_id(file.schema_arrow)


def _by_id(schema: pa.Schema) -> dict[int, str]:
    return {int((field.metadata or {}).get(_FIELD_ID, -1)): field.name for field in schema}


_footer = lru_cache(FOOTERS)(_read_footer)
