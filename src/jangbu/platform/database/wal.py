"""SQLite's write-ahead log, which lets readers and a writer share a file."""

import sqlite3
import time


def use_wal(connection: sqlite3.Connection, patience: float) -> None:
    """SQLite doesn't wait for a lock where a new file changes its journal mode, so processes that start together must, for at most
    `patience` seconds."""
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
