"""What every database adapter does. An adapter is added to `OPENERS`."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError

from jangbu.insight.access.tables import api_key_tenants, tenants
from jangbu.insight.ingest.tables import data_versions
from jangbu.platform.database.ports import Database
from jangbu.platform.database.schema import outbox
from jangbu.platform.database.sqlite import SqliteDatabase

OPENERS: Mapping[str, Callable[[Path], Database]] = {
    "sqlite": lambda folder: SqliteDatabase(folder / "jangbu.db", patience=20),
}

NOON = datetime(2017, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
MERCHANT = {"id": "acme", "name": "Acme", "zone": "Asia/Seoul", "currency": "KRW", "created_at": NOON}
COUNTER = {"data_source": "sales", "tenant": None, "version": 0, "as_of": NOON}


@dataclass(frozen=True, slots=True)
class ShopOpened:
    shop: str
    floors: int
    schema_version: int = 3


@pytest.fixture(params=sorted(OPENERS))
def adapter(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def database(adapter: str, tmp_path: Path) -> Iterator[Database]:
    opened = OPENERS[adapter](tmp_path)
    opened.migrate()
    yield opened
    opened.close()


def names(database: Database) -> list[str]:
    with database.reading() as connection:
        return list(connection.execute(select(tenants.c.name)).scalars())


def test_a_unit_of_work_is_committed_at_its_end(database: Database) -> None:
    with database.transaction() as work:
        work.connection.execute(insert(tenants).values(MERCHANT))
        assert names(database) == []
    assert names(database) == ["Acme"]


def test_an_error_rolls_back_rows_and_events_alike(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        _open_shop_and_fail(database)
    assert names(database) == []
    with database.reading() as connection:
        assert connection.execute(select(outbox)).all() == []


def _open_shop_and_fail(database: Database) -> None:
    with database.transaction() as work:
        work.connection.execute(insert(tenants).values(MERCHANT))
        work.emit(ShopOpened("acme", 2))
        raise ZeroDivisionError


def test_the_database_is_usable_after_an_error(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction():
        raise ZeroDivisionError
    with database.transaction() as work:
        work.connection.execute(insert(tenants).values(MERCHANT))
    assert names(database) == ["Acme"]


def test_events_are_outbox_rows_in_order(database: Database) -> None:
    with database.transaction() as work:
        work.emit(ShopOpened("acme", 2), ShopOpened("가게", 1))
        work.emit()
    with database.reading() as connection:
        rows = connection.execute(select(outbox).order_by(outbox.c.id)).all()
    assert [(row.name, row.schema_version, row.payload) for row in rows] == [
        ("ShopOpened", 3, {"shop": "acme", "floors": 2}),
        ("ShopOpened", 3, {"shop": "가게", "floors": 1}),
    ]
    assert all(abs(datetime.now(UTC) - row.created_at) < timedelta(minutes=1) for row in rows)


def test_a_unit_of_work_within_another_is_refused_at_once(database: Database) -> None:
    with database.transaction(), pytest.raises(RuntimeError, match="open in this thread already"), database.transaction():
        pass
    with database.transaction() as work:
        work.connection.execute(insert(tenants).values(MERCHANT))
    assert names(database) == ["Acme"]


def test_a_reading_connection_cannot_write(database: Database) -> None:
    with database.reading() as connection, pytest.raises(DBAPIError):
        connection.execute(insert(tenants).values(MERCHANT))
    assert names(database) == []


def test_a_reading_connection_sees_one_state(database: Database) -> None:
    with database.reading() as connection:
        before = connection.execute(select(tenants.c.id)).all()
        with database.transaction() as work:
            work.connection.execute(insert(tenants).values(MERCHANT))
        assert connection.execute(select(tenants.c.id)).all() == before


def test_instants_come_back_aware_in_utc_to_the_microsecond(database: Database) -> None:
    seoul = NOON.astimezone(timezone(timedelta(hours=9)))
    with database.transaction() as work:
        work.connection.execute(insert(tenants).values({**MERCHANT, "pinned_now": seoul}))
    with database.reading() as connection:
        found = connection.execute(select(tenants.c.pinned_now)).scalar_one()
    assert found == NOON
    assert found.tzinfo is UTC


def test_a_naive_time_is_refused(database: Database) -> None:
    with pytest.raises(StatementError, match="has no zone"), database.transaction() as work:
        work.connection.execute(insert(tenants).values({**MERCHANT, "pinned_now": NOON.replace(tzinfo=None)}))


def test_shared_rows_are_found_as_no_tenant(database: Database) -> None:
    with database.transaction() as work:
        work.connection.execute(insert(data_versions).values(COUNTER))
    with database.reading() as connection:
        column = data_versions.c.tenant
        for condition in (column == None, column.in_([None, "acme"])):  # noqa: E711
            assert connection.execute(select(column).where(condition)).all() == [(None,)]


def test_foreign_keys_hold(database: Database) -> None:
    with pytest.raises(IntegrityError), database.transaction() as work:
        work.connection.execute(insert(api_key_tenants).values(api_key="no", tenant="such", position=0))


def _count_up(database: Database, times: int) -> None:
    for _ in range(times):
        with database.transaction() as work:
            version = work.connection.execute(select(data_versions.c.version)).scalar_one()
            work.connection.execute(update(data_versions).values(version=version + 1))


def test_what_a_unit_of_work_reads_stays_true_among_threads(database: Database) -> None:
    with database.transaction() as work:
        work.connection.execute(insert(data_versions).values(COUNTER))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: _count_up(database, 10), range(8)))
    with database.reading() as connection:
        assert connection.execute(select(data_versions.c.version)).scalar_one() == 80


COUNTER_PROCESS = """
import runpy, sys
from pathlib import Path
module = runpy.run_path(sys.argv[1])
database = module["OPENERS"][sys.argv[2]](Path(sys.argv[3]))
print("ready", flush=True)
sys.stdin.readline()
database.migrate()
module["count_from_nothing"](database)
"""


def count_from_nothing(database: Database) -> None:
    with database.transaction() as work:
        if work.connection.execute(select(data_versions.c.version)).scalar_one_or_none() is None:
            work.connection.execute(insert(data_versions).values(COUNTER))
    _count_up(database, 20)
    database.close()


def test_processes_that_start_at_once_migrate_once_and_share(adapter: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", COUNTER_PROCESS, __file__, adapter, str(tmp_path)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0] * 4
    opened = OPENERS[adapter](tmp_path)
    with opened.reading() as connection:
        assert connection.execute(select(data_versions.c.version)).scalar_one() == 80
    opened.close()


def test_migrating_again_changes_nothing(database: Database) -> None:
    with database.transaction() as work:
        work.connection.execute(insert(tenants).values(MERCHANT))
    database.migrate()
    assert names(database) == ["Acme"]
