"""The door of the dashboards: ask a question, have it explained, look up a dimension's values."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, TypeVar
from uuid import uuid4

from jangbu.insight.access.facade import Access
from jangbu.insight.catalog.contracts import DataSource, Dimension, SeparationKind, TimeField
from jangbu.insight.catalog.facade import CatalogFacade
from jangbu.insight.dashboards.contracts import AnalysisRequest, Answer, Explanation, Meta, QueryRequest, ValuesPage
from jangbu.insight.dashboards.dashboard_layer import answering, finishing
from jangbu.insight.dashboards.dashboard_layer.names import Names
from jangbu.insight.dashboards.dashboard_layer.nodes import Merge, describe
from jangbu.insight.dashboards.dashboard_layer.planning import NamedAnalysis, Plan, Surroundings, plan_of
from jangbu.insight.dashboards.dashboard_layer.question import Question
from jangbu.insight.dashboards.dashboard_layer.ranges import Days, Range
from jangbu.insight.dashboards.dashboard_layer.resolution import question_of
from jangbu.insight.dashboards.data_layer.outside import OutsideTables
from jangbu.insight.dashboards.data_layer.pins import Pinning, Pins
from jangbu.insight.dashboards.data_layer.servers import Servers, reading
from jangbu.insight.dashboards.ports import Analysis
from jangbu.insight.dashboards.query_layer.leg import Span
from jangbu.insight.dashboards.query_layer.measures import components_of
from jangbu.insight.dashboards.query_layer.zones import instant_at
from jangbu.insight.dashboards.query_log import QUERY_LOG, Outcome, QueryLog, log_rows
from jangbu.insight.ingest.facade import Ingest
from jangbu.kernel.discovery import Plugin, find
from jangbu.kernel.errors import (
    EngineError,
    InvalidRequest,
    JangbuError,
    OutOfBounds,
    StorageError,
    Unavailable,
    Unsupported,
    unknown_name,
)
from jangbu.kernel.filters import OPERATORS, And, Leaf, Node, words
from jangbu.kernel.tenancy import Principal, TenantId
from jangbu.platform.engines.ports import CancelToken, Engine
from jangbu.platform.lakehouse.ports import DataFile, Lakehouse
from jangbu.platform.telemetry.tracing import span

T = TypeVar("T")

__all__ = ["MAX_VALUES", "Dashboards", "OutsideTables"]

MAX_VALUES = 1_000
_TRIES = 5
"""How often a question is answered again where others change what it reads meanwhile."""
_UNKNOWN: Mapping[str, float | None] = defaultdict(lambda: None)
"""What an analysis would know of the rows, where nothing is run."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request on its way: everything resolved and pinned."""

    plan: Plan
    pins: Pins
    read: Sequence[DataSource]


class Dashboards:
    """`workbench` is the engine that merges legs; it reads Arrow tables. `timeout` is in seconds, for one statement."""

    def __init__(
        self,
        *,
        access: Access,
        catalog: CatalogFacade,
        ingest: Ingest,
        lakehouse: Lakehouse,
        engines: Mapping[str, Engine],
        workbench: Engine,
        analyses: Mapping[str, Plugin],
        default_engine: str = "duckdb",
        timeout: float = 60.0,
        query_log: QueryLog | None = None,
        outside: OutsideTables | None = None,
    ) -> None:
        self._access = access
        self._catalog = catalog
        self._analyses = analyses
        self._workbench = workbench
        self._pinning = Pinning(lakehouse, ingest, outside or OutsideTables(ingest))
        self._servers = Servers(engines, default_engine, self._pinning, timeout)
        self._query_log = query_log

    def query(self, principal: Principal, request: QueryRequest, *, cancel: CancelToken | None = None) -> Answer:
        """Answer a request for the tenants that the principal holds, or those of them that it names.

        Raises:
            InvalidRequest: it can't be answered as it stands.
            Forbidden: it names a tenant that isn't held.
            Unavailable, TimedOut, Cancelled, EngineError, StorageError: the server couldn't.
        """
        query_id = uuid4().hex
        tenants = principal.narrow(_names(request.tenants), path="/tenants")
        with span("query", query_id=query_id) as traced, self._logged(query_id, principal, tenants, request) as outcome:
            answer = self._of_one_state(tenants, request, lambda asked: self._answered(asked, query_id, cancel))
            outcome.append(answer)
            traced.set(rows=answer.table.num_rows)
        return answer

    def explain(self, principal: Principal, request: QueryRequest) -> Explanation:
        """How a request would be answered, without running it; raises as `query` does."""
        asked = self._asked(principal.narrow(_names(request.tenants), path="/tenants"), request)
        runner = self._runner(asked, None)
        timing = asked.plan.question.timing
        plans = [asked.plan, *([asked.plan.totals] if asked.plan.totals else [])]
        return Explanation(
            plan=describe(asked.plan.root),
            filter=words(request.filter) if request.filter is not None else None,
            range=_shown(timing.range),
            compare_range=_shown(timing.compare_range),
            legs=tuple(leg for plan in plans for leg in self._explained(runner, plan, totals=plan is not asked.plan)),
        )

    def values(
        self,
        principal: Principal,
        data_source: str,
        dimension: str,
        *,
        search: str | None = None,
        limit: int = 100,
        offset: int = 0,
        tenants: list[str] | None = None,
        cancel: CancelToken | None = None,
    ) -> ValuesPage:
        """The values of a dimension (without nulls) in code point order; `search` keeps those of a text that contain it, whatever
        the case. Raises as `query` does."""
        if not 1 <= limit <= MAX_VALUES:
            raise OutOfBounds(f"The limit lies between 1 and {MAX_VALUES:,}.", path="/limit", value=limit)
        request = QueryRequest.model_construct(
            data_source=data_source,
            measures=[],
            dimensions=[dimension],
            filter=_search(dimension, search),
            limit=limit,
            offset=offset,
        )
        held = principal.narrow(_names(tenants), path="/tenants")
        rows = self._of_one_state(held, request, lambda asked: self._runner(asked, cancel).rows(asked.plan))
        return ValuesPage(
            data_source, dimension, tuple(rows.table.column(0).to_pylist()), offset + limit if rows.truncated else None
        )

    # On the way

    def _of_one_state(self, tenants: tuple[TenantId, ...], request: QueryRequest, run: Callable[[_Asked], T]) -> T:
        """What `run` makes of one state of the data: where others have changed what it read meanwhile, it is done again.

        Raises:
            Unavailable: they kept changing it.
        """
        for _ in range(_TRIES):
            asked = self._asked(tenants, request)
            try:
                found = run(asked)
            except (EngineError, InvalidRequest, StorageError):
                if not self._pinning.has_moved(asked.pins, asked.read, failed=True):
                    raise
            else:
                if not self._pinning.has_moved(asked.pins, asked.read):
                    return found
        raise Unavailable("Others are changing the data too fast to be read at one state.")

    def _asked(self, tenant_ids: tuple[TenantId, ...], request: QueryRequest) -> _Asked:
        if not tenant_ids:
            raise InvalidRequest("The key holds no tenant.", path="/tenants")
        tenants = self._access.tenants_named(tenant_ids)
        catalog = self._catalog.catalog_for(tenant_ids)
        analysis = self._analysis(request)
        question = question_of(request, catalog, tenants, [name for name, _, _ in analysis.columns] if analysis else ())
        self._flush_log(question)
        names = Names.of(catalog, request.data_source)
        read = _read(question, names)
        pins = self._pinning.pin(read, tenant_ids)

        def bounds_of(source: DataSource, field: TimeField, span: Span | None) -> tuple[int, int] | None:
            return self._pinning.bounds(pins, source, field, span)

        around = Surroundings(bounds_of, lambda source: self._servers.engine_of(source).capabilities.finishes)
        named = NamedAnalysis(request.analysis.kind, analysis) if analysis is not None else None
        return _Asked(plan_of(question, names, named, around, totals=request.totals), pins, read)

    def _analysis(self, request: QueryRequest) -> Analysis | None:
        asked: AnalysisRequest = request.analysis
        parameters = asked.model_extra or {}
        if asked.kind == "plain":
            fields: Mapping[str, Any] = {}
        else:
            if asked.kind not in self._analyses:
                raise unknown_name("analysis", asked.kind, ("plain", *self._analyses), path="/analysis/kind")
            fields = find("analysis", asked.kind, self._analyses).fields
        for name in parameters:
            if name not in fields:
                raise unknown_name(f"parameter of {asked.kind!r}", name, fields, path=f"/analysis/{name}")
        if asked.kind == "plain":
            return None
        analysis: Analysis = self._analyses[asked.kind].open(parameters, "/analysis")
        _check_analysis(asked.kind, analysis, request)
        return analysis

    def _flush_log(self, question: Question) -> None:
        if self._query_log is not None and QUERY_LOG in question.sources:
            self._query_log.flush()

    def _runner(self, asked: _Asked, cancel: CancelToken | None) -> answering.Runner:
        return answering.Runner(self._servers, self._workbench, asked.pins, cancel)

    def _answered(self, asked: _Asked, query_id: str, cancel: CancelToken | None) -> Answer:
        runner = self._runner(asked, cancel)
        currency = runner.currency(asked.plan)
        rows = runner.rows(asked.plan)
        totals = runner.rows(asked.plan.totals) if asked.plan.totals is not None else None
        legs = rows.legs + (totals.legs if totals is not None else ())
        timing = asked.plan.question.timing
        meta = Meta(
            query_id=query_id,
            zone=timing.zone,
            as_of=_as_of(asked),
            data_versions=_data_versions(asked),
            legs=legs,
            truncated=rows.truncated,
            warnings=asked.pins.warnings,
            now=timing.now if timing.pinned else None,
            range=_shown(timing.range),
            compare_range=_shown(timing.compare_range),
            cuts=rows.facts,
            outside={name: (seen.checked_at, seen.check_every) for name, seen in asked.pins.outside.items()},
        )
        shown = answering.totals_table(asked.plan, totals.table if totals is not None else None)
        return Answer(answering.columns_of(asked.plan, currency), rows.table, shown, meta)

    def _explained(self, runner: answering.Runner, plan: Plan, *, totals: bool) -> Iterator[Mapping[str, Any]]:
        for part, engine, statement in runner.statements(plan):
            files = [scan.files.files for scan in statement.scans if scan.files is not None]
            yield {
                "data_source": part.leg.data_source.name,
                "server": engine.name,
                "purpose": "totals" if totals else "compare" if part.compared else "current",
                "files": sum(map(len, files)),
                "bytes": sum(file.bytes for group in files for file in group),
                "reads": {scan.name: reading(scan.files, engine) for scan in statement.scans if scan.files is not None},
                "sql": self._without_paths(engine.sql(statement), files),
            }
        if isinstance(plan.source, Merge):
            sql = self._workbench.render(finishing.Finish(plan, self._workbench.emitter).select(_UNKNOWN))
            yield {
                "data_source": None,
                "server": "workbench",
                "purpose": "totals" if totals else "merge",
                "files": 0,
                "bytes": 0,
                "reads": {},
                "sql": sql,
            }

    def _without_paths(self, sql: str, files: Sequence[Sequence[DataFile]]) -> str:
        """Our files are told by their place in the lakehouse, those of others not at all."""
        root = self._pinning.lakehouse.root()
        for path in (file.path for group in files for file in group if not file.path.startswith(root)):
            sql = sql.replace(path.replace("'", "''"), "…")
        return sql.replace(root, "…")

    @contextmanager
    def _logged(
        self, query_id: str, principal: Principal, tenants: Sequence[TenantId], request: QueryRequest
    ) -> Iterator[list[Answer]]:
        """Every question is logged, however it ends."""
        asked_at, start = datetime.now(UTC), perf_counter()
        answers: list[Answer] = []
        error: JangbuError | None = None
        try:
            yield answers
        except JangbuError as raised:
            error = raised
            raise
        except Exception:
            error = EngineError("An unforeseen error.")
            raise
        finally:
            ms = (perf_counter() - start) * 1000
            outcome = Outcome(ms, error=error)
            if answers:
                answer = answers[0]
                outcome = Outcome(ms, answer.table.num_rows, len(answer.meta.legs), answer.meta.truncated)
            if self._query_log is not None:
                self._query_log.record(log_rows(query_id, asked_at, principal, tenants, request, outcome))


def _names(tenants: list[str] | None) -> tuple[str, ...] | None:
    return tuple(tenants) if tenants is not None else None


def _check_analysis(kind: str, analysis: Analysis, request: QueryRequest) -> None:
    if request.time_frequency is not None:
        raise Unsupported(f"{kind!r} looks at groups, not at buckets.", path="/time_frequency", hint="Leave time_frequency out.")
    if not request.dimensions:
        raise InvalidRequest(f"{kind!r} needs a dimension to look at.", path="/dimensions")
    if len(request.measures) < analysis.measures:
        raise InvalidRequest(
            f"{kind!r} needs {analysis.measures} measures; this has {len(request.measures)}.",
            path="/measures",
            value=len(request.measures),
        )


def _read(question: Question, names: Names) -> list[DataSource]:
    """The data sources whose tables a question reads, those of relations included."""
    found = dict(question.sources)
    for source in question.sources.values():
        for relation in _relations(question, source, names):
            related = source.relations[relation].data_source
            found[related] = names.catalog.data_sources[related]
    return list(found.values())


def _relations(question: Question, source: DataSource, names: Names) -> set[str]:
    """The relations that groups, conditions and measures of a data source reach."""
    targets = [asked.by_source[source.name] for asked in question.dimensions]
    targets += [bound.target for bound in question.bindings[source.name].values() if isinstance(bound.target, Dimension)]
    expressions = [target.expression for target in targets if isinstance(target, Dimension)]
    components = [part for asked in question.measures for part in components_of(asked.measure, names.measure_of)]
    expressions += [
        component.argument for measure, component in components if component.argument and measure.data_source == source.name
    ]
    return {relation for expression in expressions for relation in expression.relations}


def _search(dimension: str, search: str | None) -> Node:
    there = Leaf(dimension, OPERATORS["is_not_null"], path="/dimension")
    if not search:
        return there
    return And((there, Leaf(dimension, OPERATORS["contains"], (search,), ignore_case=True, path="/search")))


def _shown(found: Range | None) -> tuple[str, str] | None:
    if found is None:
        return None
    if isinstance(found, Days):
        return found.first.isoformat(), found.last.isoformat()
    return instant_at(found.start).isoformat(), instant_at(found.end).isoformat()


def _of_source(asked: _Asked, source: DataSource) -> dict[TenantId | None, Any]:
    """The versions of a data source's data, by tenant (None where it is shared)."""
    tenants: tuple[TenantId | None, ...] = (None,) if source.separation.kind is SeparationKind.SHARED else asked.pins.tenants
    return {tenant: asked.pins.versions.get((tenant, source.name)) for tenant in tenants}


def _as_of(asked: _Asked) -> dict[str, datetime | None]:
    """Until when every asked tenant's data are there."""
    found = {}
    for name, source in asked.plan.question.sources.items():
        times = [version.as_of if version is not None else None for version in _of_source(asked, source).values()]
        found[name] = None if None in times else min(time for time in times if time is not None)
    return found


def _data_versions(asked: _Asked) -> dict[str, int | Mapping[str, int]]:
    found: dict[str, int | Mapping[str, int]] = {}
    for name, source in asked.plan.question.sources.items():
        numbers = {
            str(tenant): version.version if version is not None else 0 for tenant, version in _of_source(asked, source).items()
        }
        found[name] = next(iter(numbers.values())) if len(numbers) == 1 else numbers
    return found
