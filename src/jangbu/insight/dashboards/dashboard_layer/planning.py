"""From a question to its plan: the legs, the axis of buckets, and the nodes on top of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from jangbu.insight.catalog.contracts import DataSource, Measure, TimeField
from jangbu.insight.dashboards.dashboard_layer import money, nodes
from jangbu.insight.dashboards.dashboard_layer.names import Names
from jangbu.insight.dashboards.dashboard_layer.nodes import Axis, Bucket, PlannedLeg
from jangbu.insight.dashboards.dashboard_layer.question import Question
from jangbu.insight.dashboards.dashboard_layer.ranges import Days, Range, span_of
from jangbu.insight.dashboards.ports import Analysis
from jangbu.insight.dashboards.query_layer.leg import Component, Leg, Span
from jangbu.insight.dashboards.query_layer.measures import components_of
from jangbu.insight.dashboards.query_layer.zones import WIDTHS, day_at, days_axis, instants_axis, to_instant, to_wall, wall_micros
from jangbu.kernel.errors import OutOfBounds
from jangbu.kernel.types import FieldType, Frequency

MAX_BUCKETS = 1_000_000


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What planning has to know of the servers. `bounds_of`: the first and last micros of the pinned data on a time field, within a
    span. `finishes`: whether a data source's engine can do what stands above its leg."""

    bounds_of: Callable[[DataSource, TimeField, Span | None], tuple[int, int] | None]
    finishes: Callable[[DataSource], bool]


@dataclass(frozen=True, slots=True)
class NamedAnalysis:
    """An analysis and the kind that the request named."""

    kind: str
    analysis: Analysis


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """`root` is the last step. `currency_legs` find out the currency that the question leaves to the rows. `totals` is the plan
    of the totals row."""

    question: Question
    names: Names
    root: nodes.Present
    currency_legs: tuple[Leg, ...] = ()
    totals: "Plan | None" = None

    @property
    def source(self) -> nodes.Merge | nodes.WithinLeg:
        return next(node for node in nodes.chain(self.root) if isinstance(node, nodes.Merge | nodes.WithinLeg))

    @property
    def legs(self) -> tuple[PlannedLeg, ...]:
        return self.source.legs

    @property
    def analysis(self) -> Analysis | None:
        return next((node.analysis for node in nodes.chain(self.root) if isinstance(node, nodes.Analyse)), None)

    @property
    def fill(self) -> nodes.Fill | None:
        return next((node for node in nodes.chain(self.root) if isinstance(node, nodes.Fill)), None)

    @property
    def change(self) -> nodes.Change | None:
        return next((node for node in nodes.chain(self.root) if isinstance(node, nodes.Change)), None)


def plan_of(question: Question, names: Names, analysis: NamedAnalysis | None, around: Surroundings, *, totals: bool) -> Plan:
    """The plan. The totals' plan has no dimensions, buckets or conditions on measures.

    Raises:
        OutOfBounds: more buckets than an axis may have.
    """
    timing = question.timing
    legs = [*_legs(question, names, timing.range, around, compared=False)]
    if timing.compare_range is not None:
        legs += _legs(question, names, timing.compare_range, around, compared=True)
    root = within_leg(_steps(question, tuple(legs), analysis), around)
    inner = plan_of(_totals_question(question), names, None, around, totals=False) if totals else None
    return Plan(question, names, root, tuple(_currency_legs(question, legs)), inner)


def _steps(question: Question, legs: tuple[PlannedLeg, ...], analysis: NamedAnalysis | None) -> nodes.Present:
    timing = question.timing
    axis = _axis(question, legs) if timing.frequency is not None and (timing.fill or timing.compare_range) else None
    measures = nodes.Measures(nodes.Merge(legs), tuple(asked.name for asked in question.measures))
    kept = nodes.Having(measures, question.having) if question.having is not None else measures
    filled = nodes.Fill(kept, axis, timing.range is None) if timing.fill and axis is not None else kept
    changed = nodes.Change(filled, axis) if timing.compare_range is not None else filled
    analysed = nodes.Analyse(changed, analysis.kind, analysis.analysis) if analysis is not None else changed
    return nodes.Present(analysed, question.order, question.offset, question.limit)


def within_leg(root: nodes.Present, around: Surroundings) -> nodes.Present:
    """The pass that moves the steps into the only leg's statement, where nothing needs the workbench and the leg's engine can do
    them."""
    *steps, measures, source = nodes.chain(root)
    if not isinstance(measures, nodes.Measures) or not isinstance(source, nodes.Merge) or len(source.legs) > 1:
        return root
    if any(isinstance(step, nodes.Fill | nodes.Change | nodes.Analyse) for step in steps):
        return root
    leg = source.legs[0]
    if not around.finishes(leg.leg.data_source):
        return root
    inner = replace(measures, rows=nodes.WithinLeg((leg,)))
    return replace(root, rows=replace(root.rows, rows=inner) if isinstance(root.rows, nodes.Having) else inner)


def _totals_question(question: Question) -> Question:
    timing = replace(question.timing, frequency=None, fill=False)
    return replace(question, dimensions=(), having=None, timing=timing, order=(), offset=0, limit=1, measures=question.shown)


def _legs(question: Question, names: Names, found: Range | None, around: Surroundings, *, compared: bool) -> Iterator[PlannedLeg]:
    """One leg for each data source and time field that the measures need."""
    groups: dict[tuple[str, TimeField | None], dict[tuple[Measure, Component], None]] = {}
    for asked in question.measures:
        for measure, component in components_of(asked.measure, names.measure_of):
            field = question.time_fields[measure.data_source, measure.name]
            groups.setdefault((measure.data_source, field), {})[measure, component] = None
    if not question.measures:
        groups = {(source, None): {} for source in question.sources}
    for (source_name, field), serves in groups.items():
        source = question.sources[source_name]
        span = span_of(found, field, question.timing.zone, "/time/range") if field is not None and found is not None else None
        leg = Leg(
            data_source=source,
            related={name: names.catalog.data_sources[relation.data_source] for name, relation in source.relations.items()},
            tenants=question.tenants,
            zone=question.timing.zone,
            components=tuple(dict.fromkeys(component for _, component in serves)),
            dimensions=tuple(asked.by_source[source_name] for asked in question.dimensions),
            time_field=field,
            span=span,
            frequency=question.timing.frequency,
            where=question.wheres[source_name],
            bindings=question.bindings[source_name],
            bounds=_bounds(source, field, span, around),
        )
        yield PlannedLeg(leg, compared, tuple(serves))


def _currency_legs(question: Question, legs: list[PlannedLeg]) -> Iterator[Leg]:
    """Legs that look which currencies the rows hold, where a column says and the question doesn't."""
    if question.currency is not None:
        return
    for part in legs:
        if any(measure.unit == money.UNIT for measure, _ in part.serves) and (components := money.edges(part.leg.data_source)):
            yield replace(part.leg, components=components, dimensions=(), frequency=None)


def _bounds(source: DataSource, field: TimeField | None, span: Span | None, around: Surroundings) -> tuple[int, int] | None:
    if field is None:
        default = source.default_time_field
        field = source.time_fields[default] if default is not None else None
    return around.bounds_of(source, field, span) if field is not None else None


def _axis(question: Question, legs: tuple[PlannedLeg, ...]) -> Axis:
    timing = question.timing
    frequency = timing.frequency or Frequency.DAY
    current = tuple(_starts(timing.range, [part.leg for part in legs if not part.compared], timing.zone, frequency))
    if timing.compare_range is None:
        return Axis(current)
    compared = [part.leg for part in legs if part.compared]
    return Axis(current, tuple(_starts(timing.compare_range, compared, timing.zone, frequency)))


def _starts(found: Range | None, legs: list[Leg], zone: str, frequency: Frequency) -> Iterator[Bucket]:
    """The bucket starts of a range; without one, from the first to the last moment that the legs' data hold."""
    if found is None:
        edges = [_instants(leg) for leg in legs if leg.bounds is not None]
        if not edges:
            return
        low, high = min(edge[0] for edge in edges), max(edge[1] for edge in edges) + 1
    elif isinstance(found, Days):
        low, high = (
            to_instant(wall_micros(found.first), zone),
            to_instant(wall_micros(found.last) + 24 * WIDTHS[Frequency.HOUR], zone),
        )
    else:
        low, high = found.start, found.end
    if low >= high:
        return
    if frequency.is_finer_than_day:
        _check_count((high - low) // WIDTHS[frequency])
        yield from instants_axis(low, high, zone, frequency)
    else:
        first, last = day_at(to_wall(low, zone)), day_at(to_wall(high - 1, zone))
        _check_count((last - first).days if frequency is Frequency.DAY else 0)
        yield from days_axis(first, last, frequency)


def _instants(leg: Leg) -> tuple[int, int]:
    low, high = leg.bounds or (0, 0)
    if leg.time_field is not None and leg.time_field.type is not FieldType.INSTANT:
        return to_instant(low, leg.zone), to_instant(high, leg.zone)
    return low, high


def _check_count(count: int) -> None:
    if count > MAX_BUCKETS:
        raise OutOfBounds(
            f"The range has {count:,} buckets; {MAX_BUCKETS:,} can be compared or filled.",
            path="/time_frequency",
            value=count,
            hint="Ask a shorter range or a coarser frequency.",
        )
