"""The nodes of a plan: frozen, each on top of the one whose rows it takes. `explain` prints them, `finishing` turns them into SQL.

    Present ← Analyse ← Change ← Fill ← Having ← Measures ← Merge ← Leg, Leg, …

A step that a question doesn't need isn't there. Where one leg's engine can do it all, `WithinLeg` stands in the place of `Merge`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from jangbu.insight.catalog.contracts import Measure
from jangbu.insight.dashboards.dashboard_layer.question import Having as Condition
from jangbu.insight.dashboards.dashboard_layer.question import OrderBy
from jangbu.insight.dashboards.ports import Analysis
from jangbu.insight.dashboards.query_layer.leg import Component, Leg
from jangbu.kernel.filters import words

Bucket = date | int


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


@dataclass(frozen=True, slots=True)
class PlannedLeg:
    """A leg, whether it is of the compared range, and which simple measure each of its components serves."""

    leg: Leg
    compared: bool
    serves: tuple[tuple[Measure, Component], ...]

    def __str__(self) -> str:
        leg = self.leg
        groups = [*([leg.frequency.value] if leg.frequency else []), *(str(getattr(each, "name", each)) for each in leg.dimensions)]
        parts = [
            ", ".join(f"{part.function}({part.argument.text if part.argument else ''})" for part in leg.components),
            f"by {', '.join(groups)}" if groups else "",
            words(leg.where) if leg.where else "",
        ]
        return f"Leg({leg.data_source.name}{', compared' if self.compared else ''}: {'; '.join(each for each in parts if each)})"


@dataclass(frozen=True, slots=True)
class Merge:
    """UNION ALL of the legs' rows, padded to one schema, grouped by what they share."""

    legs: tuple[PlannedLeg, ...]

    def __str__(self) -> str:
        return f"Merge({len(self.legs)} leg{'s' if len(self.legs) > 1 else ''})"


@dataclass(frozen=True, slots=True)
class WithinLeg:
    """The steps above are part of the only leg's own statement."""

    legs: tuple[PlannedLeg]

    def __str__(self) -> str:
        return "WithinLeg(its engine finishes the answer)"


@dataclass(frozen=True, slots=True)
class Measures:
    """Measures from components, compared ones too."""

    rows: Merge | WithinLeg
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"Measures({', '.join(self.names)})"


@dataclass(frozen=True, slots=True)
class Having:
    """Rows that meet the conditions on measures, by the current range."""

    rows: Measures
    condition: Condition

    def __str__(self) -> str:
        return f"Having({words(self.condition.node)})"


@dataclass(frozen=True, slots=True)
class Fill:
    """Every group that occurs gets every bucket; `open_ended`: from the first to the last one found."""

    rows: Measures | Having
    axis: Axis
    open_ended: bool

    def __str__(self) -> str:
        return f"Fill({len(self.axis.current)} buckets)"


@dataclass(frozen=True, slots=True)
class Change:
    """How each measure changed against the compared range; `axis` pairs the buckets, where there are some."""

    rows: Measures | Having | Fill
    axis: Axis | None

    def __str__(self) -> str:
        return "Change(buckets paired by ordinal)" if self.axis is not None else "Change"


@dataclass(frozen=True, slots=True)
class Analyse:
    """What an analysis adds to the rows."""

    rows: Measures | Having | Fill | Change
    kind: str
    analysis: Analysis

    def __str__(self) -> str:
        return f"Analyse({self.kind}: {', '.join(name for name, _, _ in self.analysis.columns)})"


@dataclass(frozen=True, slots=True)
class Present:
    """The rows in their order, from `offset`, at most `limit`."""

    rows: Measures | Having | Fill | Change | Analyse
    order: tuple[OrderBy, ...]
    offset: int
    limit: int

    def __str__(self) -> str:
        order = ", ".join(f"{key.column} {'desc' if key.descending else 'asc'}" for key in self.order) or "default"
        return f"Present(order: {order}; offset {self.offset}; limit {self.limit})"


Step = Measures | Having | Fill | Change | Analyse | Present
Node = Step | Merge | WithinLeg


def chain(node: Node) -> Iterator[Node]:
    """The node and all below it, the legs left out."""
    yield node
    if not isinstance(node, Merge | WithinLeg):
        yield from chain(node.rows)


def describe(node: Node) -> str:
    """The nodes as an indented tree, the last step first."""
    nodes = list(chain(node))
    source = nodes[-1]
    legs = source.legs if isinstance(source, Merge | WithinLeg) else ()
    lines = ["  " * depth + str(each) for depth, each in enumerate(nodes)]
    return "\n".join([*lines, *("  " * len(nodes) + str(leg) for leg in legs)])
