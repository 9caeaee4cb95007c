"""Asking: a question, how it would be answered, and a dimension's values."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from jangbu.entrypoints.api import documents, negotiation
from jangbu.entrypoints.api.bodies import read_body
from jangbu.entrypoints.api.context import Api, ApiOf, PrincipalOf, body_of
from jangbu.entrypoints.api.serialize import JSON, MEDIA_TYPES, json, represent
from jangbu.insight.dashboards.contracts import ValuesPage
from jangbu.insight.dashboards.requests import parse_request
from jangbu.kernel.tenancy import Principal
from jangbu.platform.engines.ports import CancelToken

router = APIRouter(prefix="/v1", tags=["questions"])


@router.post("/query", summary="Ask a question", response_class=Response, openapi_extra=documents.QUERY)
async def query(request: Request, api: ApiOf, principal: PrincipalOf) -> Response:
    """The answer as JSON, an Arrow stream or CSV, by `Accept`. Numbers in JSON keep their exact digits."""
    media_type = negotiation.media_type(request.headers.get("accept"), MEDIA_TYPES)
    body = await read_body(request, api.application.settings.max_body_bytes)
    return await api.workers.run_for(request, lambda cancel: _ask(request, api, principal, body, media_type, cancel))


def _ask(request: Request, api: Api, principal: Principal, body: bytes, media_type: str, cancel: CancelToken) -> Response:
    answer = api.application.dashboards.query(principal, parse_request(body), cancel=cancel)
    api.application.metrics.answer(answer.table.num_rows)
    shown = represent(answer, media_type)
    return body_of(request, shown.body, shown.content_type)


@router.post("/query/explain", summary="Explain a question", response_class=Response, openapi_extra=documents.EXPLAIN)
async def explain(request: Request, api: ApiOf, principal: PrincipalOf) -> Response:
    """The plan and each leg's query; nothing is run."""
    negotiation.media_type(request.headers.get("accept"), (JSON,))
    body = await read_body(request, api.application.settings.max_body_bytes)
    return await api.workers.run(lambda: body_of(request, _explain(api, principal, body), JSON))


def _explain(api: Api, principal: Principal, body: bytes) -> bytes:
    found = api.application.dashboards.explain(principal, parse_request(body))
    shown: dict[str, Any] = {"plan": found.plan, "filter": found.filter, "range": found.range, "compare_range": found.compare_range}
    return json.encode(shown | {"legs": [dict(leg) for leg in found.legs]})


@router.get(
    "/catalog/data_sources/{data_source}/dimensions/{name}/values",
    tags=["catalog"],
    summary="A dimension's values",
    response_class=Response,
    openapi_extra=documents.VALUES,
)
async def values(
    request: Request,
    api: ApiOf,
    principal: PrincipalOf,
    data_source: str,
    name: str,
    search: Annotated[str | None, Query(max_length=200, description="Text that the value contains, in any case.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    tenants: Annotated[list[str] | None, Query(max_length=1000, description="Only of these tenants; repeat for several.")] = None,
) -> Response:
    """What a filter can pick from, in code point order."""

    def found(cancel: CancelToken) -> Response:
        page = api.application.dashboards.values(
            principal, data_source, name, search=search, limit=limit, offset=offset, tenants=tenants, cancel=cancel
        )
        return body_of(request, _values_page(page), JSON)

    return await api.workers.run_for(request, found)


def _values_page(page: ValuesPage) -> bytes:
    shown = json.encode({"data_source": page.data_source, "dimension": page.dimension, "next_offset": page.next_offset})
    return shown[:-1] + b',"values":[' + b",".join(json.scalar(value) for value in page.values) + b"]}"
