"""A question whose client has gone is interrupted; a server that is full says so."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import urlsplit

import httpx

from jangbu.insight.dashboards.contracts import Answer, QueryRequest
from jangbu.kernel.errors import Cancelled, JangbuError
from jangbu.platform.engines.duckdb import open_engine
from jangbu.platform.engines.ports import CancelToken, Statement

QUESTION = {"data_source": "sales", "measures": ["revenue"]}
BODY = json.dumps(QUESTION).encode()


class SlowDashboards:
    """Answers never; tells when it began, and when it was interrupted."""

    def __init__(self) -> None:
        self.began, self.interrupted = Event(), Event()

    def __call__(self, request: QueryRequest, cancel: CancelToken | None) -> Answer:
        assert cancel is not None
        self.began.set()
        assert cancel.event.wait(20)
        self.interrupted.set()
        raise Cancelled("interrupted")


def send_question(address: str) -> socket.socket:
    place = urlsplit(address)
    connection = socket.create_connection((place.hostname, place.port))
    head = f"POST /v1/query HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer jb_alpha\r\nContent-Length: {len(BODY)}\r\n\r\n"
    connection.sendall(head.encode() + BODY)
    return connection


def test_a_client_that_goes_away_interrupts_its_query(address: str, application: Any) -> None:
    application.dashboards.reply = slow = SlowDashboards()
    connection = send_question(address)
    assert slow.began.wait(5)
    assert not slow.interrupted.is_set()
    connection.close()
    assert slow.interrupted.wait(5)


def test_the_others_queries_go_on(client: httpx.Client, address: str, application: Any) -> None:
    application.dashboards.reply = slow = SlowDashboards()
    with send_question(address):
        assert slow.began.wait(5)
        assert client.get("/health/live").status_code == 200
        assert not slow.interrupted.is_set()


def test_more_requests_than_threads_are_told_to_come_back(client: httpx.Client, address: str, application: Any) -> None:
    application.dashboards.reply = slow = SlowDashboards()
    with ThreadPoolExecutor(4) as pool:
        connections = list(pool.map(lambda _: send_question(address), range(4)))
        assert slow.began.wait(5)
        while (response := client.get("/v1/catalog")).status_code == 200:
            pass
        for connection in connections:
            connection.close()
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert slow.interrupted.wait(5)


def test_the_engines_statement_is_interrupted_too(address: str, application: Any, tmp_path: Path) -> None:
    engine = open_engine(roots=[tmp_path], spill=tmp_path)
    forever = Statement("SELECT count(*) FROM range(1000000000) a, range(1000000000) b")
    outcomes: list[object] = []
    ended = Event()

    def run(request: QueryRequest, cancel: CancelToken | None) -> Answer:
        try:
            engine.run(forever, timeout=60, cancel=cancel)
        except JangbuError as error:
            outcomes.append(type(error))
            raise
        finally:
            ended.set()
        raise AssertionError

    application.dashboards.reply = run
    connection = send_question(address)
    assert not ended.wait(0.5)
    connection.close()
    assert ended.wait(5)
    engine.close()
    assert outcomes == [Cancelled]
