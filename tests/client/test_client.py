"""The Python client: the same questions and errors as on the server's side."""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from jangbu.client import AsyncClient, Client, Result
from jangbu.client.protocol import encode, error_of
from jangbu.kernel.errors import (
    EngineError,
    JangbuError,
    MissingExtra,
    NotFound,
    TimedOut,
    Unauthenticated,
    Unavailable,
    UnknownName,
    tree_of_errors,
)

Handler = Callable[[httpx.Request], httpx.Response]
URL = "http://shop.example"


def arrow_answer() -> bytes:
    column = {
        "name": "revenue",
        "type": "decimal",
        "role": "measure",
        "unit": "USD",
        "format": "money",
        "label": {"ko": "매출", "en": "Revenue"},
        "of": None,
    }
    described = f'{{"columns": [{json.dumps(column)}], "totals": [3.3000], "meta": {{"query_id": "q1"}}}}'
    table = pa.table({"revenue": pa.array([Decimal("1.10"), None], pa.decimal128(18, 4))})
    table = table.replace_schema_metadata({b"jangbu": described.encode()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


class Server:
    """Answers with these responses, one after the other, the last one again and again; keeps what it was sent."""

    def __init__(self, *replies: httpx.Response | Exception) -> None:
        self.replies = list(replies)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        return httpx.Response(reply.status_code, headers=reply.headers, content=reply.content)


def client_of(server: Server, url: str = URL, **more: Any) -> Client:
    return Client(url, "jb_key", transport=httpx.MockTransport(server), **more)


def problem(error: JangbuError, **headers: str) -> httpx.Response:
    return httpx.Response(error.status, json=error.problem(), headers=headers)


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found


ANSWER = httpx.Response(200, content=arrow_answer())


def test_a_question_of_parts_is_sent_as_one_request() -> None:
    server = Server(ANSWER)
    with client_of(server) as client:
        client.query("sales", ["revenue"], dimensions=["department"], time={"range": "2017"}, limit=None)
    (request,) = server.requests
    assert (request.method, str(request.url)) == ("POST", URL + "/v1/query")
    assert request.headers["authorization"] == "Bearer jb_key"
    assert request.headers["accept"] == "application/vnd.apache.arrow.stream"
    assert json.loads(request.content) == {
        "data_source": "sales",
        "measures": ["revenue"],
        "dimensions": ["department"],
        "time": {"range": "2017"},
    }


def test_a_decimal_in_a_request_keeps_its_digits() -> None:
    request = {"filter": {"field": "revenue", "op": "gt", "values": [Decimal("0.10000000000000000001"), 1, True, None, "식"]}}
    assert b"[0.10000000000000000001, 1, true, null" in encode(request)
    assert json.loads(encode(request), parse_float=Decimal) == request


def test_a_result_in_every_form() -> None:
    result = client_of(Server(ANSWER)).query("sales", ["revenue"])
    assert len(result) == 2
    assert result.totals == (Decimal("3.3000"),)
    assert result.columns[0].label == {"ko": "매출", "en": "Revenue"}
    assert result.meta == {"query_id": "q1"}
    assert result.rows() == [{"revenue": Decimal("1.1000")}, {"revenue": None}]
    assert isinstance(result.arrow(), pa.Table)
    assert isinstance(result.pandas(), pd.DataFrame)
    assert isinstance(result.polars(), pl.DataFrame)


@pytest.mark.parametrize("extra", ["pandas", "polars"])
def test_what_isnt_installed_is_named_with_its_extra(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result = Result.of(arrow_answer())
    monkeypatch.setitem(sys.modules, extra, None)
    with pytest.raises(MissingExtra, match=rf"jangbu\[{extra}\]"):
        getattr(result, extra)()


@pytest.mark.parametrize("kind", [kind for kind in tree_of_errors() if kind.__module__ == "jangbu.kernel.errors"])
def test_every_code_becomes_its_class_again(kind: type[JangbuError]) -> None:
    body = {
        "code": kind.code,
        "detail": "what happened",
        "path": "/measures/0",
        "value": "revenu",
        "known": ["revenue"],
        "hint": "look",
        "id": "r1",
    }
    error = error_of(body)
    assert type(error) is kind
    assert (error.detail, error.path, error.value, error.known) == ("what happened", "/measures/0", "revenu", ("revenue",))
    assert error.suggestions == ("revenue",)
    assert "Did you mean 'revenue'?" in str(error)
    assert error.__notes__ == ["request id r1"]


def test_a_code_of_a_later_release_is_still_an_error() -> None:
    assert type(error_of({"code": "brand_new", "detail": "new"})) is JangbuError


def test_an_error_is_raised_as_the_server_told_it() -> None:
    server = Server(problem(UnknownName("There is no measure 'revenu'.", path="/measures/0", value="revenu", known=["revenue"])))
    with pytest.raises(UnknownName, match="Did you mean 'revenue'") as raised:
        client_of(server).query("sales", ["revenu"])
    assert raised.value.path == "/measures/0"
    assert len(server.requests) == 1


def test_an_answer_that_isnt_from_jangbu_is_told_as_it_is() -> None:
    with pytest.raises(EngineError, match="answered 502 without a problem: '<h1>Bad gateway</h1>'"):
        client_of(Server(httpx.Response(502, html="<h1>Bad gateway</h1>"))).catalog()


@pytest.mark.parametrize(("asked", "waited"), [("3", 3.0), ("600", 10.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 1.0)])
def test_a_busy_server_is_asked_once_more_when_it_says(naps: list[float], asked: str, waited: float) -> None:
    server = Server(problem(Unavailable("busy"), **{"retry-after": asked}), ANSWER)
    assert len(client_of(server).query("sales", ["revenue"])) == 2
    assert naps == [waited]


def test_a_broken_connection_is_tried_once_more(naps: list[float]) -> None:
    assert len(client_of(Server(httpx.ReadError("reset"), ANSWER)).query("sales", ["revenue"])) == 2


@pytest.mark.parametrize("reply", [httpx.ConnectError("refused"), problem(Unavailable("busy"))])
def test_it_is_tried_twice_and_no_more(naps: list[float], reply: httpx.Response | Exception) -> None:
    server = Server(reply)
    with pytest.raises(Unavailable):
        client_of(server).catalog()
    assert len(server.requests) == 2
    assert len(naps) == 1


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (httpx.ReadTimeout("slow"), TimedOut),
        (problem(TimedOut("slow")), TimedOut),
        (problem(Unauthenticated("who?")), Unauthenticated),
    ],
)
def test_what_wouldnt_get_better_isnt_tried_again(
    naps: list[float], reply: httpx.Response | Exception, error: type[JangbuError]
) -> None:
    server = Server(reply)
    with pytest.raises(error):
        client_of(server).catalog()
    assert len(server.requests) == 1
    assert naps == []


def test_values_are_looked_up_with_their_names_quoted() -> None:
    server = Server(httpx.Response(200, content=b'{"values": [1.50], "next_offset": null}'))
    assert client_of(server).values("sales", "a/b", search="식")["values"] == [Decimal("1.50")]
    assert server.requests[0].url.raw_path.startswith(b"/v1/catalog/data_sources/sales/dimensions/a%2Fb/values?search=%EC%8B%9D&")


def test_a_missing_definition_is_not_found() -> None:
    with pytest.raises(NotFound):
        client_of(Server(problem(NotFound("nothing")))).values("sales", "nothing")


@pytest.mark.parametrize(("url", "encoding"), [("http://127.0.0.1:8000", "identity"), ("https://shop.example", "gzip")])
def test_nothing_is_packed_on_the_machine_itself(url: str, encoding: str) -> None:
    server = Server(ANSWER)
    client_of(server, url).ask("{}")
    assert server.requests[0].headers["accept-encoding"] == encoding


def test_the_key_is_not_shown() -> None:
    assert "jb_key" not in repr(client_of(Server(ANSWER))) + repr(AsyncClient(URL, "jb_key"))


def test_the_asynchronous_client_does_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(problem(Unavailable("busy"), **{"retry-after": "0"}), ANSWER)

    async def ask() -> Result:
        async with AsyncClient(URL, "jb_key", transport=httpx.MockTransport(server)) as client:
            return await client.query("sales", ["revenue"])

    assert len(asyncio.run(ask())) == 2
    assert len(server.requests) == 2


def test_the_asynchronous_client_raises_the_same() -> None:
    async def ask() -> None:
        async with AsyncClient(URL, transport=httpx.MockTransport(Server(problem(NotFound("nothing"))))) as client:
            await client.catalog()

    with pytest.raises(NotFound):
        asyncio.run(ask())
