"""Money has one currency in an answer: the data source's constant, the tenants', or the one that a column of the rows holds."""

from collections.abc import Mapping, Sequence

from sqlglot import exp

from jangbu.insight.access.contracts import Tenant
from jangbu.insight.catalog.contracts import Catalog, DataSource, Dimension, Expression, Function, Measure
from jangbu.insight.dashboards.contracts import QueryRequest
from jangbu.insight.dashboards.query_layer.leg import BoundLeaf, Component
from jangbu.kernel.errors import InvalidRequest, Unsupported
from jangbu.kernel.filters import OPERATORS, And, Leaf, Node
from jangbu.kernel.types import FieldType

UNIT = "currency"
"""The unit of a measure whose numbers are money."""

Where = tuple[Node | None, Mapping[Leaf, BoundLeaf]]


def currency_of(request: QueryRequest, tenants: Sequence[Tenant], needed: Sequence[Measure], catalog: Catalog) -> str | None:
    """The currency of the answer's money, where money is asked; None where only the rows can tell.

    Raises:
        InvalidRequest: the currencies differ, or none of them is the asked one.
    """
    found: set[str] = set()
    for name in sorted({measure.data_source for measure in needed if measure.unit == UNIT}):
        currency = catalog.data_sources[name].currency
        if currency.column is not None:
            found |= {request.currency} if request.currency else set()
        else:
            found |= {currency.constant} if currency.constant else {tenant.currency for tenant in tenants}
    if request.currency is not None and found - {request.currency}:
        raise InvalidRequest(
            f"The money isn't in {request.currency}.", path="/currency", value=request.currency, known=sorted(found)
        )
    if len(found) > 1:
        raise InvalidRequest(
            f"Sums of {', '.join(sorted(found))} don't add.",
            path="/tenants",
            known=sorted(found),
            hint="Ask the tenants of one currency.",
        )
    return next(iter(found), None)


def in_currency(
    source: DataSource, needed: Sequence[Measure], asked: str | None, where: Node | None, bindings: Mapping[Leaf, BoundLeaf]
) -> Where:
    """The condition with, for a source that keeps its currency in a column, that the rows are in the asked one."""
    column = source.currency.column
    if (
        asked is None
        or column is None
        or not any(measure.unit == UNIT and measure.data_source == source.name for measure in needed)
    ):
        return where, bindings
    leaf = Leaf(column, OPERATORS["equals"], (asked,), path="/currency")
    kept = And((where, leaf)) if where is not None else leaf
    return kept, {**bindings, leaf: BoundLeaf(_dimension(source, column), FieldType.TEXT, (asked,))}


def _dimension(source: DataSource, column: str) -> Dimension:
    return Dimension(column, source.name, FieldType.TEXT, source.label, source.description, _expression(column))


def _expression(column: str) -> Expression:
    return Expression(column, lambda name: (exp.column(name, quoted=True), FieldType.TEXT))


def edges(source: DataSource) -> tuple[Component, ...]:
    """Components that tell whether the rows hold one currency: its first and last code."""
    if source.currency.column is None:
        return ()
    argument = _expression(source.currency.column)
    return tuple(Component(function, argument, None, FieldType.TEXT) for function in (Function.MIN, Function.MAX))


def one_currency(name: str, low: str | None, high: str | None) -> str | None:
    """The one currency of rows whose first and last codes these are.

    Raises:
        Unsupported: there are several.
    """
    if low != high:
        raise Unsupported(
            f"{name!r} holds money in {low}, {high} and perhaps others, which don't add.",
            path="/currency",
            known=[code for code in (low, high) if code],
            hint='Ask for one: "currency".',
        )
    return low
