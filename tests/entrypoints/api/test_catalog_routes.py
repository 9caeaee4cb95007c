"""Looking up what can be asked."""

import httpx
import pytest

BOTH = {"authorization": "Bearer jb_both"}


def names(response: httpx.Response) -> list[str]:
    return [item["name"] for item in response.json()["items"]]


def test_the_whole_catalog(client: httpx.Client) -> None:
    assert sorted(client.get("/v1/catalog").json()) == ["data_sources", "dimensions", "measures"]


def test_a_page_says_where_the_next_begins(client: httpx.Client) -> None:
    first = client.get("/v1/catalog/measures", params={"limit": 2})
    assert names(first) == ["orders", "revenue"]
    assert first.json()["next_offset"] == 2
    assert client.get("/v1/catalog/measures", params={"limit": 2, "offset": 2}).json()["next_offset"] is None


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({"search": "REV"}, ["revenue"]),
        ({"search": "revenue 이름"}, ["revenue"]),
        ({"data_source": "web"}, ["orders"]),
        ({"search": "nothing"}, []),
    ],
)
def test_a_search_looks_at_names_labels_and_descriptions(client: httpx.Client, params: dict[str, str], found: list[str]) -> None:
    assert names(client.get("/v1/catalog/measures", params=params)) == found


def test_one_definition_tells_its_formula_and_not_the_servers_files(client: httpx.Client) -> None:
    response = client.get("/v1/catalog/measures/revenue")
    assert response.json() == {"name": "sales.revenue", "formula": "sum(sales_value)", "layer": "pack"}


def test_a_name_that_two_data_sources_have_must_be_qualified(client: httpx.Client) -> None:
    response = client.get("/v1/catalog/measures/orders")
    assert response.status_code == 422
    assert response.json()["known"] == ["sales.orders", "web.orders"]
    assert client.get("/v1/catalog/measures/web.orders").json()["name"] == "web.orders"


@pytest.mark.parametrize("route", ["measures/revenu", "dimensions/revenue", "data_sources/nothing", "nothing"])
def test_what_isnt_there_is_not_found(client: httpx.Client, route: str) -> None:
    assert client.get(f"/v1/catalog/{route}").status_code == 404


def test_a_near_miss_is_suggested(client: httpx.Client) -> None:
    assert client.get("/v1/catalog/measures/revenu").json()["suggestions"] == ["revenue"]


def test_a_tenants_own_definitions_are_seen_by_who_holds_it(client: httpx.Client) -> None:
    assert "visits" in names(client.get("/v1/catalog/measures", params={"tenant": "beta"}, headers=BOTH))
    assert "visits" not in names(client.get("/v1/catalog/measures", headers=BOTH))
    assert client.get("/v1/catalog/measures", params={"tenant": "beta"}).status_code == 403
