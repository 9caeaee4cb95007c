"""The embedded queues: one SQLite file in WAL mode, for any number of threads and processes of one machine."""

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from jangbu.kernel.clock import Clock, SystemClock
from jangbu.kernel.errors import ConfigurationError, Unavailable
from jangbu.kernel.storage import full_disk_is_unavailable, sqlite_says_so
from jangbu.platform.database.wal import use_wal
from jangbu.platform.queues.ports import LONGEST, NOW, Capabilities, Depth, Outgoing, Parked, Received, checked

_FORM: Final = 1
"""The number of the tables' form, kept in the file."""

_TABLES: Final = """
CREATE TABLE messages (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    queue TEXT NOT NULL,
    id TEXT NOT NULL,
    body TEXT NOT NULL,
    sent_at REAL NOT NULL,
    visible_at REAL NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    receipt TEXT,
    parked_at REAL,
    reason TEXT,
    UNIQUE (queue, id)
);
CREATE INDEX messages_live ON messages (queue, place) WHERE parked_at IS NULL;
CREATE INDEX messages_parked ON messages (parked_at, place) WHERE parked_at IS NOT NULL;
CREATE TABLE sent (
    queue TEXT NOT NULL,
    id TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (queue, id)
) WITHOUT ROWID;
CREATE INDEX sent_at ON sent (at);
"""

_VISIBLE: Final = f"""
FROM messages
WHERE queue = :queue AND parked_at IS NULL AND (visible_at <= :now OR visible_at > :now + {LONGEST.total_seconds()})
"""
"""What lies further ahead than any lease or delay was written before the clock was put back."""

_MINE: Final = "WHERE queue = :queue AND id = :id AND receipt = :receipt AND parked_at IS NULL"
_PARKED: Final = "WHERE parked_at IS NOT NULL AND (:queue IS NULL OR queue = :queue)"
_RETRY: Final = "UPDATE messages SET parked_at = NULL, reason = NULL, receipt = NULL, tries = 0, visible_at = :now"


class SqliteQueues:
    """The queues in the file at `path`; its folder is made. `patience` is how many seconds a writer waits for the others. Times are
    the clock's: those of one file must agree.

    Raises:
        Unavailable: the file stayed locked for longer than `patience`, or the disk is full.
        ConfigurationError: the file was written by a newer release.
        StorageError: the file was damaged, or may not be opened, read or written.
    """

    capabilities = Capabilities(remembers=timedelta(minutes=10))

    def __init__(self, path: Path, clock: Clock | None = None, *, patience: float = 30.0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._clock = clock or SystemClock()
        # One connection, for which the threads of this process queue; transactions are short.
        self._lock = threading.RLock()
        with sqlite_says_so("the queues"):
            self._connection = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
            self._connection.row_factory = sqlite3.Row
            use_wal(self._connection, patience)
            self._create()

    def send(self, queue: str, messages: Sequence[Outgoing]) -> int:
        now = self._now()
        rows = [
            {"queue": queue, "id": message.id, "body": message.body, "now": now, "at": _after(now, message.delay)}
            for message in messages
        ]
        with self._writing(durably=True) as connection:
            # What lies in the future was written before the clock was put back.
            kept = self.capabilities.remembers.total_seconds()
            connection.execute("DELETE FROM sent WHERE at < ? OR at > ?", (now - kept, now + kept))
            return sum(self._insert(connection, row) for row in rows)

    def receive(self, queue: str, *, lease: timedelta, limit: int = 1) -> tuple[Received, ...]:
        seconds = checked("lease", lease, least=timedelta(microseconds=1))
        now = self._now()
        given = {"queue": queue, "now": now, "limit": limit}
        with self._lock:
            # Looking before writing: an idle consumer never takes the write lock.
            if not self._connection.execute(f"SELECT 1 {_VISIBLE} LIMIT 1", given).fetchone():
                return ()
            with self._writing() as connection:
                found = connection.execute(f"SELECT * {_VISIBLE} ORDER BY place LIMIT :limit", given).fetchall()
                return tuple(self._hold(connection, row, now + seconds) for row in found)

    def renew(self, message: Received, lease: timedelta) -> bool:
        ends = self._now() + checked("lease", lease, least=timedelta(microseconds=1))
        return self._change(f"UPDATE messages SET visible_at = :at {_MINE}", message, at=ends) > 0

    def delete(self, message: Received) -> bool:
        return self._change(f"DELETE FROM messages {_MINE}", message) > 0

    def release(self, message: Received, delay: timedelta = NOW, *, counted: bool = True) -> bool:
        visible = _after(self._now(), delay)
        change = f"UPDATE messages SET visible_at = :at, receipt = NULL, tries = tries - :uncounted {_MINE}"
        return self._change(change, message, at=visible, uncounted=int(not counted)) > 0

    def park(self, message: Received, reason: str) -> bool:
        change = f"UPDATE messages SET parked_at = :now, reason = :reason, receipt = NULL {_MINE}"
        return self._change(change, message, now=self._now(), reason=reason) > 0

    def parked(self, queue: str | None = None, *, offset: int = 0, limit: int = 100) -> tuple[Parked, ...]:
        page = f"SELECT * FROM messages {_PARKED} ORDER BY parked_at, place LIMIT :limit OFFSET :offset"
        return tuple(map(_parked, self._read(page, {"queue": queue, "limit": limit, "offset": offset})))

    def retry(self, queue: str, id: str) -> bool:  # noqa: A002
        with self._writing() as connection:
            given = {"queue": queue, "id": id, "now": self._now()}
            return connection.execute(f"{_RETRY} {_PARKED} AND id = :id", given).rowcount > 0

    def retry_all(self, queue: str | None = None) -> int:
        with self._writing() as connection:
            return connection.execute(f"{_RETRY} {_PARKED}", {"queue": queue, "now": self._now()}).rowcount

    def purge(self, queue: str | None = None) -> int:
        with self._writing() as connection:
            return connection.execute(f"DELETE FROM messages {_PARKED}", {"queue": queue}).rowcount

    def waiting(self) -> list[tuple[str, Outgoing]]:
        """Every message that isn't parked, with its queue, those under a lease too, in the order in which they were sent."""
        rows = self._read("SELECT queue, id, body FROM messages WHERE parked_at IS NULL ORDER BY place", {})
        return [(row["queue"], Outgoing(row["id"], row["body"])) for row in rows]

    def depths(self) -> Mapping[str, Depth]:
        now = self._now()
        live = """
        SELECT queue, count(*) FILTER (WHERE parked_at IS NULL) AS live, count(parked_at) AS parked,
            count(*) FILTER (WHERE parked_at IS NULL AND receipt IS NOT NULL AND visible_at > :now) AS held,
            min(sent_at) FILTER (WHERE parked_at IS NULL) AS oldest
        FROM messages GROUP BY queue ORDER BY queue
        """
        return {
            row["queue"]: Depth(
                row["live"] - row["held"], row["held"], row["parked"], timedelta(seconds=max(0.0, now - (row["oldest"] or now)))
            )
            for row in self._read(live, {"now": now})
        }

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    # Its ways with the file

    def _create(self) -> None:
        with self._writing() as connection:
            (form,) = connection.execute("PRAGMA user_version").fetchone()
            if form > _FORM:
                raise ConfigurationError(
                    f"The queues are of form {form}; this release knows {_FORM}.",
                    value=form,
                    hint="Use the release that wrote them, or a newer one.",
                )
            if form == 0:
                for statement in _TABLES.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {_FORM}")

    def _insert(self, connection: sqlite3.Connection, row: Mapping[str, Any]) -> int:
        known = connection.execute("INSERT INTO sent VALUES (:queue, :id, :now) ON CONFLICT DO NOTHING", row).rowcount == 0
        if known:
            return 0
        columns = "queue, id, body, sent_at, visible_at"
        insert = f"INSERT INTO messages ({columns}) VALUES (:queue, :id, :body, :now, :at) ON CONFLICT DO NOTHING"
        return connection.execute(insert, row).rowcount

    def _hold(self, connection: sqlite3.Connection, row: sqlite3.Row, ends: float) -> Received:
        receipt = uuid4().hex
        change = "UPDATE messages SET visible_at = ?, receipt = ?, tries = tries + 1 WHERE place = ?"
        connection.execute(change, (ends, receipt, row["place"]))
        return Received(row["queue"], row["id"], row["body"], receipt, row["tries"] + 1, _instant(row["sent_at"]))

    def _change(self, change: str, message: Received, **given: object) -> int:
        with self._writing() as connection:
            given |= {"queue": message.queue, "id": message.id, "receipt": message.receipt}
            return connection.execute(change, given).rowcount

    def _read(self, query: str, given: Mapping[str, Any]) -> list[sqlite3.Row]:
        with self._lock, sqlite_says_so("the queues"):
            return self._connection.execute(query, given).fetchall()

    @contextmanager
    def _writing(self, *, durably: bool = False) -> Iterator[sqlite3.Connection]:
        """A transaction. All outlive a crash of the process. Only what is sent must be on the disk at once, as its outbox row is
        deleted then; a power cut may take the last receipts and deletions back, so that messages come again."""
        with self._lock, sqlite_says_so("the queues"):
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durably else 'NORMAL'}")
            self._begin()
            try:
                with full_disk_is_unavailable("the queues weren't changed"):
                    yield self._connection
                    self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:  # SQLite ends it by itself where the disk is full
                    self._connection.execute("ROLLBACK")

    def _begin(self) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            raise Unavailable("The queues are busy.") from error

    def _now(self) -> float:
        return self._clock.now().timestamp()


def _parked(row: sqlite3.Row) -> Parked:
    return Parked(
        row["queue"], row["id"], row["body"], row["tries"], _instant(row["sent_at"]), _instant(row["parked_at"]), row["reason"]
    )


def _after(now: float, delay: timedelta) -> float:
    """When it can be seen: what isn't delayed, always, wherever the clock is put."""
    return now + seconds if (seconds := checked("delay", delay)) else 0.0


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
