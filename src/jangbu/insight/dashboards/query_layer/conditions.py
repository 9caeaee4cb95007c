"""The filter tree as SQL. A leaf is true or false, never unknown.

Where a leaf isn't negated, an unknown counts as false anyway (WHERE, CASE WHEN), so it stays a plain comparison that an engine
can push down to its files. A negated one says `value IS NULL OR NOT (…)`.
"""

from collections.abc import Callable, Sequence
from datetime import date
from functools import reduce

from sqlglot import exp

from jangbu.insight.dashboards.query_layer.leg import BoundLeaf, Span
from jangbu.insight.dashboards.query_layer.zones import instant_at, wall_at
from jangbu.kernel.filters import Leaf, Node, Scalar, fold
from jangbu.kernel.types import FieldType
from jangbu.platform.engines.ports import Emitter

Predicate = Callable[[Leaf, bool], exp.Expr]


def condition(node: Node, leaf: Predicate) -> exp.Expr:
    """A boolean expression of the tree; `leaf` gives each leaf's, told whether it is negated."""
    return fold(node, leaf, lambda parts: exp.and_(*parts, copy=False), lambda parts: exp.or_(*parts, copy=False))


def predicate(leaf: Leaf, bound: BoundLeaf, value: exp.Expr, negated: bool, emitter: Emitter) -> exp.Expr:
    """A leaf's condition on `value`, which is of the bound type."""
    base = leaf.op.base
    missing = exp.Is(this=value, expression=exp.Null())
    if base == "is_null":
        return exp.Not(this=missing) if negated else missing
    if base == "is_empty":
        empty = exp.or_(missing, exp.EQ(this=value.copy(), expression=emitter.literal("")), copy=False)
        return exp.Not(this=exp.paren(empty, copy=False)) if negated else exp.paren(empty, copy=False)
    holds = _holds(leaf, bound, value, emitter)
    if not negated:
        return exp.paren(holds, copy=False)
    fails = exp.Not(this=exp.paren(holds, copy=False))
    return exp.paren(exp.or_(exp.Is(this=value.copy(), expression=exp.Null()), fails, copy=False), copy=False)


def _holds(leaf: Leaf, bound: BoundLeaf, value: exp.Expr, emitter: Emitter) -> exp.Expr:
    if bound.type.is_time:
        return _any([_within(value.copy(), span, bound.type, emitter) for span in bound.spans])
    if leaf.ignore_case and bound.type is FieldType.TEXT and leaf.op.base != "matches":
        value = emitter.lower(value)
    return _compare(leaf, bound, value, emitter)


def _compare(leaf: Leaf, bound: BoundLeaf, value: exp.Expr, emitter: Emitter) -> exp.Expr:
    base = leaf.op.base
    values = [_constant(leaf, bound, scalar, emitter) for scalar in bound.values]
    if base == "equals":
        return exp.EQ(this=value, expression=values[0]) if len(values) == 1 else exp.In(this=value, expressions=values)
    if base == "between":
        return exp.and_(exp.GTE(this=value, expression=values[0]), exp.LTE(this=value.copy(), expression=values[1]), copy=False)
    if base in _COMPARISONS:
        return _any([_COMPARISONS[base](this=value.copy(), expression=scalar) for scalar in values])
    test = {
        "contains": emitter.contains,
        "starts_with": emitter.starts_with,
        "ends_with": emitter.ends_with,
        "matches": emitter.matches,
    }[base]
    return _any([test(value.copy(), scalar) for scalar in values])


_COMPARISONS: dict[str, type[exp.Binary]] = {"gt": exp.GT, "gte": exp.GTE, "lt": exp.LT, "lte": exp.LTE}


def _constant(leaf: Leaf, bound: BoundLeaf, value: Scalar, emitter: Emitter) -> exp.Expr:
    if bound.type is FieldType.DOUBLE:
        return emitter.double(emitter.literal(value))
    if leaf.ignore_case and isinstance(value, str):
        return emitter.literal("(?i)" + value) if leaf.op.base == "matches" else emitter.lower(emitter.literal(value))
    return emitter.literal(value)


def _any(parts: Sequence[exp.Expr]) -> exp.Expr:
    return reduce(lambda left, right: exp.or_(left, right, copy=False), parts)


def within(value: exp.Expr, span: Span, type_: FieldType, emitter: Emitter) -> exp.Expr | None:
    """`value` lies in the half-open span; None where the span has no ends."""
    parts: list[exp.Expr] = []
    if span.start is not None:
        parts.append(exp.GTE(this=value.copy(), expression=moment(span.start, type_, emitter)))
    if span.end is not None:
        parts.append(exp.LT(this=value.copy(), expression=moment(span.end, type_, emitter)))
    return exp.and_(*parts, copy=False) if parts else None


def _within(value: exp.Expr, span: Span, type_: FieldType, emitter: Emitter) -> exp.Expr:
    found = within(value, span, type_, emitter)
    return exp.paren(found, copy=False) if found is not None else exp.Not(this=exp.Is(this=value, expression=exp.Null()))


def moment(value: int | date, type_: FieldType, emitter: Emitter) -> exp.Expr:
    """A constant in a time field's own type."""
    if isinstance(value, date):
        return emitter.literal(value)
    return emitter.literal(instant_at(value) if type_ is FieldType.INSTANT else wall_at(value))
