"""The port of tables that others write: looked at where they lie, never changed, read at the state that was seen.

Errors name the data source, never a path: they reach API clients. The path is a note of the error, for `catalog check` and the log.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from jangbu.kernel.errors import CatalogError
from jangbu.platform.lakehouse.ports import TableColumn, TableFiles, TimeRange

if TYPE_CHECKING:
    import pyarrow as pa

    from jangbu.kernel.tenancy import TenantId


@dataclass(frozen=True, slots=True)
class Shape:
    """What a definition says of a table: its columns, which of them keeps tenants apart (None: shared) and which is its time."""

    columns: tuple[TableColumn, ...]
    tenant: str | None = None
    time: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A table as it was when it was looked at. `fingerprint` is another one whenever the rows may be others; `as_of` (aware, UTC)
    is when they were written. `handle` belongs to the adapter."""

    fingerprint: str
    as_of: datetime
    handle: object


class OutsideTable(Protocol):
    def look(self) -> Look:
        """The table as it now is.

        Raises:
            ConfigurationError: it doesn't lie below the folders that may be read.
            Unavailable: it isn't there, is just being written, or is broken.
        """

    def stored(self, look: Look) -> "pa.Schema":
        """Every column as it is stored; one that stands in the files' paths is text."""

    def mistakes(self, look: Look) -> Iterator[tuple[str, CatalogError]]:
        """(column, mistake) for each of the shape that isn't there, or is of a type that isn't converted to the shape's."""

    def files(self, look: Look, tenants: "tuple[TenantId, ...] | None", span: TimeRange | None, /) -> TableFiles:
        """The files that may hold rows of `tenants` within `span` of the shape's time.

        Raises:
            CatalogError: the first of the mistakes.
            Unsupported: the table has equality delete files.
            Unavailable: what was seen isn't there any more.
        """

    def stands(self, look: Look) -> bool:
        """Whether what was seen is still there as it was."""
