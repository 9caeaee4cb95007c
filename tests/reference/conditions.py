"""Random filter trees over the test source: every operator, on every type that takes it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any, Final, TypeAlias

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
PARTS: Final = ("G", "e", "h", "1", "소", "%", "_", "É", "é", "")
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


Leaf: TypeAlias = Callable[[Random, Fields], Node]


def text_leaf(chance: Random, field: str) -> Node:
    op = chance.choice((*TEXT_OPS, *NOT_TEXT_OPS, "matches", "not_matches", *PRESENCE, *EMPTINESS))
    if op in (*PRESENCE, *EMPTINESS):
        return {"field": field, "op": op} | chance.choice(({}, {"values": []}))
    pools = {"store": STORES, "household": HOUSEHOLDS, "product": PRODUCTS}
    whole = pools.get(field, TEXTS)
    values = PATTERNS if op.endswith("matches") else PARTS if chance.random() < 0.3 else whole
    more = {"ignore_case": chance.random() < 0.6} if chance.random() < 0.5 else {}
    return {"field": field, "op": op, "values": chance.choices(values, k=chance.choice((1, 1, 2, 3)))} | more


def number_leaf(chance: Random, field: str, kind: str, of_rows: bool) -> Node:
    """A measure that is a double is compared with odd limits only, and never for equality."""
    is_ratio = kind == "double" and not of_rows
    op = chance.choice((*(() if is_ratio else SETS), *COMPARISONS, *COMPARISONS, *PRESENCE))
    if op in PRESENCE:
        return {"field": field, "op": op}
    count = 2 if op == "between" else chance.choice((1, 1, 2, 3))
    values = [chance.choice(ODD_LIMITS) if is_ratio else _number(chance, kind) for _ in range(count)]
    return {"field": field, "op": op, "values": sorted(values) if op == "between" else values}


def _number(chance: Random, kind: str) -> int | Decimal:
    if kind == "integer" or chance.random() < 0.2:
        return chance.randint(-2, 12)
    return chance.choice((Decimal(chance.randint(-8, 400)) / 8, chance.choice(ODD_MONEY)))


def boolean_leaf(chance: Random, field: str) -> Node:
    op = chance.choice((*SETS, *PRESENCE))
    return {"field": field, "op": op} | ({} if op in PRESENCE else {"values": [chance.random() < 0.5]})


def time_leaf(chance: Random, field: str, kind: str, anchor: datetime) -> Node:
    op = chance.choice((*DAYS, *DAYS, *SETS, *COMPARISONS, *PRESENCE))
    if op in PRESENCE:
        return {"field": field, "op": op}
    if op.endswith("in_range") and chance.random() < 0.5:
        return {"field": field, "op": op, "values": [chance.choice(WORDS)]}
    is_pair = op == "between" or op.endswith("in_range")
    of_instants = kind == "instant" and chance.random() < 0.3
    moments = [anchor + timedelta(days=chance.randint(-5, 5), minutes=chance.randint(-24, 24) * 10) for _ in range(2)]
    values = [at.isoformat() if of_instants else at.date().isoformat() for at in (sorted(moments) if is_pair else moments)]
    return {"field": field, "op": op, "values": values if is_pair or chance.random() < 0.3 else values[:1]}


def row_leaf(chance: Random, fields: Fields) -> Node:
    """A leaf on a dimension or a time field."""
    return _leaf(chance, *chance.choice(fields.rows), fields)


def _leaf(chance: Random, name: str, kind: str, fields: Fields) -> Node:
    if kind == "text":
        return text_leaf(chance, name)
    if kind == "boolean":
        return boolean_leaf(chance, name)
    if kind in ("date", "instant"):
        return time_leaf(chance, name, kind, fields.anchor)
    return number_leaf(chance, name, kind, of_rows=True)


def measure_leaf(chance: Random, fields: Fields) -> Node:
    """A leaf on a measure; now and then it is named with its data source."""
    name, kind = chance.choice(fields.measures)
    leaf = number_leaf(chance, name, kind, of_rows=False)
    return leaf | ({"field": f"{fields.qualifier}.{name}"} if fields.qualifier and chance.random() < 0.2 else {})


def mixed_leaf(chance: Random, fields: Fields) -> Node:
    """A leaf on a measure or on a grouped dimension."""
    if fields.grouped and chance.random() < 0.5:
        return _leaf(chance, *chance.choice(fields.grouped), fields)
    return measure_leaf(chance, fields)


def tree(chance: Random, leaf: Leaf, fields: Fields, depth: int = 0) -> Node:
    """A leaf at the odds of a half, otherwise a group of trees, at most four levels deep."""
    kind = chance.choice(("leaf", "leaf", "leaf", "and", "or", "not")) if depth < 3 else "leaf"
    if kind == "leaf":
        return leaf(chance, fields)
    if kind == "not":
        return {"not": tree(chance, leaf, fields, depth + 1)}
    return {kind: [tree(chance, leaf, fields, depth + 1) for _ in range(chance.randint(1, 3))]}


def measure_tree(chance: Random, fields: Fields) -> Node:
    """A tree that acts after aggregation: it holds a leaf on a measure, perhaps with leaves on grouped dimensions beside it."""
    certain = measure_leaf(chance, fields)
    mixed = tree(chance, mixed_leaf, fields, depth=1)
    return chance.choice((certain, certain, {"not": certain}, {"or": [mixed, certain]}, {"not": {"and": [certain, mixed]}}))


def filter_tree(chance: Random, fields: Fields) -> Node:
    """A whole filter: acting before, after, or a top-level `and` of both."""
    shape = chance.choice(("rows", "rows", "rows", "measures", "measures", "both"))
    if shape == "rows":
        return tree(chance, row_leaf, fields)
    if shape == "measures":
        return measure_tree(chance, fields)
    both = [tree(chance, row_leaf, fields), measure_tree(chance, fields)]
    return {"and": both if chance.random() < 0.5 else both[::-1]}


def types_of(source: str) -> dict[str, str]:
    """The type of each dimension and time field of a test source."""
    fields = {**SOURCES[source].time_fields, **SOURCES[source].dimensions}
    return {name: field.type for name, field in fields.items()}
