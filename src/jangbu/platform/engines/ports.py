"""The port of a query engine: it takes SQL, reads pinned scans, and returns Arrow.

An engine is one file: a `PLUGIN` (see `jangbu.kernel.discovery`) whose `open` returns an `Engine`. What engines disagree on is a
method of its `Emitter`; what they can do is its `Capabilities`. Nothing else in Jangbu asks which engine it is.
"""

from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Protocol

from jangbu.kernel.tenancy import TenantId
from jangbu.platform.lakehouse.ports import TableFiles

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlglot import exp

    from jangbu.platform.lakehouse.maintenance import Maintainer


@dataclass(frozen=True, slots=True)
class Capabilities:
    """`dialect`: SQLGlot's name. `finishes`: having, order and limit may be part of the leg's own SQL. `interrupts`: a running
    statement can be ended at once. `memory`: Arrow tables handed in can be read as relations. `foreign`: files that others wrote
    can be read where they lie. `files`: a scan is read file by file, as it is planned; else through the catalog that the engine
    shares with the lakehouse. `answers`: questions may be sent to it. `maintains`: it works on the lakehouse's tables, and is a
    `MaintainingEngine`."""

    dialect: str
    finishes: bool = True
    interrupts: bool = True
    memory: bool = False
    foreign: bool = False
    files: bool = True
    answers: bool = True
    maintains: bool = False


@dataclass(frozen=True, slots=True)
class Scan:
    """One relation that a statement reads, under `name` (a CTE): the `columns` of pinned lakehouse `files`, or of an Arrow table
    `rows`. `tenants` is the predicate of separation on `tenant_column`; `None` for both where the relation is shared."""

    name: str
    columns: tuple[str, ...]
    files: TableFiles | None = None
    rows: "pa.Table | None" = None
    tenant_column: str | None = None
    tenants: tuple[TenantId, ...] | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """A query: `body` is a SELECT in the engine's dialect that names its `scans`; the engine adds them as leading CTEs. The body
    itself has no WITH clause at its top."""

    body: str
    scans: tuple[Scan, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a statement is: the server's `query` and `state`, and the part of it that is `done` (0 to 1)."""

    query: str
    state: str
    done: float


@dataclass(slots=True)
class CancelToken:
    """Set from another thread to interrupt a statement; `run` then raises `Cancelled`. An engine that is told by its server how far
    it is keeps that in `progress`."""

    event: Event
    progress: Progress | None = None

    @classmethod
    def new(cls) -> "CancelToken":
        return cls(Event())

    def cancel(self) -> None:
        self.event.set()


class Engine(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def emitter(self) -> "Emitter": ...

    def render(self, tree: "exp.Expr") -> str:
        """SQL text in the engine's dialect. Every identifier is quoted, every text literal escaped. The tree is used up: rendering
        may change it."""

    def sql(self, statement: Statement) -> str:
        """The whole text that `run` would send, with the scans; for `explain` (a long list of files is shortened)."""

    def run(self, statement: Statement, *, timeout: float, cancel: CancelToken | None = None) -> "pa.Table":
        """Run it and return all rows.

        Raises:
            TimedOut: it took longer than `timeout` seconds (waiting for a free slot included); it was interrupted.
            Cancelled: `cancel` was set; it was interrupted.
            Unavailable: no slot within the engine's queue limit.
            InvalidRequest: the data can't be answered as asked (a number out of range, a pattern).
            EngineError: anything else.
        """

    def close(self) -> None: ...


class MaintainingEngine(Engine, Protocol):
    @property
    def maintainer(self) -> "Maintainer":
        """What it does for the lakehouse."""


class Emitter(Protocol):
    """The expressions that engines write differently. All take and return SQLGlot trees.

    A *micros* value is a bigint: microseconds since 1970-01-01T00:00 (UTC for instants, wall clock for local times)."""

    def literal(self, value: object) -> "exp.Expr":
        """A text, bool, int, Decimal (exact), date, aware datetime (an instant) or naive datetime (local) as a constant."""

    def micros(self, column: "exp.Expr") -> "exp.Expr":
        """Micros of an instant or a local timestamp column."""

    def date_of(self, micros: "exp.Expr") -> "exp.Expr":
        """The DATE on which local micros fall (floor, also before 1970)."""

    def floor_micros(self, micros: "exp.Expr", width: int) -> "exp.Expr":
        """Micros rounded down (floor, also before 1970) to a multiple of `width` micros."""

    def instant_of(self, micros: "exp.Expr") -> "exp.Expr":
        """The instant of UTC micros."""

    def local_of(self, micros: "exp.Expr") -> "exp.Expr":
        """The local timestamp (without zone) of wall micros."""

    def truncate_date(self, day: "exp.Expr", unit: str) -> "exp.Expr":
        """A DATE's `week` (Monday), `sunday_week`, `month`, `quarter` or `year` start, as DATE."""

    def part_of_date(self, day: "exp.Expr", part: str) -> "exp.Expr":
        """`weekday` (1 Monday to 7 Sunday), `day`, `month`, `quarter`, `year` of a DATE, as a bigint."""

    def text(self, value: "exp.Expr") -> "exp.Expr":
        """A value as text: integers plainly, the way identifiers are kept."""

    def decimal(self, value: "exp.Expr", precision: int, scale: int) -> "exp.Expr":
        """An exact cast to decimal(precision, scale)."""

    def integer(self, value: "exp.Expr") -> "exp.Expr":
        """A cast to bigint."""

    def double(self, value: "exp.Expr") -> "exp.Expr":
        """A cast to double."""

    def ratio(self, numerator: "exp.Expr", denominator: "exp.Expr") -> "exp.Expr":
        """A double; null where the denominator is 0 or null."""

    def lower(self, value: "exp.Expr") -> "exp.Expr": ...

    def contains(self, value: "exp.Expr", part: "exp.Expr") -> "exp.Expr":
        """Literal, case-sensitive."""

    def starts_with(self, value: "exp.Expr", part: "exp.Expr") -> "exp.Expr": ...

    def ends_with(self, value: "exp.Expr", part: "exp.Expr") -> "exp.Expr": ...

    def matches(self, value: "exp.Expr", pattern: "exp.Expr") -> "exp.Expr":
        """RE2, anywhere in the value."""
