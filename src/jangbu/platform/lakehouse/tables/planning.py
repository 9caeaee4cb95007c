"""Which files of a snapshot may hold the asked rows, without reading a manifest twice.

Manifests and data files never change, so what was decoded once is kept: the columns of each manifest by its path, those of a
snapshot by its id. A new snapshot decodes only its new manifests.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from struct import unpack
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
from pyiceberg.manifest import DataFile as IcebergFile
from pyiceberg.manifest import ManifestContent, ManifestFile
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.table import Table
from pyiceberg.transforms import BucketTransform, MonthTransform

from jangbu.kernel.errors import NotFound, Unsupported
from jangbu.platform.lakehouse.ports import DataFile
from jangbu.platform.lakehouse.tables.layout import DAY, Layout, bucket_of
from jangbu.platform.lakehouse.tables.spans import Span
from jangbu.platform.lakehouse.tables.writing import NO_TIME, Ints, is_date, month_of_micros

UNKNOWN = np.iinfo(np.int64).min
MANIFESTS, SNAPSHOTS = 4_096, 64
"""How many are kept, the least recently used leave."""


@dataclass(frozen=True, slots=True, eq=False)
class FileIndex:
    """A column for each fact of the files, in the order month, bucket, path. `months` and `buckets` are `UNKNOWN` where the
    partition doesn't say, months `NO_TIME` where no row has a time; unknown time bounds are the ends of int64."""

    files: tuple[DataFile, ...]
    months: Ints
    buckets: Ints
    least: Ints
    most: Ints

    def select(self, buckets: Sequence[int] | None, span: Span | None) -> tuple[DataFile, ...]:
        """The files that may hold rows of the tenants in these buckets within the span (None: any)."""
        wanted = np.ones(len(self.files), bool)
        if buckets is not None:
            wanted &= np.isin(self.buckets, (*buckets, UNKNOWN))
        if span is not None:
            wanted &= (self.most >= span.start) & (self.least < span.end) & self._in_months(span)
        return self.files if wanted.all() else tuple(self.files[at] for at in np.flatnonzero(wanted))

    def _in_months(self, span: Span) -> npt.NDArray[np.bool_]:
        first, last = month_of_micros(np.array([span.start, span.end - 1], np.int64))
        within: npt.NDArray[np.bool_] = (self.months == UNKNOWN) | ((self.months >= first) & (self.months <= last))
        return within


class Planner:
    """Keeps the decoded files of the tables of one lakehouse. Safe between threads."""

    def __init__(self) -> None:
        self._snapshot = lru_cache(SNAPSHOTS)(self._read_snapshot)
        self._manifest = lru_cache(MANIFESTS)(_read_manifest)

    def files(
        self, table: Table, layout: Layout, snapshot_id: int, tenants: Sequence[str] | None, span: Span | None
    ) -> tuple[DataFile, ...]:
        """Raises Unsupported where the snapshot has delete files, NotFound where it has expired."""
        index = self._snapshot(_Source((snapshot_id, layout), table))
        if tenants is None or layout.tenant is None:
            return index.select(None, span)
        bucket = bucket_of(layout.buckets)
        return index.select([at for tenant in tenants if (at := bucket(tenant)) is not None], span)

    def _read_snapshot(self, source: "_Source[tuple[int, Layout], Table]") -> FileIndex:
        (snapshot_id, layout), table = source.key, source.read_from
        snapshot = table.snapshot_by_id(snapshot_id)
        if snapshot is None:
            raise NotFound(f"The snapshot {snapshot_id} of {table.name()[-1]!r} has expired.", value=str(snapshot_id))
        live = [m for m in snapshot.manifests(table.io) if m.has_added_files() or m.has_existing_files()]
        if any(manifest.content != ManifestContent.DATA for manifest in live):
            raise Unsupported(
                f"The table {table.name()[-1]!r} has delete files, which aren't read.", hint="Rewrite its data files."
            )
        return _joined([self._manifest(_Source((manifest.manifest_path, layout), (manifest, table))) for manifest in live])


Key = TypeVar("Key")
From = TypeVar("From")


@dataclass(frozen=True, slots=True)
class _Source(Generic[Key, From]):
    """What is kept goes by `key` alone; `read_from` is only needed the first time."""

    key: Key
    read_from: From = field(compare=False)


def _read_manifest(source: _Source[tuple[str, Layout], tuple[ManifestFile, Table]]) -> FileIndex:
    (_, layout), (manifest, table) = source.key, source.read_from
    spec = table.specs()[manifest.partition_spec_id]
    files = [entry.data_file for entry in manifest.fetch_manifest_entry(table.io)]
    bounds = np.array([_bounds(file, layout) for file in files], np.int64).reshape(-1, 2)
    return FileIndex(
        tuple(_file(file, least, most) for file, (least, most) in zip(files, bounds.tolist(), strict=True)),
        np.array([_partition(file, spec, MonthTransform, NO_TIME) for file in files], np.int64),
        np.array([_partition(file, spec, BucketTransform, UNKNOWN) for file in files], np.int64),
        bounds[:, 0],
        bounds[:, 1],
    )


def _file(file: IcebergFile, least: int, most: int) -> DataFile:
    known = least != UNKNOWN and most != NO_TIME
    return DataFile(file.file_path, file.record_count, file.file_size_in_bytes, least if known else None, most if known else None)


def _partition(file: IcebergFile, spec: PartitionSpec, transform: type, missing: int) -> int:
    at = next((at for at, field in enumerate(spec.fields) if isinstance(field.transform, transform)), None)
    if at is None:
        return int(UNKNOWN)
    value = file.partition[at]
    return missing if value is None else int(value)


def time_bounds(file: IcebergFile, layout: Layout) -> tuple[int, int] | None:
    """The first and last micros of the file's time column, both included; None: unknown."""
    if layout.time is None:
        return None
    id_ = layout.field_id(layout.time)
    least, most = ((bounds or {}).get(id_) for bounds in (file.lower_bounds, file.upper_bounds))
    if least is None or most is None:
        return None
    form, width = ("<i", DAY) if is_date(layout) else ("<q", 1)
    return unpack(form, least)[0] * width, unpack(form, most)[0] * width


def _bounds(file: IcebergFile, layout: Layout) -> tuple[int, int]:
    return time_bounds(file, layout) or (int(UNKNOWN), int(NO_TIME))


def _joined(parts: Sequence[FileIndex]) -> FileIndex:
    files = [file for part in parts for file in part.files]
    columns = [
        np.concatenate([np.empty(0, np.int64), *(getattr(part, name) for part in parts)])
        for name in ("months", "buckets", "least", "most")
    ]
    order = sorted(range(len(files)), key=lambda at: (columns[0][at], columns[1][at], files[at].path))
    months, buckets, least, most = (column[order] for column in columns)
    return FileIndex(tuple(files[at] for at in order), months, buckets, least, most)
