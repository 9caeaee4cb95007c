"""A session of Spark Connect: a statement in, Arrow out, ended at the server when its time is over.

Calls of the client block for as long as the server is silent, so each is made by a thread of its own, which is waited for.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar

from jangbu.kernel.errors import JangbuError, MissingExtra, Unavailable
from jangbu.platform.engines.limits import POLL, Bound
from jangbu.platform.engines.ports import Progress
from jangbu.platform.engines.sparkdb import errors

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

GRACE: Final = 5.0
"""Seconds that an interrupted statement has to end; then its session is left to itself."""
LOOK: Final = 5.0
"""Seconds between two looks at whether the server still answers."""
_TRIES: Final = 2
"""How often the client calls again after a broken connection; it asks for the rest of an answer, never for the work anew."""

_ALWAYS: Final = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
}


@dataclass(frozen=True, slots=True)
class Server:
    """`url` is `sc://host:port`; seconds until a session is there, and until a silent server is taken for one that stands still."""

    url: str
    token: str | None = field(repr=False)
    tls: bool
    settings: Mapping[str, str] = field(repr=False)
    connect_timeout: float
    read_timeout: float

    @property
    def address(self) -> str:
        parts = [*(["use_ssl=true"] if self.tls else []), *([f"token={self.token}"] if self.token is not None else [])]
        return f"{self.url}/;{';'.join(parts)}" if parts else self.url


class Sessions:
    """A session for each statement that runs; one that is idle is taken again. Safe between threads."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._idle: list[Any] = []
        self._lock = Lock()

    def run(self, text: str, bound: Bound) -> "pa.Table":
        """All rows of a statement.

        Raises:
            TimedOut, Cancelled: the bound was reached; the statement was interrupted at the server.
            Unavailable: the server can't be reached, or stands still.
            EngineError, InvalidRequest, StorageError: it failed.
        """
        while True:
            session, is_new = self._taken(bound)
            try:
                found = self._run(session, text, bound)
            except JangbuError:
                raise
            except Exception as error:
                if errors.is_lost(error):
                    _leave(session)
                    if errors.never_began(error) and not is_new:
                        continue  # the server was started anew since the session was used last
                else:
                    self._give_back(session)
                raise errors.translated(error) from error
            self._give_back(session)
            return found

    def close(self) -> None:
        with self._lock:
            sessions, self._idle = self._idle, []
        for session in sessions:
            _aside(session.stop, "jangbu-spark-close")

    def _taken(self, bound: Bound) -> tuple[Any, bool]:
        with self._lock:
            if self._idle:
                return self._idle.pop(), False
        return self._open(bound), True

    def _give_back(self, session: Any) -> None:
        with self._lock:
            self._idle.append(session)

    def _open(self, bound: Bound) -> Any:
        _import()  # which takes seconds of its own
        within = min(self.server.connect_timeout, bound.left())
        opening = _aside(lambda: _connected(self.server), "jangbu-spark-open")
        try:
            return opening.result(within)
        except TimeoutError:
            raise bound.error() or Unavailable("The Spark server doesn't answer.", retry_after=5) from None
        except JangbuError:
            raise
        except Exception as error:
            raise errors.translated(error) from error

    def _run(self, session: Any, text: str, bound: Bound) -> "pa.Table":
        if error := bound.error():
            self._give_back(session)
            raise error
        running = _aside(lambda: _collected(session, text, _teller(bound)), "jangbu-spark")
        watch = _Watch(session, self.server.read_timeout)
        try:
            while True:
                with suppress(TimeoutError):
                    return running.result(min(POLL, bound.left()) or POLL)
                if (error := bound.error() or watch.silence()) is not None:
                    raise error
        finally:
            if not running.done():
                self._interrupt(session, running)

    def _interrupt(self, session: Any, running: "Future[pa.Table]") -> None:
        """End the statement at the server; a session that doesn't obey is left to itself."""
        until = monotonic() + GRACE
        while not running.done() and monotonic() < until:
            # Again and again: what comes before the statement has begun ends nothing.
            asked = _aside(session.interruptAll, "jangbu-spark-interrupt")
            wait([asked, running], 1.0, "FIRST_COMPLETED")
            wait([running], 0.1)
        if running.done():
            self._give_back(session)
        else:
            _leave(session)


class _Watch:
    """Whether the server answers anything at all, looked at beside a statement, which may be silent for as long as it likes."""

    def __init__(self, session: Any, patience: float) -> None:
        self._session, self._patience = session, patience
        self._asked_at = monotonic()
        self._answer: Future[Any] | None = None

    def silence(self) -> JangbuError | None:
        since = monotonic() - self._asked_at
        if self._answer is None or self._answer.done():
            if since >= LOOK:
                self._asked_at = monotonic()
                self._answer = _aside(lambda: self._session.conf.get("spark.sql.session.timeZone"), "jangbu-spark-look")
            return None
        return Unavailable("The Spark server stands still.", retry_after=5) if since > self._patience else None


def _import() -> None:
    """Raises MissingExtra."""
    try:
        import pyspark.sql.connect.session  # noqa: F401 - it is used where a session is opened
    except ImportError as error:
        raise MissingExtra("The engine 'spark'", extra="spark") from error


def _connected(server: Server) -> Any:
    from pyspark.sql.connect.client import DefaultChannelBuilder
    from pyspark.sql.connect.client.retries import DefaultPolicy
    from pyspark.sql.connect.session import SparkSession

    # Else a server that comes back is looked for ever more seldom, by all channels together.
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 2_000)]
    session = SparkSession.builder.channelBuilder(DefaultChannelBuilder(server.address, options)).create()
    session.client.set_retry_policies([DefaultPolicy(max_retries=_TRIES, initial_backoff=100, max_backoff=1000)])
    for name, value in {**server.settings, **_ALWAYS}.items():
        session.conf.set(name, value)
    return session


def _collected(session: Any, text: str, tell: Callable[..., None]) -> "pa.Table":
    session.registerProgressHandler(tell)
    try:
        found: pa.Table = session.sql(text).toArrow()
        return found
    finally:
        session.removeProgressHandler(tell)


def _leave(session: Any) -> None:
    """Close the connection under whatever goes on in it."""
    _aside(session.client._channel.close, "jangbu-spark-close")


def _teller(bound: Bound) -> Callable[..., None]:
    def tell(stages: Any, inflight_tasks: int, operation_id: str | None, done: bool) -> None:
        if bound.cancel is not None:
            tasks = sum(stage.num_tasks for stage in stages or ())
            finished = sum(stage.num_completed_tasks for stage in stages or ())
            state = "FINISHED" if done else "RUNNING" if inflight_tasks else "PLANNING"
            bound.cancel.progress = Progress(operation_id or "", state, finished / tasks if tasks else float(done))

    return tell


def _aside(act: Callable[[], T], name: str) -> "Future[T]":
    """Let a thread do it, which ends with the process."""
    future: Future[T] = Future()

    def do() -> None:
        try:
            future.set_result(act())
        except BaseException as error:  # noqa: BLE001 - it is raised by whoever asks for the result
            future.set_exception(error)

    Thread(target=do, name=name, daemon=True).start()
    return future
