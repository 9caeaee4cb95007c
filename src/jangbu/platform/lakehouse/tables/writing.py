"""Rows into data files: sorted by (tenant, time) within each partition, with statistics, not yet committed."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionFieldValue, PartitionKey
from pyiceberg.table import Table
from pyiceberg.transforms import BucketTransform, MonthTransform
from pyiceberg.typedef import Record

from jangbu.kernel.errors import Unsupported
from jangbu.kernel.storage import is_not_there
from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.tables.casting import cast_rows
from jangbu.platform.lakehouse.tables.layout import DAY, Layout, bucket_of, layout_of
from jangbu.platform.lakehouse.tables.parquet import write_file
from jangbu.platform.lakehouse.tables.pool import for_each

CHUNK_ROWS, CHUNK_BYTES = 2_000_000, 512_000_000
"""What is sorted at once; it bounds the memory of a load and a file's size."""

_TRANSFORMS = (MonthTransform, BucketTransform)

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
        self.files.extend(for_each(parts(rows, self.layout), self.write_part))
        return rows.num_rows

    def _key(self, part: Part) -> PartitionKey | None:
        spec = self._table.spec()
        if spec.is_unpartitioned():
            return None
        if strange := [str(field.transform) for field in spec.fields if not isinstance(field.transform, _TRANSFORMS)]:
            raise Unsupported(
                f"Others have partitioned the table {self.layout.table!r} by {', '.join(strange)}, which isn't written here.",
                value=strange[0],
                hint="Set its partitions back to the month of its time and 16 buckets of its tenant.",
            )
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
        except OSError as error:
            if not is_not_there(error):
                raise


def chunks(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The batches in tables of at most about `CHUNK_ROWS` rows or `CHUNK_BYTES` bytes."""
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in _small(batches):
        if held and (rows + batch.num_rows > CHUNK_ROWS or size > CHUNK_BYTES):
            yield pa.Table.from_batches(held)
            held, rows, size = [], 0, 0
        held.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
    if held:
        yield pa.Table.from_batches(held)


def _small(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, batch.num_rows, CHUNK_ROWS):
            yield batch.slice(start, CHUNK_ROWS)


def parts(rows: pa.Table, layout: Layout) -> Iterator[Part]:
    """The rows by partition, each part sorted by (tenant by code point, time; rows without a time last)."""
    if not rows.num_rows:
        return
    micros = time_micros(rows.column(layout.time)) if layout.time else np.zeros(rows.num_rows, np.int64)
    months = _months(micros) if layout.time else micros
    ranks, buckets = _tenants(rows, layout)
    order = _order(micros, ranks, buckets, months)
    if order is not None:
        rows = _taken(rows, order)
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


def _order(micros: Ints, ranks: Ints, buckets: Ints, months: Ints) -> Ints | None:
    """The order by month, bucket, tenant and time; None where the rows are in it. Rows that are by tenant and time already, as
    those of many tenants one after the other, need only be dealt out to their partitions, which are few."""
    if _in_order((micros, ranks, buckets, months)):
        return None
    if not _in_order((micros, ranks)):
        return np.lexsort((micros, ranks, buckets, months))
    known, places = np.unique(months, return_inverse=True)
    partitions = places * (buckets.max(initial=0) + 1) + buckets
    narrow = np.uint16 if len(known) * (buckets.max(initial=0) + 1) < 1 << 16 else np.int64
    return np.argsort(partitions.astype(narrow), kind="stable")


def _taken(rows: pa.Table, order: Ints) -> pa.Table:
    """The rows in that order; one column after the other would leave cores idle."""
    places = pa.array(order)
    columns = _takers().map(lambda column: column.combine_chunks().take(places), rows.columns)
    return pa.table(list(columns), schema=rows.schema)


@cache
def _takers() -> ThreadPoolExecutor:
    """Threads of their own: those that write files wait for these."""
    return ThreadPoolExecutor(max(os.cpu_count() or 1, 2), thread_name_prefix="jangbu-take")


def _in_order(keys: tuple[Ints, ...]) -> bool:
    """Whether rows are sorted already by the keys, the last being the first key."""
    tied = np.ones(max(len(keys[0]) - 1, 0), bool)
    for key in reversed(keys):
        if np.any(tied & (key[1:] < key[:-1])):
            return False
        tied &= key[1:] == key[:-1]
    return True
