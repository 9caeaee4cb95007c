"""Every error as problem+json (RFC 9457): ours, the framework's, and those that nobody foresaw."""

import json
from collections.abc import Mapping
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from jangbu.kernel.errors import (
    Cancelled,
    InvalidRequest,
    JangbuError,
    NotFound,
    OutOfBounds,
    TimedOut,
    Unauthenticated,
    Unavailable,
    WrongType,
)

MEDIA_TYPE: Final = "application/problem+json"
_log = structlog.get_logger(__name__)


def install(app: FastAPI) -> None:
    app.add_exception_handler(JangbuError, _ours)
    app.add_exception_handler(HTTPException, _frameworks)
    app.add_exception_handler(RequestValidationError, _parameters)
    app.add_exception_handler(ClientDisconnect, _gone)


def problem(error: JangbuError, request_id: str) -> Response:
    """The answer to an error. What a server's fault tells about the server stays in the log, under the same id."""
    body = error.problem() | {"id": request_id}
    if error.status >= 500 and not isinstance(error, Unavailable | TimedOut):
        body = {name: body[name] for name in ("type", "title", "status", "code", "id")}
        body["detail"] = "The reason is in the server's log, under this id."
        _log.error("request failed", code=error.code, reason=str(error), exc_info=error)
    return respond(body, _headers(error))


def unforeseen(request_id: str) -> Response:
    """The answer to an exception that isn't ours; nothing of it is shown."""
    return problem(JangbuError("An exception that nobody foresaw."), request_id)


def stopping(request_id: str) -> Response:
    """The answer to a question that was interrupted because the server ends."""
    return problem(Unavailable("The server is stopping; the question was interrupted.", retry_after=5), request_id)


def respond(body: dict[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    # A lone surrogate, legal in JSON's text but not in UTF-8, is written as the escape that it came as.
    content = json.dumps(body, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")
    return Response(content, body["status"], {"cache-control": "no-store"} | dict(headers or {}), MEDIA_TYPE)


def _headers(error: JangbuError) -> dict[str, str]:
    match error:
        case Unauthenticated():
            return {"www-authenticate": 'Bearer realm="jangbu"'}
        case Unavailable(retry_after=seconds):
            return {"retry-after": str(seconds)}
    return {}


def _id(request: Request) -> str:
    return str(request.scope.get("request_id", ""))


async def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, JangbuError)  # noqa: S101  # starlette's type for a handler is wider than what it sends here
    return problem(error, _id(request))


async def _frameworks(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # as above
    if error.status_code == 404:
        return problem(
            NotFound(f"There is nothing at {request.url.path[:200]}.", hint="GET /openapi.json lists the routes."), _id(request)
        )
    code = "method_not_allowed" if error.status_code == 405 else "http"
    body = {
        "type": f"urn:jangbu:error:{code}",
        "title": "The method isn't allowed here" if error.status_code == 405 else str(error.detail),
        "status": error.status_code,
        "code": code,
        "detail": f"{request.method} isn't answered at {request.url.path[:200]}."
        if error.status_code == 405
        else str(error.detail),
        "id": _id(request),
    }
    return respond(body, error.headers)


async def _parameters(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # as above
    first = error.errors()[0]
    place, name = str(first["loc"][0]), str(first["loc"][-1])
    kind: type[InvalidRequest] = WrongType if "parsing" in first["type"] or "type" in first["type"] else OutOfBounds
    reason = str(first["msg"]).replace("Input should", "it should").rstrip(".")
    return problem(kind(f"The {place} parameter {name!r}: {reason}.", value=first.get("input")), _id(request))


async def _gone(request: Request, _: Exception) -> Response:
    return problem(Cancelled("The client went away before the end of its body."), _id(request))
