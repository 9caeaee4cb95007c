"""Whatever is sent, the answer is a problem, never a 500, and nothing is asked."""

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from jangbu.entrypoints.api.problems import respond

BOMB = b"[" * 200_000
BAD_BODIES = {
    "nothing": b"",
    "not JSON": b"{",
    "text": b'"sales"',
    "list": b"[]",
    "nested": b'{"filter": ' + b'{"not": ' * 300 + b"1" + b"}" * 301,
    "nan": b'{"data_source": "sales", "measures": ["revenue"], "limit": NaN}',
    "infinity": b'{"data_source": "sales", "measures": ["revenue"], "limit": -Infinity}',
    "key twice": b'{"data_source": "sales", "data_source": "web", "measures": ["revenue"]}',
    "not UTF-8": b'{"data_source": "\xff\xfe", "measures": ["revenue"]}',
    "UTF-16": '{"data_source": 1}'.encode("utf-16"),
    "huge integer": b'{"data_source": "sales", "measures": ["revenue"], "limit": ' + b"9" * 3000 + b"}",
    "huge exponent": b'{"data_source": "sales", "measures": ["revenue"], "limit": 1e999999999}',
    "unknown key": b'{"data_source": "sales", "measures": ["revenue"], "__proto__": {}}',
    "unknown key of a lone surrogate": b'{"data_source": "sales", "measures": ["revenue"], "\\ud800": 1}',
    "lone surrogate": b'{"data_source": "sales", "measures": ["revenue"], "order": [{"field": "\\uD800"}]}',
    "limit of 0": b'{"data_source": "sales", "measures": ["revenue"], "limit": 0}',
    "limit of 10^9": b'{"data_source": "sales", "measures": ["revenue"], "limit": 1000000000}',
    "text for a number": b'{"data_source": "sales", "measures": ["revenue"], "limit": "10"}',
    "no measures": b'{"data_source": "sales", "measures": []}',
    "empty group": b'{"data_source": "sales", "measures": ["revenue"], "filter": {"and": []}}',
}


@pytest.mark.parametrize("route", ["/v1/query", "/v1/query/explain"])
@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_a_bad_body_is_refused(client: httpx.Client, application: Any, body: bytes, route: str) -> None:
    response = client.post(route, content=body)
    assert response.status_code in (400, 422), response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] not in ("internal", "http")
    assert application.dashboards.asked == []


def test_a_bad_place_is_pointed_at(client: httpx.Client) -> None:
    problem = client.post(
        "/v1/query", json={"data_source": "sales", "measures": ["revenue"], "order": [{"field": "revenue", "direction": "up"}]}
    ).json()
    assert problem["path"] == "/order/0/direction"
    assert problem["value"] == "up"
    assert sorted(problem["known"]) == ["asc", "desc"]


def test_a_body_that_says_it_is_too_long_is_refused(client: httpx.Client) -> None:
    response = client.post("/v1/query", content=b" " * 4097)
    assert response.status_code == 413
    assert response.json()["code"] == "body_too_large"


def test_a_body_of_unknown_length_is_refused_where_it_gets_too_long(client: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(50):
            yield b" " * 1000

    assert client.post("/v1/query", content=endless()).status_code == 413


def test_a_length_beyond_all_measure_is_refused_before_anything_is_sent(address: str) -> None:
    place = urlsplit(address)
    with socket.create_connection((place.hostname, place.port)) as connection:
        head = f"POST /v1/query HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer jb_alpha\r\nContent-Length: {'9' * 19}\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(12) == b"HTTP/1.1 413"


def test_the_key_is_looked_at_before_the_body(client: httpx.Client) -> None:
    assert client.post("/v1/query", content=BOMB, headers={"authorization": ""}).status_code == 401


@pytest.mark.parametrize(
    ("method", "route", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/v1/query", 405, "method_not_allowed"),
        ("DELETE", "/v1/catalog", 405, "method_not_allowed"),
    ],
)
def test_what_isnt_there_is_a_problem_too(client: httpx.Client, method: str, route: str, status: int, code: str) -> None:
    response = client.request(method, route)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == code


@pytest.mark.parametrize("params", [{"limit": "0"}, {"limit": "1001"}, {"limit": "many"}, {"offset": "-1"}, {"search": "x" * 201}])
def test_a_bad_parameter_is_named(client: httpx.Client, params: dict[str, str]) -> None:
    response = client.get("/v1/catalog/measures", params=params)
    assert response.status_code == 422
    assert f"'{next(iter(params))}'" in response.json()["detail"]


def test_a_lone_surrogate_in_a_problem_is_written_as_the_escape_that_it_came_as() -> None:
    body = respond({"status": 422, "value": "\ud800"}).body
    assert json.loads(body) == {"status": 422, "value": "\ud800"}
