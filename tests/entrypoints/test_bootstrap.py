"""The application: built of the settings, part by part."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr
from services.plugin import GetService
from support.sales import SALES
from support.stores import bucket_of

from jangbu.entrypoints.bootstrap import Application
from jangbu.entrypoints.settings import Settings
from jangbu.kernel.clock import PinnedClock
from jangbu.kernel.errors import UnknownName
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.cache.ports import Key
from jangbu.platform.engines.ports import Statement
from jangbu.platform.queues.ports import Outgoing

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


CACHE = """
from jangbu.kernel.discovery import Plugin


class Mine:
    def __init__(self, megabytes):
        self.megabytes = megabytes
        self.is_closed = False

    def close(self):
        self.is_closed = True


PLUGIN = Plugin(kind="cache", name="mine", summary="Of the test.", open=lambda *, megabytes: Mine(megabytes))
"""


def test_the_cache_is_in_memory_and_shown_in_the_metrics(settings: Settings) -> None:
    key = Key(TenantId("shop"), "result", "x")
    with Application(settings) as application:
        assert application.cache.set({key: b"1" * 100}, timedelta(minutes=1)) == 1
        assert application.cache.get([key]) == {key: b"1" * 100}
        shown = application.metrics.exposition().decode()
        assert 'jangbu_cache_keys_total{operation="get",outcome="hit"} 1.0' in shown
        assert "jangbu_cache_reachable 1.0" in shown
        assert float(shown.partition("\njangbu_cache_bytes ")[2].split()[0]) > 100


def test_a_cache_is_a_file_in_a_plug_in_folder_and_is_closed(tmp_path: Path) -> None:
    (tmp_path / "caches").mkdir()
    (tmp_path / "caches" / "mine.py").write_text(CACHE)
    with Application(Settings(folder=tmp_path / "data", plugin_folders=(tmp_path,), cache="mine", cache_mb=7)) as application:
        cache: Any = application.cache
        assert (cache.megabytes, cache.is_closed) == (7, False)
    assert cache.is_closed


def test_a_cache_that_isnt_there_is_named(settings: Settings) -> None:
    with Application(settings.model_copy(update={"cache": "memcached"})) as application:
        with pytest.raises(UnknownName, match="There is no cache 'memcached'") as raised:
            _ = application.cache
        assert set(raised.value.known) == {"memory", "redis"}


def test_a_cache_whose_server_is_away_keeps_nothing_from_being_ready(settings: Settings) -> None:
    away = settings.model_copy(update={"cache": "redis", "cache_servers": "127.0.0.1:9", "cache_password": SecretStr("seen")})
    application = Application(away)
    application.start()
    assert application.is_ready()
    key = Key(TenantId("shop"), "result", "x")
    assert [application.cache.get([key]) for _ in range(5)] == [{}] * 5
    shown = application.metrics.exposition().decode()
    assert 'jangbu_cache_keys_total{operation="get",outcome="unreachable"} 5.0' in shown
    assert "jangbu_cache_reachable 0.0" in shown
    application.close()


@pytest.mark.services("elasticmq", "valkey")
def test_queues_and_cache_are_where_the_settings_say(settings: Settings, service: GetService) -> None:
    queues, cache = service("elasticmq"), service("valkey")
    prefix = uuid4().hex[:12]
    distributed = settings.model_copy(
        update={
            "queues": "sqs",
            "sqs_prefix": f"{prefix}-",
            "sqs_endpoint": queues["url"],
            "sqs_region": queues["region"],
            "sqs_access_key": SecretStr(queues["access_key"]),
            "sqs_secret_key": SecretStr(queues["secret_key"]),
            "cache": "redis",
            "cache_servers": f"{cache['host']}:{cache['port']}",
            "cache_prefix": prefix,
            "cache_timeout": 5.0,
        }
    )
    key = Key(TenantId("shop"), "result", "x")
    for _ in range(2):
        with Application(distributed) as application:
            application.queues.send("events", [Outgoing("a", "{}")])
            assert application.cache.set({key: b"1"}, timedelta(minutes=1)) == 1
            assert application.queues.depths()["events"].waiting == 1
            assert 'jangbu_queue_messages{queue="events",state="waiting"} 1.0' in application.metrics.exposition().decode()
    assert not (settings.folder / "queues.db").exists()


@pytest.mark.services("s3", "iceberg_rest")
def test_a_catalog_behind_rest_is_opened_as_the_settings_say(tmp_path: Path, service: GetService) -> None:
    s3, rest = service("s3"), service("iceberg_rest")
    with bucket_of(s3) as bucket:
        store = {"s3_endpoint": s3["url"], "s3_access_key": s3["access_key"], "s3_secret_key": SecretStr(s3["secret_key"])}
        known = {
            "lake_catalog_credential": SecretStr(rest["credential"]),
            "lake_catalog_warehouse": f"s3://{bucket}/lake",
            "lake_catalog_scope": "all",
            "lake_catalog_token_address": f"{rest['url']}v1/oauth/tokens",
        }
        places = {"warehouse": f"s3://{bucket}/lake", "lake_catalog": SecretStr(rest["url"])}
        application = Application(Settings(folder=tmp_path, **places, **store, **known))
        application.lakehouse.create(SALES)
        assert application.lakehouse.tables() == ("sales",)
        application.close()
