"""The hash of a load's content: of its values in their order, however they are cut into batches or laid out in memory."""

from hashlib import sha256
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from jangbu.insight.catalog.contracts import DataSource
from jangbu.insight.ingest import arrow


class ContentHash:
    """A hash that batches of one schema are fed to, one after the other."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._columns = [_ColumnHash() for _ in schema]
        self._rows = 0

    def update(self, batch: pa.RecordBatch) -> None:
        self._rows += batch.num_rows
        for column, array in zip(self._columns, batch.columns, strict=True):
            column.update(array)

    def hexdigest(self) -> str:
        whole = sha256(str(self._rows).encode())
        for field, column in zip(self._schema, self._columns, strict=True):
            whole.update(f"\0{field.name}\0{field.type}\0{column.hexdigest()}".encode())
        return whole.hexdigest()


def content_of(source: DataSource, rows: pa.Table) -> str:
    """The hash that tells the rows from others, as a load without a `content` of its own makes it.

    Raises:
        LoadError: they don't fit the data source.
    """
    spec = arrow.table_spec(source)
    columns = tuple(column for column in spec.columns if column.name != spec.tenant_column)
    hashed = ContentHash(arrow.arrow_schema(columns))
    for batch in arrow.batches_of(rows):
        hashed.update(arrow.conform(batch, columns, source.name))
    return hashed.hexdigest()


class _ColumnHash:
    """Three running hashes, so that cutting elsewhere changes none: which values there are, how long each is, and their bytes.
    A null counts as zero or '', whatever its slot holds in memory."""

    def __init__(self) -> None:
        self._valid, self._lengths, self._bytes = sha256(), sha256(), sha256()

    def update(self, array: "pa.Array[Any]") -> None:
        self._valid.update(_fixed(pc.is_valid(array).cast(pa.uint8())))
        if isinstance(array, pa.StringArray):
            filled = cast("pa.StringArray", array.fill_null(""))
            self._lengths.update(_fixed(pc.binary_length(filled)))
            self._bytes.update(_text(filled))
        else:
            plain: pa.Array[Any] = array.cast(pa.uint8()) if pa.types.is_boolean(array.type) else array
            self._bytes.update(_fixed(plain.fill_null(pa.scalar(0, plain.type)) if plain.null_count else plain))

    def hexdigest(self) -> str:
        return f"{self._valid.hexdigest()}{self._lengths.hexdigest()}{self._bytes.hexdigest()}"


def _fixed(array: "pa.Array[Any]") -> memoryview:
    width = array.type.bit_width // 8
    return _bytes(array, 1)[array.offset * width : (array.offset + len(array)) * width]


def _text(array: "pa.Array[Any]") -> memoryview:
    if not len(array):
        return memoryview(b"")
    offsets = _bytes(array, 1).cast("i")
    return _bytes(array, 2)[offsets[array.offset] : offsets[array.offset + len(array)]]


def _bytes(array: "pa.Array[Any]", index: int) -> memoryview:
    buffer = array.buffers()[index]
    return memoryview(b"" if buffer is None else buffer).cast("B")
