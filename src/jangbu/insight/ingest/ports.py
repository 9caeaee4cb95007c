"""What a connector is: a plug-in of kind "connector" whose `open` returns a `Connector`.

A connector's file names only the kernel and the standard library at its top; it declares

    PLUGIN = Plugin(kind="connector", name="cafe24", summary="…", open=open_connector, extra="cafe24")
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TypeAlias

from jangbu.insight.ingest.contracts import LoadMode
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


class Connector(Protocol):
    def streams(self) -> Iterable[Stream]:
        """What there is to load, in the order it should be."""
