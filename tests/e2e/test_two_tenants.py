"""Two tenants with the same shapes of data, on every route there is: neither ever sees anything of the other."""

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from time import monotonic, sleep
from typing import Any

import httpx
import pyarrow as pa
import pytest
from support.processes import run
from support.two_shops import HANOK, MONEY, NAMU, ROWS

from jangbu.entrypoints.api.app import create_app
from jangbu.entrypoints.bootstrap import Application
from jangbu.entrypoints.settings import load
from jangbu.insight.access.facade import REVOKED_WITHIN
from jangbu.insight.catalog.facade import CatalogFacade

pytestmark = pytest.mark.slow

CATALOG = CatalogFacade().catalog_for(())
OTHER = {HANOK: NAMU, NAMU: HANOK}
ARROW = "application/vnd.apache.arrow.stream"
Ask = Callable[[httpx.Client], Iterator[httpx.Response]]
Request = dict[str, Any]


def questions() -> Iterator[Request]:
    """Every measure of every data source, by every dimension and by day."""
    for source in CATALOG.data_sources.values():
        measures = list(source.measures)
        yield {"data_source": source.name, "measures": measures[:100], "totals": True}
        for dimension in [*source.dimensions, "tenant"]:
            yield {"data_source": source.name, "measures": measures[:2], "dimensions": [dimension]}
        if source.default_time_field:
            yield {"data_source": source.name, "measures": measures[:1], "time_frequency": "day"}
    yield {"data_source": ["sales", "coupons"], "measures": ["revenue", "coupons.coupons_issued"], "dimensions": ["product"]}


UNLOGGED = [body for body in questions() if body["data_source"] != "query_log"]
"""Those whose answer isn't changed by being asked."""


def few() -> Iterator[Request]:
    """The texts of each data source at once, for the other representations."""
    for source in CATALOG.data_sources.values():
        dimensions = [name for name, dimension in source.dimensions.items() if dimension.type == "text"]
        yield {"data_source": source.name, "measures": list(source.measures)[:1], "dimensions": dimensions[:20], "limit": 100}


def mistakes() -> Iterator[Request]:
    yield {"data_source": "sales", "measures": ["nothing"]}
    yield {"data_source": "nothing", "measures": ["revenue"]}
    yield {"data_source": "sales", "measures": ["revenue"], "dimensions": ["nothing"]}
    yield {"data_source": "sales", "measures": ["revenue"], "tenants": ["nobody"]}
    yield {"data_source": "sales", "measures": ["revenue"], "filter": {"field": "store", "op": "matches", "values": ["("]}}


def asked(route: str, bodies: Callable[[], Iterator[Request]], **headers: str) -> Ask:
    return lambda client: (client.post(route, json=body, headers=headers) for body in bodies())


def fetched(*routes: str) -> Ask:
    return lambda client: (client.get(route) for route in routes)


def together(*parts: Ask) -> Ask:
    return lambda client: (response for part in parts for response in part(client))


def values_routes() -> Iterator[str]:
    for source in CATALOG.data_sources.values():
        for dimension in [*source.dimensions, "tenant", "nothing"]:
            route = f"/v1/catalog/data_sources/{source.name}/dimensions/{dimension}/values"
            yield from (route, f"{route}?search=a", f"{route}?limit=2&offset=1")


def of_loads(ask: Callable[[httpx.Client, str], httpx.Response]) -> Ask:
    """Of each of the client's loads, and of one that isn't there."""

    def asked_of(client: httpx.Client) -> Iterator[httpx.Response]:
        runs = [load["run"] for load in client.get("/v1/loads?limit=1000").json()["items"]]
        assert runs
        return (ask(client, run) for run in [*runs, "nothing"])

    return asked_of


CASES: dict[tuple[str, str], Ask] = {
    ("post", "/v1/query"): together(
        asked("/v1/query", questions),
        asked("/v1/query", few, accept="text/csv"),
        asked("/v1/query", few, accept=ARROW),
        asked("/v1/query", mistakes),
    ),
    ("post", "/v1/query/explain"): together(asked("/v1/query/explain", questions), asked("/v1/query/explain", mistakes)),
    ("get", "/v1/catalog"): fetched("/v1/catalog"),
    ("get", "/v1/catalog/data_sources"): fetched("/v1/catalog/data_sources", "/v1/catalog/data_sources?search=a"),
    ("get", "/v1/catalog/measures"): fetched("/v1/catalog/measures?limit=1000", "/v1/catalog/measures?data_source=sales"),
    ("get", "/v1/catalog/dimensions"): fetched("/v1/catalog/dimensions?limit=1000"),
    ("get", "/v1/catalog/data_sources/{name}"): fetched("/v1/catalog/data_sources/sales", "/v1/catalog/data_sources/nothing"),
    ("get", "/v1/catalog/measures/{name}"): fetched("/v1/catalog/measures/revenue", "/v1/catalog/measures/nothing"),
    ("get", "/v1/catalog/dimensions/{name}"): fetched("/v1/catalog/dimensions/sales.department", "/v1/catalog/dimensions/nothing"),
    ("get", "/v1/catalog/data_sources/{data_source}/dimensions/{name}/values"): fetched(*values_routes()),
    ("get", "/v1/loads"): fetched(
        "/v1/loads?limit=1000", "/v1/loads?state=failed", "/v1/loads?data_source=sales", "/v1/loads?tenant=x"
    ),
    ("get", "/v1/loads/{run}"): of_loads(lambda client, run: client.get(f"/v1/loads/{run}")),
    ("get", "/v1/loads/{run}/rows"): of_loads(lambda client, run: client.get(f"/v1/loads/{run}/rows")),
    ("post", "/v1/loads/{run}/replay"): of_loads(lambda client, run: client.post(f"/v1/loads/{run}/replay")),
    ("post", "/v1/loads/{run}/dismiss"): of_loads(lambda client, run: client.post(f"/v1/loads/{run}/dismiss")),
    ("get", "/health/live"): fetched("/health/live"),
    ("get", "/health/ready"): fetched("/health/ready"),
    ("get", "/metrics"): fetched("/metrics"),
}
"""What is asked of each route. A route without a case fails a test."""


@pytest.mark.parametrize("ask", ["", "/rows", "/replay", "/dismiss"])
def test_a_load_of_the_other_is_as_though_it_were_not_there(shops: Any, ask: str) -> None:
    for tenant in (HANOK, NAMU):
        for loaded in shops.clients[OTHER[tenant]].get("/v1/loads?limit=1000").json()["items"]:
            method = "GET" if ask in ("", "/rows") else "POST"
            response = shops.clients[tenant].request(method, f"/v1/loads/{loaded['run']}{ask}")
            assert (response.status_code, response.json()["code"]) == (404, "not_found")
    for tenant in (HANOK, NAMU):
        assert len(waiting(shops.clients[tenant])) == 1


def waiting(client: httpx.Client) -> list[Any]:
    """The rows that a client's loads have set aside."""
    loads = client.get("/v1/loads?limit=1000").json()["items"]
    return [row for load in loads for row in client.get(f"/v1/loads/{load['run']}/rows").json()["items"]]


def shown(response: httpx.Response) -> str:
    """All that the client can read: headers, the body, an Arrow stream's cells and metadata too."""
    text = response.text
    if response.headers.get("content-type") == ARROW:
        with pa.ipc.open_stream(response.content) as stream:
            table = stream.read_all()
        text = json.dumps(table.to_pylist(), default=str) + str(table.schema.metadata)
    return f"{text} {dict(response.headers)}"


def test_every_route_of_the_api_has_a_case(tmp_path: Any) -> None:
    paths = create_app(Application(load(folder=tmp_path))).openapi()["paths"]
    assert {(method, path) for path, operations in paths.items() for method in operations} == set(CASES)


@pytest.mark.parametrize("tenant", [HANOK, NAMU])
@pytest.mark.parametrize("route", CASES, ids=" ".join)
def test_a_route_shows_nothing_of_the_other(shops: Any, route: tuple[str, str], tenant: str) -> None:
    statuses = set()
    for response in CASES[route](shops.clients[tenant]):
        text = shown(response)
        statuses.add(response.status_code)
        assert response.status_code in (200, 403, 404, 422), text
        assert OTHER[tenant] not in text.lower(), response.request.content
        assert str(shops.server.out.parent) not in text
        assert "lakehouse/" not in text
        assert shops.keys[tenant] not in text
    assert 200 in statuses


@pytest.mark.parametrize("request_", UNLOGGED, ids=lambda body: f"{body['data_source']} {body.get('dimensions', '')}")
def test_an_answer_holds_ones_own_rows_as_though_there_were_no_other(shops: Any, request_: Request) -> None:
    own = {tenant: shops.clients[tenant].post("/v1/query", json=request_).json()["rows"] for tenant in (HANOK, NAMU)}
    for tenant in (HANOK, NAMU):
        narrowed = shops.clients["both"].post("/v1/query", json=request_ | {"tenants": [tenant]}).json()["rows"]
        assert narrowed == own[tenant]
    request = request_ | {"dimensions": ["tenant", *request_.get("dimensions", [])]}
    if "tenant" in request_.get("dimensions", []):
        return
    place = 1 if "time_frequency" in request else 0
    grouped = shops.clients["both"].post("/v1/query", json=request).json()["rows"]
    for tenant in (HANOK, NAMU):
        assert [row[:place] + row[place + 1 :] for row in grouped if row[place] == tenant] == own[tenant]


def revenue(client: httpx.Client, **more: Any) -> list[list[Any]]:
    response = client.post("/v1/query", json={"data_source": "sales", "measures": ["revenue", "lines"], **more})
    rows: list[list[Any]] = json.loads(response.text, parse_float=Decimal)["rows"]
    return rows


def test_sums_are_of_those_who_are_held(shops: Any) -> None:
    sums = {tenant: [MONEY[tenant] * ROWS[tenant], ROWS[tenant]] for tenant in (HANOK, NAMU)}
    assert revenue(shops.clients[HANOK]) == [sums[HANOK]]
    assert revenue(shops.clients[NAMU]) == [sums[NAMU]]
    assert revenue(shops.clients["both"], dimensions=["tenant"]) == [[HANOK, *sums[HANOK]], [NAMU, *sums[NAMU]]]
    assert revenue(shops.clients["both"]) == [[a + b for a, b in zip(sums[HANOK], sums[NAMU], strict=True)]]


def test_a_join_meets_rows_of_the_same_tenant_only(shops: Any) -> None:
    """The products have the same numbers in both shops, and other departments."""
    for row in revenue(shops.clients["both"], dimensions=["tenant", "department", "campaign", "coupon_upc", "age"]):
        tenant, department, _, _, age, amount, lines = row
        if department is not None:
            assert (department[: len(tenant)], age[: len(tenant)]) == (tenant, tenant)
        assert (amount, lines) == (MONEY[tenant], 1)


@pytest.mark.parametrize("named", [[NAMU], [HANOK, NAMU], ["nobody"], ["';--"], [""], [NAMU.upper()], [HANOK + " "]])
def test_a_tenant_that_isnt_held_is_refused_whether_or_not_it_exists(shops: Any, named: list[str]) -> None:
    client = shops.clients[HANOK]
    body = {"data_source": "sales", "measures": ["revenue"], "tenants": named}
    values = "/v1/catalog/data_sources/sales/dimensions/store/values"
    answers = [
        client.post("/v1/query", json=body),
        client.post("/v1/query/explain", json=body),
        client.get(values, params={"tenants": named}),
        client.get("/v1/catalog", params={"tenant": named[-1]}),
        client.get("/v1/catalog/measures", params={"tenant": named[-1]}),
        client.get("/v1/catalog/measures/revenue", params={"tenant": named[-1]}),
    ]
    for answer in answers:
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["value"], problem["known"]) == (403, "forbidden", named[-1], [HANOK])


def test_the_question_log_shows_ones_own_questions(shops: Any) -> None:
    client, other = shops.clients[HANOK], shops.clients[NAMU]
    assert (
        client.post("/v1/query", json={"data_source": "sales", "measures": ["units"], "dimensions": ["brand"]}).status_code == 200
    )
    own = {"data_source": "query_log", "measures": ["queries"], "dimensions": ["principal", "asked_measures", "asked_dimensions"]}
    mine, theirs = (each.post("/v1/query", json=own).json()["rows"] for each in (client, other))
    assert {row[0] for row in mine} <= {"hanok's key", "both's key"}
    assert {row[0] for row in theirs} <= {"namu's key", "both's key"}
    assert ["hanok's key", "units", "brand"] in [row[:3] for row in mine]
    assert ["hanok's key", "units", "brand"] not in [row[:3] for row in theirs]


@pytest.mark.parametrize("key", [None, "", "jb_", "jb_" + "a" * 43, "jb_" + "a" * 256, "';--", "jb_%00" + "a" * 40])
def test_without_a_known_key_nothing_is_answered_but_the_server_health(shops: Any, key: str | None) -> None:
    headers = {"authorization": f"Bearer {key}".rstrip()} if key is not None else {}
    for method, path in CASES:
        if path.startswith("/v1"):
            response = httpx.request(method, shops.server.address + path.replace("{", "").replace("}", ""), headers=headers)
            assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")
            assert response.headers["www-authenticate"].startswith("Bearer")


def test_a_revoked_key_is_refused_within_seconds(shops: Any) -> None:
    folder = shops.server.out.parent
    made = json.loads(run("keys", "create", "soon gone", "--tenant", HANOK, "--json", folder=folder).stdout)
    with shops.server.client(made["key"]) as client:
        assert client.get("/v1/catalog").status_code == 200
        assert run("keys", "revoke", made["id"], folder=folder).returncode == 0
        ends = monotonic() + REVOKED_WITHIN + 1
        while client.get("/v1/catalog/data_sources").status_code == 200:
            assert monotonic() < ends
            sleep(0.1)
        for _ in range(5):
            assert client.get("/v1/catalog").status_code == 401
            assert client.post("/v1/query", json={"data_source": "sales", "measures": ["revenue"]}).status_code == 401
