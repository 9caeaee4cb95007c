"""Iceberg tables that others write, by their metadata: read through PyIceberg, which is shown nothing outside the folders."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TypeVar

import pyarrow as pa
from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO, schema_to_pyarrow
from pyiceberg.partitioning import PartitionField
from pyiceberg.schema import Schema
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import Table
from pyiceberg.transforms import BucketTransform, MonthTransform
from pyiceberg.types import DateType, IcebergType, NestedField, StringType, TimestampType, TimestamptzType

from jangbu.kernel.errors import CatalogError, JangbuError, NotFound, Unavailable, Unsupported
from jangbu.kernel.tenancy import TenantId
from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.ports import DataFile, Foreign, Snapshot, TableFiles, TimeRange
from jangbu.platform.lakehouse.tables.deleting import deleted
from jangbu.platform.lakehouse.tables.layout import BUCKETS, Layout
from jangbu.platform.lakehouse.tables.planning import PlannedFile, Planner
from jangbu.platform.lakehouse.tables.spans import span_of
from jangbu.platform.outside import columns
from jangbu.platform.outside.bounds import with_bounds
from jangbu.platform.outside.folders import Folders
from jangbu.platform.outside.ports import Look, Shape

_TIMES: Final = {FieldType.INSTANT: TimestamptzType(), FieldType.LOCAL: TimestampType(), FieldType.DATE: DateType()}
_NAME_MAPPING: Final = "schema.name-mapping.default"
"""A table with it has files whose columns carry no field ids."""
T = TypeVar("T")
_KEPT: Final = 100_000
"""Paths of data files that were found to lie below the folders."""


class IcebergTable:
    """See `OutsideTable`. `pointer` tells where the newest metadata are."""

    def __init__(self, name: str, pointer: Callable[[], str], folders: Folders, shape: Shape) -> None:
        self._name, self._pointer, self._folders, self._shape = name, pointer, folders, shape
        self._planner = Planner()
        self._inside = lru_cache(_KEPT)(lambda path: folders.data_file(name, path))

    def look(self) -> Look:
        location = self._pointed()
        path = self._folders.local(self._name, location)
        try:
            table = self._read(path)
        except JangbuError:
            raise
        except (OSError, ValueError) as error:  # pydantic's and Arrow's are ValueErrors
            raise self._unavailable("Its metadata are being written, or are broken", path) from error
        snapshot = table.current_snapshot()
        millis = snapshot.timestamp_ms if snapshot is not None else table.metadata.last_updated_ms
        parts = (location, str(table.metadata.table_uuid), str(snapshot.snapshot_id if snapshot is not None else None))
        self._inside.cache_clear()
        return Look(sha256("\0".join(parts).encode()).hexdigest(), datetime.fromtimestamp(millis / 1000, UTC), table)

    def stored(self, look: Look) -> pa.Schema:
        return pa.schema([_arrow(field) for field in _table(look).schema().fields if not field.field_type.is_struct])

    def mistakes(self, look: Look) -> Iterator[tuple[str, CatalogError]]:
        return columns.mistakes(self._name, self.stored(look), self._shape.columns)

    def files(self, look: Look, tenants: tuple[TenantId, ...] | None, span: TimeRange | None) -> TableFiles:
        table = _table(look)
        stored = self.stored(look)
        columns.check(self.mistakes(look))
        layout = _layout(table, self._shape)
        self._check_ids(table, layout)
        found = self._planned(table, layout, tenants, span)
        snapshot = Snapshot(self._name, table.metadata_location, table.metadata.current_snapshot_id)
        foreign = Foreign(columns.casts(stored, self._shape.columns))
        files = with_bounds([self._local(each.file) for each in found])
        gone = deleted(table, self._planner, found, self._inside)
        if gone is not None:
            gone = replace(gone, read=self._reading(table, gone.read))
        return TableFiles(
            snapshot, files, layout.arrow, ids=layout.field_ids, evolved=layout.evolved, foreign=foreign, deleted=gone
        )

    def stands(self, look: Look) -> bool:
        """Iceberg's files never change; where the metadata are gone, so may be the files."""
        return Path(_table(look).metadata_location).exists()

    def _pointed(self) -> str:
        try:
            return self._pointer()
        except OSError as error:
            raise self._unavailable("Its metadata aren't there", str(error.filename)) from error

    def _read(self, path: str) -> Table:
        io = _BoundIO(self._name, self._folders)
        metadata = FromInputFile.table_metadata(io.new_input(path))
        return Table(("outside", self._name), metadata, path, io, NoopCatalog("outside"))

    def _planned(
        self, table: Table, layout: Layout, tenants: tuple[TenantId, ...] | None, span: TimeRange | None
    ) -> Sequence[PlannedFile]:
        snapshot = table.metadata.current_snapshot_id
        if snapshot is None:
            return ()
        fits = _fits(table, layout)
        within = span_of(span, layout, self._name) if fits and span is not None and layout.time is not None else None
        found = self._reading(table, lambda: self._planner.files(table, layout, snapshot, tenants if fits else None, within))()
        return [file for file in found if tenants is None or file.tenant is None or file.tenant in tenants]

    def _reading(self, table: Table, read: Callable[[], T]) -> Callable[[], T]:
        """It raises Unavailable where files of the snapshot are gone."""

        def tried() -> T:
            try:
                return read()
            except (OSError, NotFound) as error:
                raise self._unavailable("Files of its snapshot are gone", table.metadata_location) from error

        return tried

    def _check_ids(self, table: Table, layout: Layout) -> None:
        """Raises Unsupported where columns have changed and the files don't surely hold the ids to tell them by."""
        if layout.evolved and _NAME_MAPPING in table.properties:
            raise Unsupported(
                f"The columns of {self._name!r} have changed, and its files may lack the field ids to tell them by.",
                hint="Rewrite its data files.",
            )

    def _local(self, file: DataFile) -> DataFile:
        if not file.path.endswith(".parquet"):
            error = Unsupported(f"{self._name!r} has data files that aren't Parquet.", value=self._name)
            error.add_note(file.path)
            raise error
        return DataFile(self._inside(file.path), file.rows, file.bytes, file.time_min, file.time_max)

    def _unavailable(self, what: str, path: str) -> JangbuError:
        error = Unavailable(f"{self._name!r} can't be read now. {what}.", retry_after=5)
        error.add_note(path)
        return error


class _BoundIO(PyArrowFileIO):
    """Reads below the folders; nothing here writes."""

    def __init__(self, name: str, folders: Folders) -> None:
        super().__init__()
        self._name, self._folders = name, folders

    def new_input(self, location: str) -> PyArrowFile:
        return super().new_input(self._folders.local(self._name, location))


def _table(look: Look) -> Table:
    if not isinstance(look.handle, Table):
        raise TypeError("This is a look at another kind of table.")
    return look.handle


def _arrow(field: NestedField) -> "pa.Field[Any]":
    return pa.field(field.name, schema_to_pyarrow(Schema(field), include_field_ids=False).field(0).type)


def _layout(table: Table, shape: Shape) -> Layout:
    """The layout of the shape's columns. Tenant and time count only where they are stored as what they are read as: bounds and
    buckets are of what is stored."""
    schema = table.schema()
    fields = {field.name.casefold(): field for field in schema.fields}
    stored: dict[str | None, IcebergType] = {column.name: fields[column.name.casefold()].field_type for column in shape.columns}
    time = next((column for column in shape.columns if column.name == shape.time), None)
    timed = time is not None and stored[time.name] == _TIMES.get(time.type)
    return Layout(
        table.name()[-1],
        shape.columns,
        shape.tenant if stored.get(shape.tenant) == StringType() else None,
        shape.time if timed else None,
        time.type if time is not None and timed else None,
        next(
            (field.transform.num_buckets for field in _partitions(table) if isinstance(field.transform, BucketTransform)), BUCKETS
        ),
        tuple(fields[column.name.casefold()].field_id for column in shape.columns),
        len(table.metadata.schemas) > 1,
    )


def _fits(table: Table, layout: Layout) -> bool:
    """Whether every partition by bucket is of the tenant, and every one by month of the time, so that the planner's reading of them
    is right. Others are of no account to it."""
    ids = dict(zip((column.name for column in layout.columns), layout.field_ids, strict=True))
    wanted = {BucketTransform: ids.get(layout.tenant or ""), MonthTransform: ids.get(layout.time or "")}
    parts = [field for field in _partitions(table) if type(field.transform) in wanted]
    buckets = {field.transform.num_buckets for field in parts if isinstance(field.transform, BucketTransform)}
    return len(buckets) <= 1 and all(field.source_id == wanted[type(field.transform)] for field in parts)


def _partitions(table: Table) -> list[PartitionField]:
    return [field for spec in table.specs().values() for field in spec.fields]
