"""What the lakehouse has done by an engine on servers of its own, over the catalog that both share.

Such an engine changes no row of a table. What is to become rows it writes into a table that is made for it, whose files lie where
the real one's do; the lakehouse commits these files as any load's. So a commit has its run's marker, one that was given up can't
come late, and what the server still does for a process that has died comes to nothing. By its own commits it only replaces files by
others of the same rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, TypeAlias

from jangbu.kernel.tenancy import TenantId
from jangbu.platform.lakehouse.ports import TableColumn, TimeRange, Within

if TYPE_CHECKING:
    from jangbu.platform.engines.ports import CancelToken

Name: TypeAlias = tuple[str, str]
"""A table of the catalog: its namespace and what it is called there."""


@dataclass(frozen=True, slots=True)
class Joining:
    """How files are joined: those below `small_bytes`, at least `enough` of one partition, to files of about `target_bytes`; all
    that have rows deleted. `is_sorted`: the table says how its rows are sorted, and they shall be. `deletes`, `manifests`: files
    that say which rows are deleted, and manifests, are joined too."""

    small_bytes: int
    enough: int
    target_bytes: int
    is_sorted: bool
    deletes: bool
    manifests: bool


@dataclass(frozen=True, slots=True)
class Joined:
    """How many data files went and came."""

    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Alike:
    """The rows of `tenant` that agree in each of the columns `keys` with a row that is put in."""

    tenant: TenantId | None
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Area:
    """Whole partitions: those of these buckets (None: all), within `months`, half-open ranges of the time column in micros since
    1970 (None: all), and where `timeless` says so those of rows without a time."""

    tenant_column: str | None
    time: TableColumn | None
    bucket_count: int
    buckets: tuple[int, ...] | None
    months: tuple[tuple[int, int], ...] | None
    timeless: bool


@dataclass(frozen=True, slots=True)
class Staying:
    """The rows of a snapshot within an area but for those that `drop` means. `renamed` is there where the table's columns have
    changed: what the snapshot calls each, None for one that came later."""

    table: Name
    snapshot_id: int
    area: Area
    drop: "Within | Alike"
    renamed: Mapping[str, str | None] | None = None


@dataclass(frozen=True, slots=True)
class Filling:
    """What a table `into` is to hold: the rows of `source`, `constants` in the columns that it lacks, and those that stay."""

    into: Name
    columns: tuple[TableColumn, ...]
    source: Name | None = None
    constants: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    staying: Staying | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be known of the rows of `source` before they are put in: of times, and of the `keys` that tell them apart."""

    source: Name
    time: TableColumn | None
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """Rows; those without a time, and micros since 1970 of the first and last; those that lack a key, and keys that come more than
    once."""

    rows: int
    timeless: int = 0
    first: int | None = None
    last: int | None = None
    keyless: int = 0
    repeated: int = 0


class Maintainer(Protocol):
    """Every method may raise Unavailable (the server is away, or others changed the table meanwhile: nothing is half done),
    TimedOut, Cancelled and EngineError."""

    @property
    def name(self) -> str: ...

    def under(self, cancel: "CancelToken") -> "Maintainer":
        """The same, whose statements can be cancelled by the token, which is told how far they are."""

    def join(self, table: Name, how: Joining) -> Joined:
        """Join small files, in commits of its own that change no row. A change of the same files meanwhile wins."""

    def forget(self, table: Name, snapshots: Sequence[int]) -> None:
        """Forget these snapshots and remove, at once, the files that only they need."""

    def orphans(self, table: Name, before: datetime) -> frozenset[str]:
        """The files in the table's place that were written before then and that its metadata don't know. None is removed."""

    def look(self, question: Question) -> Seen: ...

    def fill(self, filling: Filling) -> None:
        """Put the rows into the empty table `into`, in its order.

        Raises:
            InvalidRequest: a value doesn't fit its column.
        """


@dataclass(frozen=True, slots=True)
class Backfill:
    """Rows of Parquet `files` that others wrote, for `tenant` (None: for a shared table), in the place of those that `drop` means
    (None: beside all). `span` is what they have to lie in."""

    files: tuple[str, ...]
    tenant: TenantId | None
    drop: "Within | Alike | None" = None
    span: TimeRange | None = None
