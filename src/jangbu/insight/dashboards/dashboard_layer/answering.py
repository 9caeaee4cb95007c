"""Runs a plan: legs on their servers, what is above them in the workbench, and the answer's columns and meta."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from sqlglot import exp

from jangbu.insight.catalog.contracts import Text
from jangbu.insight.dashboards.contracts import AnswerColumn, LegReport, Role
from jangbu.insight.dashboards.dashboard_layer import finishing, money
from jangbu.insight.dashboards.dashboard_layer.nodes import PlannedLeg, WithinLeg
from jangbu.insight.dashboards.dashboard_layer.planning import Plan
from jangbu.insight.dashboards.data_layer.arrow import arrow_type, bucket_type, conformed, leg_schema
from jangbu.insight.dashboards.data_layer.pins import Pins
from jangbu.insight.dashboards.data_layer.servers import Servers
from jangbu.insight.dashboards.query_layer.leg import TENANT, TIME
from jangbu.kernel.errors import OutOfBounds
from jangbu.kernel.types import FieldType
from jangbu.platform.engines.ports import CancelToken, Engine, Scan, Statement

_TIME_LABEL = Text(ko="시간", en="Time")
_TENANT_LABEL = Text(ko="고객사", en="Tenant")


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a plan in the answer's order, and what the analysis says of all of them."""

    table: pa.Table
    truncated: bool
    facts: finishing.Facts | None
    legs: tuple[LegReport, ...]


MAX_GROUPS, MAX_FILLED = 5_000_000, 20_000_000
"""Rows that a leg may hand to the workbench, and that a fill may make."""

_Run = tuple[pa.Table, finishing.Facts | None, tuple[LegReport, ...]]


@dataclass(frozen=True, slots=True)
class Runner:
    """`workbench` is an engine that reads Arrow tables (`capabilities.memory`)."""

    servers: Servers
    workbench: Engine
    pins: Pins
    cancel: CancelToken | None = None

    def currency(self, plan: Plan) -> str | None:
        """The currency of the answer's money.

        Raises:
            Unsupported: the rows hold several.
        """
        found = {plan.question.currency} - {None}
        for leg in plan.currency_legs:
            compiled, _ = self.servers.compile(leg)
            statement = self.servers.statement(leg, compiled.select, compiled.scans, self.pins)
            table, _ = self.servers.run(leg, statement, leg_schema(leg), "currency", self.cancel)
            code = money.one_currency(leg.data_source.name, *(column[0].as_py() for column in table.columns))
            found |= {code} - {None}
        ordered = sorted(code for code in found if code is not None)
        return money.one_currency(", ".join(plan.question.sources), ordered[0], ordered[-1]) if ordered else None

    def rows(self, plan: Plan) -> Rows:
        table, facts, legs = self._within(plan) if isinstance(plan.source, WithinLeg) else self._merged(plan)
        limit = plan.question.limit
        return Rows(table.slice(0, limit), table.num_rows > limit, facts, legs)

    def statements(self, plan: Plan) -> Iterator[tuple[PlannedLeg, Engine, Statement]]:
        """What each leg's server is sent."""
        for part in plan.legs:
            compiled, engine = self.servers.compile(part.leg)
            select = compiled.select
            if isinstance(plan.source, WithinLeg):
                select = finishing.Finish(plan, engine.emitter, select).select({})
            else:
                select.set("limit", exp.Limit(expression=exp.Literal.number(MAX_GROUPS + 1)))
            yield part, engine, self.servers.statement(part.leg, select, compiled.scans, self.pins)

    def _within(self, plan: Plan) -> _Run:
        part, _, statement = next(self.statements(plan))
        table, report = self.servers.run(part.leg, statement, _schema(plan), "current", self.cancel)
        return table, None, (report,)

    def _merged(self, plan: Plan) -> _Run:
        scans: list[Scan] = [*_axis_scans(plan)]
        reports = []
        for index, (part, _, statement) in enumerate(self.statements(plan)):
            purpose = "compare" if part.compared else "current"
            table, report = self.servers.run(part.leg, statement, leg_schema(part.leg), purpose, self.cancel)
            if table.num_rows > MAX_GROUPS:
                raise _too_many(f"more than {MAX_GROUPS:,} groups")
            scans.append(Scan(finishing.leg_name(index), tuple(table.column_names), rows=table))
            reports.append(report)
        _check_fill(plan, [scan.rows for scan in scans if scan.rows is not None and scan.name.startswith("leg")])
        finish = finishing.Finish(plan, self.workbench.emitter)
        facts = self._facts(finish, scans)
        table = self._work(finish.select(facts or {}), scans)
        return conformed(table, _schema(plan)), facts, tuple(reports)

    def _facts(self, finish: finishing.Finish, scans: Sequence[Scan]) -> finishing.Facts | None:
        select = finish.facts()
        if select is None:
            return None
        row = self._work(select, scans)
        return {key: row.column(key)[0].as_py() for key in row.column_names[:-1]}

    def _work(self, select: exp.Select, scans: Sequence[Scan]) -> pa.Table:
        """A statement of the workbench over Arrow tables, of which it takes those that it names."""
        named = {table.name for table in select.find_all(exp.Table)}
        statement = Statement(self.workbench.render(select), tuple(scan for scan in scans if scan.name in named))
        return self.workbench.run(statement, timeout=self.servers.timeout, cancel=self.cancel)


def _check_fill(plan: Plan, legs: Sequence[pa.Table]) -> None:
    """Filling makes groups x buckets rows; how many is known once the legs are there."""
    if plan.fill is None or not plan.question.dimensions:
        return
    names = [f"d{index}" for index in range(len(plan.question.dimensions))]
    groups = pa.concat_tables([leg.select(names) for leg in legs]).group_by(names).aggregate([]).num_rows
    buckets = len(plan.fill.axis.current)
    if groups * buckets > MAX_FILLED:
        raise _too_many(f"{groups:,} groups x {buckets:,} buckets to fill; {MAX_FILLED:,} rows can be")


def _too_many(what: str) -> OutOfBounds:
    return OutOfBounds(
        f"The answer needs {what}.",
        path="/dimensions",
        hint="Ask fewer dimensions, fewer rows or a coarser frequency.",
    )


def _axis_scans(plan: Plan) -> Iterator[Scan]:
    type_ = bucket_type(plan.legs[0].leg)

    def column(buckets: tuple[Any, ...]) -> "pa.Array[Any]":
        return pa.array(buckets, type_) if pa.types.is_date(type_) else pa.array(buckets, pa.int64()).cast(type_)

    if plan.fill is not None:
        yield Scan(finishing.AXIS, ("bucket",), rows=pa.table({"bucket": column(plan.fill.axis.current)}))
    axis = plan.change.axis if plan.change is not None else None
    if axis is not None and axis.compared is not None:
        count = min(len(axis.current), len(axis.compared))
        pairs = {"current": column(axis.current[:count]), "compared": column(axis.compared[:count])}
        yield Scan(finishing.PAIRS, ("current", "compared"), rows=pa.table(pairs))


def _schema(plan: Plan) -> pa.Schema:
    """The Arrow schema of the finished rows."""
    zone = plan.question.timing.zone
    fields = []
    for column in columns_of(plan):
        type_ = bucket_type(plan.legs[0].leg) if column.role is Role.TIME else arrow_type(column.type, zone)
        fields.append(pa.field(column.name, type_))
    return pa.schema(fields)


def columns_of(plan: Plan, currency: str | None = None) -> tuple[AnswerColumn, ...]:
    """The answer's columns, in the order of `finishing.outputs`; money is in `currency`."""
    question = plan.question
    found: list[AnswerColumn] = []
    if question.timing.frequency is not None:
        type_ = FieldType.INSTANT if question.timing.frequency.is_finer_than_day else FieldType.DATE
        found.append(AnswerColumn(TIME, type_, Role.TIME, label=_TIME_LABEL))
    for dimension in question.dimensions:
        meaning = next(iter(dimension.by_source.values()))
        label = _TENANT_LABEL if meaning == TENANT or isinstance(meaning, str) else meaning.label
        found.append(AnswerColumn(dimension.name, dimension.type, Role.DIMENSION, label=label))
    for asked in question.shown:
        measure = asked.measure
        unit = currency or measure.unit if measure.unit == money.UNIT else measure.unit
        found.append(AnswerColumn(asked.name, measure.type, Role.MEASURE, unit, measure.format, measure.label))
        if plan.change is not None:
            found.append(
                AnswerColumn(f"{asked.name}_compare", measure.type, Role.COMPARE, unit, measure.format, measure.label, asked.name)
            )
            found.append(
                AnswerColumn(f"{asked.name}_change", FieldType.DOUBLE, Role.CHANGE, None, "percent", measure.label, asked.name)
            )
    return (*found, *_analysis_columns(plan))


def _analysis_columns(plan: Plan) -> Iterator[AnswerColumn]:
    if plan.analysis is None:
        return
    shown = plan.question.shown
    for name, type_, of in plan.analysis.columns:
        form = "percent" if type_ is FieldType.DOUBLE else None
        yield AnswerColumn(name, type_, Role.ANALYSIS, format=form, of=shown[of].name if of is not None else None)


def totals_table(plan: Plan, rows: pa.Table | None) -> pa.Table | None:
    """The totals row under the answer's columns: null under time, dimensions and analysis."""
    if rows is None:
        return None
    schema = _schema(plan)
    arrays = [rows.column(field.name) if field.name in rows.column_names else pa.nulls(1, field.type) for field in schema]
    return pa.Table.from_arrays([_one(array) for array in arrays], schema=schema)


def _one(array: "pa.Array[Any] | pa.ChunkedArray[Any]") -> "pa.Array[Any]":
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
