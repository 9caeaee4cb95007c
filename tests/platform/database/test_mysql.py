"""What is MariaDB's and MySQL's own in their adapter."""

import time
from pathlib import Path

import pytest
from services.plugin import GetService
from services.running import Running
from sqlalchemy import make_url, text
from support.database_at import database_at
from support.databases import told_mariadb

from jangbu.kernel.errors import ConfigurationError, Unavailable
from jangbu.platform.database.mysql import MysqlDatabase
from jangbu.platform.database.ports import Database

pytestmark = pytest.mark.services("mariadb")


@pytest.fixture
def server(service: GetService) -> Running:
    return service("mariadb")


def test_a_wrong_password_is_told_and_repeated_nowhere(folder: Path) -> None:
    url = make_url((folder / "database.uri").read_text()).set(password="not the pass;word")
    database = MysqlDatabase(url)
    with pytest.raises(ConfigurationError, match="Access denied") as caught:
        database.migrate()
    assert "pass;word" not in f"{caught.value}{caught.value.problem()}{caught.value.__cause__!r}{vars(database)}"
    database.close()


def test_a_server_that_is_not_there_is_unavailable() -> None:
    database = MysqlDatabase(make_url("mysql://a:b@127.0.0.1:1/c"))
    with pytest.raises(Unavailable, match="doesn't answer"), database.reading():
        pass
    database.close()


def test_another_process_that_keeps_the_lock_makes_it_unavailable_until_it_ends(database: Database, folder: Path) -> None:
    other = database_at(folder, patience=20)
    with other.transaction():
        began = time.monotonic()
        with pytest.raises(Unavailable, match="busy writing"), database.transaction():
            pass
        assert 1.5 < time.monotonic() - began < 10
    with database.transaction():
        pass
    other.close()


def test_the_lock_is_free_after_a_unit_of_work_however_it_ends(database: Database, folder: Path) -> None:
    other = database_at(folder, patience=1.0)
    with pytest.raises(ZeroDivisionError), database.transaction():
        raise ZeroDivisionError
    with other.transaction():
        pass
    with database.transaction(), pytest.raises(Unavailable), other.transaction():
        pass
    other.close()


def test_a_statement_that_takes_too_long_is_ended(database: Database) -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable), database.reading() as connection:
        connection.execute(text("SELECT count(*) FROM seq_1_to_100000 a, seq_1_to_100000 b"))
    assert time.monotonic() - began < 12


def test_connections_that_the_server_ended_are_replaced_unseen(database: Database, folder: Path, server: Running) -> None:
    user = make_url((folder / "database.uri").read_text()).username
    with database.transaction(), database.reading():
        pass
    told_mariadb(server, f"KILL USER {user}")
    with database.transaction(), database.reading():
        pass


def test_a_commit_whose_answer_is_lost_is_told_and_not_repeated(database: Database, server: Running) -> None:
    with pytest.raises(Unavailable, match="answer to a commit was lost"), database.transaction() as work:  # noqa: PT012
        session = work.connection.execute(text("SELECT connection_id()")).scalar_one()
        told_mariadb(server, f"KILL {session}")
        time.sleep(0.2)
    with database.transaction():
        pass


def test_a_first_start_that_was_killed_is_told(database: Database) -> None:
    with database.transaction() as work:
        work.connection.execute(text("DROP TABLE alembic_version"))
    with pytest.raises(ConfigurationError, match=r"has tables.*make it anew"):
        database.migrate()


def test_a_migration_that_was_interrupted_is_told(database: Database) -> None:
    with database.transaction() as work:
        work.connection.execute(text("UPDATE alembic_version SET version_num = '0003'"))
    with pytest.raises(ConfigurationError, match=r"was interrupted.*from a copy"):
        database.migrate()


def test_a_scrub_waits_for_units_of_work(database: Database, folder: Path) -> None:
    """A table is written anew between them: beside one, the server would end one of the two for their locks."""
    hurried = database_at(folder, patience=1)
    with database.transaction(), pytest.raises(Unavailable, match="busy writing"):
        hurried.scrub()
    hurried.scrub()
    hurried.close()
