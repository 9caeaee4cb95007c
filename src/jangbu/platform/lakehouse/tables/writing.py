"""Rows into data files: sorted by (tenant, time) within each partition, with statistics, not yet committed."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionFieldValue, PartitionKey
from pyiceberg.table import Table
from pyiceberg.transforms import MonthTransform
from pyiceberg.typedef import Record
from pyiceberg.utils.concurrent import ExecutorFactory

from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.tables.casting import cast_rows
from jangbu.platform.lakehouse.tables.layout import DAY, Layout, bucket_of, layout_of
from jangbu.platform.lakehouse.tables.parquet import write_file

CHUNK_ROWS, CHUNK_BYTES = 2_000_000, 512_000_000
"""What is sorted at once; it bounds the memory of a load and a file's size."""

NO_TIME = np.iinfo(np.int64).max
"""The micros, and the month, of a row without a time; it sorts last."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one partition. `month` counts from 1970-01, `NO_TIME` for rows without a time."""

    month: int
    bucket: int
    rows: pa.Table


class FileWriter:
    """Writes files of one table and remembers them, so that what fails half-way leaves nothing behind."""

    def __init__(self, table: Table) -> None:
        self.layout = layout_of(table)
        self.files: list[DataFile] = []
        self._table = table
        self._paths: list[str] = []

    def write(self, batches: Iterable[pa.RecordBatch]) -> int:
        """Write files for all rows; the number of rows.

        Raises:
            LoadError: the rows don't fit the table; nothing is left behind.
        """
        try:
            return sum(self._write_chunk(chunk) for chunk in chunks(batches))
        except BaseException:
            self.remove()
            raise

    def write_part(self, part: Part) -> DataFile:
        """One data file. `part.rows` have the table's types and are in order."""
        key = self._key(part)
        path = self._table.location_provider().new_data_location(f"{uuid4()}.parquet", key)
        output = self._table.io.new_output(path)
        self._paths.append(path)
        statistics = write_file(output, part.rows, self.layout, self._table)
        return DataFile.from_args(
            content=DataFileContent.DATA,
            file_path=path,
            file_format=FileFormat.PARQUET,
            partition=key.partition if key is not None else Record(),
            file_size_in_bytes=len(output),
            sort_order_id=None,
            spec_id=self._table.metadata.default_spec_id,
            equality_ids=None,
            key_metadata=None,
            **statistics.to_serialized_dict(),
        )

    def remove(self) -> None:
        """Delete every file that was written."""
        remove_files(self._table, self._paths)
        self.files.clear()
        self._paths.clear()

    def _write_chunk(self, chunk: pa.Table) -> int:
        rows = cast_rows(chunk, self.layout, self._table.name()[-1])
        self.files.extend(ExecutorFactory.get_or_create().map(self.write_part, parts(rows, self.layout)))
        return rows.num_rows

    def _key(self, part: Part) -> PartitionKey | None:
        spec = self._table.spec()
        if spec.is_unpartitioned():
            return None
        month = None if part.month == NO_TIME else part.month
        values = [
            PartitionFieldValue(field, month if isinstance(field.transform, MonthTransform) else part.bucket)
            for field in spec.fields
        ]
        return PartitionKey(field_values=values, partition_spec=spec, schema=self._table.schema())


def remove_files(table: Table, paths: Iterable[str]) -> None:
    """Delete files; those that aren't there are no matter."""
    for path in paths:
        try:
            table.io.delete(path)
        except FileNotFoundError:
            continue


def chunks(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The batches in tables of at most about `CHUNK_ROWS` rows or `CHUNK_BYTES` bytes."""
    held: list[pa.RecordBatch] = []
    for batch in _small(batches):
        if held and (sum(b.num_rows for b in held) + batch.num_rows > CHUNK_ROWS or sum(b.nbytes for b in held) > CHUNK_BYTES):
            yield pa.Table.from_batches(held)
            held = []
        held.append(batch)
    if held:
        yield pa.Table.from_batches(held)


def _small(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, batch.num_rows, CHUNK_ROWS):
            yield batch.slice(start, CHUNK_ROWS)


def parts(rows: pa.Table, layout: Layout) -> Iterator[Part]:
    """The rows by partition, each part sorted by (tenant by code point, time; rows without a time last)."""
    micros = time_micros(rows.column(layout.time)) if layout.time else np.zeros(rows.num_rows, np.int64)
    months = _months(micros) if layout.time else micros
    ranks, buckets = _tenants(rows, layout)
    keys = (micros, ranks, buckets, months)
    if not _in_order(keys):
        order = np.lexsort(keys)
        rows = rows.take(order)
        months, buckets = months[order], buckets[order]
    changes = np.flatnonzero((months[1:] != months[:-1]) | (buckets[1:] != buckets[:-1])) + 1
    for start, end in pairwise([0, *changes.tolist(), rows.num_rows]):
        yield Part(int(months[start]), int(buckets[start]), rows.slice(start, end - start))


def time_micros(times: "pa.ChunkedArray[Any]") -> Ints:
    """Micros since 1970 of instants, local timestamps or days; `NO_TIME` where there is none."""
    width = DAY if pa.types.is_date(times.type) else 1
    raw = times.cast(pa.int32() if pa.types.is_date(times.type) else pa.int64()).cast(pa.int64())
    filled = raw.fill_null(pa.scalar(0)).to_numpy().astype(np.int64) * width
    return np.where(raw.is_null().to_numpy(zero_copy_only=False), NO_TIME, filled) if raw.null_count else filled


def month_of_micros(micros: Ints) -> Ints:
    """Months since 1970-01, floored also before it."""
    return micros.view("datetime64[us]").astype("datetime64[M]").astype(np.int64)


def is_date(layout: Layout) -> bool:
    return layout.time_type is FieldType.DATE


def _months(micros: Ints) -> Ints:
    known = micros != NO_TIME
    return np.where(known, month_of_micros(np.where(known, micros, 0)), NO_TIME)


def _tenants(rows: pa.Table, layout: Layout) -> tuple[Ints, Ints]:
    """Each row's tenant by its rank in code point order, and its bucket."""
    if layout.tenant is None:
        zeros = np.zeros(rows.num_rows, np.int64)
        return zeros, zeros
    encoded = rows.column(layout.tenant).combine_chunks().dictionary_encode()
    names = [str(name) for name in encoded.dictionary.to_pylist()]
    codes = encoded.indices.to_numpy()
    rank = {name: at for at, name in enumerate(sorted(names))}
    bucket = bucket_of(layout.buckets)
    return np.array([rank[name] for name in names], np.int64)[codes], np.array([bucket(name) for name in names], np.int64)[codes]


def _in_order(keys: tuple[Ints, ...]) -> bool:
    """Whether rows are sorted already by the keys, the last being the first key."""
    tied = np.ones(max(len(keys[0]) - 1, 0), bool)
    for key in reversed(keys):
        if np.any(tied & (key[1:] < key[:-1])):
            return False
        tied &= key[1:] == key[:-1]
    return True
