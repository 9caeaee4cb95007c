"""The port of the lakehouse: tables of many tenants, changed by staged commits, read at pinned snapshots.

A change is three steps (docs/decisions: intents between catalog and database): `stage` writes files that nobody sees, `commit`
adds them, drops what they take the place of and leaves the run's marker, and the caller then records the new version in its
database. `find_run` lets a recovery tell whether a commit happened.

Each method may raise StorageError, where a file of the table is torn, damaged or gone (it is named), and Unavailable, where the
disk is full; then nothing was changed.

Upkeep (`compact`, `expire`, `collect`) changes how rows lie, never which there are.

Other engines may write the tables too. Rows that they delete by position files (Iceberg's merge-on-read, format 2) are in no answer
of these methods but `find_rows`, which looks for what lies on the disk.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, TypeAlias

from jangbu.kernel.tenancy import TenantId
from jangbu.kernel.types import FieldType

if TYPE_CHECKING:
    import pyarrow as pa

    from jangbu.platform.lakehouse.maintenance import Backfill, Maintainer


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
    `tenant_column` is None for a shared table. The tenant column is among `columns`, of which each name stands once.

    `renamed` tells how columns were called before (new name: old name), `dropped` which columns are to go: without these a table
    keeps a column that `columns` doesn't name, and new rows have null in it."""

    name: str
    columns: tuple[TableColumn, ...]
    tenant_column: str | None = "tenant"
    time_column: str | None = None
    renamed: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Half-open, of instants (aware) or of local timestamps and days (naive, at the wall clock)."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A table as it was at one commit. `snapshot_id` is None for a table without rows yet. Hashable: a key for caches. `handle`
    belongs to the adapter: with it the snapshot can be read though it was forgotten, for as long as its files stay."""

    table: str
    metadata_location: str
    snapshot_id: int | None
    handle: object = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class DataFile:
    """`time_min`, `time_max`: micros since 1970 (UTC or wall clock) of the table's time column, both included; None: unknown."""

    path: str
    rows: int
    bytes: int
    time_min: int | None = None
    time_max: int | None = None


@dataclass(frozen=True, slots=True)
class Foreign:
    """How files that others wrote are read as a schema: `casts` are the columns that they store as another type, `in_paths` those
    whose values stand in the files' paths (`name=value` folders). `alike`: each file has every other column, of one type; else a
    missing one is null."""

    casts: frozenset[str] = frozenset()
    in_paths: tuple[str, ...] = ()
    alike: bool = True


@dataclass(frozen=True, slots=True)
class Stored:
    """Where other engines find a snapshot's table in the catalog, and what the snapshot's own schema calls its columns, by field
    id: a column that the table got later isn't among them."""

    namespace: str
    name: str
    columns: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Deleted:
    """Rows that lie in some of a snapshot's files and aren't its own, as another engine deleted them by their positions. `files`
    are the paths of the data files, `by` is how many delete files name rows of them. `read` gives the rows: `path`, as in `files`,
    and `position`, from 0, in the file; it raises as the lakehouse's methods do."""

    files: frozenset[str]
    by: int
    read: "Callable[[], pa.Table]" = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class TableFiles:
    """The data files of a snapshot that may hold the asked rows, and which of their rows are `deleted` (None: none is). `schema` is
    what they are read as; `tenant_column` keeps the table's tenants apart (None: it is shared). `ids` are the Parquet field ids of
    the schema's columns; where the table has `evolved`, files may name or type them otherwise, or lack them, and are read by them.
    `foreign` is there where others wrote the files, `stored` where they belong to a table of the catalog."""

    snapshot: Snapshot
    files: tuple[DataFile, ...]
    schema: "pa.Schema"
    tenant_column: str | None = None
    ids: tuple[int, ...] = ()
    evolved: bool = False
    foreign: Foreign | None = None
    stored: Stored | None = None
    deleted: Deleted | None = None


@dataclass(frozen=True, slots=True)
class Staged:
    """Files written for one run and not yet committed. `handle` belongs to the adapter. The run's name may be set by
    `dataclasses.replace` before the commit."""

    table: str
    run: str
    rows: int
    handle: object


@dataclass(frozen=True, slots=True)
class Within:
    """The rows of `tenant` (None: of a shared table, every row) within `span` (None: at any time)."""

    tenant: TenantId | None
    span: TimeRange | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Keyed:
    """The rows that agree with one of `keys` in each of its columns; the tenant column is among them where the table has one. No
    key holds a null."""

    keys: "pa.Table"


Drop: TypeAlias = Within | Keyed


@dataclass(frozen=True, slots=True)
class Compaction:
    """What a compaction did: small files of one partition became few. `rows_deleted` are those that lay in these files though other
    engines had deleted them, and that the new files don't hold; `delete_files` went as they name no row any more."""

    files_before: int = 0
    files_after: int = 0
    rows: int = 0
    rows_deleted: int = 0
    delete_files: int = 0


@dataclass(frozen=True, slots=True)
class RowsFound:
    """What a search of every data file in a table's place found, whether a snapshot knows the file or not: matching `rows` in
    `files`, of `looked_at`. `unreadable` files are torn, or were being written."""

    rows: int
    files: int
    looked_at: int
    unreadable: int


@dataclass(frozen=True, slots=True)
class Purge:
    """How many `snapshots` were forgotten and `files` that held the rows removed, and what of the rows was `left` after it:
    none, unless others were writing them meanwhile; then it is to be done again."""

    snapshots: int
    files: int
    left: RowsFound


@dataclass(frozen=True, slots=True)
class TableState:
    """What a table weighs. `rows` are those that a question sees, `files` data files. `small_files` could be joined with others of
    their partition or hold deleted rows, `joinable_files` are worth being written anew. `delete_files` of other engines name rows
    as deleted. `metadata_bytes` lie on the disk and `retired_files`, of expired snapshots, wait for `collect`, where that was
    looked at. Sizes are in bytes."""

    table: str
    snapshots: int
    manifests: int
    files: int
    small_files: int
    joinable_files: int
    rows: int
    data_bytes: int
    metadata_bytes: int = 0
    retired_files: int = 0
    delete_files: int = 0


@dataclass(frozen=True, slots=True)
class Damage:
    """A live data or delete file, of so many `rows`, that isn't what was written; `said` is a sentence of what is wrong."""

    path: str
    rows: int
    said: str


@dataclass(frozen=True, slots=True)
class Verified:
    """How many live `files`, of data and of deletes, a table has, and which of them are damaged or gone."""

    table: str
    files: int
    damages: tuple[Damage, ...]


class Lakehouse(Protocol):
    def create(self, spec: TableSpec) -> None:
        """Make the table, or bring it to these columns: new ones are added (null in older rows), types widened, columns renamed
        and dropped as the spec says, all without rewriting a row.

        Raises:
            Conflict: it is there and differs in a way that can't be brought about without rewriting; says which.
        """

    def tables(self) -> tuple[str, ...]: ...

    def stage(self, table: str, batches: "Iterable[pa.RecordBatch] | pa.Table", run: str) -> Staged:
        """Write data files, sorted by (tenant, time), that no reader sees yet. Columns that the batches lack are null.

        Raises:
            LoadError: columns are unknown or of another type; names them.
            Unavailable: the files couldn't be written, as where the disk is full. Nothing is left behind.
        """

    def join(self, staged: Sequence[Staged], run: str) -> Staged:
        """What was staged for one table apart, as one run."""

    def commit(self, staged: Staged, drops: Sequence[Drop] = ()) -> Snapshot:
        """In one snapshot, drop the rows that `drops` say and add the staged files, with the run's marker in its summary.

        A file that is written anew leaves out the rows that other engines have deleted in it; delete files that name no row after
        that go with it. Rows that `drops` say are taken out of files though they are deleted already.

        A run is committed once: where its marker is in the table already, however shortly before, nothing is changed, and its
        snapshot returned.

        Raises:
            Conflict: the run was given up; nothing is changed.
            Unavailable: others kept changing the table.
            Unsupported: another engine has put the table into a form that isn't written here; says how to mend it.
        """

    def give_up(self, table: str, run: str) -> bool:
        """Whether the run isn't in the table: then it can't be committed any more, though it be in the midst of it."""

    def discard(self, staged: Staged) -> None:
        """Remove staged files that were not committed."""

    def find_run(self, table: str, run: str) -> Snapshot | None:
        """The snapshot that carries the run's marker, or None."""

    def current(self, table: str) -> Snapshot:
        """The newest snapshot.

        Raises:
            NotFound: there is no such table.
        """

    def files(self, snapshot: Snapshot, tenants: tuple[TenantId, ...] | None, span: TimeRange | None) -> TableFiles:
        """The files that may hold rows of `tenants` within `span`, pruned by partitions and bounds. Warm calls don't read
        manifests again.

        Raises:
            NotFound: the snapshot has expired.
            Unsupported: it has equality delete files, which aren't read.
        """

    def state(self, table: str, *, on_disk: bool = False) -> TableState:
        """What the table weighs; what lies on the disk is looked at only where it is asked for, as that takes a listing."""

    def compact(self, table: str, *, whole: bool = False, by: "Maintainer | None" = None) -> Compaction:
        """Join small files of each partition, sorted: where there are enough of like size, or (`whole`) wherever there are two.
        Files of which other engines have deleted many rows, or (`whole`) any, are written anew without these, and delete files that
        name no row after that go. Safe beside loads and other engines: where one took a file or rows of it away meanwhile, they
        aren't brought back. `by` whom: by this process, or by an engine."""

    def expire(
        self,
        table: str,
        *,
        keep: int,
        runs: "Callable[[], Collection[str]]" = tuple,
        now: datetime | None = None,
        by: "Maintainer | None" = None,
        retired: timedelta = timedelta(days=1),
    ) -> int:
        """Forget all but the last `keep` snapshots, those of `runs` (open intents, asked for once it is known what there is to
        forget). The number that went. Files that only they held are retired: they stay for
        `collect`, as questions may be reading them. Those of snapshots that others followed `retired` ago are removed with them
        where it is done `by` an engine."""

    def collect(
        self,
        table: str,
        *,
        retired: timedelta,
        orphaned: timedelta,
        now: datetime | None = None,
        by: "Maintainer | None" = None,
    ) -> int:
        """Remove the files that were retired at least `retired` ago, and those that were written at least `orphaned` ago and belong
        to nothing: a load was killed before its commit. The number removed. `by` an engine: it lists the table's place."""

    def backfill(self, table: str, what: "Backfill", run: str, by: "Maintainer") -> Staged:
        """Have the engine write the rows of files that others wrote, and those that stay beside them, into data files that no
        reader sees yet. Their commit fails (Conflict) where what they take the place of was changed meanwhile.

        Raises:
            LoadError: the files don't fit the table, or what is said of them isn't so. Nothing is left behind.
        """

    def rows(self, snapshot: Snapshot, drop: Drop) -> "Iterator[pa.Table]":
        """The snapshot's rows that `drop` means, file by file, in the table's columns of today.

        Raises:
            NotFound: the snapshot has expired.
        """

    def purge(
        self, table: str, drops: Sequence[Drop], *, runs: "Callable[[], Collection[str]]" = tuple, now: datetime | None = None
    ) -> Purge:
        """After a commit dropped the rows that `drops` say: forget every older snapshot at once, and remove every file that holds
        one of the rows, retired or staged files included. What is current is unharmed. A question that is reading an older snapshot
        may fail; a load that has staged such rows fails at its commit (Conflict). What was given up stays so.

        Raises:
            Conflict: such rows are in the newest snapshot, or came to it meanwhile: drop them first.
            Unavailable: a run of `runs` (open intents) has a marker in the table; nothing was changed.
        """

    def told_of(self, files: Sequence[str]) -> tuple[tuple[str, int, datetime], ...]:
        """Of files that others wrote, within the lakehouse's reach: their places, bytes, and when they were written (UTC).

        Raises:
            NotFound: one isn't there.
        """

    def find_rows(self, table: str, drops: Sequence[Drop]) -> RowsFound:
        """Count the rows that `drops` say in every data file in the table's place, deleted ones too, and in the rows that delete
        files repeat. Of each it reads the columns that tell."""

    def verify(self, table: str) -> Verified:
        """Read every live data file, checksums and all. Files written before there were checksums are only read."""

    def root(self) -> str:
        """The folder (or prefix) below which all data files lie."""

    def close(self) -> None: ...
