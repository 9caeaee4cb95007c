"""The port of the database: units of work over SQLAlchemy Core connections, an outbox, and migrations.

    with database.transaction() as work:
        work.connection.execute(insert(loads).values(...))
        work.emit(TenantDataUpdated(...))

The unit of work is committed once, at the end of its block, and rolled back where the block raises; nobody else commits. What it
emits are outbox rows of the same transaction. A context's tables are its own (`<context>/tables.py`), all on one `METADATA`.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import Field, fields
from datetime import datetime
from typing import Any, ClassVar, Protocol

from sqlalchemy import Connection, insert

from jangbu.platform.database.schema import outbox


class Event(Protocol):
    """Something that happened: a frozen dataclass. Its class's name is the event's; `schema_version` counts changes of its form."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def schema_version(self) -> int: ...


class UnitOfWork:
    """One transaction that writes. `now` (aware, UTC) is when it began."""

    def __init__(self, connection: Connection, now: datetime) -> None:
        self.connection = connection
        self.now = now

    def emit(self, *events: Event) -> None:
        """Put events in the outbox; they leave if, and only if, this unit of work is committed."""
        if events:
            self.connection.execute(insert(outbox), list(self._rows(events)))

    def _rows(self, events: Iterable[Event]) -> Iterable[dict[str, Any]]:
        for event in events:
            payload = {field.name: getattr(event, field.name) for field in fields(event)}
            version = payload.pop("schema_version")
            yield {"name": type(event).__name__, "schema_version": version, "payload": payload, "created_at": self.now}


class Database(Protocol):
    def transaction(self) -> AbstractContextManager[UnitOfWork]:
        """A unit of work. It holds the write lock from its start, so what it reads stays true until it ends.

        Raises:
            Unavailable: another writer held the lock for longer than the database waits.
            RuntimeError: this thread is in a unit of work already.
        """

    def reading(self) -> AbstractContextManager[Connection]:
        """A connection that sees one state of the database and can't write. It neither waits for writers nor holds them up."""

    def migrate(self) -> None:
        """Bring the tables up to this release. Any number of processes may call it at once.

        Raises:
            ConfigurationError: the database was written by a newer release.
        """

    def close(self) -> None:
        """Give the connections back; the object can't be used afterwards."""
