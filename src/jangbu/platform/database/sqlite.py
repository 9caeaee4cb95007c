"""The embedded database: one SQLite file in WAL mode, for any number of threads and processes of one machine."""

import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from jangbu.kernel.clock import Clock, SystemClock
from jangbu.kernel.errors import Closed, JangbuError, Unavailable
from jangbu.kernel.storage import full, is_full, of_sqlite
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.database import upgrade
from jangbu.platform.database.ports import UnitOfWork
from jangbu.platform.database.wal import use_wal

_READERS: Final = 64
"""Connections that read at once; more wait. An open one costs two file handles."""
_CLOSED: Final = 1
"""The file's `user_version` while it is closed for writing: it changes with the transaction, and costs no table to look at."""


class SqliteDatabase:
    """The database in the file at `path`; its folder is made. `patience` is how many seconds a writer waits for the others.

    Raises:
        Unavailable: the file stayed locked for longer than `patience`, or the disk is full.
        StorageError: the file was damaged, or may not be opened, read or written.
    """

    def __init__(self, path: Path, clock: Clock | None = None, *, patience: float = 30.0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._clock = clock or SystemClock()
        self._patience = patience
        self._mine = threading.local()
        # One connection writes, so that the threads of this process queue for it in the pool, fairly; SQLite's own waiting is a
        # sleep and a retry, which can starve one of them.
        self._writer = _engine(path, patience, "BEGIN IMMEDIATE", "PRAGMA query_only = OFF", 1)
        self._readers = _engine(path, patience, "BEGIN", "PRAGMA query_only = ON", _READERS)

    @contextmanager
    def transaction(self, only: Collection[TenantId] | None = None) -> Iterator[UnitOfWork]:  # noqa: ARG002 - it has no such rights
        if getattr(self._mine, "busy", False):
            raise RuntimeError("A unit of work is open in this thread already; end it, or hand it on.")
        connection = _connected(self._writer)
        self._mine.busy = True
        try:
            with connection, connection.begin():
                _check_open(connection)
                yield UnitOfWork(connection, self._clock.now())
        finally:
            self._mine.busy = False

    @contextmanager
    def reading(self, only: Collection[TenantId] | None = None) -> Iterator[Connection]:  # noqa: ARG002 - it has no such rights
        with _connected(self._readers) as connection:
            yield connection

    def migrate(self) -> None:
        with self.reading() as connection:
            if upgrade.is_current(connection):
                return
        with self.transaction() as work:
            upgrade.upgrade(work.connection)

    def scrub(self) -> None:
        """VACUUM writes every page anew, through the log, which must then be taken over and cut, or it would keep old pages."""
        deadline = time.monotonic() + self._patience
        with _connected(self._writer) as connection:
            _check_open(connection)
            connection.rollback()
            driver = connection.connection.driver_connection
            assert driver is not None  # noqa: S101 - a connection that is checked out has one
            _statement(driver, "VACUUM")
            while _statement(driver, "PRAGMA wal_checkpoint(TRUNCATE)")[0]:
                if time.monotonic() > deadline:
                    raise Unavailable("The database is being read; its files keep what was deleted until then.", retry_after=10)
                time.sleep(0.05)

    def is_closed(self) -> bool:
        """Whether it is closed for writing."""
        with self.reading() as connection:
            return _is_closed(connection)

    def close_for_writing(self, work: UnitOfWork) -> None:
        """From the end of this unit of work on every other one raises Closed, in all processes and after any crash, until
        `reopen`. Reading goes on."""
        work.connection.exec_driver_sql(f"PRAGMA user_version = {_CLOSED}")

    def reopen(self) -> None:
        with _connected(self._writer) as connection, connection.begin():
            connection.exec_driver_sql("PRAGMA user_version = 0")

    def close(self) -> None:
        self._writer.dispose()
        self._readers.dispose()


def _engine(path: Path, patience: float, begin: str, pragma: str, connections: int) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        poolclass=QueuePool,
        hide_parameters=True,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=patience,
        connect_args={"timeout": patience, "check_same_thread": False},
    )
    event.listen(engine, "connect", _prepare(pragma, patience))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    event.listen(engine, "handle_error", _told(reads=begin == "BEGIN"))
    return engine


def _prepare(pragma: str, patience: float) -> Callable[[sqlite3.Connection, Any], None]:
    def prepare(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself: the "begin" hook says how
        use_wal(connection, patience)
        # FULL, though WAL is safe from crashes with less: an intent must be on the disk before the lakehouse commit it announces.
        for statement in ("PRAGMA synchronous = FULL", "PRAGMA foreign_keys = ON", pragma):
            connection.execute(statement)

    return prepare


def _statement(driver: Any, text: str) -> Any:
    """The first row of what a statement outside any transaction says."""
    try:
        return driver.execute(text).fetchone()
    except sqlite3.DatabaseError as error:
        raise _said(error) or error from error


def _is_closed(connection: Connection) -> bool:
    return bool(connection.exec_driver_sql("PRAGMA user_version").scalar_one() == _CLOSED)


def _check_open(connection: Connection) -> None:
    if _is_closed(connection):
        hint = "Use the place that it was carried over to; `jangbu migrate-store --reopen` opens this one again."
        raise Closed("The store is closed for writing: it is being carried over, or was.", retry_after=60, hint=hint)


def _connected(engine: Engine) -> Connection:
    try:
        return engine.connect()
    except PoolTimeout as error:
        raise Unavailable("The database is busy.") from error


def _told(*, reads: bool) -> Callable[[ExceptionContext], None]:
    def told(context: ExceptionContext) -> None:
        """Every statement's and every commit's failure comes by here."""
        error = context.original_exception
        # A statement that writes where only reading is allowed is our mistake, not the file's.
        is_ours = reads and context.statement and getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_READONLY
        if not is_ours and (said := _said(error)):
            raise said from error

    return told


def _said(error: BaseException) -> JangbuError | None:
    """Ours for what isn't a mistake of the statement's."""
    if is_full(error):
        return full("the database wasn't changed")
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
        return Unavailable("The database is busy writing.")
    return of_sqlite(error, "the database")
