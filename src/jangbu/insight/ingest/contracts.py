"""What the ingest context tells the others: loads, and which version of the data there is."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from jangbu.kernel.tenancy import TenantId
from jangbu.platform.lakehouse.ports import TimeRange


class LoadMode(StrEnum):
    """`APPEND` adds rows. `REPLACE` puts rows in the place of all within a time range (or of all the tenant's)."""

    APPEND = "append"
    REPLACE = "replace"


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
    """`changed` is False where the same content had been loaded before and nothing was done."""

    run: str
    data_source: str
    tenant: TenantId | None
    rows: int
    version: int
    changed: bool


@dataclass(frozen=True, slots=True)
class TenantDataUpdated:
    """Event: version `version` of a tenant's data in a data source can be asked. `tenant` is None for shared tables."""

    tenant: TenantId | None
    data_source: str
    version: int
    schema_version: int = 1


@dataclass(frozen=True, slots=True)
class Load:
    """A completed load, as the history keeps it. `content` is the hash of its content, '' where that isn't known any more."""

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


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a recovery did with an intent that was left open: `finished` where its commit had happened, else it was dropped."""

    run: str
    data_source: str
    tenants: tuple[TenantId | None, ...]
    finished: bool
