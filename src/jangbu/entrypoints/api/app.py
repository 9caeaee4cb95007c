"""The app: routes, problems, observation, and an application that is started and closed with it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from jangbu import __version__
from jangbu.entrypoints.api import catalog, documents, health, loads, problems, query
from jangbu.entrypoints.api.context import Api
from jangbu.entrypoints.api.observe import Observe
from jangbu.entrypoints.api.workers import Workers
from jangbu.platform.telemetry.glance import Glance

if TYPE_CHECKING:
    from jangbu.entrypoints.bootstrap import Application

_DESCRIPTION = (
    """Ask a merchant's data: measures by dimensions over time. Errors are `application/problem+json` with a stable `code`."""
)


def create_app(application: "Application") -> FastAPI:
    """An ASGI app over `application`, which its lifespan starts and closes."""
    app = FastAPI(
        title="Jangbu",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=_lifespan,
        redoc_url=None,
        redirect_slashes=False,  # the address to go to would be made of the Host header, which is the client's to choose
        responses=documents.problems(),  # type: ignore[arg-type]  # FastAPI wants int | str keys, and dict is invariant
    )
    app.state.api = Api(application, Workers(application.settings.request_threads), Glance(application.is_ready))
    for module in (query, catalog, loads, health):
        app.include_router(module.router)
    problems.install(app)
    app.add_middleware(Observe, metrics=application.metrics)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # FastAPI's documented way
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    api: Api = app.state.api
    await to_thread.run_sync(api.application.start)
    try:
        yield
    finally:
        await to_thread.run_sync(api.workers.close, api.application.settings.shutdown_seconds)
        await to_thread.run_sync(api.application.close)


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        components = schema.setdefault("components", {}).setdefault("schemas", {})
        _drop_frameworks_errors(schema)
        components.update(documents.schemas())
        app.openapi_schema = schema
    return app.openapi_schema


def _drop_frameworks_errors(schema: dict[str, Any]) -> None:
    """FastAPI describes its own body of a 422, which is never sent."""
    for name in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(name, None)
    for operations in schema["paths"].values():
        for operation in operations.values():
            operation["responses"].get("422", {}).get("content", {}).pop("application/json", None)
