"""A leg: the part of a question that one server can answer, as data. The query layer turns it into a statement."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType

from jangbu.insight.catalog.contracts import DataSource, Dimension, Expression, Function, Measure, TimeField
from jangbu.kernel.filters import Leaf, Node, Scalar
from jangbu.kernel.tenancy import TenantId
from jangbu.kernel.types import FieldType, Frequency

TENANT = "tenant"
"""The dimension that every data source with a tenant column has."""

TIME = "time"
"""The name of the bucket column."""


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open, in a time field's own units: UTC micros (INSTANT), wall micros (LOCAL) or dates (DATE); None is unbounded."""

    start: int | date | None
    end: int | date | None


@dataclass(frozen=True, slots=True)
class BoundLeaf:
    """What a leaf of the filter tree means in a data source: its target, and its values in the target's type (`spans` for
    times)."""

    target: "Dimension | TimeField | Measure | str"
    type: FieldType
    values: tuple[Scalar, ...] = ()
    spans: tuple[Span, ...] = ()


Bindings = Mapping[Leaf, BoundLeaf]


@dataclass(frozen=True, slots=True)
class Component:
    """One aggregate that a server computes; measures are arithmetic over components. Equal components are computed once."""

    function: Function
    argument: Expression | None
    filter: Node | None
    type: FieldType

    @property
    def merges_by(self) -> Function:
        """How partial results of several legs become one."""
        return self.function if self.function in (Function.MIN, Function.MAX) else Function.SUM


@dataclass(frozen=True, slots=True)
class Leg:
    """Rows of `data_source` for `tenants`, within `span` of `time_field`, that satisfy `where`, grouped by `dimensions` (a
    `Dimension`, or TENANT) and the buckets of `frequency` in `zone`; `components` are aggregated.

    `bounds` are the first and last micros that the pinned data hold on the time field, or without one on the data source's default
    (UTC or wall clock; None: no rows), which bounds the zone transitions that the buckets need. `bindings` explains the leaves of
    `where` and of the components' filters.
    """

    data_source: DataSource
    related: Mapping[str, DataSource]
    tenants: tuple[TenantId, ...]
    zone: str
    components: tuple[Component, ...]
    dimensions: tuple[Dimension | str, ...] = ()
    time_field: TimeField | None = None
    span: Span | None = None
    frequency: Frequency | None = None
    where: Node | None = None
    bindings: Bindings = field(default_factory=lambda: MappingProxyType({}))
    bounds: tuple[int, int] | None = None
