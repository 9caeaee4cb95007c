"""What the embedded queues do beyond the port: clocks that jump, files of other releases."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jangbu.kernel.errors import ConfigurationError, StorageError, Unavailable
from jangbu.platform.queues.ports import Outgoing
from jangbu.platform.queues.sqlite import SqliteQueues

MINUTE = timedelta(minutes=1)


@dataclass
class MovableClock:
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def queues(tmp_path: Path, clock: MovableClock) -> Iterator[SqliteQueues]:
    opened = SqliteQueues(tmp_path / "queues.db", clock)
    yield opened
    opened.close()


def test_an_id_is_forgotten_after_a_while(queues: SqliteQueues, clock: MovableClock) -> None:
    queues.send("work", [Outgoing("a", "")])
    queues.delete(queues.receive("work", lease=MINUTE)[0])
    clock.at += queues.capabilities.remembers
    assert queues.send("work", [Outgoing("a", "")]) == 0
    clock.at += MINUTE
    assert queues.send("work", [Outgoing("a", "")]) == 1


def test_an_id_that_is_still_there_is_never_forgotten(queues: SqliteQueues, clock: MovableClock) -> None:
    queues.send("work", [Outgoing("a", "")])
    clock.at += 2 * queues.capabilities.remembers
    assert queues.send("work", [Outgoing("a", "")]) == 0


@pytest.mark.parametrize("back", [timedelta(days=1), timedelta(days=4000)])
def test_a_clock_that_is_put_back_hides_nothing(queues: SqliteQueues, clock: MovableClock, back: timedelta) -> None:
    queues.send("work", [Outgoing("a", "", MINUTE), Outgoing("b", ""), Outgoing("c", "")])
    assert queues.receive("work", lease=MINUTE)[0].id == "b"
    clock.at -= back
    assert [message.id for message in queues.receive("work", lease=MINUTE, limit=3)] == ["a", "b", "c"]
    assert queues.depths()["work"].oldest == timedelta(0)
    queues.send("work", [Outgoing("d", "")])
    assert queues.receive("work", lease=MINUTE)[0].id == "d"


def test_a_clock_that_is_put_back_a_little_delays_only_what_was_held(queues: SqliteQueues, clock: MovableClock) -> None:
    queues.send("work", [Outgoing("a", ""), Outgoing("b", "")])
    queues.receive("work", lease=MINUTE)
    clock.at -= MINUTE
    assert [message.id for message in queues.receive("work", lease=MINUTE, limit=2)] == ["b"]


def test_a_message_that_nobody_tried_has_its_try_back(queues: SqliteQueues) -> None:
    queues.send("work", [Outgoing("a", "")])
    for counted, tries in ((False, 1), (True, 1), (False, 2), (True, 2)):
        (message,) = queues.receive("work", lease=MINUTE)
        assert message.tries == tries
        queues.release(message, counted=counted)


def test_a_locked_file_is_unavailable(tmp_path: Path) -> None:
    queues = SqliteQueues(tmp_path / "queues.db", patience=0.05)
    other = sqlite3.connect(tmp_path / "queues.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="busy"):
        queues.send("work", [Outgoing("a", "")])
    other.execute("ROLLBACK")
    assert queues.send("work", [Outgoing("a", "")]) == 1
    other.close()
    queues.close()


def test_a_newer_releases_file_is_refused(tmp_path: Path) -> None:
    SqliteQueues(tmp_path / "queues.db").close()
    other = sqlite3.connect(tmp_path / "queues.db")
    other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(ConfigurationError, match="form 99"):
        SqliteQueues(tmp_path / "queues.db")


def test_a_long_queue_is_received_from_without_sorting_it(queues: SqliteQueues) -> None:
    select = "SELECT * FROM messages WHERE queue = 'work' AND parked_at IS NULL AND visible_at <= 1 ORDER BY place LIMIT 1"
    plan = queues._connection.execute(f"EXPLAIN QUERY PLAN {select}").fetchall()
    assert [row["detail"] for row in plan] == ["SEARCH messages USING INDEX messages_live (queue=?)"]


def test_a_file_that_cant_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "torn.db").write_bytes(b"no database" * 500)
    with pytest.raises(StorageError, match="file of the queues is torn or was damaged"):
        SqliteQueues(tmp_path / "torn.db")
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(StorageError, match="file of the queues can't be used: unable to open"):
        SqliteQueues(tmp_path / "folder.db")
