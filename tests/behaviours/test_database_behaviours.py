"""What every database adapter does. An adapter is added to `ADAPTERS` of tests/support/databases.py."""

import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import ClassVar

import psycopg
import pytest
from services.plugin import GetService
from services.running import Running
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError
from support.database_at import database_at
from support.databases import ADAPTERS, told_mariadb

from jangbu.insight.access.tables import api_key_tenants, tenants
from jangbu.insight.ingest.tables import data_versions, spool
from jangbu.kernel.handlers import Context
from jangbu.kernel.messages import Command, Event
from jangbu.platform.database.ports import Database
from jangbu.platform.database.schema import outbox

IMPORTED = (Path(__file__).parents[1], Path(__file__).parents[2])
"""Where modules of the tests and of `services` are found."""

pytestmark = pytest.mark.parametrize("adapter", ADAPTERS, indirect=True)

NOON = datetime(2017, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
MERCHANT = {"id": "acme", "name": "Acme", "zone": "Asia/Seoul", "currency": "KRW", "created_at": NOON, "state": "active"}
COUNTER = {"data_source": "sales", "tenant": None, "version": 0, "as_of": NOON}


@dataclass(frozen=True, slots=True)
class ShopOpened(Event):
    schema_version: ClassVar[int] = 3
    shop: str
    floors: int


@dataclass(frozen=True, slots=True)
class CloseShop(Command):
    shop: str


@pytest.fixture
def database(database_folder: Path) -> Iterator[Database]:
    opened = database_at(database_folder)
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


def test_events_and_commands_are_outbox_rows_in_order(database: Database) -> None:
    with database.transaction() as work:
        work.emit(ShopOpened("acme", 2), ShopOpened("가게", 1))
        work.emit()
        work.send(CloseShop("acme"))
    with database.reading() as connection:
        rows = connection.execute(select(outbox).order_by(outbox.c.id)).all()
    assert [(row.kind, row.name, row.schema_version, row.payload) for row in rows] == [
        ("event", "ShopOpened", 3, {"shop": "acme", "floors": 2}),
        ("event", "ShopOpened", 3, {"shop": "가게", "floors": 1}),
        ("command", "CloseShop", 1, {"shop": "acme"}),
    ]
    assert len({row.message for row in rows}) == 3
    assert all(abs(datetime.now(UTC) - row.created_at) < timedelta(minutes=1) for row in rows)


def test_a_handlers_effect_is_there_once_however_often_its_message_comes(database: Database) -> None:
    for handler, effects in (("one", [True, False]), ("other", [True, False])):
        done = []
        for tries in (1, 2):
            with database.transaction() as work:
                done.append(work.first_time(Context(None, handler, "m1", tries, NOON)))
        assert done == effects


def test_what_was_rolled_back_was_not_done(database: Database) -> None:
    context = Context(None, "one", "m1", 1, NOON)
    with pytest.raises(ZeroDivisionError):
        _do_and_fail(database, context)
    with database.transaction() as work:
        assert work.first_time(context)


def _do_and_fail(database: Database, context: Context[None]) -> None:
    with database.transaction() as work:
        assert work.first_time(context)
        raise ZeroDivisionError


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
sys.path[:0] = sys.argv[3].split(":")
from pathlib import Path
module = runpy.run_path(sys.argv[1])
database = module["database_at"](Path(sys.argv[2]))
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


def test_processes_that_start_at_once_migrate_once_and_share(database_folder: Path) -> None:
    command = [sys.executable, "-c", COUNTER_PROCESS, __file__, str(database_folder), ":".join(map(str, IMPORTED))]
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
    opened = database_at(database_folder)
    with opened.reading() as connection:
        assert connection.execute(select(data_versions.c.version)).scalar_one() == 80
    opened.close()


def test_migrating_again_changes_nothing(database: Database) -> None:
    with database.transaction() as work:
        work.connection.execute(insert(tenants).values(MERCHANT))
    database.migrate()
    assert names(database) == ["Acme"]


def test_what_was_deleted_is_in_no_file_once_it_is_scrubbed(
    database: Database, adapter: str, service: GetService, tmp_path: Path
) -> None:
    files = partial(_files, adapter, None if adapter == "sqlite" else service(adapter), database, tmp_path)
    with database.transaction() as work:
        work.connection.execute(
            insert(tenants), [MERCHANT | {"id": "gone", "name": "a name to forget"}, MERCHANT | {"id": "stays"}]
        )
    with database.transaction() as work:
        work.connection.execute(delete(tenants).where(tenants.c.id == "gone"))
    assert _holds(files(), b"a name to forget")
    database.scrub()
    assert not _holds(files(), b"a name to forget")
    with database.transaction() as work:
        work.connection.execute(insert(tenants).values(MERCHANT))


def _holds(files: Iterable[Path], text: bytes) -> bool:
    return any(text in file.read_bytes() for file in files if file.is_file())


def _files(adapter: str, server: Running | None, database: Database, folder: Path) -> list[Path]:
    """Those that hold the database's tables, as they are on the disk now."""
    if server is None:
        return list(folder.iterdir())
    if adapter == "postgres":
        with psycopg.connect(server["url"], autocommit=True) as session:
            session.execute("CHECKPOINT")
        with database.reading() as connection:
            return list((server.at.data / "base" / str(connection.exec_driver_sql(DATABASE_OF_POSTGRES).scalar_one())).iterdir())
    with database.reading() as connection:
        name = connection.exec_driver_sql("SELECT database()").scalar_one()
    told_mariadb(server, f"FLUSH TABLES {name}.tenants FOR EXPORT")
    return list((server.at.data / name).iterdir())


DATABASE_OF_POSTGRES = "SELECT oid FROM pg_database WHERE datname = current_database()"


SPELLINGS = ["shop", "Shop", "SHOP", "shöp", "shop ", "가게", "B", "a", "ß", "ss"]


def test_texts_are_told_apart_and_sorted_by_their_code_points(database: Database) -> None:
    with database.transaction() as work:
        work.connection.execute(insert(tenants), [MERCHANT | {"id": each, "name": each} for each in SPELLINGS])
    with database.reading() as connection:
        assert list(connection.execute(select(tenants.c.id).order_by(tenants.c.id)).scalars()) == sorted(SPELLINGS)
        for each in SPELLINGS:
            assert connection.execute(select(tenants.c.id).where(tenants.c.name == each)).all() == [(each,)]


STRANGE = [
    "",
    "nul \x00 within",
    "\x00",
    "\ue000n",
    "\ue000",
    "\\u0000",
    "😀 가게",
    'quote " and \\ and %s and :name',
    "tab\tline\n",
]


def test_texts_and_json_come_back_as_they_were(database: Database) -> None:
    payload = {"texts": STRANGE, "numbers": [0, -1, 2**53 + 1, 1.5, 1e-7], "b": True, "a": None, "\x00key": {"z": [], "y": {}}}
    with database.transaction() as work:
        for each in STRANGE:
            work.connection.execute(insert(spool).values(data_source="sales", payload={"tenant": "acme", "text": each}))
        work.connection.execute(insert(spool).values(data_source="other", payload=payload))
        work.connection.execute(insert(tenants), [MERCHANT | {"id": str(at), "name": text} for at, text in enumerate(STRANGE)])
    with database.reading() as connection:
        of_acme = select(spool.c.payload).where(spool.c.payload["tenant"].as_string() == "acme").order_by(spool.c.id)
        assert [each["text"] for each in connection.execute(of_acme).scalars()] == STRANGE
        assert connection.execute(select(spool.c.payload).where(spool.c.data_source == "other")).scalar_one() == payload
        assert list(connection.execute(select(tenants.c.name).order_by(tenants.c.id)).scalars()) == STRANGE


def test_long_texts_and_large_numbers_fit(database: Database) -> None:
    text, number = "가" * 100_000, 2**62
    with database.transaction() as work:
        work.connection.execute(insert(tenants).values(MERCHANT | {"name": text}))
        work.connection.execute(insert(data_versions).values(COUNTER | {"version": number}))
    with database.reading() as connection:
        assert connection.execute(select(tenants.c.name)).scalar_one() == text
        assert connection.execute(select(data_versions.c.version)).scalar_one() == number


def test_keys_may_have_255_characters_and_two_of_them_fit_into_an_index(database: Database) -> None:
    long = "가" * 255
    with database.transaction() as work:
        work.connection.execute(insert(data_versions).values(COUNTER | {"data_source": long, "tenant": long}))
    with database.reading() as connection:
        assert connection.execute(select(data_versions.c.tenant).where(data_versions.c.data_source == long)).scalar_one() == long


def test_rows_that_match_count_though_nothing_changes(database: Database) -> None:
    with database.transaction() as work:
        work.connection.execute(insert(data_versions).values(COUNTER))
        assert work.connection.execute(update(data_versions).values(version=0)).rowcount == 1
        assert work.connection.execute(delete(data_versions).where(data_versions.c.version == 7)).rowcount == 0


def test_numbers_are_given_in_the_order_of_commits_and_never_again(database: Database) -> None:
    def put(shop: int) -> None:
        with database.transaction() as work:
            work.emit(*(ShopOpened(str(shop), floor) for floor in range(3)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, range(8)))
    with database.transaction() as work:
        before = list(work.connection.execute(select(outbox.c.id).order_by(outbox.c.id)).scalars())
        payloads = list(work.connection.execute(select(outbox.c.payload).order_by(outbox.c.id)).scalars())
        work.connection.execute(delete(outbox))
    put(9)
    with database.reading() as connection:
        assert min(connection.execute(select(outbox.c.id)).scalars()) > max(before)
    assert [each["floors"] for each in payloads] == [0, 1, 2] * 8
    assert all(len({each["shop"] for each in payloads[at : at + 3]}) == 1 for at in range(0, 24, 3))


def test_rows_are_streamed_as_they_were_when_it_began(database: Database) -> None:
    with database.transaction() as work:
        work.emit(*(ShopOpened("acme", floor) for floor in range(2_500)))
    seen = []
    with database.reading() as connection:
        for row in connection.execution_options(yield_per=1_000).execute(select(outbox.c.payload).order_by(outbox.c.id)):
            if not seen:
                with database.transaction() as work:
                    work.connection.execute(delete(outbox))
            seen.append(row.payload["floors"])
    assert seen == list(range(2_500))
    with database.transaction() as work:  # the connection is as good as new
        assert work.connection.execute(select(outbox)).all() == []
