"""The port of the database: units of work over SQLAlchemy Core connections, an outbox, and migrations.

    with database.transaction() as work:
        work.connection.execute(insert(loads).values(...))
        work.emit(TenantDataUpdated(...))
        work.send(RecoverLoads())

The unit of work is committed once, at the end of its block, and rolled back where the block raises; nobody else commits. What it
emits and sends are outbox rows of the same transaction, which a relay takes to the queues (`jangbu.platform.queues`). A context's
tables are its own (`<context>/tables.py`), all on one `METADATA`.
"""

from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol
from uuid import uuid4

from sqlalchemy import Connection, insert, select

from jangbu.kernel.handlers import Context
from jangbu.kernel.messages import Command, Event, Message, payload_of
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.database.schema import inbox, outbox
from jangbu.platform.telemetry import tracing


class UnitOfWork:
    """One transaction that writes. `now` (aware, UTC) is when it began."""

    def __init__(self, connection: Connection, now: datetime) -> None:
        self.connection = connection
        self.now = now

    def emit(self, *events: Event) -> None:
        """Put events in the outbox; they leave if, and only if, this unit of work is committed."""
        self._put("event", events)

    def send(self, *commands: Command) -> None:
        """The same for commands."""
        self._put("command", commands)

    def first_time(self, context: Context[Any]) -> bool:
        """Whether this handler does this message for the first time. What else the unit of work does is committed together with the
        note of it, so that a message which comes again finds it: its effect is there once."""
        key = {"handler": context.handler, "message": context.message}
        if self.connection.execute(select(inbox.c.done_at).filter_by(**key)).first():
            return False
        self.connection.execute(insert(inbox).values(**key, done_at=self.now))
        return True

    def _put(self, kind: str, messages: Iterable[Message]) -> None:
        trace = tracing.context() if messages else None
        rows = [
            {
                "message": uuid4().hex,
                "kind": kind,
                "name": type(message).__name__,
                "schema_version": message.schema_version,
                "payload": payload_of(message),
                "trace": trace,
                "created_at": self.now,
            }
            for message in messages
        ]
        if rows:
            self.connection.execute(insert(outbox), rows)


class Database(Protocol):
    def transaction(self, only: Collection[TenantId] | None = None) -> AbstractContextManager[UnitOfWork]:
        """A unit of work. It holds the write lock from its start, so what it reads stays true until it ends, and numbers are given
        in the order of commits. `only`: as `reading`; it can write nothing that is another's, or shared.

        Raises:
            Unavailable: another writer held the lock for longer than the database waits, or it can't be reached. Where that comes
                of the commit, it may have been made or not: look, and never do it again blindly.
            RuntimeError: this thread is in a unit of work already.
        """

    def reading(self, only: Collection[TenantId] | None = None) -> AbstractContextManager[Connection]:
        """A connection that sees one state of the database and can't write. It neither waits for writers nor holds them up.

        `only` names the tenants that it is for: where the database can (PostgreSQL), their rows and shared ones are all that it
        sees, whatever is asked. None is for what works over all tenants.

        Raises:
            Unavailable: the database can't be reached, or has no connection free for longer than is waited.
        """

    def migrate(self) -> None:
        """Bring the tables up to this release. Any number of processes may call it at once.

        Raises:
            ConfigurationError: the database was written by a newer release.
        """

    def scrub(self) -> None:
        """See to it that what was deleted is gone from the database's files too, not only from its tables.

        Raises:
            Unavailable: somebody kept reading an older state of the database; to be tried again.
        """

    def close(self) -> None:
        """Give the connections back; the object can't be used afterwards."""
