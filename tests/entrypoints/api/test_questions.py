"""Asking over HTTP, with a real server in front of fakes."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pyarrow as pa
import pytest

from jangbu.insight.dashboards.contracts import Answer
from jangbu.kernel.errors import Cancelled, CatalogError, EngineError, Forbidden, JangbuError, TimedOut, Unavailable

QUESTION = {"data_source": "sales", "measures": ["revenue"]}
VALUES = "/v1/catalog/data_sources/sales/dimensions/department/values"


def ask(client: httpx.Client, **headers: str) -> httpx.Response:
    return client.post("/v1/query", json=QUESTION, headers=headers)


def test_an_answer_is_json_with_exact_digits(client: httpx.Client) -> None:
    response = ask(client)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["vary"] == "Accept, Accept-Encoding"
    body = json.loads(response.content, parse_float=Decimal)
    assert body["rows"] == [
        ["2017-03-01", '식품 "A"', Decimal("12345678901234.5678")],
        ["2017-03-01", None, Decimal("12345678901234.5678")],
    ]
    assert body["columns"][1]["label"] == {"ko": "부문", "en": "Department"}
    assert body["meta"]["legs"][0]["server"] == "duckdb"


def test_the_request_reaches_the_dashboards_with_who_asks(client: httpx.Client, application: Any) -> None:
    ask(client)
    (principal, request), *_ = application.dashboards.asked
    assert principal.tenants == ("alpha",)
    assert request.measures == ["revenue"]


def test_an_answer_as_an_arrow_stream(client: httpx.Client) -> None:
    response = ask(client, accept="application/vnd.apache.arrow.stream")
    assert response.headers["content-type"] == "application/vnd.apache.arrow.stream"
    assert pa.ipc.open_stream(response.content).read_all().num_rows == 2


def test_an_answer_as_csv(client: httpx.Client) -> None:
    response = ask(client, accept="text/csv")
    assert response.headers["content-type"].startswith("text/csv; charset=utf-8")
    assert list(csv.reader(io.StringIO(response.content.decode("utf-8-sig"), newline="")))[1] == [
        "2017-03-01",
        '식품 "A"',
        "12345678901234.5678",
    ]


def test_nothing_is_asked_for_a_client_that_takes_no_representation(client: httpx.Client, application: Any) -> None:
    response = ask(client, accept="text/html")
    assert response.status_code == 406
    assert response.json()["code"] == "not_acceptable"
    assert application.dashboards.asked == []


def test_a_long_answer_is_packed(client: httpx.Client, application: Any, make_answer: Callable[..., Answer]) -> None:
    application.dashboards.reply = lambda *_: make_answer(rows=5000)
    with client.stream("POST", "/v1/query", json=QUESTION, headers={"accept-encoding": "gzip"}) as response:
        packed = b"".join(response.iter_raw())
    assert response.headers["content-encoding"] == "gzip"
    assert len(json.loads(gzip.decompress(packed))["rows"]) == 5000


@pytest.mark.parametrize(
    "headers",
    [{"authorization": ""}, {"authorization": "Basic abc"}, {"authorization": "Bearer"}, {"authorization": "Bearer jb_unknown"}],
)
@pytest.mark.parametrize("route", ["/v1/catalog", "/v1/catalog/measures", "/v1/catalog/measures/revenue", VALUES])
def test_without_a_valid_key_there_is_nothing(client: httpx.Client, headers: dict[str, str], route: str) -> None:
    response = client.get(route, headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer realm="jangbu"'
    assert response.json()["code"] == "unauthenticated"
    assert "jb_unknown" not in response.text


@pytest.mark.parametrize("route", ["/v1/query", "/v1/query/explain"])
def test_a_question_needs_a_key_too(client: httpx.Client, route: str) -> None:
    assert client.post(route, json=QUESTION, headers={"authorization": ""}).status_code == 401


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Forbidden("not held", value="beta"), 403),
        (TimedOut("slow"), 504),
        (Cancelled("gone"), 499),
        (Unavailable("busy", retry_after=7), 503),
    ],
)
def test_an_error_is_a_problem_with_its_status(client: httpx.Client, application: Any, error: JangbuError, status: int) -> None:
    def fail(*_: object) -> Answer:
        raise error

    application.dashboards.reply = fail
    response = ask(client)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"] == error.detail
    assert response.headers.get("retry-after") == ("7" if status == 503 else None)


@pytest.mark.parametrize(
    "error", [RuntimeError("the password is swordfish"), EngineError("swordfish"), CatalogError("swordfish", file="/etc/x.yml")]
)
def test_what_a_fault_says_stays_in_the_log_under_the_answers_id(
    client: httpx.Client, application: Any, error: Exception, logged: io.StringIO
) -> None:
    def fail(*_: object) -> Answer:
        raise error

    application.dashboards.reply = fail
    response = ask(client)
    assert response.status_code in (500, 502)
    assert "swordfish" not in response.text
    assert response.json()["id"] == response.headers["x-request-id"]
    events = [json.loads(line) for line in logged.getvalue().splitlines()]
    assert any("swordfish" in str(event) and event["request_id"] == response.json()["id"] for event in events)


def test_a_key_never_stands_in_the_log(client: httpx.Client, application: Any, logged: io.StringIO) -> None:
    def fail(*_: object) -> Answer:
        raise RuntimeError("asked with jb_alpha")

    application.dashboards.reply = fail
    ask(client)
    client.get("/v1/catalog", headers={"authorization": "Bearer jb_unknown"})
    assert "asked with jb_[hidden]" in logged.getvalue()
    assert "jb_alpha" not in logged.getvalue()
    assert "jb_unknown" not in logged.getvalue()


def test_the_clients_request_id_is_kept_if_it_is_plain(client: httpx.Client) -> None:
    assert ask(client, **{"x-request-id": "abc-123"}).headers["x-request-id"] == "abc-123"
    assert ask(client, **{"x-request-id": "a b"}).headers["x-request-id"] != "a b"


def test_explain_tells_the_plan(client: httpx.Client) -> None:
    response = client.post("/v1/query/explain", json=QUESTION)
    assert response.json() == {
        "plan": "plan",
        "filter": "revenue over 1",
        "range": ["2017-01-01", "2017-12-31"],
        "compare_range": None,
        "legs": [{"sql": "SELECT 1"}],
    }


def test_a_dimensions_values_are_a_page(client: httpx.Client) -> None:
    response = client.get(VALUES, params={"search": "식", "limit": 10, "offset": 20})
    assert json.loads(response.content, parse_float=Decimal) == {
        "data_source": "sales",
        "dimension": "department",
        "values": ["식", Decimal("1.50"), "2017-01-01"],
        "next_offset": 30,
    }


def test_values_of_a_tenant_that_isnt_held_are_refused(client: httpx.Client) -> None:
    assert client.get(VALUES, params={"tenants": "beta"}).status_code == 403
