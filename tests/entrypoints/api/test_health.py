"""Health, metrics, and the description of the API."""

from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from jangbu.entrypoints.api.documents import EXAMPLES
from jangbu.insight.dashboards.requests import request_of


def test_a_process_that_lives_may_not_be_ready(client: httpx.Client, application: Any) -> None:
    application.ready = False
    assert client.get("/health/live").status_code == 200
    response = client.get("/health/ready")
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    application.ready = True
    assert client.get("/health/ready").json() == {"status": "ready"}


def counted(client: httpx.Client, series: str) -> float:
    lines = (line.rpartition(" ") for line in client.get("/metrics").text.splitlines())
    return next((float(value) for name, _, value in lines if name == series), 0.0)


@pytest.mark.parametrize(
    ("route", "labels"),
    [
        ("/v1/catalog/measures/revenue", 'route="/v1/catalog/measures/{name}",status="200"'),
        ("/of/mine", 'route="unmatched",status="404"'),
    ],
)
def test_requests_are_counted_by_route_and_status(client: httpx.Client, route: str, labels: str) -> None:
    series = f'jangbu_http_requests_total{{method="GET",{labels}}}'
    before = counted(client, series)
    client.get(route)
    assert counted(client, series) == before + 1
    assert "of/mine" not in client.get("/metrics").text


def test_the_rows_of_answers_are_counted(client: httpx.Client) -> None:
    before = counted(client, "jangbu_answer_rows_total")
    client.post("/v1/query", json={"data_source": "sales", "measures": ["revenue"]})
    assert counted(client, "jangbu_answer_rows_total") == before + 2


@pytest.fixture
def described(client: httpx.Client) -> dict[str, Any]:
    return client.get("/openapi.json").json()


def test_every_reference_in_the_description_leads_somewhere(described: dict[str, Any]) -> None:
    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [found for inner in node.values() for found in references(inner)]
        return [found for inner in node for found in references(inner)] if isinstance(node, list) else []

    found = set(references(described))
    assert "#/components/schemas/Filter" in found
    assert {reference.removeprefix("#/components/schemas/") for reference in found} <= described["components"]["schemas"].keys()


def test_every_operation_describes_its_problems(described: dict[str, Any]) -> None:
    for path, operations in described["paths"].items():
        for operation in operations.values():
            assert set(operation["responses"]) >= ({"200", "401", "500"} if path.startswith("/v1/") else {"200", "500"}), path


def schema_of(described: dict[str, Any], name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": described["components"]})


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_can_be_sent(described: dict[str, Any], name: str) -> None:
    schema_of(described, "QueryRequest").validate(EXAMPLES[name]["value"])
    request_of(EXAMPLES[name]["value"])


def test_the_described_filter_is_the_one_that_is_parsed(described: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        schema_of(described, "QueryRequest").validate({"data_source": "sales", "measures": ["revenue"], "filter": {"and": []}})


def test_answers_and_problems_are_as_described(client: httpx.Client, described: dict[str, Any]) -> None:
    answer = client.post("/v1/query", json={"data_source": "sales", "measures": ["revenue"]}).json()
    schema_of(described, "Answer").validate(answer)
    schema_of(described, "Answer").validate(described["components"]["schemas"]["Answer"]["examples"][0])
    schema_of(described, "Problem").validate(client.post("/v1/query", content=b"{").json())
    schema_of(described, "Problem").validate(client.get("/nothing").json())
    schema_of(described, "Listing").validate(client.get("/v1/catalog").json())
