"""What the reference knows of a data source, and how it says no. Nothing here comes from the system under test."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeAlias

Formula: TypeAlias = str | int | Decimal | tuple[str, Any, Any]
"""A measure's name, a number, or (operator, left, right), both formulas again, with one of + - * /."""

MeasureRef: TypeAlias = tuple[str, str]
"""A data source's name and a measure's."""

NUMBERS = ("integer", "decimal", "double")
MOMENTS = ("date", "instant")


class Refused(Exception):
    """A request that has no answer. `code` is the stable code that the wire gives for this kind of mistake."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(f"{code}: {why}")
        self.code = code


@dataclass(frozen=True)
class Field:
    """A dimension or a time field: the column it reads and its type (text, integer, decimal, double, boolean, date, instant)."""

    column: str
    type: str


@dataclass(frozen=True)
class Measure:
    """`kind`: sum, count, min, max, avg, distinct (of `column`; count() has none; perhaps with a `filter` in the wire's form),
    ratio (of two measures) or derived (a `formula` over measures). `type`: integer, decimal or double."""

    kind: str
    type: str
    column: str | None = None
    filter: Mapping[str, Any] | None = None
    numerator: str | None = None
    denominator: str | None = None
    formula: Formula | None = None
    time_field: str | None = None

    @property
    def is_base(self) -> bool:
        """It reads rows, not other measures."""
        return self.kind not in ("ratio", "derived")


@dataclass(frozen=True)
class Source:
    """`columns` are the physical columns and their types."""

    columns: Mapping[str, str]
    dimensions: Mapping[str, Field]
    time_fields: Mapping[str, Field]
    default_time_field: str
    measures: Mapping[str, Measure]
    tenant_column: str = "tenant"


@dataclass(frozen=True)
class Model:
    """The data sources by name; a source reads the table of its own name."""

    sources: Mapping[str, Source] = field(default_factory=dict)

    def measure(self, ref: MeasureRef) -> Measure:
        return self.sources[ref[0]].measures[ref[1]]

    def related(self, ref: MeasureRef, name: str) -> MeasureRef:
        """The measure that `ref`'s definition calls `name`: of its own data source, or `source.name`."""
        return (source, bare) if (source := name.rpartition(".")[0]) and (bare := name.rpartition(".")[2]) else (ref[0], name)

    def inputs(self, ref: MeasureRef) -> list[MeasureRef]:
        """The measures that `ref` is computed from, itself where it reads rows."""
        measure = self.measure(ref)
        if measure.is_base:
            return [ref]
        names = [measure.numerator, measure.denominator] if measure.kind == "ratio" else _names(measure.formula)
        return [base for name in names if name is not None for base in self.inputs(self.related(ref, name))]

    def zero_when_empty(self, ref: MeasureRef) -> bool:
        """Sums, counts, distinct counts, and what is linear in them."""
        measure = self.measure(ref)
        if measure.kind == "derived":
            return self._is_linear(ref, measure.formula)
        return measure.kind in ("sum", "count", "distinct")

    def _is_linear(self, ref: MeasureRef, formula: Formula | None) -> bool:
        match formula:
            case str(name):
                return self.zero_when_empty(self.related(ref, name))
            case ("+" | "-", left, right):
                return self._is_linear(ref, left) and self._is_linear(ref, right)
            case ("*", left, right) if not isinstance(left, str | tuple):
                return self._is_linear(ref, right)
            case ("*" | "/", left, right):
                return self._is_linear(ref, left) and not isinstance(right, str | tuple)
        return False


def _names(formula: Formula | None) -> list[str]:
    match formula:
        case str(name):
            return [name]
        case (_, left, right):
            return [*_names(left), *_names(right)]
    return []
