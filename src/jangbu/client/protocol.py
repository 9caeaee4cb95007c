"""What the clients say and how they take the answers; no I/O."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote, urlsplit

import httpx

from jangbu.kernel.errors import (
    MISSING,
    CatalogError,
    EngineError,
    JangbuError,
    MissingExtra,
    TimedOut,
    Unavailable,
    tree_of_errors,
)

ARROW: Final = "application/vnd.apache.arrow.stream"
RETRY_AFTER_AT_MOST: Final = 10.0
"""Seconds that a client waits before its one retry, whatever the server asks for."""

_LOCAL: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_NETWORK: Final = (httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


@dataclass(frozen=True, slots=True)
class Call:
    """One request. All of them only read, so each may be sent twice."""

    method: str
    path: str
    accept: str = "application/json"
    body: bytes | None = None
    params: Mapping[str, Any] | None = None

    @property
    def headers(self) -> dict[str, str]:
        return {"accept": self.accept} | ({"content-type": "application/json"} if self.body is not None else {})


def query(data_source: str | Sequence[str], measures: Sequence[str], more: Mapping[str, Any]) -> dict[str, Any]:
    """A request of its parts; what is None is left out."""
    source = data_source if isinstance(data_source, str) else list(data_source)
    asked = {"data_source": source, "measures": list(measures), **more}
    return {name: value for name, value in asked.items() if value is not None}


def ask(path: str, request: Mapping[str, Any] | str | bytes, accept: str) -> Call:
    """A question; a text or bytes are sent as they are."""
    body = request if isinstance(request, bytes) else request.encode() if isinstance(request, str) else encode(request)
    return Call("POST", path, accept, body)


def values(data_source: str, dimension: str, params: Mapping[str, Any]) -> Call:
    path = f"/v1/catalog/data_sources/{quote(data_source, safe='')}/dimensions/{quote(dimension, safe='')}/values"
    return Call("GET", path, params={name: value for name, value in params.items() if value is not None})


def encode(request: Mapping[str, Any]) -> bytes:
    """JSON in which a Decimal keeps its digits."""
    return "".join(_pieces(request)).encode()


def _pieces(value: Any) -> Iterator[str]:
    match value:
        case Decimal():
            yield format(value, "f")
        case Mapping():
            yield "{"
            for index, (name, inner) in enumerate(value.items()):
                yield f"{', ' if index else ''}{json.dumps(str(name))}: "
                yield from _pieces(inner)
            yield "}"
        case list() | tuple():
            yield "["
            for index, inner in enumerate(value):
                yield ", " if index else ""
                yield from _pieces(inner)
            yield "]"
        case _:
            yield json.dumps(value, allow_nan=False, default=str)


def defaults(url: str, key: str | None) -> dict[str, str]:
    """Headers of every request. On the machine itself a body that is packed and unpacked only costs time."""
    headers = {"user-agent": "jangbu-python", "accept-encoding": "identity" if urlsplit(url).hostname in _LOCAL else "gzip"}
    return headers | ({"authorization": f"Bearer {key}"} if key else {})


def parsed(response: httpx.Response) -> Any:
    """JSON, with decimals as Decimal."""
    return json.loads(checked(response).content, parse_float=Decimal)


def checked(response: httpx.Response) -> httpx.Response:
    """The response, if it is an answer.

    Raises:
        JangbuError: of the class that the problem's code names.
    """
    if response.is_success:
        return response
    raise _told(response)


def _told(response: httpx.Response) -> JangbuError:
    try:
        return error_of(json.loads(response.content))
    except (ValueError, KeyError, TypeError):
        # Not from Jangbu: a proxy before it, or another server.
        return EngineError(f"{response.url.host} answered {response.status_code} without a problem: {response.text[:200]!r}.")


def error_of(problem: Mapping[str, Any]) -> JangbuError:
    """The error that a server put into problem+json; an unknown code is a JangbuError."""
    kind = next((kind for kind in tree_of_errors() if kind.code == problem["code"]), JangbuError)
    error = kind.__new__(kind)  # without its own __init__, whose arguments differ from class to class
    JangbuError.__init__(
        error,
        problem["detail"],
        path=problem.get("path"),
        value=problem.get("value", MISSING),
        known=problem.get("known", ()),
        hint=problem.get("hint"),
    )
    match error:
        case Unavailable():
            error.retry_after = 1
        case CatalogError():
            error.file = error.line = None
        case MissingExtra():
            error.extra = str(problem.get("value", ""))
    if identity := problem.get("id"):
        error.add_note(f"request id {identity}")
    return error


def network_error(error: httpx.HTTPError, url: str) -> JangbuError:
    """Ours for httpx's."""
    if isinstance(error, httpx.TimeoutException):
        return TimedOut(f"{url} didn't answer in time.", hint="Ask for less, or give the client a longer timeout.")
    if isinstance(error, _NETWORK):
        return Unavailable(f"{url} can't be reached.", hint="Is the server running? Start it with 'jangbu serve'.")
    return EngineError(f"{url}: {error}")


def wait_before_retry(outcome: httpx.Response | httpx.HTTPError) -> float | None:
    """Seconds to wait before asking once more; None where that wouldn't help."""
    if isinstance(outcome, httpx.HTTPError):
        return 0.2 if isinstance(outcome, _NETWORK) else None
    if outcome.status_code != 503:
        return None
    asked = outcome.headers.get("retry-after", "1")
    return min(float(asked), RETRY_AFTER_AT_MOST) if asked.isdecimal() else 1.0
