"""What of a migration is done, in a file of the store that is carried over. It survives any crash, and only one process has it."""

import sqlite3
from pathlib import Path
from threading import Lock
from typing import Any, Final
from uuid import uuid4

from jangbu.kernel.errors import Conflict, Unavailable
from jangbu.kernel.storage import sqlite_says_so
from jangbu.platform.lakehouse.tables.relocating import Written

NAME: Final = "migration.db"

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS files (target TEXT PRIMARY KEY, size INTEGER NOT NULL, checksum TEXT NOT NULL, verified INTEGER);
CREATE TABLE IF NOT EXISTS tables (name TEXT PRIMARY KEY, rows INTEGER NOT NULL, checksum TEXT NOT NULL);
"""


class Journal:
    """Each note is on the disk when its method returns.

    Raises:
        Unavailable: another process has it.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = Lock()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with sqlite_says_so("the migration's journal"):
            self._connection = sqlite3.connect(folder / NAME, timeout=0.2, isolation_level=None, check_same_thread=False)
            try:
                # Whoever has the file keeps it until it is closed, or its process has ended.
                self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
                self._connection.execute("PRAGMA synchronous = FULL")
                self._connection.executescript(f"BEGIN EXCLUSIVE; {_TABLES} COMMIT;")
            except sqlite3.OperationalError as error:
                self._connection.close()
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                    raise
                told = "Another process is carrying this store over."
                raise Unavailable(told, retry_after=60, hint="Wait for its end, or end it: a second run goes on.") from error
        if self.fact("source") is None:
            self.note_fact("source", uuid4().hex)

    @property
    def source(self) -> str:
        """What the store is known by in the place that it is carried over to."""
        return self.fact("source") or ""

    def check_target(self, target: str) -> None:
        """Raises Conflict: it is being carried over to another place."""
        found = self.fact("target")
        if found is not None and found != target:
            raise Conflict(
                "This store is being carried over to another place already.",
                hint="Go on with that one, or give it up: jangbu migrate-store --reopen.",
            )
        self.note_fact("target", target)

    def fact(self, name: str) -> str | None:
        row = self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def note_fact(self, name: str, value: str) -> None:
        self._do("INSERT OR REPLACE INTO facts VALUES (?, ?)", name, value)

    def forget_fact(self, name: str) -> None:
        self._do("DELETE FROM facts WHERE name = ?", name)

    def file(self, target: str) -> Written | None:
        """Also asked by the threads that write lists of manifests."""
        with self._lock:
            row = self._connection.execute("SELECT size, checksum FROM files WHERE target = ?", (target,)).fetchone()
        return None if row is None else Written(*row)

    def is_verified(self, target: str) -> bool:
        row = self._connection.execute("SELECT verified FROM files WHERE target = ?", (target,)).fetchone()
        return row is not None and bool(row[0])

    def note_file(self, target: str, written: Written) -> None:
        self._do("INSERT OR REPLACE INTO files VALUES (?, ?, ?, 0)", target, written.size, written.checksum)

    def note_verified(self, target: str) -> None:
        self._do("UPDATE files SET verified = 1 WHERE target = ?", target)

    def files(self) -> set[str]:
        return {str(target) for (target,) in self._connection.execute("SELECT target FROM files")}

    def forget_file(self, target: str) -> None:
        self._do("DELETE FROM files WHERE target = ?", target)

    def table(self, name: str) -> tuple[int, str] | None:
        row = self._connection.execute("SELECT rows, checksum FROM tables WHERE name = ?", (name,)).fetchone()
        return None if row is None else (row[0], row[1])

    def note_table(self, name: str, rows: int, checksum: str) -> None:
        self._do("INSERT OR REPLACE INTO tables VALUES (?, ?, ?)", name, rows, checksum)

    def begin_anew(self) -> None:
        """The store may change again: what was copied of its database counts no more. Files never change, so theirs does, unless
        all was done: then the new place goes its own way."""
        if self.fact("done") is None:
            self.note_fact("stale", "yes")
            self._do("DELETE FROM tables")
        else:
            self._connection.executescript("BEGIN; DELETE FROM tables; DELETE FROM files; DELETE FROM facts; COMMIT;")
            self.note_fact("source", uuid4().hex)

    def close(self) -> None:
        self._connection.close()

    def _do(self, statement: str, *values: Any) -> None:
        with sqlite_says_so("the migration's journal"):
            self._connection.execute(statement, values)
