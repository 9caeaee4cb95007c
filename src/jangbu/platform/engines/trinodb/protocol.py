"""One statement's way through Trino's protocol: sent once, then polled until its last page, or ended.

Pages are decoded here, straight into columns: the client's own rows took 1.7 to 3.5 times as long (decision 0015). The headers, the
accounts and TLS are the client's.
"""

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty, LifoQueue
from time import sleep
from typing import TYPE_CHECKING, Any

from jangbu.kernel.errors import ConfigurationError, EngineError, JangbuError, Unavailable
from jangbu.platform.engines.limits import Bound

if TYPE_CHECKING:
    import requests
    from trino.auth import Authentication
    from trino.client import TrinoRequest

LONGEST_POLL = "250ms"
"""How long the server holds a poll back where there is nothing new: so soon does a cancel token get looked at."""

_AGAIN = frozenset({429, 502, 503, 504})
_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)
_ENDING = 2.0
"""Seconds to wait for the answer to an end that we ask for."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where it is, and whom we are there. `connect`, `read`: seconds until a connection is there, and between two parts of an
    answer."""

    host: str
    port: int
    scheme: str
    account: "Authentication | None" = field(default=None, repr=False)
    verify: bool | str = True
    connect: float = 5.0
    read: float = 10.0

    @property
    def address(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Caller:
    """What the server is told of who asks; its resource groups may go by it."""

    user: str
    source: str
    tags: tuple[str, ...] = ()
    session: Mapping[str, str] = field(default_factory=dict)


class Connections:
    """HTTP sessions, each used by one statement at a time and kept for the next."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._free: LifoQueue[requests.Session] = LifoQueue()

    @contextmanager
    def one(self) -> "Iterator[requests.Session]":
        session = self._taken()
        try:
            yield session
        except BaseException:
            session.close()  # an answer may still be on its way
            raise
        self._free.put(session)

    def close(self) -> None:
        while True:
            try:
                self._free.get_nowait().close()
            except Empty:
                return

    def _taken(self) -> "requests.Session":
        import requests

        try:
            return self._free.get_nowait()
        except Empty:
            session = requests.Session()
            session.trust_env = False  # neither .netrc nor a proxy of the machine's
            session.verify = self.server.verify
            return session


class Exchange:
    """A statement under way."""

    def __init__(self, http: "requests.Session", server: Server, caller: Caller, bound: Bound) -> None:
        self._http = http
        self._server = server
        self._bound = bound
        self._request = _request(http, server, caller)
        self._next: str | None = None
        self.query_id = ""

    def pages(self, sql: str) -> Generator[dict[str, Any], None, None]:
        """Every answer of the server: its stats, and columns, data or an error where there are any. Closed before the last one, it
        ends the query there.

        Raises:
            TimedOut, Cancelled: the bound was reached; the query is ended at the server.
            Unavailable: the server can't be reached, or has no room.
            ConfigurationError: it doesn't know the account.
        """
        try:
            page = self._answered("POST", f"{self._server.address}/v1/statement", sql.encode())
            while True:
                self.query_id = page.get("id", self.query_id)
                self._next = page.get("nextUri")
                yield page
                if self._next is None:
                    return
                page = self._answered("GET", f"{self._checked(self._next)}?maxWait={LONGEST_POLL}")
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """End the query at the server, if it isn't at its end. What goes wrong with that isn't told: it ends by its own limit."""
        import requests

        address, self._next = self._next, None
        if address is not None:
            try:
                self._http.delete(address, headers=self._request.http_headers, timeout=(_ENDING, _ENDING))
            except requests.RequestException:
                return

    def _answered(self, method: str, address: str, body: bytes | None = None) -> dict[str, Any]:
        """An answer. Polls can be repeated: the server keeps each page until the next one is asked for. A statement that may have
        reached the server isn't sent again."""
        import requests

        for pause in (*_PAUSES, None):
            self._look()
            try:
                answer = self._http.request(
                    method, address, data=body, headers=self._request.http_headers, timeout=self._timeouts(), allow_redirects=False
                )
            except (requests.ConnectionError, requests.Timeout) as error:
                self._look()
                if pause is None or (body is not None and not isinstance(error, requests.ConnectTimeout)):
                    raise Unavailable(f"The Trino server {self._server.address} doesn't answer.", retry_after=2) from None
            else:
                if answer.status_code not in _AGAIN or pause is None:
                    return self._decoded(answer)
            sleep(min(pause, self._bound.left()))
        raise AssertionError("the last try ends it")

    def _decoded(self, answer: "requests.Response") -> dict[str, Any]:
        import orjson

        if answer.status_code == 200:
            try:
                found: dict[str, Any] = orjson.loads(answer.content)
            except orjson.JSONDecodeError:
                raise EngineError("What the Trino server answered isn't JSON.") from None
            return found
        raise self._refused(answer.status_code)

    def _refused(self, status: int) -> JangbuError:
        if status in (401, 403):
            return ConfigurationError(f"The Trino server {self._server.address} doesn't take this account ({status}).")
        if status in _AGAIN:
            return Unavailable(f"The Trino server {self._server.address} is busy ({status}).", retry_after=2)
        return EngineError(f"The Trino server {self._server.address} answered {status}.")

    def _look(self) -> None:
        if error := self._bound.error():
            raise error

    def _timeouts(self) -> tuple[float, float]:
        left = max(0.05, self._bound.left())
        return min(self._server.connect, left), min(self._server.read, left)

    def _checked(self, address: str) -> str:
        if self._server.scheme == "https" and not address.startswith("https:"):
            hint = "Behind a proxy the server needs `http-server.process-forwarded=true`."
            raise ConfigurationError("The Trino server wants to go on without TLS.", hint=hint)
        return address


def _request(http: "requests.Session", server: Server, caller: Caller) -> "TrinoRequest":
    from trino.client import ClientSession, TrinoRequest

    session = ClientSession(
        user=caller.user,
        source=caller.source,
        client_tags=list(caller.tags),
        properties=dict(caller.session),
        timezone="UTC",
        encoding=[],  # rows stand in the answers themselves
    )
    return TrinoRequest(server.host, server.port, session, http, server.scheme, server.account, max_attempts=1)
