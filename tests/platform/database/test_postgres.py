"""What is PostgreSQL's own in its adapter: tenants kept apart by the server, and what is said when it can't be used."""

import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from services.plugin import GetService
from services.running import Running
from sqlalchemy import delete, insert, inspect, make_url, select, text, update
from sqlalchemy.exc import ProgrammingError
from support.database_at import database_at

from jangbu.insight.access.tables import api_keys, tenants
from jangbu.insight.ingest.tables import data_versions
from jangbu.kernel.errors import ConfigurationError, Unavailable
from jangbu.platform.database.ports import Database
from jangbu.platform.database.postgres import PostgresDatabase

pytestmark = pytest.mark.services("postgres")
NOW = "2017-03-01 12:00+00"


@pytest.fixture
def server(service: GetService) -> Running:
    return service("postgres")


def filled(database: Database) -> None:
    with database.transaction() as work:
        for tenant in ("one", "other", ""):
            values = {"data_source": "sales", "tenant": tenant or None, "version": 1, "as_of": work.now}
            work.connection.execute(insert(data_versions).values(**values))


def seen(connection: Any) -> list[str | None]:
    return sorted(connection.execute(select(data_versions.c.tenant)).scalars(), key=str)


def test_a_query_without_a_condition_sees_no_others_rows(database: Database) -> None:
    filled(database)
    with database.reading(["one"]) as connection:
        assert seen(connection) == [None, "one"]
        assert connection.execute(text("SELECT count(*) FROM data_versions WHERE tenant = 'other' OR true")).scalar_one() == 2
    with database.reading([]) as connection:
        assert seen(connection) == [None]
    with database.reading(["one", "other"]) as connection:
        assert seen(connection) == [None, "one", "other"]
    with database.reading() as connection:
        assert seen(connection) == [None, "one", "other"]


def test_nothing_of_whom_was_served_before_stays_with_a_connection(folder: Path) -> None:
    database = database_at(folder, connections=1)
    database.migrate()
    filled(database)
    for only in (["one"], None, ["other"]):
        with database.reading(only) as connection:
            assert seen(connection) == [None, *(only or ["one", "other"])]
    database.close()


def test_one_tenants_unit_of_work_changes_no_others_rows_nor_shared_ones(database: Database) -> None:
    filled(database)
    with database.transaction(["one"]) as work:
        assert work.connection.execute(delete(data_versions).where(data_versions.c.tenant == "other")).rowcount == 0
        work.connection.execute(update(data_versions).where(data_versions.c.tenant == "one").values(version=2))
    for stranger in ("other", "", "new"):
        values = {"data_source": "b", "tenant": stranger or None, "version": 1, "as_of": "now"}
        with pytest.raises(ProgrammingError, match="row-level security"), database.transaction(["one"]) as work:
            work.connection.execute(insert(data_versions).values(values | {"as_of": work.now}))
    with database.reading() as connection:
        assert seen(connection) == [None, "one", "other"]


def test_who_connects_without_saying_for_whom_sees_nothing(database: Database, folder: Path) -> None:
    filled(database)
    with psycopg.connect((folder / "database.uri").read_text(), autocommit=True) as session:
        count = "SELECT count(*) FROM data_versions WHERE tenant <> ''"
        assert session.execute(count).fetchone() == (0,)
        with session.transaction():
            session.execute("""SET LOCAL jangbu.tenants = '{"*": null}'""")
            assert session.execute(count).fetchone() == (2,)
        assert session.execute(count).fetchone() == (0,)


def test_a_name_with_signs_is_no_way_out(database: Database) -> None:
    filled(database)
    with database.reading(["x'; SET LOCAL jangbu.tenants = '*'; --"]) as connection:  # type: ignore[list-item]
        assert seen(connection) == [None]


def test_every_table_with_a_tenant_is_kept_apart(database: Database) -> None:
    policies = "SELECT tablename FROM pg_policies JOIN pg_class ON relname = tablename WHERE relrowsecurity AND relforcerowsecurity"
    with database.reading() as connection:
        apart = set(connection.execute(text(policies)).scalars())
        known = inspect(connection)
        with_tenant = {
            table for table in known.get_table_names() if any(column["name"] == "tenant" for column in known.get_columns(table))
        }
    assert apart == with_tenant | {tenants.name}
    assert api_keys.name not in apart


def test_what_serves_reading_is_told_apart_quickly(database: Database) -> None:
    """The setting is read once a statement, so that an index is still of use."""
    with database.reading(["one"]) as connection:
        plan = "\n".join(
            connection.execute(text("EXPLAIN SELECT * FROM data_versions WHERE data_source = 'a' AND tenant = 'one'")).scalars()
        )
    assert "InitPlan" in plan
    assert "Index Cond" in plan


def test_a_wrong_password_is_told_and_repeated_nowhere(folder: Path) -> None:
    url = make_url((folder / "database.uri").read_text()).set(password="not the pass;word")
    database = PostgresDatabase(url)
    with pytest.raises(ConfigurationError, match="password authentication failed") as caught:
        database.migrate()
    shown = f"{caught.value}{caught.value.problem()}{caught.value.__cause__!r}{database!r}{url!r}{vars(database)}"
    assert "pass;word" not in shown
    database.close()


@pytest.mark.parametrize(("part", "value"), [("database", "no_such"), ("username", "nobody_such")])
def test_what_is_not_there_is_a_mistake_of_the_settings(folder: Path, part: str, value: str) -> None:
    database = PostgresDatabase(make_url((folder / "database.uri").read_text()).set(**{part: value}))
    with pytest.raises(ConfigurationError, match=value):
        database.migrate()
    database.close()


def test_a_setting_of_libpq_that_does_not_exist_is_told(folder: Path) -> None:
    database = PostgresDatabase(make_url((folder / "database.uri").read_text()).update_query_dict({"sslmodus": "x"}))
    with pytest.raises(ConfigurationError, match="sslmodus"):
        database.migrate()
    database.close()


def test_a_server_that_is_not_there_is_unavailable() -> None:
    database = PostgresDatabase(make_url("postgresql://a:b@127.0.0.1:1/c"))
    with pytest.raises(Unavailable, match=r"doesn't answer.*Try again in 2 s") as caught, database.reading():
        pass
    assert caught.value.retry_after == 2
    database.close()


def test_no_connection_left_on_the_server_is_unavailable(folder: Path, server: Running) -> None:
    name = make_url((folder / "database.uri").read_text()).username
    with psycopg.connect(server["url"], autocommit=True) as session:
        session.execute(f"ALTER ROLE {name} CONNECTION LIMIT 1")  # type: ignore[call-overload]
    database = database_at(folder)
    with database.reading(), pytest.raises(Unavailable, match="no connection"), database.reading():
        pass
    with database.reading():
        pass
    database.close()


def test_more_readers_than_connections_wait_and_are_unavailable(folder: Path) -> None:
    database = database_at(folder, connections=2, patience=0.3)
    with ExitStack() as readers:
        for _ in range(2):
            readers.enter_context(database.reading())
        with pytest.raises(Unavailable, match="no connection is free"), database.reading():
            pass
    database.close()


def test_another_process_that_keeps_the_lock_makes_it_unavailable_until_it_ends(database: Database, folder: Path) -> None:
    other = database_at(folder, patience=20)
    with other.transaction():
        began = time.monotonic()
        with pytest.raises(Unavailable, match="busy writing"), database.transaction():
            pass
        assert 1.5 < time.monotonic() - began < 6
    with database.transaction():
        pass
    other.close()


def test_a_process_that_stands_still_in_a_unit_of_work_loses_it(database: Database, folder: Path) -> None:
    other = database_at(folder, patience=1.0)
    with pytest.raises(Unavailable), other.transaction() as work:  # noqa: PT012
        work.connection.execute(text("SELECT 1"))
        with database.transaction():  # within its own patience, 2 s
            pass
        work.connection.execute(text("SELECT 1"))
    with other.transaction():
        pass
    other.close()


def test_a_statement_that_takes_too_long_is_ended(database: Database) -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable), database.reading() as connection:
        connection.execute(text("SELECT pg_sleep(30)"))
    assert time.monotonic() - began < 6


def test_connections_that_the_server_ended_are_replaced_unseen(database: Database, folder: Path, server: Running) -> None:
    name = make_url((folder / "database.uri").read_text()).database
    with database.transaction(), database.reading(), database.reading():
        pass
    with psycopg.connect(server["url"], autocommit=True) as session:
        session.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
    with database.transaction(), database.reading(), database.reading():
        pass


def test_a_commit_whose_answer_is_lost_is_told_and_not_repeated(database: Database, server: Running) -> None:
    def end(pid: int) -> None:
        with psycopg.connect(server["url"], autocommit=True) as session:
            session.execute("SELECT pg_terminate_backend(%s)", [pid])

    with pytest.raises(Unavailable, match=r"answer to a commit was lost"), database.transaction() as work:  # noqa: PT012
        pid = work.connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        end(pid)
        time.sleep(0.2)
    filled(database)


def test_a_scrub_waits_for_those_who_see_an_older_state(database: Database) -> None:
    filled(database)
    began, end = threading.Event(), threading.Event()

    def read() -> None:
        with database.reading() as connection:
            seen(connection)
            began.set()
            end.wait(20)

    thread = threading.Thread(target=read)
    thread.start()
    began.wait(20)
    with database.transaction() as work:
        work.connection.execute(delete(data_versions))
    threading.Timer(0.5, end.set).start()
    database.scrub()
    thread.join()


def test_a_scrub_says_when_an_older_state_is_read_for_too_long(database: Database, folder: Path) -> None:
    filled(database)
    patient = database_at(folder, patience=20)
    with patient.reading() as connection:
        seen(connection)
        with database.transaction() as work:
            work.connection.execute(delete(data_versions))
        with pytest.raises(Unavailable, match="Older transactions are open"):
            database.scrub()
    patient.close()


def test_a_scrub_waits_for_those_who_write_another_database_of_the_server(database: Database, server: Running) -> None:
    filled(database)
    with psycopg.connect(server["url"]) as elsewhere:
        elsewhere.execute("SELECT pg_current_xact_id()")
        with database.transaction() as work:
            work.connection.execute(delete(data_versions))
        with pytest.raises(Unavailable, match="Older transactions are open"):
            database.scrub()
        elsewhere.commit()
        database.scrub()
