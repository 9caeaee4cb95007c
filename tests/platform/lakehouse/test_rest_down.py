"""The REST catalog is down, stands still, or its answer is lost on the way: as for the catalog in PostgreSQL."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from services.plugin import GetService
from services.running import Running
from support.sales import ACME, SALES, baskets, data_files, load, sale, sales, same_bucket
from support.stores import RestBuckets
from support.unreachable import USES, is_said

from jangbu.platform.lakehouse.iceberg import IcebergLakehouse, open_lakehouse
from jangbu.platform.lakehouse.ports import Within
from jangbu.platform.lakehouse.tables import commits, rest

Answer = tuple[int, bytes] | None
"""Status and body."""
Instead = Callable[[Callable[[], Answer]], Answer]

TWIN = same_bucket("acme")
pytestmark = [pytest.mark.services("iceberg_rest", own=True), pytest.mark.services("s3")]


class Proxy(ThreadingHTTPServer):
    """Between Jangbu and the catalog. `instead`: what happens to the next commit or read, and is answered, if anything."""

    daemon_threads = True

    def __init__(self, to: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.to = urlsplit(to).netloc
        self.instead: dict[str, Instead] = {}
        self.seen: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def handle_one(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append(f"{self.command} {self.path}")
        kind = "read" if self.command == "GET" else "commit" if "/tables/" in self.path else "other"
        send = partial(self._forward, body)
        answer = self.server.instead.pop(kind, lambda send: send())(send)
        if answer is None:
            self.close_connection = True
            return
        status, content = answer
        with suppress(OSError):  # it may not be waited for any more
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    do_GET = do_POST = do_HEAD = do_DELETE = handle_one  # noqa: N815 - its base calls them so

    def _forward(self, body: bytes) -> Answer:
        connection = http.client.HTTPConnection(self.server.to, timeout=10)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError:
            return None
        finally:
            connection.close()

    def log_message(self, *_: object) -> None:
        pass


Wait = Callable[[float], None]


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Wait:
    """Changes for how long an answer is waited: not for long where none will come."""
    monkeypatch.setattr(commits, "WAIT", 0.01)
    return lambda seconds: monkeypatch.setattr(rest, "SECONDS", (seconds, seconds))


@pytest.fixture
def catalog(own_service: GetService) -> Running:
    return own_service("iceberg_rest")


@pytest.fixture
def proxy(catalog: Running) -> Iterator[Proxy]:
    server = Proxy(catalog["url"])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def lakehouse(catalog: Running, proxy: Proxy, service: GetService) -> Iterator[IcebergLakehouse]:
    with RestBuckets(service("s3"), catalog).place() as place:
        opened = open_lakehouse(**{**place, "catalog_uri": proxy.url})
        assert isinstance(opened, IcebergLakehouse)
        opened.create(SALES)
        load(opened, "zero", sale("acme", "old"), sale(TWIN, "kept"))
        yield opened
        opened.close()


def test_a_catalog_that_is_down_or_stands_still_is_unavailable_and_then_serves_again_by_a_token_fetched_anew(
    lakehouse: IcebergLakehouse, catalog: Running, wait: Wait
) -> None:
    for harm, mend in ((catalog.freeze, catalog.thaw), (catalog.kill, catalog.restart)):
        harm()
        wait(0.5)
        for use in USES.values():
            is_said(partial(use, lakehouse), "catalog can't be reached")
        mend()
        wait(30)
        assert baskets(lakehouse) == ["kept", "old"]
    load(lakehouse, "two", sale("acme", "new"), drops=(Within(ACME),))
    assert baskets(lakehouse) == ["kept", "new"]


@pytest.mark.parametrize("answer", [None, (504, b""), (200, b"<html>")])
def test_a_commit_of_which_the_answer_is_lost_is_found_by_its_marker_and_not_made_again(
    lakehouse: IcebergLakehouse, proxy: Proxy, answer: Answer
) -> None:
    staged = lakehouse.stage("sales", sales(sale("acme", "new")), "one")

    def lose(send: Callable[[], Answer]) -> Answer:
        assert (send() or (0,))[0] == HTTPStatus.OK
        return answer

    proxy.instead["commit"] = lose
    committed = lakehouse.commit(staged, [Within(ACME)])
    assert committed.snapshot_id == lakehouse.current("sales").snapshot_id
    assert baskets(lakehouse) == ["kept", "new"]
    assert lakehouse.state("sales").snapshots == 2


def test_a_commit_that_never_came_is_made_by_the_next_try(lakehouse: IcebergLakehouse, proxy: Proxy) -> None:
    proxy.instead["commit"] = lambda _send: None
    load(lakehouse, "one", sale("acme", "new"), drops=(Within(ACME),))
    assert baskets(lakehouse) == ["kept", "new"]
    assert lakehouse.state("sales").snapshots == 2


@pytest.mark.parametrize("drops", [(), (Within(ACME),)])
def test_a_commit_that_arrives_after_it_was_settled_is_refused(
    lakehouse: IcebergLakehouse, catalog: Running, proxy: Proxy, wait: Wait, drops: tuple[Within, ...]
) -> None:
    """It waits on the way until all is decided, and the catalog stands still meanwhile."""
    staged = lakehouse.stage("sales", sales(sale("acme", "new")), "one")
    late: list[Callable[[], Answer]] = []

    def hold(send: Callable[[], Answer]) -> Answer:
        late.append(send)
        catalog.freeze()
        wait(0.5)
        return None

    proxy.instead["commit"] = hold
    is_said(lambda: lakehouse.commit(staged, drops), "can't be reached")
    is_said(lambda: lakehouse.find_run("sales", "one"), "can't be reached")
    is_said(lambda: lakehouse.discard(staged), "can't be reached")
    catalog.thaw()
    wait(30)
    assert lakehouse.find_run("sales", "one") is None
    assert (late[0]() or (0,))[0] == HTTPStatus.CONFLICT
    assert lakehouse.find_run("sales", "one") is None, "what was found out stays so"
    assert baskets(lakehouse) == ["kept", "old"]
    lakehouse.discard(staged)
    lakehouse.collect("sales", retired=timedelta(0), orphaned=timedelta(0), now=datetime.now(UTC) + timedelta(days=1))
    assert lakehouse.verify("sales").damages == ()
    assert len(data_files(lakehouse)) == 1


def test_what_only_reads_is_sent_once_more_over_a_new_connection(lakehouse: IcebergLakehouse, proxy: Proxy) -> None:
    del proxy.seen[:]
    proxy.instead["read"] = lambda _send: None
    assert lakehouse.tables() == ("sales",)
    assert len(proxy.seen) == 2, proxy.seen
