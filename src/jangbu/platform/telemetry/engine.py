"""An engine that is measured: the same port, with counts and times of its statements."""

from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, cast

from jangbu.kernel.errors import JangbuError
from jangbu.platform.engines.ports import CancelToken, Capabilities, Emitter, Engine, MaintainingEngine, Statement
from jangbu.platform.telemetry.metrics import Metrics
from jangbu.platform.telemetry.tracing import span

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlglot import exp

    from jangbu.platform.lakehouse.maintenance import Maintainer


class MeasuredEngine:
    """`slots` is how many statements the engine runs at once; what goes beyond is counted as waiting."""

    def __init__(self, engine: Engine, metrics: Metrics, slots: int) -> None:
        self._engine = engine
        self._metrics = metrics
        self._slots = slots
        self._inside = 0
        self._lock = Lock()

    @property
    def name(self) -> str:
        return self._engine.name

    @property
    def capabilities(self) -> Capabilities:
        return self._engine.capabilities

    @property
    def emitter(self) -> Emitter:
        return self._engine.emitter

    @property
    def maintainer(self) -> "Maintainer":
        """Of an engine that says that it maintains."""
        return cast("MaintainingEngine", self._engine).maintainer

    def render(self, tree: "exp.Expr") -> str:
        return self._engine.render(tree)

    def sql(self, statement: Statement) -> str:
        return self._engine.sql(statement)

    def run(self, statement: Statement, *, timeout: float, cancel: CancelToken | None = None) -> "pa.Table":
        began, outcome = perf_counter(), "internal"
        self._count(1)
        try:
            with span("statement", "client", engine=self.name, scans=len(statement.scans)):
                table = self._engine.run(statement, timeout=timeout, cancel=cancel)
            outcome = "ok"
        except JangbuError as error:
            outcome = error.code
            raise
        else:
            return table
        finally:
            self._count(-1)
            self._metrics.statement(self.name, outcome, perf_counter() - began)

    def close(self) -> None:
        self._engine.close()

    def _count(self, step: int) -> None:
        with self._lock:
            self._inside += step
            self._metrics.running.labels(self.name).set(min(self._inside, self._slots))
            self._metrics.waiting.labels(self.name).set(max(0, self._inside - self._slots))
