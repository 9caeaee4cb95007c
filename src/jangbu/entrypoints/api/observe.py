"""Around every request: an id, one line in the log, its count and time, and an answer to what nobody foresaw."""

import asyncio
import re
from contextlib import AbstractContextManager
from time import perf_counter
from typing import Final
from uuid import uuid4

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jangbu.entrypoints.api import problems
from jangbu.platform.telemetry import tracing
from jangbu.platform.telemetry.metrics import Metrics

HEADER: Final = "x-request-id"
_USABLE: Final = re.compile(rb"[A-Za-z0-9-]{1,64}")
_log = structlog.get_logger(__name__)


class Observe:
    """The outermost middleware. A client's own `X-Request-Id` is kept where it is plain."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["request_id"] = request_id = _request_id(scope)
        with structlog.contextvars.bound_contextvars(request_id=request_id), _span(scope) as span:
            await _Observed(scope, send, self._metrics, span).run(self._app, receive)


class _Observed:
    """One request on its way. `status` is 499 until an answer begins: nobody waited for it."""

    def __init__(self, scope: Scope, send: Send, metrics: Metrics, span: tracing.Span) -> None:
        self._scope = scope
        self._send_on = send
        self._metrics = metrics
        self._span = span
        self._status = 499
        self._began = perf_counter()

    async def run(self, app: ASGIApp, receive: Receive) -> None:
        try:
            await app(self._scope, receive, self._send)
        except asyncio.CancelledError:
            # The server is stopping, and this took longer than it waits. The task ends here: nobody above awaits it.
            if self._status == 499:
                await problems.stopping(self._scope["request_id"])(self._scope, receive, self._send)
        except Exception:
            _log.exception("unforeseen error")
            if self._status != 499:
                raise
            await problems.unforeseen(self._scope["request_id"])(self._scope, receive, self._send)
        finally:
            self._report()

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            message["headers"] = [*message["headers"], (HEADER.encode(), self._scope["request_id"].encode())]
        await self._send_on(message)

    def _report(self) -> None:
        seconds = perf_counter() - self._began
        method = self._scope["method"] if self._scope["method"] in _METHODS else "other"
        route = getattr(self._scope.get("route"), "path", "unmatched")
        self._metrics.request(method, route, self._status, seconds)
        self._span.rename(f"{method} {route}")
        self._span.set(status=self._status, request_id=self._scope["request_id"])
        if self._status >= 500:
            self._span.fail(str(self._status))
        level = _log.debug if route.startswith("/health") or route == "/metrics" else _log.info
        level("request", method=method, route=route, status=self._status, ms=round(seconds * 1000, 1))


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _span(scope: Scope) -> AbstractContextManager[tracing.Span]:
    """Around a request, of the trace that its client began if it did."""
    given = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"), None)
    return tracing.span("request", "server", given)


def _request_id(scope: Scope) -> str:
    given = next((value for name, value in scope["headers"] if name == HEADER.encode()), b"")
    return given.decode() if _USABLE.fullmatch(given) else uuid4().hex
