"""Measures as arithmetic over components: what a server aggregates, and what is computed from that afterwards."""

from collections.abc import Callable
from functools import lru_cache

from sqlglot import exp

from jangbu.insight.catalog.contracts import Function, Measure, MeasureKind
from jangbu.insight.dashboards.query_layer.leg import Component
from jangbu.kernel.types import FieldType
from jangbu.platform.engines.ports import Emitter

MeasureOf = Callable[[str, str], Measure]
"""Looks a measure up by the data source it is named in and its name, which may be `data_source.measure`."""

MONEY_DIGITS = 38
"""Sums of decimals are decimal(38, scale)."""

_ONE = FieldType.INTEGER


def components_of(measure: Measure, measure_of: MeasureOf) -> tuple[tuple[Measure, Component], ...]:
    """The components that the measure needs, each with the simple measure it belongs to; those of inputs included."""
    match measure.kind:
        case MeasureKind.SIMPLE | MeasureKind.DISTINCT:
            return tuple((measure, component) for component in _own(measure))
        case MeasureKind.RATIO:
            names: tuple[str, ...] = tuple(name for name in (measure.numerator, measure.denominator) if name)
        case MeasureKind.DERIVED:
            names = measure.inputs
    inputs = (measure_of(measure.data_source, name) for name in names)
    return tuple(dict.fromkeys(pair for inner in inputs for pair in components_of(inner, measure_of)))


@lru_cache(maxsize=4096)
def _own(measure: Measure) -> tuple[Component, ...]:
    if measure.function is None:
        raise ValueError(f"The measure {measure.name!r} has no function.")
    if measure.function is Function.AVG:
        whole = Component(Function.SUM, measure.argument, measure.filter, _sum_type(measure))
        return (whole, Component(Function.COUNT, measure.argument, measure.filter, _ONE))
    return (Component(measure.function, measure.argument, measure.filter, measure.type),)


def _sum_type(measure: Measure) -> FieldType:
    return measure.argument.type if measure.argument is not None else _ONE


def measure_tree(
    measure: Measure, column: Callable[[Measure, Component], exp.Expr], measure_of: MeasureOf, emitter: Emitter
) -> exp.Expr:
    """The measure's value, where `column` gives the column that holds a component of a simple measure."""

    def tree_of(name: str) -> exp.Expr:
        return measure_tree(measure_of(measure.data_source, name), column, measure_of, emitter)

    match measure.kind:
        case MeasureKind.SIMPLE | MeasureKind.DISTINCT:
            columns = [column(measure, component) for component in _own(measure)]
            if measure.function is Function.AVG:
                return emitter.ratio(*columns)
            return (
                exp.Coalesce(this=columns[0], expressions=[zero(measure.type, emitter)]) if measure.zero_when_empty else columns[0]
            )
        case MeasureKind.RATIO:
            return emitter.ratio(tree_of(measure.numerator or ""), tree_of(measure.denominator or ""))
        case MeasureKind.DERIVED:
            return _derived(measure, tree_of, emitter)


def _derived(measure: Measure, tree_of: Callable[[str], exp.Expr], emitter: Emitter) -> exp.Expr:
    if measure.formula is None:
        raise ValueError(f"The measure {measure.name!r} has no formula.")

    def filled(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Column):
            return exp.paren(tree_of(f"{node.table}.{node.name}" if node.table else node.name), copy=False)
        return node

    return cast(measure.formula.tree.copy().transform(filled, copy=False), measure.type, emitter)


def zero(type_: FieldType, emitter: Emitter) -> exp.Expr:
    return cast(emitter.literal(0), type_, emitter)


def cast(value: exp.Expr, type_: FieldType, emitter: Emitter) -> exp.Expr:
    """The value in the exact type that a component or a measure of `type_` has everywhere."""
    match type_:
        case FieldType.INTEGER:
            return emitter.integer(value)
        case FieldType.DECIMAL:
            return emitter.decimal(value, MONEY_DIGITS, 4)
        case FieldType.DOUBLE:
            return emitter.double(value)
        case _:
            return value
