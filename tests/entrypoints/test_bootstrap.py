"""The application: built of the settings, part by part."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from jangbu.entrypoints.bootstrap import Application
from jangbu.entrypoints.settings import Settings
from jangbu.kernel.clock import PinnedClock
from jangbu.kernel.errors import UnknownName
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.engines.ports import Statement

ENGINE = """
from jangbu.kernel.discovery import Plugin


class Engine:
    name = "mine"

    def __init__(self, threads):
        self.threads = threads

    def run(self, statement, *, timeout, cancel=None):
        return f"{statement.body} on {self.threads} threads"

    def close(self):
        pass


PLUGIN = Plugin(kind="engine", name="mine", summary="Of the test.", open=lambda *, threads: Engine(threads))
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(folder=tmp_path / "data")


def test_nothing_is_made_before_it_is_opened(settings: Settings) -> None:
    application = Application(settings)
    assert application.catalog.catalog_for().data_sources["sales"]
    assert not settings.folder.exists()
    assert not application.is_ready()


def test_it_is_ready_between_start_and_close(settings: Settings) -> None:
    application = Application(settings)
    application.start()
    assert application.is_ready()
    application.start()
    application.close()
    assert not application.is_ready()
    application.close()


def test_the_data_folder_is_its_owners(settings: Settings) -> None:
    with Application(settings):
        assert settings.folder.stat().st_mode & 0o777 == 0o700


def test_it_can_be_opened_again(settings: Settings) -> None:
    with Application(settings) as first:
        first.access.create_tenant("shop", "Shop", "Asia/Seoul", "KRW")
    with Application(settings) as second:
        assert second.operator().tenants == ("shop",)


def test_a_part_can_be_replaced_and_no_other_thing(settings: Settings) -> None:
    clock = PinnedClock(datetime(2026, 1, 1, tzinfo=UTC))
    assert Application(settings, clock=clock, dashboards="mine").dashboards == "mine"
    with pytest.raises(TypeError, match="no part dashboard"):
        Application(settings, dashboard="mine")


def test_one_tenant_sees_its_own_catalog_and_several_the_shared_one(settings: Settings) -> None:
    application = Application(settings)
    assert application.seen_by((TenantId("a"),)) == "a"
    assert application.seen_by((TenantId("a"), TenantId("b"))) is None


def test_an_engine_is_a_file_in_a_plug_in_folder_and_gets_the_settings_it_takes(tmp_path: Path) -> None:
    (tmp_path / "engines").mkdir()
    (tmp_path / "engines" / "mine.py").write_text(ENGINE)
    settings = Settings(folder=tmp_path / "data", plugin_folders=(tmp_path,), engine_threads=3)
    with Application(settings) as application:
        assert {"duckdb", "mine"} <= set(application.engines)
        assert application.engines["mine"].run(Statement("SELECT 1"), timeout=1) == "SELECT 1 on 3 threads"
        assert application.engines["mine"] is application.engines["mine"]


def test_an_engine_that_isnt_there_is_no_engine(settings: Settings) -> None:
    with Application(settings) as application:
        assert application.engines.get("oracle") is None


def test_statements_are_measured(settings: Settings) -> None:
    with Application(settings) as application:
        assert application.engines["duckdb"].run(Statement("SELECT 1 AS one"), timeout=5).num_rows == 1
        assert b'jangbu_engine_statements_total{engine="duckdb",outcome="ok"} 1.0' in application.metrics.exposition()


def test_a_connector_that_isnt_there_is_named(settings: Settings) -> None:
    with Application(settings) as application, pytest.raises(UnknownName, match="There is no connector 'nothing'"):
        application.run_connector("nothing", TenantId("shop"))
