"""What can be asked: data sources, measures and dimensions, as the principal's tenants see them."""

from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response

from jangbu.entrypoints.api import documents
from jangbu.entrypoints.api.context import Api, ApiOf, PrincipalOf, body_of
from jangbu.entrypoints.api.serialize import JSON, json
from jangbu.kernel.errors import AmbiguousName, NotFound
from jangbu.kernel.tenancy import Principal, TenantId

router = APIRouter(prefix="/v1/catalog", tags=["catalog"])

Tenant = Annotated[str | None, Query(max_length=63, description="As this tenant sees it; all that the key holds by default.")]
Search = Annotated[str | None, Query(max_length=200, description="Text in the name, label or description, in any case.")]
DataSource = Annotated[str | None, Query(max_length=200, description="Only of this data source.")]
Limit = Annotated[int, Query(ge=1, le=1000)]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]
KINDS: Final = ("data_sources", "measures", "dimensions")
Listing = dict[str, list[dict[str, Any]]]


@router.get("", summary="The whole catalog", response_class=Response, openapi_extra=documents.LISTING)
async def whole(request: Request, api: ApiOf, principal: PrincipalOf, tenant: Tenant = None) -> Response:
    return await _answered(request, api, lambda: _listing(api, principal, tenant))


def _pages(kind: str) -> None:
    """The routes of one kind of definition."""

    async def page(
        request: Request,
        api: ApiOf,
        principal: PrincipalOf,
        search: Search = None,
        data_source: DataSource = None,
        tenant: Tenant = None,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> Response:
        def found() -> dict[str, Any]:
            items = _matching(_listing(api, principal, tenant)[kind], search, data_source)
            last = offset + limit
            return {"items": items[offset:last], "next_offset": last if last < len(items) else None}

        return await _answered(request, api, found)

    async def one(request: Request, api: ApiOf, principal: PrincipalOf, name: str, tenant: Tenant = None) -> Response:
        """A bare name, or `data_source.name` where two data sources have it."""
        return await _answered(request, api, lambda: _shown(api, principal, tenant, kind, name))

    words = kind.replace("_", " ")
    shared: dict[str, Any] = {"methods": ["GET"], "response_class": Response}
    router.add_api_route(f"/{kind}", page, name=kind, summary=f"A page of {words}", openapi_extra=documents.PAGE, **shared)
    router.add_api_route(
        f"/{kind}/{{name}}", one, name=kind[:-1], summary=f"One of the {words}", openapi_extra=documents.ONE, **shared
    )


for _kind in KINDS:
    _pages(_kind)


async def _answered(request: Request, api: Api, found: Callable[[], Any]) -> Response:
    return await api.workers.run(lambda: body_of(request, json.encode(found()), JSON))


def _listing(api: Api, principal: Principal, tenant: str | None) -> Listing:
    return api.application.catalog.listing(_whose(api, principal, tenant))


def _whose(api: Api, principal: Principal, tenant: str | None) -> TenantId | None:
    return api.application.seen_by(principal.narrow((tenant,) if tenant is not None else None))


def _shown(api: Api, principal: Principal, tenant: str | None, kind: str, name: str) -> dict[str, Any]:
    """The whole definition, but for where it stands on the server's disk."""
    found = _one(_listing(api, principal, tenant)[kind], kind, name)
    address = ".".join(filter(None, _key(found)))
    shown = api.application.catalog.show(address, _whose(api, principal, tenant))
    return {name: value for name, value in shown.items() if name not in ("file", "line")}


def _key(item: dict[str, Any]) -> tuple[str, str]:
    return str(item.get("data_source", "")), str(item["name"])


def _matching(items: list[dict[str, Any]], search: str | None, data_source: str | None) -> list[dict[str, Any]]:
    wanted = (search or "").casefold()
    return [item for item in items if data_source in (None, _key(item)[0] or item["name"]) and wanted in _words(item)]


def _words(item: dict[str, Any]) -> str:
    texts = (item.get("label"), item.get("description"))
    return " ".join([str(item["name"]), *(str(word) for text in texts if text for word in text.values())]).casefold()


def _one(items: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    found = [item for item in items if name in (item["name"], ".".join(_key(item)))]
    if not found:
        raise NotFound(f"There is no {_singular(kind)} {name[:80]!r}.", value=name, known=sorted({item["name"] for item in items}))
    if len(found) > 1:
        known = sorted(".".join(_key(item)) for item in found)
        raise AmbiguousName(f"{len(found)} data sources have the {_singular(kind)} {name!r}.", value=name, known=known)
    return found[0]


def _singular(kind: str) -> str:
    return kind[:-1].replace("_", " ")
