"""Trino's own: a pinned snapshot, what reaches its files, an end that is one, and servers that are slow, gone or strange."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pyarrow as pa
import pytest
from services.plugin import GetService
from services.running import Running
from support.lake import aws
from support.trino_lake import TrinoLake, command, trino_lake

from jangbu.kernel.errors import (
    Cancelled,
    ConfigurationError,
    EngineError,
    JangbuError,
    StorageError,
    TimedOut,
    Unavailable,
    Unsupported,
)
from jangbu.kernel.tenancy import TenantId
from jangbu.kernel.types import FieldType
from jangbu.platform.engines.ports import CancelToken, Engine, Scan, Statement
from jangbu.platform.engines.trino import open_engine
from jangbu.platform.lakehouse.ports import TableColumn, TableSpec, Within

SOON = 60.0
ACME = TenantId("acme")
SPEC = TableSpec(
    "orders",
    (
        TableColumn("tenant", FieldType.TEXT),
        TableColumn("number", FieldType.INTEGER),
        TableColumn("ordered_at", FieldType.INSTANT),
    ),
    time_column="ordered_at",
)
NEW_YEAR = datetime(2017, 1, 1, tzinfo=UTC)
ENDLESS = Statement(
    "SELECT count(*) FROM {0} AS a (i), {0} AS b (i), {0} AS c (i) WHERE a.i * b.i * c.i % 7 = 3".format(
        "UNNEST(sequence(1, 10000))"
    )
)
with_lake = [pytest.mark.slow, pytest.mark.services("trino", "postgres", "s3")]


def rows(tenants: tuple[str, ...], months: range) -> pa.Table:
    found = [(tenant, month, NEW_YEAR + timedelta(days=31 * month)) for tenant in tenants for month in months]
    tenant, number, at = zip(*found, strict=True)
    return pa.table(
        {"tenant": tenant, "number": pa.array(number, pa.int64()), "ordered_at": pa.array(at, pa.timestamp("us", "UTC"))}
    )


@pytest.fixture(scope="module")
def lake(service: GetService) -> Iterator[TrinoLake]:
    """A row a month of 2017 for each of twelve tenants, of whom acme is one."""
    with trino_lake(service) as made:
        made.lakehouse.create(SPEC)
        tenants = ("acme", *(f"other{number}" for number in range(11)))
        made.lakehouse.commit(made.lakehouse.stage("orders", rows(tenants, range(12)), "one"))
        yield made


@pytest.fixture
def engine(lake: TrinoLake) -> Iterator[Engine]:
    made = lake.engine()
    yield made
    made.close()


def scan(lake: TrinoLake, table: str = "orders", columns: tuple[str, ...] = ("number", "ordered_at")) -> Scan:
    found = lake.lakehouse.files(lake.lakehouse.current(table), None, None)
    return Scan(table, columns, found, None, "tenant", (ACME,))


def found(engine: Engine, body: str, *scans: Scan) -> list[dict[str, Any]]:
    return engine.run(Statement(body, scans), timeout=SOON).to_pylist()


def queries(server: Running, marker: str) -> list[tuple[Any, ...]]:
    """State, user, source and tags of the queries whose text has the marker, the newest first."""
    asked = f"""SELECT state, "user", source, query_id FROM system.runtime.queries WHERE query LIKE '%{marker}%'
        AND query NOT LIKE '%runtime.queries%' ORDER BY created DESC"""
    return [tuple(row) for row in command(server, asked)]


class TestTables:
    pytestmark = with_lake

    def test_conditions_on_tenants_and_times_leave_files_unread(self, lake: TrinoLake, engine: Engine) -> None:
        span = "\"ordered_at\" >= CAST('2017-03-01 00:00:00.000000 UTC' AS TIMESTAMP(6) WITH TIME ZONE)"
        span += " AND \"ordered_at\" < CAST('2017-04-01 00:00:00.000000 UTC' AS TIMESTAMP(6) WITH TIME ZONE)"
        text = engine.sql(Statement(f'SELECT count("number") FROM "orders" WHERE {span}', (scan(lake),)))
        plan = "\n".join(str(row[0]) for row in command(lake.server, f"EXPLAIN {text}"))
        assert "constraint on [ordered_at]" in plan
        assert "filterPredicate = (tenant = varchar 'acme')" in plan, "a bucket holds several tenants"
        analysed = "\n".join(str(row[0]) for row in command(lake.server, f"EXPLAIN ANALYZE VERBOSE {text}"))
        read = max(int(number) for number in re.findall(r"Input: (\d+) rows?", analysed))
        assert 1 <= read < 12, "of 144 rows only those of March in acme's bucket are read; in March there are 12"
        whole = "\n".join(
            str(row[0]) for row in command(lake.server, f"EXPLAIN ANALYZE SELECT count(*) FROM {lake.catalog}.jangbu.orders")
        )
        assert "144 rows" in whole

    def test_a_pinned_snapshot_stays_as_it_was(self, lake: TrinoLake, engine: Engine) -> None:
        lakehouse = lake.lakehouse
        lakehouse.create(TableSpec("pinned", SPEC.columns, time_column="ordered_at"))
        lakehouse.commit(lakehouse.stage("pinned", rows(("acme",), range(2)), "one"))
        before = scan(lake, "pinned")
        lakehouse.commit(lakehouse.stage("pinned", rows(("acme",), range(5, 9)), "two"), [Within(ACME)])
        body = 'SELECT "number" FROM "pinned" ORDER BY 1'
        assert [row["number"] for row in found(engine, body, before)] == [0, 1]
        assert [row["number"] for row in found(engine, body, scan(lake, "pinned"))] == [5, 6, 7, 8]

    def test_a_table_that_has_changed_its_columns_is_read_by_their_ids(self, lake: TrinoLake, engine: Engine) -> None:
        lakehouse = lake.lakehouse
        lakehouse.create(TableSpec("changing", SPEC.columns, time_column="ordered_at"))
        lakehouse.commit(lakehouse.stage("changing", rows(("acme",), range(2)), "one"))
        named = (SPEC.columns[0], TableColumn("no", FieldType.INTEGER), SPEC.columns[2], TableColumn("note", FieldType.TEXT))
        lakehouse.create(TableSpec("changing", named, time_column="ordered_at", renamed={"no": "number"}))
        columns = ("no", "note")
        body = 'SELECT "no", "note" FROM "changing" ORDER BY 1'
        unwritten = scan(lake, "changing", columns)
        expected = [{"no": 0, "note": None}, {"no": 1, "note": None}]
        assert found(engine, body, unwritten) == expected, "the snapshot has its old schema still"
        more = rows(("acme",), range(3, 4)).rename_columns(["tenant", "no", "ordered_at"]).append_column("note", pa.array(["new"]))
        lakehouse.commit(lakehouse.stage("changing", more, "two"))
        assert found(engine, body, scan(lake, "changing", columns)) == [*expected, {"no": 3, "note": "new"}]
        assert found(engine, body, unwritten) == expected

    def test_a_snapshot_that_is_forgotten_is_to_be_asked_again(self, lake: TrinoLake, engine: Engine) -> None:
        lakehouse = lake.lakehouse
        lakehouse.create(TableSpec("forgotten", SPEC.columns, time_column="ordered_at"))
        lakehouse.commit(lakehouse.stage("forgotten", rows(("acme",), range(2)), "one"))
        before = scan(lake, "forgotten")
        lakehouse.commit(lakehouse.stage("forgotten", rows(("acme",), range(2)), "two"))
        lakehouse.expire("forgotten", keep=1)
        with pytest.raises(Unavailable, match="forgotten"):
            found(engine, 'SELECT count(*) FROM "forgotten"', before)

    def test_a_file_that_is_gone_is_named_without_its_path(self, lake: TrinoLake, engine: Engine) -> None:
        lakehouse = lake.lakehouse
        lakehouse.create(TableSpec("torn", SPEC.columns, time_column="ordered_at"))
        lakehouse.commit(lakehouse.stage("torn", rows(("acme",), range(1)), "one"))
        torn = scan(lake, "torn")
        assert torn.files is not None
        bucket, _, key = torn.files.files[0].path.removeprefix("s3://").partition("/")
        aws(lake.s3, "s3").delete_object(Bucket=bucket, Key=key)
        with pytest.raises(StorageError, match="is gone, torn or was damaged") as error:
            found(engine, 'SELECT sum("number") FROM "torn"', torn)
        assert error.value.value == key.rpartition("/")[2]
        assert bucket not in str(error.value)

    def test_a_catalog_that_the_server_lacks_is_said(self, lake: TrinoLake) -> None:
        engine = open_engine(url=lake.server["url"], catalog="elsewhere")
        with pytest.raises(EngineError, match="doesn't know the lakehouse's tables"):
            found(engine, 'SELECT count(*) FROM "orders"', scan(lake))


class TestQueries:
    pytestmark = with_lake

    @pytest.mark.parametrize("how", ["cancelled", "too long"])
    def test_an_end_is_one_at_the_server(self, lake: TrinoLake, engine: Engine, how: str) -> None:
        marker = f"end {how} {time.monotonic_ns()}"
        statement = Statement(f"{ENDLESS.body} AND '{marker}' <> ''")
        cancel = CancelToken.new()
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(engine.run, statement, timeout=2.0 if how == "too long" else SOON, cancel=cancel)
            wait(lambda: [state for state, *_ in queries(lake.server, marker)] == ["RUNNING"])
            if how == "cancelled":
                wait(lambda: cancel.progress is not None and cancel.progress.state == "RUNNING")
                assert cancel.progress is not None
                assert cancel.progress.query == queries(lake.server, marker)[0][3]
                cancel.cancel()
            began = time.monotonic()
            error = running.exception(timeout=20)
        assert isinstance(error, Cancelled if how == "cancelled" else TimedOut)
        assert time.monotonic() - began < 5
        wait(lambda: [state for state, *_ in queries(lake.server, marker)] == ["FAILED"], within=5)

    def test_a_query_ends_by_itself_where_we_are_gone(self, lake: TrinoLake, engine: Engine) -> None:
        text = engine.run(Statement("SELECT 'limit' AS x"), timeout=7.0)
        assert text.num_rows == 1
        asked = "SELECT query_id FROM system.runtime.queries WHERE query LIKE '%''limit'' AS x%' AND query NOT LIKE '%runtime%'"
        (identity,) = command(lake.server, asked)[-1]
        import httpx

        told = httpx.get(f"{lake.server['url']}/v1/query/{identity}", headers={"X-Trino-User": "admin"}, timeout=10).json()
        assert told["session"]["systemProperties"]["query_max_run_time"] == "8.00s"
        assert told["session"]["timeZoneKey"] in ("UTC", 0)

    def test_the_server_is_told_who_asks(self, lake: TrinoLake) -> None:
        import httpx

        engine = lake.engine(user="reporting", source="board", user_per_tenant=True, session={"query_priority": "2"})
        marker = f"who{time.monotonic_ns()}"
        found(engine, f'SELECT count(*) AS {marker} FROM "orders"', scan(lake))
        ((_, user, source, identity),) = queries(lake.server, marker)
        assert (user, source) == ("acme", "board")
        told = httpx.get(f"{lake.server['url']}/v1/query/{identity}", headers={"X-Trino-User": "admin"}, timeout=10).json()
        assert told["session"]["clientTags"] == ["tenant:acme"]
        assert told["session"]["systemProperties"]["query_priority"] == "2"

    def test_an_answer_that_is_too_large_is_given_up(self, lake: TrinoLake) -> None:
        engine = lake.engine(most_mb=1)
        with pytest.raises(EngineError, match="more than 1 MB"):
            found(
                engine,
                "SELECT a.i, b.i, 'a text that takes its room' AS t FROM {0} AS a (i), {0} AS b (i)".format(
                    "UNNEST(sequence(1, 2000))"
                ),
            )


@pytest.mark.slow
@pytest.mark.services("trino", own=True)
def test_a_server_that_stands_still_or_is_gone_is_unavailable(own_service: GetService) -> None:
    server = own_service("trino")
    engine = open_engine(url=server["url"], read_timeout=1.0, connect_timeout=1.0)
    cancel = CancelToken.new()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(engine.run, ENDLESS, timeout=SOON, cancel=cancel)
        wait(lambda: cancel.progress is not None and cancel.progress.state == "RUNNING")
        server.freeze()
        time.sleep(2.5)
        assert not running.done(), "a poll that isn't answered is sent again"
        cancel.cancel()
        assert isinstance(running.exception(timeout=10), Cancelled)
        with pytest.raises(TimedOut):
            engine.run(Statement("SELECT 1"), timeout=0.5)
        with pytest.raises(Unavailable):
            engine.run(Statement("SELECT 1"), timeout=SOON)
        server.thaw()
        assert engine.run(Statement("SELECT 1 AS one"), timeout=SOON).to_pylist() == [{"one": 1}]
        running = pool.submit(engine.run, ENDLESS, timeout=SOON)
        time.sleep(1)
        server.kill()
        assert isinstance(running.exception(timeout=20), Unavailable)
    with pytest.raises(Unavailable, match="doesn't answer"):
        engine.run(Statement("SELECT 1"), timeout=SOON)


def wait(holds: Callable[[], bool], within: float = 30) -> None:
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, "it didn't come to that"
        time.sleep(0.1)


# A server that answers what it is told to


COLUMN = {"name": "n", "type": "bigint", "typeSignature": {"rawType": "bigint", "arguments": []}}


@dataclass
class Scripted:
    """Answers each request with the next of `answers` (status, body) and keeps what it was asked."""

    answers: list[tuple[int, object]]
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    url: str = ""

    def page(self, rows: object = None, *, more: bool = False, to: str = "") -> tuple[int, object]:
        page: dict[str, object] = {"id": "q1", "stats": {"state": "RUNNING"}, "columns": [COLUMN]}
        if rows is not None:
            page["data"] = rows
        if more:
            page["nextUri"] = to or f"{self.url}/v1/statement/executing/q1/1"
        return 200, page


@contextmanager
def scripted() -> Iterator[Scripted]:
    script = Scripted([])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            script.asked.append((self.command, self.path, dict(self.headers)))
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = (204, None) if self.command == "DELETE" else script.answers.pop(0)
            text = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", "0" if status == 204 else str(len(text)))
            self.end_headers()
            if status != 204:
                self.wfile.write(text)

        do_POST = do_DELETE = do_GET  # noqa: N815 - the names that http.server asks for

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        script.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield script
        server.shutdown()
        thread.join()


def ask(script: Scripted, **options: Any) -> list[dict[str, object]]:
    engine = open_engine(url=script.url, **options)
    try:
        return engine.run(Statement("SELECT 1"), timeout=10).to_pylist()
    finally:
        engine.close()


def test_polls_that_find_the_server_busy_are_sent_again() -> None:
    with scripted() as script:
        script.answers = [
            (503, {}),
            script.page(more=True),
            (502, {}),
            (429, {}),
            script.page([[1], [2]], more=True),
            script.page([[3]]),
        ]
        assert ask(script) == [{"n": 1}, {"n": 2}, {"n": 3}]
        assert [method for method, *_ in script.asked] == ["POST", "POST", "GET", "GET", "GET", "GET"]


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        ((401, {}), ConfigurationError, "doesn't take this account"),
        ((403, {}), ConfigurationError, "doesn't take this account"),
        ((500, b"secret /path"), EngineError, "answered 500"),
        ((302, {}), EngineError, "answered 302"),
        ((200, b"<html>"), EngineError, "isn't JSON"),
        ((200, {"error": {"errorName": "QUERY_QUEUE_FULL", "message": "x"}}), Unavailable, "busy"),
        ((200, {"error": {"errorName": "SERVER_SHUTTING_DOWN", "message": "x"}}), Unavailable, "busy"),
        ((200, {"error": {"errorName": "EXCEEDED_TIME_LIMIT", "message": "x"}}), TimedOut, "longer than 10 s"),
        ((200, {"error": {"errorName": "PERMISSION_DENIED", "message": "secret"}}), EngineError, "let this user read"),
        ((200, {"error": {"errorName": "GENERIC_INTERNAL_ERROR", "message": "secret"}}), EngineError, "GENERIC_INTERNAL_ERROR"),
        ((200, {"id": "q1", "stats": {}}), EngineError, "no columns"),
    ],
)
def test_what_a_server_refuses_is_said_in_our_words(answer: tuple[int, object], error: type[JangbuError], said: str) -> None:
    with scripted() as script:
        script.answers = [answer]
        with pytest.raises(error, match=said) as raised:
            ask(script)
    assert "secret" not in str(raised.value)


def test_a_server_that_stays_busy_is_unavailable() -> None:
    with scripted() as script:
        script.answers = [(503, {})] * 6
        with pytest.raises(Unavailable, match="503"):
            ask(script)


@pytest.mark.parametrize("type_", ["map", "timestamp"])
def test_types_that_no_answer_has_are_refused_and_the_query_is_ended(type_: str) -> None:
    with scripted() as script:
        status, page = script.page([["x"]], more=True)
        assert isinstance(page, dict)
        signature = {"rawType": type_, "arguments": [{"kind": "LONG", "value": 9}]}
        script.answers = [(status, {**page, "columns": [{"name": "n", "type": type_, "typeSignature": signature}]})]
        with pytest.raises(EngineError, match="returned a"):
            ask(script)
        assert [method for method, *_ in script.asked] == ["POST", "DELETE"]


def test_other_regular_expressions_than_re2_are_none_of_ours() -> None:
    with scripted() as script:
        script.answers = [script.page([[1]])]
        engine = open_engine(url=script.url)
        for _ in range(2):
            with pytest.raises(Unsupported, match="regex-library=RE2J"):
                engine.run(Statement("SELECT regexp_like('a', 'b')"), timeout=10)
        assert len(script.asked) == 1, "it is found out once"


# Accounts


def test_secrets_go_over_tls_only_and_are_never_shown() -> None:
    for options in ({"password": "hush-hush"}, {"token": "hush-hush"}):
        with pytest.raises(ConfigurationError, match="https only") as error:
            open_engine(url="http://localhost:8080", **options)  # type: ignore[arg-type]
        assert "hush" not in str(error.value.problem())
        engine = open_engine(url="https://localhost:8443", **options)  # type: ignore[arg-type]
        assert "hush" not in repr(engine) + repr(vars(engine)) + repr(engine._connections.server)  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match="not both"):
        open_engine(url="https://localhost", password="hush-hush", token="hush-hush")


@pytest.mark.parametrize(
    "url", ["localhost:8080", "ftp://localhost", "https://", "https://u:hush@localhost", "https://localhost/x", "https://h:x"]
)
def test_an_address_is_a_scheme_a_host_and_a_port(url: str) -> None:
    with pytest.raises(ConfigurationError, match="URL of the Trino server") as error:
        open_engine(url=url)
    assert "hush" not in str(error.value.problem())
