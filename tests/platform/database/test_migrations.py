"""The migrations make the tables that the contexts declare."""

import logging
import pkgutil
import sqlite3
from importlib import import_module
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, select, text

import jangbu
from jangbu.kernel.errors import ConfigurationError
from jangbu.platform.database import upgrade
from jangbu.platform.database.schema import METADATA, outbox
from jangbu.platform.database.sqlite import SqliteDatabase


def declare_every_table() -> None:
    for module in pkgutil.walk_packages(jangbu.__path__, "jangbu."):
        if module.name.endswith(".tables"):
            import_module(module.name)


def test_an_empty_file_gets_exactly_the_declared_tables(tmp_path: Path) -> None:
    declare_every_table()
    database = SqliteDatabase(tmp_path / "new" / "jangbu.db")
    database.migrate()
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, METADATA) == []
    database.close()


def test_columns_keys_and_constraints_are_as_declared(tmp_path: Path) -> None:
    """What Alembic's comparison leaves out: nullability of keys, order, AUTOINCREMENT, names of constraints."""
    declare_every_table()
    migrated, declared = SqliteDatabase(tmp_path / "migrated.db"), SqliteDatabase(tmp_path / "declared.db")
    migrated.migrate()
    with declared.transaction() as work:
        METADATA.create_all(work.connection)
    assert _definitions(tmp_path / "migrated.db") == _definitions(tmp_path / "declared.db")
    migrated.close()
    declared.close()


def _definitions(path: Path) -> dict[str, set[str]]:
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    connection.close()
    # SQLite quotes the name of a table that a migration has made anew.
    lines = {name: sql.replace(f'"{name}"', name).splitlines() for name, sql in rows if name != "alembic_version"}
    return {name: {_part(line) for line in sql} - {""} for name, sql in lines.items()}


def _part(line: str) -> str:
    """A line without what only holds the lines together: SQLite puts a column that was added before the last parenthesis."""
    plain = line.strip(" \t,")
    return plain.removesuffix(")").strip() if plain.count(")") > plain.count("(") else plain


def test_the_head_read_from_file_names_is_alembics(tmp_path: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(upgrade.__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [upgrade.head()]


def test_migrating_leaves_logging_alone(tmp_path: Path) -> None:
    before = (logging.root.level, list(logging.root.handlers), logging.getLogger("jangbu").disabled)
    database = SqliteDatabase(tmp_path / "jangbu.db")
    database.migrate()
    database.close()
    assert (logging.root.level, list(logging.root.handlers), logging.getLogger("jangbu").disabled) == before


def test_a_newer_releases_database_is_refused(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "jangbu.db")
    database.migrate()
    with database.transaction() as work:
        work.connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigurationError, match=r"'9999'.*newer"):
        database.migrate()
    database.close()


def test_a_failing_migration_leaves_nothing_half_done(tmp_path: Path) -> None:
    path = tmp_path / "jangbu.db"
    database = SqliteDatabase(path)
    with database.transaction() as work:
        work.connection.execute(text("CREATE TABLE spool (mine INTEGER)"))
    with pytest.raises(Exception, match="spool already exists"):
        database.migrate()
    assert set(_definitions(path)) == {"spool"}
    database.close()


def test_events_that_waited_in_the_first_releases_outbox_still_leave(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "jangbu.db")
    with database.transaction() as work:
        _migrate_to(work.connection, "0001")
        for version in (1, 2):
            event = {"version": version, "payload": f'{{"version": {version}}}'}
            row = "('TenantDataUpdated', 1, :payload, '2017-03-01 12:00:00.000000')"
            columns = "(name, schema_version, payload, created_at)"
            work.connection.execute(text(f"INSERT INTO outbox {columns} VALUES {row}"), event)
    database.migrate()
    with database.reading() as connection:
        rows = connection.execute(select(outbox).order_by(outbox.c.id)).all()
    assert [(row.id, row.kind, row.name, row.payload) for row in rows] == [
        (version, "event", "TenantDataUpdated", {"version": version}) for version in (1, 2)
    ]
    assert rows[0].message != rows[1].message
    database.close()


def _migrate_to(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(upgrade.__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
