"""Which database a URI names, and that its password is told nowhere."""

from pathlib import Path

import pytest

from jangbu.entrypoints.bootstrap import Application
from jangbu.entrypoints.settings import Settings, load
from jangbu.kernel.errors import ConfigurationError, MissingExtra
from jangbu.platform.database import opening
from jangbu.platform.database.mysql import MysqlDatabase
from jangbu.platform.database.opening import open_database
from jangbu.platform.database.ports import Database
from jangbu.platform.database.postgres import PostgresDatabase
from jangbu.platform.database.sqlite import SqliteDatabase


def opened(uri: str | None, folder: Path) -> Database:
    return open_database(uri, folder, connections=2, patience=1.0)


@pytest.mark.parametrize(
    ("uri", "kind"),
    [
        (None, SqliteDatabase),
        ("postgresql://a:b@h/d", PostgresDatabase),
        ("postgres://a:b@h:1/d?sslmode=require", PostgresDatabase),
        ("mysql://a:b@h/d", MysqlDatabase),
        ("mariadb://a:b@h/d?ssl_ca=ca.pem", MysqlDatabase),
    ],
)
def test_the_scheme_names_the_kind_and_nothing_is_connected_to(uri: str | None, kind: type, tmp_path: Path) -> None:
    database = opened(uri, tmp_path)
    assert type(database) is kind
    database.close()


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("oracle://a:top-secret@h/d", "There is no database 'oracle'"),
        ("postgresql+asyncpg://a:top-secret@h/d", "There is no database"),
        ("postgresql://a:top-secret@h", "without the database's name"),
        ("postgresql://a:top-secret@h:port/d", "can't be read"),
        ("a:top-secret@h/d", "can't be read"),
        ("mysql://a:top-secret@h/d?sslmode=require", "no option 'sslmode'"),
    ],
)
def test_a_mistake_is_told_without_the_password(uri: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=told) as caught:
        opened(uri, tmp_path)
    assert "top-secret" not in f"{caught.value!r}{caught.value}{caught.value.problem()}{caught.value.__cause__}"


@pytest.mark.parametrize(("uri", "extra"), [("postgresql://h/d", "postgres"), ("mariadb://h/d", "mysql")])
def test_a_driver_that_is_not_installed_is_told(uri: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=rf"pip install 'jangbu\[{extra}\]'"):
        opened(uri, tmp_path)


def test_the_setting_is_a_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JANGBU_DATABASE", "postgresql://a:top-secret@h/d")
    settings = load(folder=tmp_path)
    assert "top-secret" not in f"{settings!r}{settings}{settings.model_dump()}"
    application = Application(settings)
    assert isinstance(application.database, PostgresDatabase)
    assert "top-secret" not in f"{application.database!r}{vars(application.database)}"
    application.close()


def test_a_value_that_is_no_text_is_not_repeated() -> None:
    with pytest.raises(ConfigurationError, match="JANGBU_DATABASE") as caught:
        load(database=7_777_777)
    assert "7777777" not in str(caught.value.problem())
    assert Settings().database is None
