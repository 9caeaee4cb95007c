"""The embedded database: one SQLite file in WAL mode, for any number of threads and processes of one machine."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from jangbu.kernel.clock import Clock, SystemClock
from jangbu.kernel.errors import Unavailable
from jangbu.platform.database import upgrade
from jangbu.platform.database.ports import UnitOfWork

_READERS: Final = 64
"""Connections that read at once; more wait. An open one costs two file handles."""


class SqliteDatabase:
    """The database in the file at `path`; its folder is made. `patience` is how many seconds a writer waits for the others.

    Raises:
        Unavailable: the file stayed locked for longer than `patience`.
    """

    def __init__(self, path: Path, clock: Clock | None = None, *, patience: float = 30.0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._clock = clock or SystemClock()
        self._mine = threading.local()
        # One connection writes, so that the threads of this process queue for it in the pool, fairly; SQLite's own waiting is a
        # sleep and a retry, which can starve one of them.
        self._writer = _engine(path, patience, "BEGIN IMMEDIATE", "PRAGMA query_only = OFF", 1)
        self._readers = _engine(path, patience, "BEGIN", "PRAGMA query_only = ON", _READERS)

    @contextmanager
    def transaction(self) -> Iterator[UnitOfWork]:
        if getattr(self._mine, "busy", False):
            raise RuntimeError("A unit of work is open in this thread already; end it, or hand it on.")
        with _locks_are_unavailable():
            connection = self._writer.connect()
        self._mine.busy = True
        try:
            with connection:
                with _locks_are_unavailable():
                    transaction = connection.begin()
                with transaction:
                    yield UnitOfWork(connection, self._clock.now())
        finally:
            self._mine.busy = False

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with _locks_are_unavailable():
            opened = self._readers.connect()
        with opened as connection:
            yield connection

    def migrate(self) -> None:
        with self.reading() as connection:
            if upgrade.is_current(connection):
                return
        with self.transaction() as work:
            upgrade.upgrade(work.connection)

    def close(self) -> None:
        self._writer.dispose()
        self._readers.dispose()


def _engine(path: Path, patience: float, begin: str, pragma: str, connections: int) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=patience,
        connect_args={"timeout": patience, "check_same_thread": False},
    )
    event.listen(engine, "connect", _prepare(pragma, patience))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def _prepare(pragma: str, patience: float) -> Callable[[sqlite3.Connection, Any], None]:
    def prepare(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself: the "begin" hook says how
        _use_wal(connection, patience)
        # FULL, though WAL is safe from crashes with less: an intent must be on the disk before the lakehouse commit it announces.
        for statement in ("PRAGMA synchronous = FULL", "PRAGMA foreign_keys = ON", pragma):
            connection.execute(statement)

    return prepare


def _use_wal(connection: sqlite3.Connection, patience: float) -> None:
    """SQLite doesn't wait for a lock where a new file changes its journal mode, so processes that start together must."""
    deadline = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


@contextmanager
def _locks_are_unavailable() -> Iterator[None]:
    try:
        yield
    except PoolTimeout as error:
        raise Unavailable("The database is busy.") from error
    except OperationalError as error:
        if getattr(error.orig, "sqlite_errorcode", None) != sqlite3.SQLITE_BUSY:
            raise
        raise Unavailable("The database is busy writing.") from error
