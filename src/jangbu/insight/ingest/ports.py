"""What a connector is: a plug-in of kind "connector" whose `open` returns a `Connector`.

A connector's file names only the kernel and the standard library at its top; it declares

    PLUGIN = Plugin(kind="connector", name="cafe24", summary="…", open=open_connector, extra="cafe24")
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from jangbu.insight.ingest.contracts import LoadMode, Person
from jangbu.kernel.discovery import Plugin, discover
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.lakehouse.ports import TimeRange

if TYPE_CHECKING:
    import pyarrow as pa

Progress: TypeAlias = Callable[[str, int, int | None], None]
"""Called with a data source's name, its rows so far, and how many there are in all, where that is known."""


@dataclass(frozen=True, slots=True)
class Stream:
    """The rows of one data source. `batches` is called once, and only if they are to be loaded: batches of the data source's
    columns without the tenant's. `content` says which rows these are (a file's hash and the version of what converts it), None
    where only reading them tells. `as_of` (aware): until when they are complete."""

    data_source: str
    batches: "Callable[[], Iterable[pa.RecordBatch]]"
    rows: int | None = None
    content: str | None = None
    as_of: datetime | None = None
    mode: LoadMode = LoadMode.REPLACE
    span: TimeRange | None = None
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delivery:
    """Rows of one tenant for a load of several tenants together: `content` says which they are, `batches` is called only where they
    have to be loaded. `span` and `as_of` as in `Ingest.load`."""

    tenant: TenantId
    batches: "Callable[[], pa.Table | Iterable[pa.RecordBatch]]"
    content: str
    span: TimeRange | None = None
    as_of: datetime | None = None


class Connector(Protocol):
    def streams(self) -> Iterable[Stream]:
        """What there is to load, in the order it should be."""


class Elsewhere(Protocol):
    """A place outside tables and database where something of a tenant, or of a customer (`person`), is kept. `unit` says what is
    counted, `method` how it is removed."""

    name: str
    unit: str
    method: str

    def count(self, tenant: TenantId, person: Person | None) -> int: ...

    def remove(self, tenant: TenantId, person: Person | None) -> int:
        """How many were removed; none where there are none."""


def connectors(folders: Iterable[Path] = ()) -> Mapping[str, Plugin]:
    """The connectors that ship with Jangbu and those of plug-in folders, by name."""
    return discover("connector", "jangbu.insight.ingest.connectors", folders)
