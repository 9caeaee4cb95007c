"""What an endpoint gets at: the application, its workers, and who asks."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.security import HTTPBearer

from jangbu.entrypoints.api import negotiation
from jangbu.entrypoints.api.workers import Workers
from jangbu.kernel.errors import Unauthenticated
from jangbu.kernel.tenancy import Principal

if TYPE_CHECKING:
    from jangbu.entrypoints.bootstrap import Application
    from jangbu.platform.telemetry.glance import Glance


@dataclass(frozen=True, slots=True)
class Api:
    """One for each app, in `app.state.api`."""

    application: "Application"
    workers: Workers
    readiness: "Glance[bool]"


def _api(request: Request) -> Api:
    api: Api = request.app.state.api
    return api


ApiOf = Annotated[Api, Depends(_api)]

_scheme = HTTPBearer(auto_error=False, scheme_name="ApiKey", bearerFormat="jb_…", description="An API key: `jangbu keys create`.")


async def _principal(request: Request, api: ApiOf, _: Annotated[Any, Depends(_scheme)]) -> Principal:
    """Who asks, by the key in `Authorization: Bearer jb_…`.

    Raises:
        Unauthenticated: no key, or one that isn't known or was revoked.
    """
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise Unauthenticated("No API key was sent.", hint="Send the header 'Authorization: Bearer jb_…'.")
    return await api.workers.run(lambda: api.application.access.authenticate(secret.strip()))


PrincipalOf = Annotated[Principal, Depends(_principal)]


def body_of(request: Request, body: bytes, content_type: str) -> Response:
    """A 200 whose body is in the coding that the client likes best."""
    content, coding = negotiation.encode(body, request.headers.get("accept-encoding"))
    headers = {"vary": "Accept, Accept-Encoding", "cache-control": "no-store", "x-content-type-options": "nosniff"}
    if coding:
        headers["content-encoding"] = coding
    return Response(content, headers=headers, media_type=content_type)
