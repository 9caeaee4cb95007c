"""The OpenAPI document is true: whatever it allows is answered as it says, and nothing brings the server down."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from jangbu.entrypoints.api.app import create_app
from jangbu.entrypoints.bootstrap import Application
from jangbu.entrypoints.settings import Settings

pytestmark = pytest.mark.slow

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
schema = schemathesis.openapi.from_dict(create_app(Application(Settings())).openapi())
steady = settings(
    max_examples=40,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@schema.parametrize()
@steady
def test_a_route_answers_as_it_is_described(shops: Any, case: Case) -> None:
    headers = {"Authorization": f"Bearer {shops.keys['hanok']}"}
    case.call_and_validate(base_url=shops.server.address, headers=headers, checks=CHECKS)
