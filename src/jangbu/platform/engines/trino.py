"""Trino, a query engine on a server of its own: it reads the lakehouse's tables through the catalog that both share.

A scan is the pinned snapshot of its table (`FOR VERSION AS OF`). The predicate that separates tenants is `texts.separation`.
"""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jangbu.kernel.discovery import Plugin
from jangbu.kernel.errors import ConfigurationError, EngineError, JangbuError, Unsupported
from jangbu.platform.engines.limits import Bound, Slots
from jangbu.platform.engines.ports import CancelToken, Capabilities, Engine, Progress, Statement
from jangbu.platform.engines.trinodb import scans
from jangbu.platform.engines.trinodb.emitter import TrinoEmitter
from jangbu.platform.engines.trinodb.errors import translated
from jangbu.platform.engines.trinodb.pages import Columns
from jangbu.platform.engines.trinodb.protocol import Caller, Connections, Exchange, Server

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlglot import exp
    from trino.auth import Authentication

_GRACE = 1.0
"""Seconds that a query may run on at the server after our own limit: it ends by itself where our end of it is lost."""

_LOOKAHEAD = "SELECT regexp_like('a', 'a(?=b)')"
"""Backtracking engines know it; RE2 refuses it."""


@dataclass(frozen=True, slots=True)
class Account:
    """Whom the server is told that we are, and what of each question: `per_tenant` asks in the name of the tenant where it is one
    (the server must let our account do that). `session` are session properties."""

    user: str = "jangbu"
    source: str = "jangbu"
    per_tenant: bool = False
    session: Mapping[str, str] = field(default_factory=dict)

    def caller(self, statement: Statement, timeout: float) -> Caller:
        tenants = sorted({str(tenant) for scan in statement.scans for tenant in scan.tenants or ()})
        user = tenants[0] if self.per_tenant and len(tenants) == 1 else self.user
        limits = {"query_max_run_time": f"{timeout + _GRACE:.2f}s"}
        tags = tuple(f"tenant:{tenant}" for tenant in tenants if "," not in tenant and tenant.isascii())
        return Caller(user, self.source, tags, {**self.session, **limits})


class TrinoEngine:
    """Statements go over HTTP, one connection each; `running` at once, `waiting` more queue here."""

    capabilities = Capabilities(dialect="trino", finishes=True, interrupts=True, memory=False, foreign=False, files=False)

    def __init__(
        self, name: str, connections: Connections, account: Account, catalog: str, *, running: int, waiting: int, most_mb: int
    ) -> None:
        self.name = name
        self.emitter = TrinoEmitter()
        self._connections = connections
        self._account = account
        self._catalog = catalog
        self._slots = Slots(running, waiting)
        self._most_bytes = most_mb * 1_000_000
        self._has_re2: bool | None = None

    def render(self, tree: "exp.Expr") -> str:
        from jangbu.platform.engines.trinodb.dialect import render

        return render(tree)

    def sql(self, statement: Statement) -> str:
        return scans.whole(statement, self._catalog)

    def run(self, statement: Statement, *, timeout: float, cancel: CancelToken | None = None) -> "pa.Table":
        text = scans.whole(statement, self._catalog)
        bound = Bound.of(timeout, cancel)
        with self._slots.take(bound):
            if "regexp_like(" in text.lower():
                self._check_regular_expressions(bound)
            return self._run(text, self._account.caller(statement, timeout), bound)

    def close(self) -> None:
        self._connections.close()

    def _run(self, text: str, caller: Caller, bound: Bound) -> "pa.Table":
        import pyarrow as pa

        columns: Columns | None = None
        batches: list[pa.RecordBatch] = []
        size = 0
        with self._connections.one() as http, closing(Exchange(http, self._connections.server, caller, bound).pages(text)) as pages:
            for page in pages:
                _tell(bound.cancel, page)
                if page.get("error"):
                    raise bound.error() or translated(page["error"], bound.timeout)
                if columns is None and page.get("columns"):
                    columns = Columns(page["columns"])
                if columns is not None and page.get("data"):
                    batches.append(columns.batch(page["data"]))
                    size += batches[-1].nbytes
                if size > self._most_bytes:
                    raise _too_large(self._most_bytes)
        if columns is None:
            raise EngineError("A statement is one SELECT; this one gave no columns.")
        return pa.Table.from_batches(batches, schema=columns.schema)

    def _check_regular_expressions(self, bound: Bound) -> None:
        """`matches` means RE2. Which expressions the server knows is a setting of its own."""
        if self._has_re2 is None:
            try:
                self._run(
                    scans.whole(Statement(_LOOKAHEAD), self._catalog), Caller(self._account.user, self._account.source), bound
                )
            except JangbuError as error:
                if "RE2" not in error.detail:
                    raise
                self._has_re2 = True
            else:
                self._has_re2 = False
        if not self._has_re2:
            hint = "Set `regex-library=RE2J` in its config.properties."
            raise Unsupported("The Trino server has other regular expressions than RE2, which `matches` means.", hint=hint)


def _tell(cancel: CancelToken | None, page: Mapping[str, Any]) -> None:
    stats = page.get("stats") or {}
    if cancel is not None and stats:
        cancel.progress = Progress(page.get("id", ""), stats.get("state", ""), (stats.get("progressPercentage") or 0.0) / 100)


def _too_large(most: int) -> JangbuError:
    return EngineError(f"The answer takes more than {most // 1_000_000:,} MB.", hint="Ask fewer dimensions or a shorter range.")


def open_engine(
    *,
    url: str,
    catalog: str = "jangbu",
    name: str = "trino",
    user: str = "jangbu",
    password: str | None = None,
    token: str | None = None,
    certificate_authority: str | None = None,
    source: str = "jangbu",
    user_per_tenant: bool = False,
    session: Mapping[str, str] | None = None,
    connect_timeout: float = 5.0,
    read_timeout: float = 10.0,
    running: int = 4,
    waiting: int = 32,
    most_mb: int = 1_000,
) -> Engine:
    """A Trino server at `url` (`https://host:port`) whose `catalog` has the lakehouse's tables.

    Time-outs are in seconds: until a connection is there, and between two parts of an answer. `most_mb` is the most that one answer
    may take in memory.

    Raises:
        ConfigurationError: the URL or the account can't be used.
    """
    server = _server(url, _authentication(user, password, token), certificate_authority, connect_timeout, read_timeout)
    if server.account is not None and server.scheme != "https":
        raise ConfigurationError("A password or token goes to a Trino server over https only.", value=server.address)
    account = Account(user, source, user_per_tenant, dict(session or {}))
    return TrinoEngine(name, Connections(server), account, catalog, running=running, waiting=waiting, most_mb=most_mb)


def _server(url: str, account: "Authentication | None", authority: str | None, connect: float, read: float) -> Server:
    try:
        found = urlsplit(url)
        port = found.port or {"https": 443, "http": 8080}.get(found.scheme, 0)
    except ValueError:
        raise ConfigurationError("The URL of the Trino server can't be read.") from None
    if (
        found.scheme not in ("http", "https")
        or not found.hostname
        or found.username
        or found.password
        or found.path not in ("", "/")
    ):
        hint = "Write `https://host:port`; user and password are settings of their own."
        raise ConfigurationError("The URL of the Trino server isn't just a scheme, a host and a port.", hint=hint)
    return Server(found.hostname, port, found.scheme, account, authority or True, connect, read)


def _authentication(user: str, password: str | None, token: str | None) -> "Authentication | None":
    from trino.auth import BasicAuthentication, JWTAuthentication

    if password is not None and token is not None:
        raise ConfigurationError("A Trino server is given a password or a token, not both.")
    if token is not None:
        return JWTAuthentication(token)
    return BasicAuthentication(user, password) if password is not None else None


_FIELDS: Mapping[str, Any] = MappingProxyType(
    {
        "url": {"type": "string", "description": "The server: `https://host:port`."},
        "catalog": {"type": "string", "default": "jangbu", "description": "The catalog there that has the lakehouse's tables."},
        "user": {"type": "string", "default": "jangbu", "description": "Whom it is told that we are."},
        "password": {"type": "string", "secret": True, "description": "The user's password (https only)."},
        "token": {"type": "string", "secret": True, "description": "A JSON Web Token instead of a password (https only)."},
        "certificate_authority": {"type": "string", "description": "A file with the certificates that are trusted."},
        "source": {"type": "string", "default": "jangbu", "description": "What resource groups may select by."},
        "user_per_tenant": {"type": "boolean", "default": False, "description": "Ask in the name of the tenant, where it is one."},
        "session": {"type": "object", "description": "Session properties of each statement."},
        "connect_timeout": {"type": "number", "default": 5.0, "description": "Seconds until a connection is there."},
        "read_timeout": {"type": "number", "default": 10.0, "description": "Seconds between two parts of an answer."},
        "running": {"type": "integer", "minimum": 1, "default": 4, "description": "Statements that run at once."},
        "waiting": {"type": "integer", "minimum": 0, "default": 32, "description": "Statements that may wait for a slot."},
        "most_mb": {"type": "integer", "minimum": 1, "default": 1_000, "description": "Megabytes that one answer may take."},
    }
)

PLUGIN = Plugin(
    kind="engine",
    name="trino",
    summary="A Trino server that reads the lakehouse through the catalog they share.",
    open=open_engine,
    fields=_FIELDS,
    extra="trino",
    requires=("trino", "orjson", "requests"),
)
