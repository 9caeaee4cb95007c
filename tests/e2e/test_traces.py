"""Traces as an operator sees them: one from a client's question to the statement, one from a load to what was made of it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.otlp import Receiver, receiver
from support.processes import Running, run, running

pytestmark = pytest.mark.slow

CLIENTS = "0af7651916cd43dd8448eb211c80319c"
QUESTION = {"data_source": "orders", "measures": ["rows"]}
SECRET = "hush-hush"


@pytest.fixture(scope="module")
def spans() -> Iterator[Receiver]:
    with receiver() as received:
        yield received


@pytest.fixture(scope="module")
def settings(spans: Receiver) -> dict[str, str]:
    return {
        "JANGBU_TRACES": spans.url,
        "JANGBU_TRACES_HEADERS": f"authorization=Bearer {SECRET}",
        "JANGBU_DEFINITIONS": "definitions",
    }


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, settings: dict[str, str]) -> Iterator[tuple[Running, str, Path]]:
    folder = tmp_path_factory.mktemp("traces")
    (folder / "definitions").mkdir()
    (folder / "orders.csv").write_text("order_no,ordered_at,amount\nA-1,2024-03-04 09:12:00,10\n")
    loaded = run("load", "orders.csv", "--as", "orders", "--yes", folder=folder, **settings)
    assert loaded.returncode == 0, loaded.stderr
    key = run("keys", "create", "traces", "--tenant", "shop", folder=folder)
    with running("serve", "--port", "0", folder=folder, env=settings) as server:
        yield server, key.stdout.split()[-1], folder


def test_a_question_is_one_trace_that_its_client_began(shop: tuple[Running, str, Path], spans: Receiver) -> None:
    server, key, _ = shop
    parent = os.urandom(8).hex()
    with server.client(key) as client:
        answer = client.post("/v1/query", json=QUESTION, headers={"traceparent": f"00-{CLIENTS}-{parent}-01"})
    assert answer.status_code == 200, answer.text
    spans.wait_for("POST /v1/query", "query", "statement")
    request, query, statement = (spans.one(name, CLIENTS) for name in ("POST /v1/query", "query", "statement"))
    assert (request.parent, query.parent, statement.parent) == (parent, request.id, query.id)
    assert request.attributes == {"jangbu.status": 200, "jangbu.request_id": answer.headers["x-request-id"]}
    assert (query.attributes["jangbu.rows"], statement.attributes["jangbu.engine"]) == (1, "duckdb")
    assert {span.process for span in (request, query, statement)} == {"serve"}


def test_a_load_and_what_it_leads_to_are_one_trace_over_processes(shop: tuple[Running, str, Path], spans: Receiver) -> None:
    spans.wait_for("load", "commit", "handle watch_tables")
    (load,) = [span for span in spans.spans if span.name == "load" and span.attributes["jangbu.table"] == "orders"]
    commit, handled = spans.one("commit", load.trace), spans.one("handle watch_tables", load.trace)
    assert (commit.parent, handled.parent) == (load.id, load.id)
    assert (load.process, handled.process) == ("command", "serve")


def test_what_fails_is_told_by_its_code(shop: tuple[Running, str, Path], spans: Receiver) -> None:
    server, key, _ = shop
    with server.client(key) as client:
        trace = os.urandom(16).hex()
        client.post(
            "/v1/query", json=QUESTION | {"measures": ["no such"]}, headers={"traceparent": f"00-{trace}-{CLIENTS[:16]}-01"}
        )
    while not [span for span in spans.spans if span.trace == trace and span.name == "query"]:
        spans.wait_for("query")
    query = spans.one("query", trace)
    assert (query.failed, query.attributes["error.type"]) == ("unknown_name", "unknown_name")
    assert "no such" not in str(spans.spans)


def test_headers_are_sent_and_shown_nowhere(shop: tuple[Running, str, Path], spans: Receiver) -> None:
    server, _, _ = shop
    spans.wait_for("load")
    assert {headers["authorization"] for headers in spans.headers} == {f"Bearer {SECRET}"}
    assert SECRET not in server.said


def test_a_receiver_that_is_gone_holds_nothing_up(shop: tuple[Running, str, Path], settings: dict[str, str]) -> None:
    _, _, folder = shop
    nowhere = settings | {"JANGBU_TRACES": "http://127.0.0.1:9/v1/traces"}
    done = run("query", "-s", "orders", "-m", "rows", folder=folder, timeout=30, **nowhere)
    assert done.returncode == 0, done.stderr
    assert "1" in done.stdout


def test_unreadable_headers_are_refused_and_not_repeated(tmp_path: Path) -> None:
    done = run("tenants", "list", folder=tmp_path, JANGBU_TRACES="http://127.0.0.1:9/", JANGBU_TRACES_HEADERS=SECRET)
    assert done.returncode == 1
    assert "JANGBU_TRACES_HEADERS" in done.stderr
    assert SECRET not in done.stderr
