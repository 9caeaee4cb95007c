"""The port of the lakehouse: tables of many tenants, changed by staged commits, read at pinned snapshots.

A change is three steps (docs/decisions: intents between catalog and database): `stage` writes files that nobody sees, `append` or
`replace` commits them with the run's marker, and the caller then records the new version in its database. `find_run` lets a
recovery tell whether a commit happened.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from jangbu.kernel.tenancy import TenantId
from jangbu.kernel.types import FieldType

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A physical column. Decimals are decimal(18,4) unless `precision`, `scale` say otherwise."""

    name: str
    type: FieldType
    precision: int = 18
    scale: int = 4


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A table: partitioned by month(`time_column`) and bucket(16, `tenant_column`) where it has them, sorted by both.
    `tenant_column` is None for a shared table. Column order is the table's order; the tenant column is among `columns`."""

    name: str
    columns: tuple[TableColumn, ...]
    tenant_column: str | None = "tenant"
    time_column: str | None = None


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Half-open, of instants (aware) or of local timestamps and days (naive, at the wall clock)."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A table as it was at one commit. `snapshot_id` is None for a table without rows yet. Hashable: a key for caches."""

    table: str
    metadata_location: str
    snapshot_id: int | None


@dataclass(frozen=True, slots=True)
class DataFile:
    """`time_min`, `time_max`: micros since 1970 (UTC or wall clock) of the table's time column, both included; None: unknown."""

    path: str
    rows: int
    bytes: int
    time_min: int | None = None
    time_max: int | None = None


@dataclass(frozen=True, slots=True)
class TableFiles:
    """The data files of a snapshot that may hold the asked rows; none has delete files. `schema` is what they are read as;
    `tenant_column` keeps the table's tenants apart (None: it is shared)."""

    snapshot: Snapshot
    files: tuple[DataFile, ...]
    schema: "pa.Schema"
    tenant_column: str | None = None


@dataclass(frozen=True, slots=True)
class Staged:
    """Files written for one run and not yet committed. `handle` belongs to the adapter.

    `run` and `attempt` may be set by `dataclasses.replace` before the commit: which run it is may only be known once the rows were
    seen. `attempt` tells one try of a run from another (see `give_up`); '' is one that nobody gives up."""

    table: str
    run: str
    rows: int
    handle: object
    attempt: str = ""


class Lakehouse(Protocol):
    def create(self, spec: TableSpec) -> None:
        """Make the table, or find that it is there with these columns.

        Raises:
            Conflict: it is there with other columns; says which.
        """

    def tables(self) -> tuple[str, ...]: ...

    def stage(self, table: str, batches: "Iterable[pa.RecordBatch] | pa.Table", run: str) -> Staged:
        """Write data files, sorted by (tenant, time), that no reader sees yet.

        Raises:
            LoadError: columns are missing, unknown or of another type; names them.
        """

    def append(self, staged: Staged) -> Snapshot:
        """Commit the staged files, with the run's marker in the snapshot's summary.

        A run is committed once: where its marker is in the table already, however shortly before, nothing is changed, and its
        snapshot returned. The same goes for `replace`.

        Raises:
            Conflict: the attempt was given up; nothing is changed.
        """

    def replace(self, staged: Staged, tenant: TenantId | None, span: TimeRange | None) -> Snapshot:
        """In one commit, drop the rows of `tenant` (every row of a shared table) within `span` (None: at any time) and add the
        staged files; both snapshots that this makes carry the marker. As `append` otherwise."""

    def give_up(self, table: str, run: str, attempt: str) -> bool:
        """Whether the run isn't in the table: then this attempt of it can't commit any more, though it be in the midst of it."""

    def discard(self, staged: Staged) -> None:
        """Remove staged files that were not committed."""

    def find_run(self, table: str, run: str) -> Snapshot | None:
        """The last snapshot that carries the run's marker, or None."""

    def current(self, table: str) -> Snapshot:
        """The newest snapshot.

        Raises:
            NotFound: there is no such table.
        """

    def files(self, snapshot: Snapshot, tenants: tuple[TenantId, ...] | None, span: TimeRange | None) -> TableFiles:
        """The files that may hold rows of `tenants` within `span`, pruned by partitions and bounds. Warm calls don't read
        manifests again."""

    def root(self) -> str:
        """The folder (or prefix) below which all data files lie."""

    def close(self) -> None: ...
