"""The plan of a question: frozen nodes, from the legs up. `explain` prints it; `finishing` turns what is above the legs into SQL.

    Present ← Analyse ← Change ← Fill ← Having ← Measures ← Merge ← Leg, Leg, …

Where one leg's engine can finish the work itself (no compare, fill, analysis or second leg) the nodes above it become part of
its own statement; that choice is `Plan.fused`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date

from jangbu.insight.catalog.contracts import DataSource, Measure, TimeField
from jangbu.insight.dashboards.dashboard_layer import money
from jangbu.insight.dashboards.dashboard_layer.names import Names
from jangbu.insight.dashboards.dashboard_layer.question import Question
from jangbu.insight.dashboards.dashboard_layer.ranges import Days, Range, span_of
from jangbu.insight.dashboards.ports import Analysis
from jangbu.insight.dashboards.query_layer.leg import Component, Leg, Span
from jangbu.insight.dashboards.query_layer.measures import components_of
from jangbu.insight.dashboards.query_layer.zones import WIDTHS, day_at, days_axis, instants_axis, to_instant, to_wall, wall_micros
from jangbu.kernel.errors import OutOfBounds
from jangbu.kernel.filters import words
from jangbu.kernel.types import FieldType, Frequency

MAX_BUCKETS = 1_000_000
BoundsOf = Callable[[DataSource, TimeField, Span | None], tuple[int, int] | None]
"""The first and last micros of the pinned data on a time field, within a span."""

Bucket = date | int


@dataclass(frozen=True, slots=True)
class PlannedLeg:
    """A leg, whether it is of the compared range, and which simple measure each of its components serves."""

    leg: Leg
    compared: bool
    serves: tuple[tuple[Measure, Component], ...]


@dataclass(frozen=True, slots=True)
class Axis:
    """Bucket starts in order: dates, or UTC micros for what is finer than a day. `compared` pairs with `current` by ordinal."""

    current: tuple[Bucket, ...]
    compared: tuple[Bucket, ...] | None = None

    @property
    def first_unpaired(self) -> Bucket | None:
        if self.compared is None or len(self.compared) >= len(self.current):
            return None
        return self.current[len(self.compared)]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """`axis` is there where buckets are compared or filled; `open_ended`: it only reaches from the first to the last row found.
    `currency_legs` find out the currency that the question leaves to the rows. `totals` is the plan of the totals row."""

    question: Question
    names: Names
    legs: tuple[PlannedLeg, ...]
    analysis: Analysis | None
    axis: Axis | None
    open_ended: bool
    currency_legs: tuple[Leg, ...] = ()
    totals: "Plan | None" = None

    @property
    def compares(self) -> bool:
        return self.question.timing.compare_range is not None

    @property
    def fills(self) -> bool:
        return self.question.timing.fill

    @property
    def fused(self) -> bool:
        """One leg's engine may do all of it."""
        return len(self.legs) == 1 and not self.fills and self.analysis is None


def plan_of(question: Question, names: Names, analysis: Analysis | None, bounds_of: BoundsOf, *, totals: bool) -> Plan:
    """The plan. The totals' plan has no dimensions, buckets or conditions on measures.

    Raises:
        OutOfBounds: more buckets than an axis may have.
    """
    timing = question.timing
    legs = [*_legs(question, names, timing.range, bounds_of, compared=False)]
    if timing.compare_range is not None:
        legs += _legs(question, names, timing.compare_range, bounds_of, compared=True)
    axis = _axis(question, tuple(legs)) if timing.frequency is not None and (timing.fill or timing.compare_range) else None
    inner = plan_of(_totals_question(question), names, None, bounds_of, totals=False) if totals else None
    return Plan(question, names, tuple(legs), analysis, axis, timing.range is None, tuple(_currency_legs(question, legs)), inner)


def _totals_question(question: Question) -> Question:
    timing = replace(question.timing, frequency=None, fill=False)
    return replace(question, dimensions=(), having=None, timing=timing, order=(), offset=0, limit=1, measures=question.shown)


def _legs(question: Question, names: Names, found: Range | None, bounds_of: BoundsOf, *, compared: bool) -> Iterator[PlannedLeg]:
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
            bounds=_bounds(source, field, span, bounds_of),
        )
        yield PlannedLeg(leg, compared, tuple(serves))


def _currency_legs(question: Question, legs: list[PlannedLeg]) -> Iterator[Leg]:
    """Legs that look which currencies the rows hold, where a column says and the question doesn't."""
    if question.currency is not None:
        return
    for part in legs:
        if any(measure.unit == money.UNIT for measure, _ in part.serves) and (components := money.edges(part.leg.data_source)):
            yield replace(part.leg, components=components, dimensions=(), frequency=None)


def _bounds(source: DataSource, field: TimeField | None, span: Span | None, bounds_of: BoundsOf) -> tuple[int, int] | None:
    if field is None:
        default = source.default_time_field
        field = source.time_fields[default] if default is not None else None
    return bounds_of(source, field, span) if field is not None else None


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


def describe(plan: Plan, *, fused: bool) -> str:
    """The plan as an indented tree, the last step first; `fused` says whether the one leg's own statement finishes it."""
    steps = list(_steps(plan, fused=fused))
    lines = ["  " * depth + line for depth, line in enumerate(steps)]
    return "\n".join([*lines, *("  " * len(steps) + line for line in _leg_lines(plan))])


def _steps(plan: Plan, *, fused: bool) -> Iterator[str]:
    question = plan.question
    order = ", ".join(f"{key.column} {'desc' if key.descending else 'asc'}" for key in question.order) or "default"
    yield f"Present(order: {order}; offset {question.offset}; limit {question.limit})"
    if plan.analysis is not None:
        yield f"Analyse({type(plan.analysis).__name__.lower()}: {', '.join(name for name, _, _ in plan.analysis.columns)})"
    if plan.axis is not None and plan.fills:
        yield f"Fill({len(plan.axis.current)} buckets)"
    if plan.compares:
        yield "Compare(by ordinal)" if plan.axis is not None else "Compare"
    if question.having is not None:
        yield f"Having({words(question.having.node)})"
    yield f"Measures({', '.join(asked.name for asked in question.measures)})"
    count = len(plan.legs)
    yield "Within the leg's own statement:" if fused else f"Merge({count} leg{'s' if count > 1 else ''})"


def _leg_lines(plan: Plan) -> Iterator[str]:
    for part in plan.legs:
        leg = part.leg
        groups = [*([leg.frequency.value] if leg.frequency else []), *(str(getattr(each, "name", each)) for each in leg.dimensions)]
        aggregates = [f"{part.function}({part.argument.text if part.argument else ''})" for part in leg.components]
        parts = [
            ", ".join(map(str, aggregates)),
            f"by {', '.join(groups)}" if groups else "",
            words(leg.where) if leg.where else "",
        ]
        yield f"Leg({leg.data_source.name}{', compared' if part.compared else ''}: {'; '.join(each for each in parts if each)})"
