"""Metrics over HTTP where no API is."""

import socket
from collections.abc import Iterator
from threading import Thread

import httpx
import pytest

from jangbu.platform.telemetry.exposing import server_of
from jangbu.platform.telemetry.metrics import CONTENT_TYPE, Metrics


@pytest.fixture
def address() -> Iterator[str]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    metrics = Metrics()
    metrics.message("close", "handled", 0.1)
    server = server_of(metrics, listener)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_metrics_and_life_are_shown_and_nothing_else(address: str) -> None:
    metrics = httpx.get(f"{address}/metrics")
    assert (metrics.status_code, metrics.headers["content-type"]) == (200, CONTENT_TYPE)
    assert 'jangbu_messages_total{handler="close",outcome="handled"} 1.0' in metrics.text
    assert httpx.get(f"{address}/health/live").json() == {"status": "live"}
    assert httpx.get(f"{address}/v1/query").status_code == 404
