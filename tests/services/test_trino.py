"""Trino and PyIceberg work on the same tables, by a catalog in PostgreSQL and by a REST catalog; Trino's end is survived."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
import trino
from services.plugin import GetService
from services.running import Running
from services.servers.trino import create_catalog, files_on
from support.lake import Lake, filled, ids, rest
from support.servers import only_on_loopback

pytestmark = pytest.mark.slow


@contextmanager
def session(server: Running, timeout: float = 60) -> Iterator[trino.dbapi.Connection]:
    account = {"host": server["host"], "port": int(server["port"]), "user": server["user"]}
    with trino.dbapi.connect(**account, request_timeout=timeout, max_attempts=1) as connection:
        yield connection


def rows(server: Running, statement: str, timeout: float = 60) -> list[list[object]]:
    with session(server, timeout) as connection:
        found: list[list[object]] = connection.cursor().execute(statement).fetchall()
        return found


@pytest.mark.services("trino", "postgres", "s3")
def test_trino_and_pyiceberg_write_the_same_table(service: GetService) -> None:
    server = service("trino")
    lake = Lake.made("smoketrino", service("postgres"), service("s3"))
    with lake.pyiceberg() as catalog:
        filled(catalog)
        rows(server, lake.for_trino())
        assert rows(server, "SELECT id, shop FROM smoketrino.smoke.sales ORDER BY id") == [[1, "가"], [2, "나"], [3, "다"]]
        rows(server, "DELETE FROM smoketrino.smoke.sales WHERE id = 2")
        rows(server, "INSERT INTO smoketrino.smoke.sales VALUES (4, '라')")
        assert ids(catalog) == [1, 3, 4]
    assert only_on_loopback(server)
    rows(server, "DROP CATALOG smoketrino")


@pytest.mark.services("trino", "nessie")
def test_trino_and_pyiceberg_share_a_rest_catalog(service: GetService) -> None:
    server, nessie, s3 = service("trino"), service("nessie"), service("s3")
    catalog = rest(nessie, s3)
    filled(catalog)
    settings = {"iceberg.catalog.type": "rest", "iceberg.rest-catalog.uri": nessie["url"]}
    settings |= {"iceberg.rest-catalog.warehouse": nessie["warehouse"]}
    rows(server, create_catalog("smoke_rest", settings | files_on(s3)))
    rows(server, "INSERT INTO smoke_rest.smoke.sales VALUES (4, '라')")
    assert ids(catalog) == [1, 2, 3, 4]
    assert only_on_loopback(nessie)
    rows(server, "DROP CATALOG smoke_rest")


@pytest.mark.services("trino", own=True)
def test_trino_comes_back_with_its_catalogs_when_it_is_killed_and_waits_when_it_is_frozen(own_service: GetService) -> None:
    server = own_service("trino")
    rows(server, "CREATE CATALOG kept USING tpch")
    server.freeze()
    began = time.monotonic()
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{server['url']}/v1/info", timeout=1)
    assert time.monotonic() - began >= 1
    server.thaw()
    assert rows(server, "SELECT count(*) FROM kept.tiny.nation") == [[25]]
    server.kill()
    with pytest.raises(trino.exceptions.TrinoConnectionError):
        rows(server, "SELECT 1")
    server.restart()
    assert rows(server, "SELECT count(*) FROM kept.tiny.nation") == [[25]]
