"""Which files of a snapshot may hold the asked rows, without reading a manifest twice.

Manifests and data files never change, so what was decoded once is kept: the columns of each manifest by its path, those of a
snapshot by its id. A new snapshot decodes only its new manifests.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from struct import unpack
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
from pyiceberg.conversions import from_bytes
from pyiceberg.manifest import DataFile as IcebergFile
from pyiceberg.manifest import ManifestContent, ManifestEntry, ManifestFile
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.table import Table
from pyiceberg.transforms import BucketTransform, MonthTransform
from pyiceberg.types import StringType

from jangbu.kernel.errors import NotFound
from jangbu.platform.lakehouse.ports import DataFile
from jangbu.platform.lakehouse.tables.layout import DAY, Layout, bucket_of
from jangbu.platform.lakehouse.tables.manifests import entries_of, manifests_of
from jangbu.platform.lakehouse.tables.positions import DeleteFile, DeleteIndex, Placed, Positions
from jangbu.platform.lakehouse.tables.spans import Span
from jangbu.platform.lakehouse.tables.writing import NO_TIME, Ints, is_date, month_of_micros

UNKNOWN = np.iinfo(np.int64).min
MANIFESTS, SNAPSHOTS = 4_096, 64
"""How many are kept, the least recently used leave."""


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A live data file and what its manifest, at the path `manifest`, says of it. `tenant` is the only one that it holds, None
    where there may be several; `timed` whether every row has a time. `month` and `bucket` are its partition, as in `FileIndex`.
    `deletes` are the delete files that may name rows of it, by path."""

    file: DataFile
    manifest: str
    tenant: str | None
    timed: bool
    month: int
    bucket: int
    placed: Placed
    deletes: tuple[DeleteFile, ...] = ()

    @property
    def state(self) -> tuple[str, tuple[str, ...]]:
        """What its rows hang on: it never changes itself, but others may delete rows of it."""
        return self.file.path, tuple(each.path for each in self.deletes)


@dataclass(frozen=True, slots=True, eq=False)
class FileIndex:
    """A column for each fact of the files, in the order month, bucket, path. `months` and `buckets` are `UNKNOWN` where the
    partition doesn't say, months `NO_TIME` where no row has a time; unknown time bounds are the ends of int64. `delete_files` are
    all of the snapshot's."""

    files: tuple[PlannedFile, ...]
    months: Ints
    buckets: Ints
    least: Ints
    most: Ints
    delete_files: tuple[DeleteFile, ...] = ()

    def select(self, buckets: Collection[int] | None, span: Span | None) -> tuple[PlannedFile, ...]:
        """The files that may hold rows of the tenants in these buckets within the span (None: any)."""
        wanted = np.ones(len(self.files), bool)
        if buckets is not None:
            wanted &= np.isin(self.buckets, np.array([*buckets, UNKNOWN], np.int64))
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
        self._deletes = lru_cache(MANIFESTS)(_read_entries)
        self._positions = Positions()

    def files(
        self, table: Table, layout: Layout, snapshot_id: int, tenants: Collection[str] | None, span: Span | None
    ) -> tuple[PlannedFile, ...]:
        """Raises NotFound where the snapshot has expired, Unsupported where it has delete files that aren't read."""
        index = self._snapshot(Source((snapshot_id, layout), table))
        if tenants is None or layout.tenant is None:
            return index.select(None, span)
        bucket = bucket_of(layout.buckets)
        return index.select({at for tenant in tenants if (at := bucket(tenant)) is not None}, span)

    def paths(self, table: Table, layout: Layout, manifest: ManifestFile) -> list[str]:
        """The files, of data or of deletes, that a manifest holds alive."""
        if manifest.content != ManifestContent.DATA:
            return [entry.data_file.file_path for entry in self._deletes(_source(manifest, table))]
        return [each.file.path for each in self._manifest(Source((manifest.manifest_path, layout), (manifest, table))).files]

    def delete_files(self, table: Table, layout: Layout) -> tuple[DeleteFile, ...]:
        """Those of the newest snapshot."""
        newest = table.metadata.current_snapshot_id
        return () if newest is None else self._snapshot(Source((newest, layout), table)).delete_files

    def positions(self, table: Table, file: PlannedFile) -> Ints:
        """The rows of the file that are deleted, in order. Raises Missing, StorageError where a delete file can't be read."""
        return self._positions.of(table.io, table.name()[-1], file.file.path, file.deletes)

    def named(self, table: Table, file: DeleteFile) -> Mapping[str, Ints]:
        """The rows that the delete file names, by the data file's path. Raises as `positions` does."""
        return self._positions.named(table.io, table.name()[-1], file)

    def _read_snapshot(self, source: "Source[tuple[int, Layout], Table]") -> FileIndex:
        (snapshot_id, layout), table = source.key, source.read_from
        snapshot = table.snapshot_by_id(snapshot_id)
        if snapshot is None:
            raise NotFound(f"The snapshot {snapshot_id} of {table.name()[-1]!r} has expired.", value=str(snapshot_id))
        live = [m for m in manifests_of(table, snapshot) if m.has_added_files() or m.has_existing_files()]
        data = [manifest for manifest in live if manifest.content == ManifestContent.DATA]
        index = _joined([self._manifest(Source((manifest.manifest_path, layout), (manifest, table))) for manifest in data])
        if len(data) == len(live):
            return index
        others = [manifest for manifest in live if manifest.content != ManifestContent.DATA]
        entries = [(each.manifest_path, entry) for each in others for entry in self._deletes(_source(each, table))]
        deletes = DeleteIndex(table.name()[-1], entries)
        files = tuple(replace(file, deletes=deletes.of(file.file.path, file.placed)) for file in index.files)
        return replace(index, files=files, delete_files=deletes.files)


Key = TypeVar("Key")
From = TypeVar("From")


@dataclass(frozen=True, slots=True)
class Source(Generic[Key, From]):
    """What is kept goes by `key` alone; `read_from` is only needed the first time."""

    key: Key
    read_from: From = field(compare=False)


def _source(manifest: ManifestFile, table: Table) -> Source[str, tuple[ManifestFile, Table]]:
    return Source(manifest.manifest_path, (manifest, table))


def _read_entries(source: Source[str, tuple[ManifestFile, Table]]) -> tuple[ManifestEntry, ...]:
    manifest, table = source.read_from
    return tuple(entries_of(manifest, table.io, table.name()[-1]))


def _read_manifest(source: Source[tuple[str, Layout], tuple[ManifestFile, Table]]) -> FileIndex:
    (path, layout), (manifest, table) = source.key, source.read_from
    spec = table.specs()[manifest.partition_spec_id]
    entries = entries_of(manifest, table.io, layout.table)
    files = [entry.data_file for entry in entries]
    placed = [Placed(entry.sequence_number or 0, spec.spec_id, entry.data_file.partition) for entry in entries]
    bounds = np.array([_bounds(file, layout) for file in files], np.int64).reshape(-1, 2)
    months = [_partition(file, spec, MonthTransform, NO_TIME, layout) for file in files]
    buckets = [_partition(file, spec, BucketTransform, UNKNOWN, layout) for file in files]
    return FileIndex(
        tuple(
            PlannedFile(_file(file, least, most), path, _only_tenant(file, layout), _is_timed(file, layout), month, bucket, where)
            for file, (least, most), month, bucket, where in zip(files, bounds.tolist(), months, buckets, placed, strict=True)
        ),
        np.array(months, np.int64),
        np.array(buckets, np.int64),
        bounds[:, 0],
        bounds[:, 1],
    )


def _file(file: IcebergFile, least: int, most: int) -> DataFile:
    known = least != UNKNOWN and most != NO_TIME
    return DataFile(file.file_path, file.record_count, file.file_size_in_bytes, least if known else None, most if known else None)


def _only_tenant(file: IcebergFile, layout: Layout) -> str | None:
    if layout.tenant is None:
        return None
    id_ = layout.field_id(layout.tenant)
    low, high = ((bounds or {}).get(id_) for bounds in (file.lower_bounds, file.upper_bounds))
    return None if low is None or low != high else str(from_bytes(StringType(), low))


def _is_timed(file: IcebergFile, layout: Layout) -> bool:
    return layout.time is not None and (file.null_value_counts or {}).get(layout.field_id(layout.time)) == 0


def _partition(file: IcebergFile, spec: PartitionSpec, transform: type, missing: int, layout: Layout) -> int:
    """By older partitions it isn't known where they counted buckets otherwise."""
    same = (field.transform for field in spec.fields)
    at = next((at for at, each in enumerate(same) if isinstance(each, transform) and _counts_alike(each, layout)), None)
    if at is None:
        return int(UNKNOWN)
    value = file.partition[at]
    return missing if value is None else int(value)


def _counts_alike(transform: object, layout: Layout) -> bool:
    return not isinstance(transform, BucketTransform) or transform.num_buckets == layout.buckets


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
    order = sorted(range(len(files)), key=lambda at: (columns[0][at], columns[1][at], files[at].file.path))
    months, buckets, least, most = (column[order] for column in columns)
    return FileIndex(tuple(files[at] for at in order), months, buckets, least, most)
