"""Whatever is sent: a problem that says what is wrong with what, and nothing is executed; never a fault of the server."""

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest

pytestmark = pytest.mark.slow

Request = dict[str, Any]
BASE: Request = {"data_source": "sales", "measures": ["revenue"]}
VALUES = "/v1/catalog/data_sources/sales/dimensions/store/values"
SOURCES = ["campaign_households", "campaigns", "coupons", "households", "products", "query_log", "redemptions", "sales"]


def leaf(field: str, op: str, *values: Any) -> Request:
    return {"filter": {"field": field, "op": op, "values": list(values)}}


def deep(levels: int) -> Request:
    node: Any = {"field": "store", "op": "is_null"}
    for _ in range(levels):
        node = {"not": node}
    return {"filter": node}


MISTAKES: dict[str, tuple[Request, str, str | None, object, list[str]]] = {
    "an unknown data source": ({"data_source": "sale"}, "unknown_name", "/data_source", "sale", SOURCES),
    "an unknown measure": ({"measures": ["revenue", "revenu"]}, "unknown_name", "/measures/1", "revenu", ["revenue", "orders"]),
    "an unknown dimension": ({"dimensions": ["departement"]}, "unknown_name", "/dimensions/0", "departement", ["department"]),
    "an unknown field": (leaf("shop", "equals", "x"), "unknown_name", "/filter/field", "shop", ["store", "revenue", "sold_at"]),
    "an unknown operator": (leaf("store", "like", "x"), "unknown_name", "/filter/op", "like", ["equals", "matches"]),
    "an unknown frequency": ({"time_frequency": "fortnight"}, "unknown_name", "/time_frequency", "fortnight", ["day", "week"]),
    "an unknown analysis": ({"analysis": {"kind": "abd"}}, "unknown_name", "/analysis/kind", "abd", ["abc", "plain", "quadrant"]),
    "an unknown parameter": (
        {"analysis": {"kind": "abc", "cut": 1}, "dimensions": ["store"]}, "unknown_name", "/analysis/cut", "cut", ["thresholds"],
    ),
    "an unknown key": ({"measure": "revenue"}, "unknown_name", "/measure", "measure", ["measures"]),
    "an unknown column to order by": ({"order": [{"field": "x"}]}, "unknown_name", "/order/0/field", "x", ["revenue"]),
    "a text for a number": (leaf("week", "gt", "1"), "wrong_type", "/filter/values/0", "1", []),
    "a number for a text": (leaf("store", "equals", 1), "wrong_type", "/filter/values/0", 1, []),
    "a number for a time": (leaf("sold_at", "after", 1), "wrong_type", "/filter/values/0", 1, []),
    "an operator of another type": (leaf("store", "gt", "a"), "wrong_type", "/filter/op", "gt", []),
    "a text for a limit": ({"limit": "10"}, "wrong_type", "/limit", "10", []),
    "an empty and": ({"filter": {"and": []}}, "invalid_request", "/filter/and", None, []),
    "an empty or below": ({"filter": {"and": [{"or": []}]}}, "invalid_request", "/filter/and/0/or", None, []),
    "a tree 51 levels deep": (deep(50), "out_of_bounds", "/filter" + "/not" * 50, None, []),
    "a range turned round": (
        {"time": {"range": ["2017-03-31", "2017-03-01"]}}, "invalid_time", "/time/range", "2017-03-31 … 2017-03-01", [],
    ),
    "a day that doesn't exist": (
        {"time": {"range": ["2017-02-29", "2017-03-01"]}}, "invalid_time", "/time/range/0", "2017-02-29", [],
    ),
    "a zone that doesn't exist": (
        {"time": {"range": "2017", "zone": "America/New_Yrok"}}, "invalid_time", "/time/zone", "America/New_Yrok", [],
    ),
    "a limit of 0": ({"limit": 0}, "out_of_bounds", "/limit", 0, []),
    "a limit of a billion": ({"limit": 10**9}, "out_of_bounds", "/limit", 10**9, []),
    "an offset below 0": ({"offset": -1}, "out_of_bounds", "/offset", -1, []),
    "a pattern that isn't one": (leaf("store", "matches", "(["), "invalid_request", "/filter/values/0", "([", []),
    "a number beyond every column": (leaf("week", "equals", 2**63), "out_of_bounds", "/filter/values/0", str(2**63), []),
    "a currency that isn't the shop's": ({"currency": "KRW"}, "invalid_request", "/currency", "KRW", ["USD"]),
    "a formula that reaches for a file": (
        {"measures": ["sum(read_parquet('/etc/passwd'))"]}, "unknown_name", "/measures/0", "sum(read_parquet('/etc/passwd'))", [],
    ),
    "a file for a data source": ({"data_source": "/etc/passwd"}, "unknown_name", "/data_source", "/etc/passwd", SOURCES),
}  # fmt: skip

BODIES: dict[str, tuple[bytes, int, str]] = {
    "nothing": (b"", 400, "malformed_body"),
    "no JSON": (b"{", 400, "malformed_body"),
    "a list": (b"[]", 400, "malformed_body"),
    "a text": (b'"sales"', 400, "malformed_body"),
    "another encoding": (json.dumps(BASE).encode("utf-16"), 400, "malformed_body"),
    "no UTF-8": (b'{"data_source": "\xff\xfe"}', 400, "malformed_body"),
    "NaN": (b'{"data_source": "sales", "measures": ["revenue"], "limit": NaN}', 400, "malformed_body"),
    "half a character": (b'{"data_source": "sales", "measures": ["\\ud800"]}', 400, "malformed_body"),
    "a NUL": (b'{"data_source": "sales", "measures": ["a\\u0000"]}', 422, "unknown_name"),
    "1e999": (b'{"data_source": "sales", "measures": ["revenue"], "limit": 1e999}', 422, "out_of_bounds"),
    "1e99999999999999999999": (b'{"limit": 1e99999999999999999999}', 422, "out_of_bounds"),
    "10^400": (b'{"limit": 1' + b"0" * 400 + b"}", 422, "out_of_bounds"),
    "-0": (b'{"data_source": "sales", "measures": ["revenue"], "limit": -0}', 422, "out_of_bounds"),
    "10^5 levels of lists": (b"[" * 100_000, 422, "out_of_bounds"),
    "10^5 levels of objects": (b'{"filter":' + b'{"not":' * 100_000 + b"1" + b"}" * 100_001, 422, "out_of_bounds"),
    "10^5 keys": (b"{" + b",".join(b'"k%d":1' % index for index in range(80_000)) + b"}", 422, "unknown_name"),
    "a text of 1 MB": (json.dumps(BASE | {"measures": ["x" * 1_000_000]}).encode(), 422, "unknown_name"),
    "more than a body may have": (json.dumps(BASE | {"measures": ["x" * 1_100_000]}).encode(), 413, "body_too_large"),
}

TEXTS = [
    *(
        "'",
        '"',
        "''",
        "';--",
        "'; DROP TABLE sales; --",
        "x' OR '1'='1",
        '" OR ""="',
        "/*",
        "*/",
        "--",
        "\\",
        "\\'",
        "%",
        "_",
        "$$",
    ),
    *("?", "{}", "(SELECT 1)", "read_parquet('/etc/passwd')", "../../etc/passwd", "${jndi:ldap://x}", "매출", "매출'; --", "😀"),
    *("\u202esales", "a\u0000b", "\uffff", "\u2028", "__proto__", "NaN", "null", "m0", "d0", "bucket", "t", "r_products"),
    *("sales.", "web.sold_at", ".", "x" * 20_000),
]


def places(text: str) -> Iterator[Request]:
    """The text wherever a request takes one."""
    two = {"measures": ["revenue", "orders"], "dimensions": ["department"]}
    yield from ({"data_source": text}, {"data_source": ["sales", text]}, {"measures": [text]}, {"dimensions": [text]})
    yield from ({"order": [{"field": text}]}, {"order": [{"field": "revenue", "direction": text}]}, {"tenants": [text]})
    yield from ({"time": {"range": text}}, {"time": {"range": [text, text]}}, {"time": {"zone": text}}, {"currency": text})
    yield from ({"time": {"field": text, "range": "2017"}}, {"time": {"range": "2017", "compare": text}}, {text: text})
    yield from ({"time": {"range": "2017", "compare": {"range": text}}}, {"time_frequency": text}, {"limit": text})
    yield from ({"analysis": {"kind": text}}, {"analysis": {"kind": "abc", text: 1}} | two)
    yield from (
        {"analysis": {"kind": "abc", "thresholds": [text, text]}} | two,
        {"analysis": {"kind": "quadrant", "cut": text}} | two,
    )
    yield {"analysis": {"kind": "quadrant", "cut": {"x": text, "y": text}}} | two
    yield from (leaf(text, "equals", "x"), leaf("department", text, "x"), leaf("revenue", "gt", text), leaf("sold_at", "on", text))


def conditions(text: str) -> Iterator[Request]:
    """The text as a value that a text may well have."""
    for op in ("equals", "not_equals", "contains", "starts_with", "not_ends_with"):
        for field in ("department", "tenant", "campaign"):
            yield leaf(field, op, text)
            yield {"filter": leaf(field, op, text)["filter"] | {"ignore_case": True}}


def assert_problem(response: httpx.Response, *statuses: int) -> dict[str, Any]:
    assert response.status_code in statuses, (response.status_code, response.text[:500])
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    assert (found["status"], found["id"]) == (response.status_code, response.headers["x-request-id"])
    assert found["code"] not in ("internal", "http")
    assert len(response.content) < len(response.request.content) + 10_000
    return found


@pytest.fixture
def client(shops: Any) -> Iterator[httpx.Client]:
    """hanok's; whatever the test sent, nothing was executed."""
    before = shops.statements()
    yield shops.clients["hanok"]
    assert shops.statements() == before


@pytest.mark.parametrize("route", ["/v1/query", "/v1/query/explain"])
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named(client: httpx.Client, name: str, route: str) -> None:
    mistake, code, path, value, known = MISTAKES[name]
    found = assert_problem(client.post(route, json=BASE | mistake), 422)
    assert (found["code"], found["path"]) == (code, path)
    assert value is None or found["value"] == value
    assert set(known) <= set(found.get("known", []))
    assert found["type"] == f"urn:jangbu:error:{code}"
    assert found["detail"].endswith((".", "?"))


@pytest.mark.parametrize("route", ["/v1/query", "/v1/query/explain"])
@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_no_request_is_refused(client: httpx.Client, name: str, route: str) -> None:
    body, status, code = BODIES[name]
    assert assert_problem(client.post(route, content=body), status)["code"] == code


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text[:20]))
def test_a_text_that_would_be_more_than_a_name_is_no_name(client: httpx.Client, text: str) -> None:
    for place in places(text):
        assert_problem(client.post("/v1/query", json=BASE | place), 422, 403)


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text[:20]))
def test_a_text_that_would_be_more_than_a_value_is_a_value_that_no_row_has(shops: Any, text: str) -> None:
    for condition in conditions(text):
        response = shops.clients["hanok"].post("/v1/query", json={"data_source": "sales", "measures": ["lines"]} | condition)
        if "\0" in text:
            assert assert_problem(response, 422)["path"] == "/filter/values/0"
            continue
        assert response.status_code == 200, response.text[:300]
        op, field = condition["filter"]["op"], condition["filter"]["field"]
        if text not in ("'", ".", "t", "_", "%") or op == "equals":
            assert response.json()["rows"] == [[3 if op.startswith("not_") else 0]], (field, op)


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text[:20]))
def test_a_path_or_parameter_is_no_more_than_a_name(client: httpx.Client, text: str) -> None:
    spelt = quote(text[:500], safe="")
    for kind in ("data_sources", "measures", "dimensions"):
        assert client.get(f"/v1/catalog/{kind}/{spelt}").status_code in (404, 200 if text in (".", "") else 404)
        assert client.get(f"/v1/catalog/{kind}", params={"search": text[:150]}).status_code == 200
        assert client.get(f"/v1/catalog/{kind}", params={"data_source": text[:150]}).json() == {"items": [], "next_offset": None}
        assert_problem(client.get(f"/v1/catalog/{kind}", params={"tenant": text}), 403, 422)
    assert_problem(client.get(VALUES, params={"tenants": text}), 403, 422)
    assert_problem(client.get(VALUES, params={"limit": text}), 422)
    for route in (f"/v1/catalog/data_sources/{spelt}/dimensions/store/values", VALUES.replace("store", spelt)):
        assert client.get(route).status_code in (404, 422)


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text[:20]))
def test_a_search_is_a_text(shops: Any, text: str) -> None:
    response = shops.clients["hanok"].get(VALUES, params={"search": text[:200]})
    assert response.status_code == (422 if "\0" in text else 200), response.text[:300]


@pytest.mark.parametrize("name", ["accept", "accept-encoding", "content-type", "x-request-id", "user-agent", "cookie", "forwarded"])
@pytest.mark.parametrize(
    "value", [b"'; --", b"\xff\xfe", b"x" * 8_000, b"*/*;q=nan", b";;;,,,=", b"text/csv;q=1e999", b"\xeb\xa7\xa4"]
)
def test_a_header_is_never_more_than_a_header(client: httpx.Client, name: str, value: bytes) -> None:
    response = client.post("/v1/query/explain", json=BASE, headers={name.encode(): value})  # type: ignore[dict-item]  # bytes are fine
    assert response.status_code in (200, 406)
    assert response.headers["x-request-id"].replace("-", "").isalnum()


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1",
        b"POST /v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /%00%ff%fe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /v1/catalog HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000 + b"\r\nConnection: close\r\n\r\n",
    ],
)
def test_what_is_hardly_http_harms_nobody(shops: Any, head: bytes) -> None:
    place = urlsplit(shops.server.address)
    with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
        try:
            connection.sendall(head)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(100)
        except TimeoutError:
            raise
        except OSError:
            answer = b""  # it hung up at once
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer
    assert httpx.get(f"{shops.server.address}/health/ready").status_code == 200


def test_after_all_that_the_log_tells_of_no_unforeseen_error(shops: Any) -> None:
    lines = [line for line in shops.server.log.read_text().splitlines() if "raceback" in line or '"level": "error"' in line]
    assert lines == []
