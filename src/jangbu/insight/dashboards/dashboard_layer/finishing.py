"""What happens above the legs, as SQL: merge → measures → having → compare → fill → analysis → order, offset, limit.

Columns have short names on the way: `bucket`, `d0` … dimensions, `m0` … measures, `p0` … their compared values, `g0` … changes.
The same steps serve both places: on top of a single leg in its own engine's dialect, and over several legs' Arrow in the workbench.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import sqlglot
from sqlglot import exp

from jangbu.insight.catalog.contracts import Function, Measure
from jangbu.insight.dashboards.dashboard_layer.nodes import (
    Analyse,
    Bucket,
    Change,
    Fill,
    Having,
    Measures,
    Merge,
    Node,
    PlannedLeg,
    Present,
    WithinLeg,
)
from jangbu.insight.dashboards.dashboard_layer.planning import Plan
from jangbu.insight.dashboards.dashboard_layer.question import Having as Condition
from jangbu.insight.dashboards.query_layer.compiler import BUCKET
from jangbu.insight.dashboards.query_layer.conditions import condition, predicate
from jangbu.insight.dashboards.query_layer.leg import TIME, Component
from jangbu.insight.dashboards.query_layer.measures import measure_tree, zero
from jangbu.insight.dashboards.query_layer.zones import instant_at
from jangbu.kernel.filters import Leaf
from jangbu.platform.engines.ports import Emitter

AXIS, PAIRS = "axis", "pairs"
"""Relations of the workbench: every bucket of the axis; each compared bucket with its current one."""

ColumnOf = Callable[[Measure, Component], exp.Expr]


def leg_name(index: int) -> str:
    return f"leg{index}"


Facts = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Finish:
    """Turns a plan's steps into SQL for one engine. `leg` is the only leg's own SELECT, for steps within it."""

    plan: Plan
    emitter: Emitter
    leg: exp.Select | None = None

    def select(self, facts: Facts) -> exp.Select:
        """The whole answer; `facts` is what the analysis knows of all rows."""
        return self._select(self.plan.root, facts)

    def facts(self) -> exp.Select | None:
        """A SELECT of what the analysis has to know of all rows first, a column each; None where that is nothing."""
        node = self.plan.root.rows
        facts = node.analysis.facts(_analysis_columns(self.plan)[0]) if isinstance(node, Analyse) else {}
        if not facts or not isinstance(node, Analyse):
            return None
        columns = ", ".join(f'{value} AS "{key}"' for key, value in facts.items())
        return _analysed(f"SELECT {columns}, COUNT(*) FROM analysed", self._select(node.rows, {}))

    def _select(self, node: Node, facts: Facts) -> exp.Select:
        plan, emitter = self.plan, self.emitter
        match node:
            case Merge():
                return _merge(plan)
            case WithinLeg():
                if self.leg is None:
                    raise ValueError("Steps within a leg need its SELECT.")
                return self.leg
            case Measures(rows):
                return _measures(plan, self._select(rows, facts), emitter)
            case Having(rows, having):
                return _having(having, self._select(rows, facts), emitter)
            case Fill(rows):
                return _fill(plan, node, self._select(rows, facts), emitter)
            case Change(rows):
                return _changes(plan, self._select(rows, facts), emitter)
            case Analyse(rows, _, analysis):
                return _analysed(analysis.sql("analysed", *_analysis_columns(plan), facts), self._select(rows, facts))
            case Present(rows):
                return _present(plan, self._select(rows, facts))


# Steps


def _merge(plan: Plan) -> exp.Select:
    """UNION ALL of the legs, padded to one schema, then grouped: n legs cost as two, and nulls meet nulls."""
    keys = _keys(plan)
    width = [(index, place) for index, part in enumerate(plan.legs) for place in range(len(part.leg.components))]
    padded: exp.Expr | None = None
    for index, part in enumerate(plan.legs):
        columns: list[exp.Expr] = [*_key_columns(plan, index)]
        for owner, place in width:
            value = _column(f"c{place}", leg_name(index)) if owner == index else exp.Null()
            columns.append(_as(value, f"l{owner}c{place}"))
        select = exp.Select(expressions=columns)
        select.set("from_", exp.From(this=_table(leg_name(index))))
        if _is_shifted(plan, part):
            on = exp.EQ(this=_column("compared", PAIRS), expression=_column(BUCKET, leg_name(index)))
            select.set("joins", [exp.Join(this=_table(PAIRS), on=on)])
        padded = select if padded is None else exp.Union(this=padded, expression=select, distinct=False)
    values = [
        _as(_merged(plan.legs[owner].leg.components[place], _column(f"l{owner}c{place}")), f"l{owner}c{place}")
        for owner, place in width
    ]
    merged = exp.Select(expressions=[*(_column(key) for key in keys), *values])
    merged.set("from_", exp.From(this=_nested(padded)))
    if keys:
        merged.set("group", exp.Group(expressions=[exp.Literal.number(place + 1) for place in range(len(keys))]))
    return merged


def _key_columns(plan: Plan, index: int) -> list[exp.Expr]:
    shifted = _is_shifted(plan, plan.legs[index])
    return [
        _as(_column("current", PAIRS), BUCKET) if key == BUCKET and shifted else _as(_column(key, leg_name(index)), key)
        for key in _keys(plan)
    ]


def _is_shifted(plan: Plan, part: PlannedLeg) -> bool:
    """The leg's buckets are the compared range's, and stand for the current ones of the same ordinal."""
    return part.compared and plan.question.timing.frequency is not None


def _merged(component: Component, column: exp.Expr) -> exp.Expr:
    if component.merges_by is Function.MIN:
        return exp.Min(this=column)
    if component.merges_by is Function.MAX:
        return exp.Max(this=column)
    return exp.Sum(this=column)


def _column_of(plan: Plan, *, compared: bool) -> ColumnOf:
    """The merged column of a component; within a leg there is only the leg's own."""
    if isinstance(plan.source, WithinLeg):
        own = {component: f"c{index}" for index, component in enumerate(plan.legs[0].leg.components)}
        return lambda _, component: _column(own[component])
    places: dict[tuple[Measure, Component], exp.Expr] = {}
    for index, part in enumerate(plan.legs):
        if part.compared != compared:
            continue
        for measure, component in part.serves:
            places[measure, component] = _column(f"l{index}c{part.leg.components.index(component)}")
    return lambda measure, component: places[measure, component].copy()


def _measures(plan: Plan, rows: exp.Expr, emitter: Emitter) -> exp.Select:
    current, compared = _column_of(plan, compared=False), _column_of(plan, compared=True)
    columns: list[exp.Expr] = [_column(key) for key in _keys(plan)]
    measure_of = plan.names.measure_of
    for index, asked in enumerate(plan.question.measures):
        columns.append(_as(measure_tree(asked.measure, current, measure_of, emitter), f"m{index}"))
    if plan.change is not None:
        for index, asked in enumerate(plan.question.shown):
            value = measure_tree(asked.measure, compared, measure_of, emitter)
            columns.append(_as(_paired(plan, value, emitter), f"p{index}"))
    return _select(columns, rows)


def _paired(plan: Plan, value: exp.Expr, emitter: Emitter) -> exp.Expr:
    """Null where the compared range has no bucket of this ordinal."""
    axis = plan.change.axis if plan.change is not None else None
    unpaired = axis.first_unpaired if axis is not None else None
    if unpaired is None:
        return value
    before = exp.LT(this=_column(BUCKET), expression=_bucket(unpaired, emitter))
    return exp.Case(ifs=[exp.If(this=before, true=value)])


def _having(having: Condition, rows: exp.Select, emitter: Emitter) -> exp.Select:
    def leaf(node: Leaf, negated: bool) -> exp.Expr:
        column, bound = having.bindings[node]
        return predicate(node, bound, _column(column), negated, emitter)

    kept = _select([exp.Star()], rows)
    kept.set("where", exp.Where(this=condition(having.node, leaf)))
    return kept


def _fill(plan: Plan, node: Fill, rows: exp.Select, emitter: Emitter) -> exp.Select:
    """Every group that occurs gets every bucket of the axis."""
    dimensions = [f"d{index}" for index in range(len(plan.question.dimensions))]
    on: list[exp.Expr] = [exp.EQ(this=_column(BUCKET, AXIS), expression=_column(BUCKET, "kept"))]
    on += [exp.NullSafeEQ(this=_column(name, "grp"), expression=_column(name, "kept")) for name in dimensions]
    select = exp.Select(
        expressions=[_column(BUCKET, AXIS), *(_column(name, "grp") for name in dimensions), *_filled(plan, emitter)]
    )
    select.set("from_", exp.From(this=_table(AXIS)))
    joins = []
    if dimensions:
        groups = exp.Select(expressions=[_column(name) for name in dimensions], distinct=exp.Distinct())
        groups.set("from_", exp.From(this=_table("kept")))
        joins.append(exp.Join(this=_nested(groups, "grp"), kind="CROSS"))
    joins.append(exp.Join(this=_table("kept"), side="LEFT", on=exp.and_(*on)))
    select.set("joins", joins)
    filled: exp.Query = select
    if node.open_ended:
        select.set("where", exp.Where(this=exp.and_(_edge(exp.GTE, exp.Min), _edge(exp.LTE, exp.Max))))
        filled = exp.Union(this=select, expression=_timeless(plan), distinct=False)
    filled.set("with_", exp.With(expressions=[exp.CTE(this=rows, alias=exp.TableAlias(this=_name("kept")))]))
    return _select([exp.Star()], filled)


def _timeless(plan: Plan) -> exp.Select:
    """Rows without a time, which only a question without a range has: no bucket of the axis is theirs."""
    names = [*_keys(plan), *(f"m{index}" for index in range(len(plan.question.measures)))]
    rows = exp.Select(expressions=[_column(name) for name in names])
    rows.set("from_", exp.From(this=_table("kept")))
    rows.set("where", exp.Where(this=exp.Is(this=_column(BUCKET), expression=exp.Null())))
    return rows


def _filled(plan: Plan, emitter: Emitter) -> list[exp.Expr]:
    columns: list[exp.Expr] = []
    for index, asked in enumerate(plan.question.measures):
        value: exp.Expr = _column(f"m{index}", "kept")
        columns.append(_as(_or_zero(value, asked.measure, emitter), f"m{index}"))
    if plan.change is not None:
        for index, asked in enumerate(plan.question.shown):
            value = _or_zero(_column(f"p{index}", "kept"), asked.measure, emitter)
            columns.append(_as(_paired_on_axis(plan, value, emitter), f"p{index}"))
    return columns


def _paired_on_axis(plan: Plan, value: exp.Expr, emitter: Emitter) -> exp.Expr:
    found = _paired(plan, value, emitter)
    for column in found.find_all(exp.Column):
        if column.name == BUCKET and not column.table:
            column.set("table", _name(AXIS))
    return found


def _or_zero(value: exp.Expr, measure: Measure, emitter: Emitter) -> exp.Expr:
    return exp.Coalesce(this=value, expressions=[zero(measure.type, emitter)]) if measure.zero_when_empty else value


def _edge(compare: type[exp.Binary], aggregate: type[exp.AggFunc]) -> exp.Expr:
    edge = exp.Select(expressions=[aggregate(this=_column(BUCKET))])
    edge.set("from_", exp.From(this=_table("kept")))
    return compare(this=_column(BUCKET, AXIS), expression=exp.Subquery(this=edge))


def _changes(plan: Plan, rows: exp.Select, emitter: Emitter) -> exp.Select:
    """(value − compared) ÷ compared, null where compared is 0 or null."""
    columns: list[exp.Expr] = [exp.Star()]
    places = [index for index, asked in enumerate(plan.question.measures) if asked.shown]
    for index, place in enumerate(places):
        value, before = _column(f"m{place}"), _column(f"p{index}")
        columns.append(_as(emitter.ratio(exp.paren(exp.Sub(this=value, expression=before)), before.copy()), f"g{index}"))
    return _select(columns, rows)


def _analysed(text: str, rows: exp.Select) -> exp.Select:
    """An analysis' own SQL over the relation `analysed`, which is `rows`."""
    parsed = sqlglot.parse_one(text, dialect="duckdb")
    for table in list(parsed.find_all(exp.Table)):
        if table.name == "analysed":
            table.replace(_nested(rows.copy(), "analysed"))
    return _select([exp.Star()], parsed)


def _analysis_columns(plan: Plan) -> tuple[list[str], list[str]]:
    places = [index for index, asked in enumerate(plan.question.measures) if asked.shown]
    return [f"m{place}" for place in places], [f"d{index}" for index in range(len(plan.question.dimensions))]


# The last step


@dataclass(frozen=True, slots=True)
class Output:
    """A column of the answer: its short name on the way, and the name it is shown by."""

    column: str
    name: str


def outputs(plan: Plan) -> list[Output]:
    """The shown columns in the answer's order."""
    found = [Output(BUCKET, TIME)] if plan.question.timing.frequency is not None else []
    found += [Output(f"d{index}", asked.name) for index, asked in enumerate(plan.question.dimensions)]
    shown = 0
    for place, asked in enumerate(plan.question.measures):
        if not asked.shown:
            continue
        found.append(Output(f"m{place}", asked.name))
        if plan.change is not None:
            found += [Output(f"p{shown}", f"{asked.name}_compare"), Output(f"g{shown}", f"{asked.name}_change")]
        shown += 1
    if plan.analysis is not None:
        found += [Output(name, name) for name, _, _ in plan.analysis.columns]
    return found


def _present(plan: Plan, rows: exp.Select) -> exp.Select:
    """The shown columns in order, one row more than the limit, so that a cut answer is known."""
    shown = outputs(plan)
    select = _select([_as(_column(each.column), each.name) for each in shown], rows)
    keys = [_ordered(column, descending) for column, descending in _order(plan, shown)]
    if keys:
        select.set("order", exp.Order(expressions=keys))
    select.set("limit", exp.Limit(expression=exp.Literal.number(plan.question.limit + 1)))
    if plan.question.offset:
        select.set("offset", exp.Offset(expression=exp.Literal.number(plan.question.offset)))
    return select


def _order(plan: Plan, shown: Sequence[Output]) -> list[tuple[str, bool]]:
    """The asked keys, then the default order, each column once."""
    columns = {each.name: each.column for each in shown}
    columns |= {asked.name: f"m{place}" for place, asked in enumerate(plan.question.measures) if asked.name not in columns}
    keys = [(columns[key.column], key.descending) for key in plan.question.order]
    analysed = plan.analysis.order(*_analysis_columns(plan)) if plan.analysis is not None and not keys else None
    keys += analysed or []
    keys += [(key, False) for key in _keys(plan)]
    seen: set[str] = set()
    return [(column, down) for column, down in keys if not (column in seen or seen.add(column))]  # type: ignore[func-returns-value]  # None


def _ordered(column: str, descending: bool) -> exp.Ordered:
    return exp.Ordered(this=_column(column, "f"), desc=descending, nulls_first=False)


# Pieces


def _keys(plan: Plan) -> list[str]:
    time = [BUCKET] if plan.question.timing.frequency is not None else []
    return [*time, *(f"d{index}" for index in range(len(plan.question.dimensions)))]


def _bucket(bucket: Bucket, emitter: Emitter) -> exp.Expr:
    return emitter.literal(bucket if isinstance(bucket, date) else instant_at(bucket))


def _select(columns: list[exp.Expr], rows: exp.Expr) -> exp.Select:
    select = exp.Select(expressions=columns)
    select.set("from_", exp.From(this=_nested(rows, "f")))
    return select


def _nested(rows: exp.Expr | None, alias: str = "f") -> exp.Subquery:
    return exp.Subquery(this=rows, alias=exp.TableAlias(this=_name(alias)))


def _name(name: str) -> exp.Identifier:
    return exp.to_identifier(name, quoted=True)


def _table(name: str) -> exp.Table:
    return exp.Table(this=_name(name))


def _column(name: str, table: str | None = None) -> exp.Column:
    return exp.column(name, table=table, quoted=True)


def _as(value: exp.Expr, name: str) -> exp.Alias:
    return exp.Alias(this=value, alias=_name(name))
