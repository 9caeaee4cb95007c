"""What is SQLite's own in its adapter."""

import sqlite3
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import text

from jangbu.kernel.errors import StorageError, Unavailable
from jangbu.platform.database.sqlite import SqliteDatabase


def test_it_writes_ahead_and_waits_for_the_disk(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "jangbu.db")
    with database.transaction() as work:
        pragmas = {
            name: work.connection.execute(text(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    database.close()


def test_a_path_with_signs_of_its_own_is_taken_literally(tmp_path: Path) -> None:
    path = tmp_path / "100% a?b#c" / "장부 mode=ro.db"
    database = SqliteDatabase(path)
    database.migrate()
    database.close()
    assert path.exists()


def test_another_process_that_keeps_the_lock_makes_it_unavailable(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "jangbu.db", patience=0.1)
    database.migrate()
    other = sqlite3.connect(tmp_path / "jangbu.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match=r"busy writing.*Try again in 1 s"), database.transaction():
        pass
    other.execute("ROLLBACK")
    other.close()
    with database.transaction() as work:
        assert work.connection.execute(text("SELECT 1")).scalar_one() == 1
    database.close()


def test_another_thread_that_keeps_the_lock_makes_it_unavailable(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "jangbu.db", patience=0.1)
    began, end = threading.Event(), threading.Event()

    def hold() -> None:
        with database.transaction():
            began.set()
            end.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    began.wait(10)
    with pytest.raises(Unavailable), database.transaction():
        pass
    end.set()
    thread.join()
    with database.transaction():
        pass
    database.close()


def test_more_readers_than_connections_make_it_unavailable(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "a.sqlite", patience=0.05)
    with ExitStack() as readers, pytest.raises(Unavailable):  # noqa: PT012 - which of them is the first too many isn't told
        for _ in range(100):
            readers.enter_context(database.reading())
    database.close()


def test_a_file_that_may_not_be_opened_is_told(tmp_path: Path) -> None:
    (tmp_path / "jangbu.db").mkdir()
    database = SqliteDatabase(tmp_path / "jangbu.db")
    with pytest.raises(
        StorageError, match=r"file of the database can't be used: unable to open database file\. Look at the rights"
    ):
        database.migrate()
    database.close()
