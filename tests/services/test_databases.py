"""PostgreSQL, MariaDB and Valkey do what their clients ask, and keep what they confirmed when they are killed."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pymysql
import pytest
import valkey
from services.plugin import GetService
from services.running import Running
from support.servers import only_on_loopback, own_database
from valkey.cluster import ValkeyCluster
from valkey.sentinel import Sentinel

postgres = pytest.mark.services("postgres")
own_postgres = pytest.mark.services("postgres", own=True)


@postgres
def test_postgres(service: GetService) -> None:
    server = service("postgres")
    with psycopg.connect(server["url"], connect_timeout=5) as connection:
        version, zone, collation = connection.execute(
            "SELECT current_setting('server_version'), current_setting('timezone'), datlocale"
            " FROM pg_database WHERE datname = current_database()"
        ).fetchone() or ("", "", "")
    assert version.startswith("18.")
    assert zone == "UTC"
    assert collation == "C.UTF-8"
    assert only_on_loopback(server)


@postgres
def test_postgres_refuses_a_wrong_password(service: GetService) -> None:
    wrong = service("postgres")["url"].replace(":postgres@", ":wrong@")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong, connect_timeout=5)


@postgres
def test_a_test_can_have_a_database_of_its_own(service: GetService) -> None:
    server = service("postgres")
    with (
        own_database(server) as first,
        own_database(server) as second,
        psycopg.connect(first) as one,
        psycopg.connect(second) as other,
    ):
        one.execute("CREATE TABLE mine (number int)")
        one.commit()
        assert other.execute("SELECT to_regclass('mine')").fetchone() == (None,)
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(first, connect_timeout=5)


@own_postgres
def test_postgres_keeps_what_it_confirmed_when_it_is_killed(own_service: GetService) -> None:
    server = own_service("postgres")
    open_session = psycopg.connect(server["url"], autocommit=True)
    open_session.execute("CREATE TABLE kept (number int)")
    open_session.execute("INSERT INTO kept SELECT generate_series(1, 1000)")
    server.kill()
    assert not server.is_alive()
    with pytest.raises(psycopg.OperationalError):
        open_session.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server["url"], connect_timeout=2)
    open_session.close()
    server.restart()
    with psycopg.connect(server["url"], connect_timeout=5) as again:
        assert again.execute("SELECT count(*) FROM kept").fetchone() == (1000,)


@own_postgres
def test_postgres_halts_with_its_sessions_and_goes_on(own_service: GetService) -> None:
    server = own_service("postgres")
    with psycopg.connect(server["url"], autocommit=True) as session, ThreadPoolExecutor() as threads:
        server.freeze()
        with pytest.raises(psycopg.errors.ConnectionTimeout):
            psycopg.connect(server["url"], connect_timeout=2)
        asked = threads.submit(lambda: session.execute("SELECT 42").fetchone())
        with pytest.raises(TimeoutError):
            asked.result(0.5)
        server.thaw()
        assert asked.result(10) == (42,)


@pytest.mark.services("mariadb")
def test_mariadb(service: GetService) -> None:
    server = service("mariadb")
    account = {"host": server["host"], "port": int(server["port"]), "user": server["user"], "password": server["password"]}
    with pymysql.connect(**account, connect_timeout=5) as connection, connection.cursor() as cursor:  # type: ignore[call-overload]
        cursor.execute("SELECT version(), @@time_zone, @@character_set_server")
        version, zone, characters = cursor.fetchone() or ("", "", "")
    assert "MariaDB" in version
    assert zone == "+00:00"
    assert characters == "utf8mb4"
    assert only_on_loopback(server)


@pytest.mark.services("valkey")
def test_valkey(service: GetService) -> None:
    server = service("valkey")
    with valkey.Valkey.from_url(server["url"], socket_timeout=5) as client:
        assert client.set("smoke:한글", "값", nx=True)
        assert client.getdel("smoke:한글").decode() == "값"
        assert client.info("server")["valkey_version"].startswith("9.")
    assert only_on_loopback(server)


@pytest.mark.services("valkey", own=True)
def test_valkey_keeps_what_it_confirmed_when_it_is_killed(own_service: GetService) -> None:
    server = own_service("valkey")
    with valkey.Valkey.from_url(server["url"], socket_timeout=5) as client:
        client.mset({f"key:{number}": number for number in range(1000)})
        server.kill()
        with pytest.raises(valkey.exceptions.ConnectionError):
            client.ping()
        server.restart()
        assert client.dbsize() == 1000


def soon(attempt: Callable[[], object], within: float = 20) -> None:
    """Until it works: servers that choose a new primary need a moment."""
    deadline = time.monotonic() + within
    while True:
        try:
            attempt()
        except valkey.exceptions.ValkeyError:
            assert time.monotonic() < deadline, "It never worked."
            time.sleep(0.1)
        else:
            return


def addresses(written: str) -> list[tuple[str, int]]:
    return [(host, int(port)) for host, _, port in (each.partition(":") for each in written.split(","))]


@pytest.mark.services("valkey-cluster", own=True)
def test_a_cluster_serves_all_slots_again_when_a_master_is_killed(own_service: GetService) -> None:
    server = own_service("valkey-cluster")
    assert only_on_loopback(server)
    with ValkeyCluster.from_url(server["url"], socket_timeout=2) as client:
        for number in range(100):
            assert client.set(f"key:{number}", number)
        server.kill("node-1")
        assert server.is_alive("node-2")
        soon(lambda: [client.set(f"key:{number}", number) for number in range(100)])
        server.restart("node-1")
        assert server.is_ready()
        assert [int(client.get(f"key:{number}")) for number in range(100)] == list(range(100))


@pytest.mark.services("valkey-sentinel", own=True)
def test_sentinels_choose_another_primary_when_it_is_killed(own_service: GetService) -> None:
    server = own_service("valkey-sentinel")
    assert only_on_loopback(server)
    sentinel = Sentinel(addresses(server["sentinels"]), socket_timeout=1)
    first = sentinel.discover_master(server["group"])
    primary = sentinel.master_for(server["group"], socket_timeout=1)
    assert primary.set("kept", "yes")
    assert primary.wait(2, 2000) == 2
    server.kill(named(server, first[1]))
    soon(lambda: primary.set("later", "yes"))
    assert sentinel.discover_master(server["group"]) != first
    assert primary.get("kept") == b"yes"
    server.restart(named(server, first[1]))
    primary.close()
    for each in sentinel.sentinels:
        each.close()


def named(server: Running, port: int) -> str:
    return next(name for name, its in server.at.ports.items() if its == port)
