"""Spark, reached by Spark Connect: it does the upkeep of large tables, and fills them, over the catalog that it shares with the
lakehouse. It answers no questions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from jangbu.kernel.discovery import Plugin
from jangbu.kernel.errors import ConfigurationError, Unavailable, Unsupported
from jangbu.platform.engines.emitter import StandardEmitter
from jangbu.platform.engines.limits import Bound, Slots
from jangbu.platform.engines.ports import CancelToken, Capabilities, Emitter, Engine, Statement
from jangbu.platform.engines.sparkdb import texts
from jangbu.platform.engines.sparkdb.sessions import Server, Sessions
from jangbu.platform.lakehouse.maintenance import Filling, Joined, Joining, Maintainer, Name, Question, Seen

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlglot import exp


@dataclass(frozen=True, slots=True)
class SparkMaintainer:
    """See `Maintainer`. Each statement may take `timeout` seconds."""

    name: str
    sessions: Sessions
    slots: Slots
    catalog: str
    timeout: float
    by_prefix: bool
    cancel: CancelToken | None = None

    def under(self, cancel: CancelToken) -> "SparkMaintainer":
        return replace(self, cancel=cancel)

    def join(self, table: Name, how: Joining) -> Joined:
        (found,) = self._run(texts.joining(self.catalog, table, how)).to_pylist()
        if how.deletes:
            self._run(texts.joining_deletes(self.catalog, table))
        if how.manifests:
            self._run(texts.joining_manifests(self.catalog, table))
        if found["failed_data_files_count"] and not found["rewritten_data_files_count"]:
            # A part that fails is only told by the server's log: mostly others have changed its files.
            raise Unavailable("Spark joined none of the table's files.", retry_after=60, hint="The server's log says why.")
        return Joined(int(found["rewritten_data_files_count"]), int(found["added_data_files_count"]))

    def forget(self, table: Name, snapshots: Sequence[int]) -> None:
        self._run(texts.forgetting(self.catalog, table, snapshots))

    def orphans(self, table: Name, before: datetime) -> frozenset[str]:
        found = self._run(texts.finding_orphans(self.catalog, table, before, by_prefix=self.by_prefix))
        return frozenset(str(path) for path in found.column(0).to_pylist()) if found.num_columns else frozenset()

    def look(self, question: Question) -> Seen:
        (found,) = self._run(texts.looking(self.catalog, question)).to_pylist()
        return Seen(**found)

    def fill(self, filling: Filling) -> None:
        self._run(texts.filling(self.catalog, filling))

    def _run(self, text: str) -> "pa.Table":
        bound = Bound.of(self.timeout, self.cancel)
        with self.slots.take(bound):
            return self.sessions.run(text, bound)


class SparkEngine:
    """Its statements go by `maintainer`; `running` at once, `waiting` more queue here."""

    capabilities = Capabilities(dialect="spark", finishes=False, files=False, answers=False, maintains=True)

    def __init__(self, name: str, sessions: Sessions, maintainer: Maintainer) -> None:
        self.name = name
        self.maintainer = maintainer
        self._sessions = sessions

    @property
    def emitter(self) -> Emitter:
        return StandardEmitter()

    def render(self, tree: "exp.Expr") -> str:  # noqa: ARG002 - the port's
        self._refuse()

    def sql(self, statement: Statement) -> str:  # noqa: ARG002 - the port's
        self._refuse()

    def run(self, statement: Statement, *, timeout: float, cancel: CancelToken | None = None) -> "pa.Table":  # noqa: ARG002 - the port's
        self._refuse()

    def close(self) -> None:
        self._sessions.close()

    def _refuse(self) -> NoReturn:
        raise Unsupported(
            f"The engine {self.name!r} does upkeep and backfills; it answers no questions.",
            hint="Name another engine in JANGBU_ENGINE, or in the data source's `binding`.",
        )


def open_engine(
    *,
    url: str,
    catalog: str = "jangbu",
    name: str = "spark",
    token: str | None = None,
    tls: bool = False,
    session: Mapping[str, str] | None = None,
    connect_timeout: float = 30.0,
    read_timeout: float = 60.0,
    timeout: float = 6 * 3600.0,
    roots: Sequence[str] = (),
    running: int = 2,
    waiting: int = 8,
) -> Engine:
    """A server of Spark Connect at `url` (`sc://host:port`) whose `catalog` has the lakehouse's tables, below `roots`.

    Time-outs are in seconds: until a session is there, until a silent server is taken for one that stands still, for a statement.

    Raises:
        ConfigurationError: the URL can't be used, or a token would go over a connection that others can read.
    """
    server = Server(_checked(url), token, tls, dict(session or {}), connect_timeout, read_timeout)
    if token is not None and not tls:
        raise ConfigurationError("A token goes to a Spark server over TLS only.", hint="Set `tls`.")
    sessions = Sessions(server)
    by_prefix = any("://" in root for root in roots)
    return SparkEngine(name, sessions, SparkMaintainer(name, sessions, Slots(running, waiting), catalog, timeout, by_prefix))


def _checked(url: str) -> str:
    try:
        found = urlsplit(url)
        port = found.port
    except ValueError:
        raise ConfigurationError("The URL of the Spark server can't be read.") from None
    if found.scheme != "sc" or not found.hostname or port is None or found.username or found.path not in ("", "/") or ";" in url:
        hint = "Write `sc://host:15002`; `token` and `tls` are settings of their own."
        raise ConfigurationError("The URL of the Spark server isn't just `sc://`, a host and a port.", hint=hint)
    return f"sc://{found.netloc}"


_FIELDS: Mapping[str, Any] = MappingProxyType(
    {
        "url": {"type": "string", "description": "The server of Spark Connect: `sc://host:port`."},
        "catalog": {"type": "string", "default": "jangbu", "description": "The catalog there that has the lakehouse's tables."},
        "token": {"type": "string", "secret": True, "description": "What it is shown as `Authorization: Bearer` (TLS only)."},
        "tls": {"type": "boolean", "default": False, "description": "Whether the connection is encrypted."},
        "session": {"type": "object", "description": "Spark's settings of each session, such as a catalog's."},
        "connect_timeout": {"type": "number", "default": 30.0, "description": "Seconds until a session is there."},
        "read_timeout": {"type": "number", "default": 60.0, "description": "Seconds of silence of a server that stands still."},
        "timeout": {"type": "number", "default": 21_600.0, "description": "Seconds that one statement may take."},
        "running": {"type": "integer", "minimum": 1, "default": 2, "description": "Statements that run at once."},
        "waiting": {"type": "integer", "minimum": 0, "default": 8, "description": "Statements that may wait for a slot."},
    }
)

PLUGIN = Plugin(
    kind="engine",
    name="spark",
    summary="A Spark server that does the upkeep of large tables, and fills them.",
    open=open_engine,
    fields=_FIELDS,
    extra="spark",
    requires=("pyspark", "grpc", "pandas"),
)
