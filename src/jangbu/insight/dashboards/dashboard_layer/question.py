"""A question: a request with every name found, every time resolved, every condition put before or after aggregation."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from jangbu.insight.catalog.contracts import DataSource, Dimension, Measure, TimeField
from jangbu.insight.dashboards.dashboard_layer.ranges import Range
from jangbu.insight.dashboards.query_layer.leg import BoundLeaf
from jangbu.kernel.filters import Leaf, Node
from jangbu.kernel.tenancy import TenantId
from jangbu.kernel.types import FieldType, Frequency


@dataclass(frozen=True, slots=True)
class AskedMeasure:
    """`name` as it was asked; `shown` is False where only a condition or the order needs it."""

    name: str
    measure: Measure
    shown: bool = True


@dataclass(frozen=True, slots=True)
class AskedDimension:
    """`by_source` has what the name means in each data source that is asked: a `Dimension`, or "tenant"."""

    name: str
    type: FieldType
    by_source: Mapping[str, "Dimension | str"]


@dataclass(frozen=True, slots=True)
class OrderBy:
    """`column` is an answer column's name, or a measure's that isn't shown."""

    column: str
    descending: bool


@dataclass(frozen=True, slots=True)
class Having:
    """A condition after aggregation. `bindings` give each leaf's target as a column of the merged rows (`m0`, `d1`, …)."""

    node: Node
    bindings: Mapping[Leaf, tuple[str, BoundLeaf]]


@dataclass(frozen=True, slots=True)
class Timing:
    """`fields` is each measure's own time field, by data source and measure name."""

    zone: str
    now: datetime
    pinned: bool
    range: Range | None
    compare_range: Range | None
    frequency: Frequency | None
    fill: bool


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """`wheres` and `bindings` are by data source. `time_fields` is the time field of each (data source, measure) pair."""

    sources: Mapping[str, DataSource]
    tenants: tuple[TenantId, ...]
    currency: str | None
    measures: tuple[AskedMeasure, ...]
    dimensions: tuple[AskedDimension, ...]
    wheres: Mapping[str, Node | None]
    bindings: Mapping[str, Mapping[Leaf, BoundLeaf]]
    having: Having | None
    timing: Timing
    time_fields: Mapping[tuple[str, str], TimeField | None]
    order: tuple[OrderBy, ...]
    limit: int
    offset: int
    filter: Node | None = None

    @property
    def shown(self) -> tuple[AskedMeasure, ...]:
        return tuple(asked for asked in self.measures if asked.shown)
