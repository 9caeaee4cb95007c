"""What the databases that are servers have in common: pools, one writer at a time, connections that were lost.

Each process writes over one connection, for which its threads queue; those of all processes queue for a lock that the server holds
for the transaction. Every wait ends: for a connection, a lock, a statement, and for a server that stands still.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from jangbu.kernel.clock import Clock, SystemClock
from jangbu.kernel.errors import JangbuError, Unavailable
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.database import upgrade
from jangbu.platform.database.ports import UnitOfWork

CONNECT_WITHIN: Final = 5
"""Seconds for a new connection."""
GRACE: Final = 5
"""Seconds beyond its patience for which a server may be silent before its connection is given up."""
AGAIN_IN: Final = 2
"""Seconds after which it is worth another try."""


class Silent(Exception):
    """A server that has a connection and says nothing over it."""


class ServerDatabase(ABC):
    """`patience` is how many seconds are waited for a lock, for a connection of the pool, and for a statement; `connections` how
    many of a process may read at once (one more writes)."""

    def __init__(self, clock: Clock | None = None, *, patience: float = 30.0, connections: int = 10) -> None:
        self._clock = clock or SystemClock()
        self._patience = patience
        self._mine = threading.local()
        self._writer, self._readers = self._engine(1), self._engine(connections)

    @contextmanager
    def transaction(self, only: Collection[TenantId] | None = None) -> Iterator[UnitOfWork]:
        if getattr(self._mine, "busy", False):
            raise RuntimeError("A unit of work is open in this thread already; end it, or hand it on.")
        self._mine.busy = True
        try:
            with self._begun(self._writer, lambda connection: self._begin(connection, only)) as connection:
                yield UnitOfWork(connection, self._clock.now())
        finally:
            self._mine.busy = False

    @contextmanager
    def reading(self, only: Collection[TenantId] | None = None) -> Iterator[Connection]:
        with self._connected(self._readers, lambda connection: self._begin_reading(connection, only)) as connection:
            yield connection

    def migrate(self) -> None:
        with self.reading() as connection:
            is_current = upgrade.is_current(connection)
        if not is_current:
            self._upgrade()
        self._look_around()

    def close(self) -> None:
        self._writer.dispose()
        self._readers.dispose()

    # What each server does in its own way

    @abstractmethod
    def scrub(self) -> None: ...

    @property
    @abstractmethod
    def _driver(self) -> str:
        """SQLAlchemy's name of dialect and driver."""

    @abstractmethod
    def _open(self) -> Any:
        """A new connection of the driver, which begins no transaction by itself."""

    @abstractmethod
    def _begin(self, connection: Connection, only: Collection[TenantId] | None) -> None:
        """Begin a transaction that holds the writers' lock."""

    @abstractmethod
    def _begin_reading(self, connection: Connection, only: Collection[TenantId] | None) -> None:
        """Begin a transaction that sees one state and can't write."""

    def _ended(self, connection: Connection) -> None:  # noqa: ARG002 - not every server needs to be told
        """The writer's transaction has ended, well or not."""
        return

    @abstractmethod
    def _upgrade(self) -> None:
        """Run the migrations, with no limit to their time."""

    def _look_around(self) -> None:
        """Warn of what isn't as it should be, or refuse it."""
        return

    @abstractmethod
    def _said(self, error: BaseException, *, reads: bool) -> JangbuError | None:
        """Ours for what isn't a mistake of the statement's."""

    # Connections

    def _engine(self, connections: int) -> Engine:
        engine = create_engine(
            f"{self._driver}://",
            creator=self._open,
            poolclass=QueuePool,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=self._patience,
            hide_parameters=True,
            **self._options(),
        )
        event.listen(engine, "handle_error", self._told)
        return engine

    def _options(self) -> dict[str, Any]:
        """What else SQLAlchemy's engine is to be told."""
        return {}

    def _told(self, context: ExceptionContext) -> None:
        """Every statement's, every commit's and every new connection's failure comes by here."""
        error = context.original_exception
        if self._is_lost(error):
            context.is_disconnect = True
        if said := self._said(error, reads=context.engine is self._readers):
            raise said from error

    @abstractmethod
    def _is_lost(self, error: BaseException) -> bool:
        """Whether the connection can't be used after this."""

    @contextmanager
    def _begun(self, engine: Engine, begin: Callable[[Connection], None]) -> Iterator[Connection]:
        with self._connected(engine, begin) as connection:
            try:
                yield connection
            except BaseException:
                # Where the connection is lost the server rolls back by itself; what went wrong is to be told, not that.
                with suppress(JangbuError, DBAPIError):
                    connection.rollback()
                raise
            else:
                self._commit(connection)
            finally:
                if not connection.invalidated:
                    with suppress(JangbuError, DBAPIError):
                        self._ended(connection)

    def _commit(self, connection: Connection) -> None:
        try:
            connection.commit()
        except Unavailable as error:
            connection.invalidate()
            told = "The database's answer to a commit was lost: it may have been made, or not."
            raise Unavailable(told, retry_after=error.retry_after) from error

    @contextmanager
    def _connected(self, engine: Engine, begin: Callable[[Connection], None]) -> Iterator[Connection]:
        """A connection with a transaction. One that waited in the pool may be lost since: another takes its place, once, as
        nothing was done over it yet."""
        connection = self._checked_out(engine)
        try:
            try:
                begin(connection)
            except Unavailable as error:
                if not connection.invalidated or _was_silent(error.__cause__):
                    raise
                connection.close()
                connection = self._checked_out(engine)
                begin(connection)
            yield connection
        finally:
            with suppress(JangbuError, DBAPIError):
                connection.close()

    def _checked_out(self, engine: Engine) -> Connection:
        try:
            return engine.connect()
        except PoolTimeout as error:
            raise Unavailable("The database is busy: no connection is free.", retry_after=AGAIN_IN) from error


def _was_silent(cause: BaseException | None) -> bool:
    """PyMySQL tells a time-out from other losses by a word only."""
    return isinstance(cause, Silent) or "timed out" in str(cause)
