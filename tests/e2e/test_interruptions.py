"""What takes too long, what nobody waits for any more, and what comes when all is busy."""

import json
import re
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import urlsplit

import httpx
import pyarrow as pa
import pytest
from support.processes import Running, running

from jangbu.entrypoints.bootstrap import Application
from jangbu.entrypoints.settings import load
from jangbu.insight.ingest.contracts import LoadMode
from jangbu.kernel.tenancy import TenantId

pytestmark = pytest.mark.slow

LINES = 150_000
ENDLESS = {"data_source": "sales", "measures": ["revenue"], "dimensions": ["coupon_upc"]}
"""150,000 lines of one product, each by the product's 150,000 coupons."""

QUICK = {"data_source": "query_log", "measures": ["queries"], "dimensions": ["status", "code"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop of one product, with very many coupons for it."""
    place = tmp_path_factory.mktemp("busy")
    with Application(load(folder=place / ".jangbu")) as application:
        application.access.create_tenant("busy", "busy", "UTC", "USD", datetime(2017, 12, 31, tzinfo=UTC))
        sources = application.catalog.catalog_for(()).data_sources
        texts = {name: [name] * LINES for name in ("household", "store", "basket", "product")}
        money = {name: [Decimal(1)] * LINES for name in ("sales_value", "retail_disc", "coupon_disc", "coupon_match_disc")}
        times = [datetime(2017, 1, 1, tzinfo=UTC) + timedelta(minutes=row) for row in range(LINES)]
        rows = texts | money | {"quantity": [1] * LINES, "week": [1] * LINES, "sold_at": times}
        types = {"sold_at": pa.timestamp("us", tz="UTC")} | dict.fromkeys(money, pa.decimal128(18, 4))
        table = pa.table({name: pa.array(values, types.get(name)) for name, values in rows.items()})
        coupons = pa.table(
            {"coupon_upc": [f"c{row}" for row in range(LINES)], "product": texts["product"], "campaign": ["1"] * LINES}
        )
        for name, batches in (("sales", table), ("coupons", coupons)):
            application.ingest.load(sources[name], tenant=TenantId("busy"), batches=batches, mode=LoadMode.APPEND)
        (place / "key").write_text(application.access.create_key("busy", ["busy"])[1].reveal())
    return place


def serving(folder: Path, name: str, **env: str) -> "Iterator[Running]":
    settings = {"JANGBU_ENGINE_RUNNING": "1", "JANGBU_ENGINE_WAITING": "1", "JANGBU_SHUTDOWN_SECONDS": "1", **env}
    with running("serve", "--port", "0", folder=folder, name=name, env=settings) as server:
        yield server


@pytest.fixture(scope="module")
def patient(folder: Path) -> Iterator[Running]:
    yield from serving(folder, "patient")


@pytest.fixture(scope="module")
def hasty(folder: Path) -> Iterator[Running]:
    yield from serving(folder, "hasty", JANGBU_QUERY_TIMEOUT="0.5")


@pytest.fixture
def key(folder: Path) -> str:
    return (folder / "key").read_text()


def counted(server: Running, name: str) -> float:
    """A metric's value, 0 where it isn't there yet."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", httpx.get(f"{server.address}/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    ends = monotonic() + seconds
    while not condition():
        assert monotonic() < ends
        sleep(0.02)


def left_alone(server: Running, key: str) -> socket.socket:
    """A connection that has asked what never ends, once the engine works on it."""
    place, body = urlsplit(server.address), json.dumps(ENDLESS).encode()
    connection = socket.create_connection((place.hostname, place.port))
    head = f"POST /v1/query HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


RUNNING, WAITING = (f'jangbu_engine_{state}{{engine="duckdb"}}' for state in ("running", "waiting"))
CANCELLED = 'jangbu_engine_statements_total{engine="duckdb",outcome="cancelled"}'


def test_a_client_that_leaves_interrupts_its_query_and_the_log_knows(patient: Running, key: str) -> None:
    before = counted(patient, CANCELLED)
    connection = left_alone(patient, key)
    wait_for(lambda: counted(patient, RUNNING) == 1)
    connection.close()
    left = monotonic()
    wait_for(lambda: counted(patient, CANCELLED) == before + 1)
    assert counted(patient, RUNNING) == 0
    assert monotonic() - left < 3
    with patient.client(key) as client:
        rows = client.post("/v1/query", json=QUICK).json()["rows"]
    assert ["cancelled", "cancelled"] in [row[:2] for row in rows]


def test_while_the_engine_is_busy_one_waits_and_the_next_is_told_to_come_back(patient: Running, key: str) -> None:
    first = left_alone(patient, key)
    wait_for(lambda: counted(patient, RUNNING) == 1)
    second = left_alone(patient, key)
    wait_for(lambda: counted(patient, WAITING) == 1)
    with patient.client(key) as client:
        response = client.post("/v1/query", json=ENDLESS)
        assert (response.status_code, response.json()["code"]) == (503, "unavailable")
        assert int(response.headers["retry-after"]) >= 1
        assert client.get("/health/ready").status_code == 200
        assert client.get("/v1/catalog").status_code == 200
        assert client.post("/v1/query/explain", json=ENDLESS).status_code == 200
        second.close()
        wait_for(lambda: counted(patient, WAITING) == 0)
        assert counted(patient, RUNNING) == 1
        first.close()
        wait_for(lambda: counted(patient, RUNNING) == 0)
        assert client.post("/v1/query", json=QUICK).status_code == 200


def test_what_takes_too_long_is_interrupted_and_told_so(hasty: Running, key: str) -> None:
    with hasty.client(key) as client:
        began = monotonic()
        response = client.post("/v1/query", json=ENDLESS)
        assert monotonic() - began < 5
        assert (response.status_code, response.json()["code"]) == (504, "timed_out")
        assert counted(hasty, RUNNING) == 0
        rows = client.post("/v1/query", json=QUICK).json()["rows"]
    assert ["timed_out", "timed_out"] in [row[:2] for row in rows]


def test_of_many_at_once_each_is_answered_or_told_why_not(hasty: Running, key: str) -> None:
    with hasty.client(key) as client, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: client.post("/v1/query", json=ENDLESS).status_code, range(18)))
        assert set(answers) <= {503, 504}
        assert client.post("/v1/query", json=QUICK).status_code == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_signal_ends_the_server_in_order_though_questions_run(folder: Path, key: str, number: signal.Signals) -> None:
    for server in serving(folder, f"ended-{number.name}"):
        connections = [left_alone(server, key) for _ in range(2)]
        wait_for(lambda: counted(server, WAITING) == 1)  # noqa: B023  # used at once
        began = monotonic()
        code = server.stop(number)
        assert code == 0, server.said
        assert monotonic() - began < 8
        assert "Traceback" not in server.said
        for connection in connections:
            assert connection.recv(12) == b"HTTP/1.1 503"
            connection.close()
    for server in serving(folder, f"again-{number.name}"):
        with server.client(key) as client:
            rows = client.post("/v1/query", json=QUICK).json()["rows"]
            assert sum(row[2] for row in rows if row[0] == "cancelled") >= 2
