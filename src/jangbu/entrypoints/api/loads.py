"""What was loaded, what is being loaded, and the rows that were set aside: to be seen, replayed or dismissed."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from jangbu.entrypoints.api import documents
from jangbu.entrypoints.api.context import Api, ApiOf, PrincipalOf, body_of
from jangbu.entrypoints.api.serialize import JSON, json
from jangbu.insight.ingest.contracts import Load, LoadState, QuarantineState
from jangbu.kernel.errors import Forbidden
from jangbu.kernel.tenancy import Principal, TenantId

router = APIRouter(prefix="/v1/loads", tags=["loads"])

OPERATOR = "operator"
"""The role that a key needs to change anything about loads."""

Tenant = Annotated[str | None, Query(max_length=63, description="Only of this tenant; of all that the key holds by default.")]
DataSource = Annotated[str | None, Query(max_length=200, description="Only of this data source.")]
State = Annotated[LoadState, Query(description="Loads that are done, that go on, or that failed.")]
RowState = Annotated[QuarantineState | None, Query(description="Only rows in this state.")]
Limit = Annotated[int, Query(ge=1, le=1000)]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]


@router.get("", summary="A page of loads, the newest first", response_class=Response, openapi_extra=documents.LOADS)
async def page(
    request: Request,
    api: ApiOf,
    principal: PrincipalOf,
    tenant: Tenant = None,
    data_source: DataSource = None,
    state: State = LoadState.DONE,
    limit: Limit = 100,
    offset: Offset = 0,
) -> Response:
    def found() -> dict[str, Any]:
        tenants, sources = _narrowed(principal, tenant), [data_source] if data_source is not None else None
        return _paged(listed(api, tenants, sources, state, offset, limit), offset, limit)

    return await _answered(request, api, found)


@router.get("/{run}", summary="One load", response_class=Response, openapi_extra=documents.LOAD)
async def one(request: Request, api: ApiOf, principal: PrincipalOf, run: str) -> Response:
    return await _answered(request, api, lambda: shown(api.application.ingest.loads_of_run(run, principal.tenants)[0]))


@router.get("/{run}/rows", summary="The rows that a load set aside", response_class=Response, openapi_extra=documents.BAD_ROWS)
async def rows(
    request: Request,
    api: ApiOf,
    principal: PrincipalOf,
    run: str,
    state: RowState = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> Response:
    def found() -> dict[str, Any]:
        ingest = api.application.ingest
        ingest.loads_of_run(run, principal.tenants)
        kept = ingest.quarantined(principal.tenants, run=run, state=state, offset=offset, limit=limit)
        return _paged([asdict(row) for row in kept], offset, limit)

    return await _answered(request, api, found)


@router.post("/{run}/replay", summary="Try them again", response_class=Response, openapi_extra=documents.REPLAY)
async def replay(request: Request, api: ApiOf, principal: PrincipalOf, run: str) -> Response:
    """As the data source is defined now. Rows that fit are loaded, once; the others wait on. Needs the role `operator`."""

    def done() -> dict[str, Any]:
        tenant = _whose(api, principal, run)
        replayed = api.application.replay(run, tenant)
        return {"load": asdict(replayed.load) if replayed.load else None, "left": replayed.left}

    return await _answered(request, api, done)


@router.post("/{run}/dismiss", summary="Wait for them no longer", response_class=Response, openapi_extra=documents.DISMISS)
async def dismiss(request: Request, api: ApiOf, principal: PrincipalOf, run: str) -> Response:
    """They stay to be seen. Needs the role `operator`."""
    return await _answered(
        request, api, lambda: {"dismissed": api.application.ingest.dismiss(run, tenant=_whose(api, principal, run))}
    )


def listed(
    api: Api, tenants: Sequence[TenantId], sources: Sequence[str] | None, state: LoadState, offset: int, limit: int
) -> list[dict[str, Any]]:
    ingest = api.application.ingest
    if state is LoadState.DONE:
        return [shown(load) for load in ingest.loads(tenants, sources, offset=offset, limit=limit)]
    return [asdict(attempt) for attempt in ingest.attempts(tenants, sources, state=state, offset=offset, limit=limit)]


def shown(load: Load) -> dict[str, Any]:
    span = [load.span.start, load.span.end] if load.span else None
    return asdict(load) | {"span": span, "state": LoadState.DONE.value}


def plain(value: Any) -> Any:
    """In JSON's types: times with their offsets."""
    match value:
        case dict():
            return {name: plain(inner) for name, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
    return value.isoformat() if isinstance(value, date) else value


def _paged(items: list[dict[str, Any]], offset: int, limit: int) -> dict[str, Any]:
    return {"items": items, "next_offset": offset + limit if len(items) == limit else None}


def _narrowed(principal: Principal, tenant: str | None) -> tuple[TenantId, ...]:
    return principal.narrow((tenant,) if tenant is not None else None)


def _whose(api: Api, principal: Principal, run: str) -> TenantId:
    """The tenant of the load, of those that the key holds.

    Raises:
        Forbidden: the key may only look, or the load is of shared data.
    """
    if OPERATOR not in principal.roles:
        raise Forbidden(
            "The key may only look.", hint=f"Use one with the role {OPERATOR!r}: `jangbu keys create --role {OPERATOR}`."
        )
    tenant = api.application.ingest.loads_of_run(run, principal.tenants)[0].tenant
    if tenant is None:
        raise Forbidden("The load is of shared data.", value=run, hint="Use the command line.")
    return tenant


async def _answered(request: Request, api: Api, found: Callable[[], Any]) -> Response:
    return await api.workers.run(lambda: body_of(request, json.encode(plain(found())), JSON))
