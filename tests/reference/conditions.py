"""Strategies for filter trees over the test source: every operator, on every type that takes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, Final

from hypothesis import strategies as st
from reference.data import SOURCES
from reference.rows import HOUSEHOLDS, ODD_MONEY, PRODUCTS, STORES, TEXTS

Node = dict[str, Any]
TEXT_OPS: Final = ("equals", "in", "contains", "starts_with", "ends_with")
NOT_TEXT_OPS: Final = ("not_equals", "not_in", "not_contains", "not_starts_with", "not_ends_with")
PRESENCE: Final = ("is_null", "is_not_null")
EMPTINESS: Final = ("is_empty", "is_not_empty")
SETS: Final = ("equals", "not_equals", "in", "not_in")
COMPARISONS: Final = ("gt", "gte", "lt", "lte", "between")
DAYS: Final = ("before", "after", "on", "not_on", "in_range", "not_in_range")
PATTERNS: Final = ("^GRO", "C", "[a-z]+", "^$", "채.", "Y$", "(?i)grocery", r"\(", "a.b", "GRO|채", "^.$", r"\\")
WORDS: Final = ("2017", "2017-Q1", "2017-11", "2017-03-12", "last 7 days", "this month", "last year", "yesterday")
ODD_LIMITS: Final = tuple(map(Decimal, ("-3.1234567", "1.2345671", "12.3456789", "57.7654321", "1234.5678912")))
"""Limits that no ratio of the drawn data meets, so that a last digit of a double decides nothing."""


@dataclass(frozen=True)
class Fields:
    """What a tree may name: row fields and grouped dimensions by type, measures by type; days are drawn around `anchor`."""

    anchor: datetime
    rows: tuple[tuple[str, str], ...]
    grouped: tuple[tuple[str, str], ...]
    measures: tuple[tuple[str, str], ...]
    qualifier: str | None = None


def _text_values(name: str) -> st.SearchStrategy[str]:
    pools = {"store": STORES, "household": HOUSEHOLDS, "product": PRODUCTS}
    parts = ("G", "e", "h", "1", "소", "%", "_", "É", "é")
    return st.one_of(st.sampled_from(pools.get(name, TEXTS)), st.sampled_from(pools.get(name, TEXTS)), st.sampled_from(parts))


def _leaf(field: str, op: str, values: Sequence[Any], **more: Any) -> Node:
    return {"field": field, "op": op} | ({"values": list(values)} if values or op not in (*PRESENCE, *EMPTINESS) else {}) | more


@st.composite
def text_leaf(draw: st.DrawFn, field: str) -> Node:
    op = draw(st.sampled_from((*TEXT_OPS, *NOT_TEXT_OPS, "matches", "not_matches", *PRESENCE, *EMPTINESS)))
    if op in (*PRESENCE, *EMPTINESS):
        return _leaf(field, op, [])
    values = st.sampled_from(PATTERNS) if op.endswith("matches") else _text_values(field)
    more = {"ignore_case": draw(st.booleans())} if draw(st.booleans()) else {}
    return _leaf(field, op, draw(st.lists(values, min_size=1, max_size=3)), **more)


@st.composite
def number_leaf(draw: st.DrawFn, field: str, kind: str, of_rows: bool) -> Node:
    """A measure that is a double is compared with odd limits only, and never for equality."""
    is_ratio = kind == "double" and not of_rows
    op = draw(st.sampled_from((*(() if is_ratio else SETS), *COMPARISONS, *COMPARISONS, *PRESENCE)))
    if op in PRESENCE:
        return _leaf(field, op, [])
    whole, eighths = st.integers(-2, 12), st.integers(-8, 400).map(lambda part: Decimal(part) / 8)
    values = st.sampled_from(ODD_LIMITS) if is_ratio else whole if kind == "integer" else st.one_of(whole, eighths, _money())
    count = 2 if op == "between" else 1
    drawn = draw(st.lists(values, min_size=count, max_size=2 if op == "between" else 3))
    return _leaf(field, op, sorted(drawn) if op == "between" else drawn)


def _money() -> st.SearchStrategy[Decimal]:
    return st.sampled_from(ODD_MONEY)


def _boolean_leaf(field: str) -> st.SearchStrategy[Node]:
    asked = st.builds(
        lambda op, values: _leaf(field, op, values), st.sampled_from(SETS), st.lists(st.booleans(), min_size=1, max_size=2)
    )
    return st.one_of(asked, st.sampled_from(PRESENCE).map(lambda op: _leaf(field, op, [])))


@st.composite
def time_leaf(draw: st.DrawFn, field: str, kind: str, anchor: datetime) -> Node:
    op = draw(st.sampled_from((*DAYS, *DAYS, *SETS, *COMPARISONS, PRESENCE[0])))
    if op in PRESENCE:
        return _leaf(field, op, [])
    if op.endswith("in_range") and draw(st.booleans()):
        return _leaf(field, op, [draw(st.sampled_from(WORDS))])
    days = st.integers(-5, 5).map(lambda count: (anchor + timedelta(days=count)).date().isoformat())
    instants = st.integers(-24, 24).map(lambda tens: (anchor + timedelta(minutes=tens * 10)).isoformat())
    values = instants if kind == "instant" and draw(st.integers(0, 2)) == 0 else days
    if op == "between" or op.endswith("in_range"):
        return _leaf(field, op, sorted(draw(st.lists(values, min_size=2, max_size=2))))
    return _leaf(field, op, draw(st.lists(values, min_size=1, max_size=2)))


@cache  # building strategies costs more than drawing from them
def row_leaf(name: str, kind: str, anchor: datetime) -> st.SearchStrategy[Node]:
    """A leaf on a dimension or a time field."""
    if kind == "text":
        leaf: st.SearchStrategy[Node] = text_leaf(name)
    elif kind == "boolean":
        leaf = _boolean_leaf(name)
    elif kind in ("date", "instant"):
        leaf = time_leaf(name, kind, anchor)
    else:
        leaf = number_leaf(name, kind, of_rows=True)
    return leaf


@cache
def measure_leaf(name: str, kind: str, qualifier: str | None) -> st.SearchStrategy[Node]:
    names = (name, name, name, f"{qualifier}.{name}") if qualifier else (name,)
    return st.builds(lambda leaf, asked: leaf | {"field": asked}, number_leaf(name, kind, of_rows=False), st.sampled_from(names))


def _tree(leaf: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    def group(children: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
        several = st.lists(children, min_size=1, max_size=3)
        return st.one_of(
            several.map(lambda nodes: {"and": nodes}),
            several.map(lambda nodes: {"or": nodes}),
            children.map(lambda node: {"not": node}),
        )

    return st.recursive(leaf, group, max_leaves=5)


@cache
def row_trees(anchor: datetime, rows: tuple[tuple[str, str], ...]) -> st.SearchStrategy[Node]:
    """Trees that act before aggregation."""
    return _tree(st.one_of(*(row_leaf(name, kind, anchor) for name, kind in rows)))


@cache
def measure_trees(fields: Fields) -> st.SearchStrategy[Node]:
    """Trees that act after aggregation: a leaf on a measure, perhaps with leaves on grouped dimensions beside it."""
    measures = st.one_of(*(measure_leaf(name, kind, fields.qualifier) for name, kind in fields.measures))
    grouped = [row_leaf(name, kind, fields.anchor) for name, kind in fields.grouped]
    mixed = _tree(st.one_of(measures, measures, *grouped))
    beside = st.builds(lambda node, leaf: {"or": [node, {"and": [leaf, node]}]}, mixed, measures)
    return st.one_of(measures, measures.map(lambda leaf: {"not": leaf}), beside)


@st.composite
def filters(draw: st.DrawFn, fields: Fields) -> Node:
    """A whole filter: before, after, or a top-level `and` of both."""
    shape = draw(st.sampled_from(("rows", "rows", "measures", "both", "both")))
    if shape == "rows":
        return draw(row_trees(fields.anchor, fields.rows))
    if shape == "measures":
        return draw(measure_trees(fields))
    return {"and": draw(st.permutations([draw(row_trees(fields.anchor, fields.rows)), draw(measure_trees(fields))]))}


def types_of(source: str) -> dict[str, str]:
    """The type of each dimension and time field of a test source."""
    fields = {**SOURCES[source].time_fields, **SOURCES[source].dimensions}
    return {name: field.type for name, field in fields.items()}
