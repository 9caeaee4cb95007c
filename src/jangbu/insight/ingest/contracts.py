"""What the ingest context tells the others: loads, and which version of the data there is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from jangbu.insight.ingest.events import CustomerErased, TenantDataUpdated, TenantErased
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.lakehouse.ports import TimeRange

if TYPE_CHECKING:
    from jangbu.platform.lakehouse.maintenance import Maintainer

__all__ = ["CustomerErased", "DataVersion", "Load", "LoadMode", "LoadResult", "Recovered", "TenantDataUpdated", "TenantErased"]


class LoadMode(StrEnum):
    """`APPEND` adds rows. `REPLACE` puts rows in the place of all within a time range (or of all the tenant's). `MERGE` puts each
    row in the place of those that agree with it in the key columns, or adds it where there are none. `ERASE` takes a customer's
    rows away, or puts them back without what is personal; only erasures do that."""

    APPEND = "append"
    REPLACE = "replace"
    MERGE = "merge"
    ERASE = "erase"


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that can't be loaded. `number` counts from 1 in what was read; `column` and `value` (as text) are what is wrong with
    it, None where it is the row as a whole; `reason` is a stable code; `payload` is the row as it came, in JSON's types."""

    number: int
    column: str | None
    reason: str
    value: str | None
    payload: Mapping[str, Any]


class QuarantineState(StrEnum):
    """`WAITING` may be replayed; `REPLAYED` was loaded after all; `SUPERSEDED`: a later load took the place of what it belongs to;
    `DISMISSED`: somebody decided that it isn't wanted."""

    WAITING = "waiting"
    REPLAYED = "replayed"
    SUPERSEDED = "superseded"
    DISMISSED = "dismissed"


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """A bad row as it is kept aside, of the load `run`."""

    id: int
    tenant: TenantId | None
    data_source: str
    run: str
    row: BadRow
    state: QuarantineState
    set_aside_at: datetime
    settled_at: datetime | None


@dataclass(frozen=True, slots=True)
class DataVersion:
    """The data of a tenant in a data source: version n is what the n-th completed load left. `as_of` (aware, UTC) is until when
    it is loaded: the end of the loaded range where there is one, else the time of the load."""

    tenant: TenantId | None
    data_source: str
    version: int
    as_of: datetime


@dataclass(frozen=True, slots=True)
class LoadResult:
    """`changed` is False where the same content had been loaded before and nothing was done. `bad` rows were set aside, `repeated`
    ones had the key of a later row of the same load; neither is among `rows`."""

    run: str
    data_source: str
    tenant: TenantId | None
    rows: int
    version: int
    changed: bool
    bad: int = 0
    repeated: int = 0


@dataclass(frozen=True, slots=True)
class Load:
    """A completed load, as the history keeps it. `content` is the hash of its content; `keys` are the key columns of a merge; `bad`
    and `repeated` as in `LoadResult`."""

    run: str
    tenant: TenantId | None
    data_source: str
    mode: LoadMode
    span: TimeRange | None
    content: str
    rows: int
    version: int
    as_of: datetime
    started_at: datetime
    completed_at: datetime
    keys: tuple[str, ...] = ()
    bad: int = 0
    repeated: int = 0


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did: `load` is None where no row fitted; `left` rows wait on."""

    load: LoadResult | None
    left: int


@dataclass(frozen=True, slots=True)
class Upkept:
    """What upkeep did to a table: so many small files became so many, snapshots were forgotten, files removed. `rows_deleted` lay
    in these files, deleted by other engines, and don't any more; `delete_files` that said so went."""

    table: str
    files_before: int
    files_after: int
    rows: int
    snapshots_expired: int
    files_removed: int
    rows_deleted: int = 0
    delete_files: int = 0


@dataclass(frozen=True, slots=True)
class KeptElsewhere:
    """Who keeps tables of at least `least_bytes`, in this process's place; `maintainer` is asked for when there is such a one."""

    maintainer: "Callable[[], Maintainer]"
    least_bytes: int


class LoadState(StrEnum):
    """Loads that are done are `Load`s, in the history; those that go on and those that failed are `Attempt`s."""

    DONE = "done"
    RUNNING = "running"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A load that goes on, or that failed. `rows` is how far it has come, `total` how many there are, where that is known."""

    id: str
    tenant: TenantId | None
    data_source: str
    mode: LoadMode
    state: LoadState
    rows: int
    total: int | None
    error: str | None
    started_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a recovery did with an intent that was left open: `finished` where its commit had happened, else it was dropped."""

    run: str
    data_source: str
    tenants: tuple[TenantId | None, ...]
    finished: bool


@dataclass(frozen=True, slots=True)
class Person:
    """A customer, by the `value` of an identity `subject` that data sources declare."""

    subject: str
    value: str


@dataclass(frozen=True, slots=True)
class Found:
    """A place that was looked at: how many rows, files or entries (`unit`) there were `before`, were `removed` and are there
    `after`; `method` says how. What lies there for other reasons (older snapshots, files) has no `after`."""

    place: str
    unit: str
    before: int
    removed: int
    after: int | None
    method: str


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erasure as it is kept. `report` is the proof, None while it isn't done."""

    id: str
    tenant: TenantId
    subject: str | None
    keep_rows: bool
    asked_by: str
    asked_at: datetime
    ended_at: datetime | None
    report: Mapping[str, Any] | None
