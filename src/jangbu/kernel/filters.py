"""The filter tree: data with one traversal and several interpreters (SQL, words).

A node is a `Leaf` or one of `And`, `Or`, `Not`. The wire form is `{"field", "op", "values", "ignore_case"}` or exactly one of
`{"and": […]}`, `{"or": […]}`, `{"not": …}`. A leaf is true or false, never unknown: a null satisfies only `is_null` and
`is_empty`, so `not` and the `not_*` operators keep rows with a null.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeAlias, TypeVar

from jangbu.kernel.errors import InvalidRequest, OutOfBounds, WrongType, pointer, unknown_name
from jangbu.kernel.types import FieldType

MAX_DEPTH: Final = 50
MAX_VALUES: Final = 10_000
"""Values in a whole tree."""

Scalar: TypeAlias = str | int | Decimal | bool
T = TypeVar("T")

_TEXT = frozenset({FieldType.TEXT})
_NUMBER = frozenset({FieldType.INTEGER, FieldType.DECIMAL, FieldType.DOUBLE})
_TIME = frozenset({FieldType.DATE, FieldType.INSTANT, FieldType.LOCAL})
_ALL = frozenset(FieldType)


@dataclass(frozen=True, slots=True)
class Operator:
    """`base` is the positive operator that a negated one turns round; `least` and `most` count the values (`None`: any number)."""

    name: str
    base: str
    negated: bool
    types: frozenset[FieldType]
    least: int
    most: int | None
    words: str


def _operators() -> Mapping[str, Operator]:
    rows: tuple[tuple[str, str, frozenset[FieldType], int, int | None, str], ...] = (
        ("equals", "equals", _ALL, 1, None, "is"),
        ("not_equals", "equals", _ALL, 1, None, "is not"),
        ("in", "equals", _ALL, 1, None, "is one of"),
        ("not_in", "equals", _ALL, 1, None, "is none of"),
        ("contains", "contains", _TEXT, 1, None, "contains"),
        ("not_contains", "contains", _TEXT, 1, None, "does not contain"),
        ("starts_with", "starts_with", _TEXT, 1, None, "starts with"),
        ("not_starts_with", "starts_with", _TEXT, 1, None, "does not start with"),
        ("ends_with", "ends_with", _TEXT, 1, None, "ends with"),
        ("not_ends_with", "ends_with", _TEXT, 1, None, "does not end with"),
        ("matches", "matches", _TEXT, 1, None, "matches"),
        ("not_matches", "matches", _TEXT, 1, None, "does not match"),
        ("gt", "gt", _NUMBER | _TIME, 1, None, "over"),
        ("gte", "gte", _NUMBER | _TIME, 1, None, "at least"),
        ("lt", "lt", _NUMBER | _TIME, 1, None, "under"),
        ("lte", "lte", _NUMBER | _TIME, 1, None, "at most"),
        ("between", "between", _NUMBER | _TIME, 2, 2, "between"),
        ("is_null", "is_null", _ALL, 0, 0, "is missing"),
        ("is_not_null", "is_null", _ALL, 0, 0, "is there"),
        ("is_empty", "is_empty", _TEXT, 0, 0, "is empty"),
        ("is_not_empty", "is_empty", _TEXT, 0, 0, "is not empty"),
        ("before", "before", _TIME, 1, None, "before"),
        ("after", "after", _TIME, 1, None, "after"),
        ("on", "on", _TIME, 1, None, "on"),
        ("not_on", "on", _TIME, 1, None, "not on"),
        ("in_range", "in_range", _TIME, 1, 2, "within"),
        ("not_in_range", "in_range", _TIME, 1, 2, "outside"),
    )
    return {
        name: Operator(name, base, name.startswith("not_") or name in ("is_not_null", "is_not_empty"), types, least, most, words)
        for name, base, types, least, most, words in rows
    }


OPERATORS: Final = _operators()


@dataclass(frozen=True, slots=True)
class Leaf:
    """`path` is the JSON Pointer of the leaf in its request, for errors."""

    field: str
    op: Operator
    values: tuple[Scalar, ...] = ()
    ignore_case: bool = False
    path: str = ""


@dataclass(frozen=True, slots=True)
class And:
    children: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Or:
    children: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Not:
    child: "Node"


Node: TypeAlias = Leaf | And | Or | Not


def leaves(node: Node) -> Iterator[Leaf]:
    """Every leaf, left to right."""
    match node:
        case Leaf():
            yield node
        case Not(child):
            yield from leaves(child)
        case And(children) | Or(children):
            for child in children:
                yield from leaves(child)


def fold(
    node: Node,
    leaf: Callable[[Leaf, bool], T],
    both: Callable[[list[T]], T],
    either: Callable[[list[T]], T],
    *,
    negated: bool = False,
) -> T:
    """The one traversal: `not` is pushed down to the leaves by De Morgan, so an interpreter sees only leaves (with whether they
    are negated, the operator's own negation included), conjunctions and disjunctions."""
    match node:
        case Leaf():
            return leaf(node, negated != node.op.negated)
        case Not(child):
            return fold(child, leaf, both, either, negated=not negated)
        case And(children) | Or(children):
            parts = [fold(child, leaf, both, either, negated=negated) for child in children]
            return both(parts) if isinstance(node, And) != negated else either(parts)


def parse(data: object, path: str = "/filter") -> Node:
    """The tree of a wire form.

    Raises:
        InvalidRequest: not a node, an empty group, unknown keys, a wrong number of values.
        OutOfBounds: deeper than `MAX_DEPTH`, or more than `MAX_VALUES` values.
    """
    node = _parse(data, path, 1)
    count = sum(len(leaf.values) for leaf in leaves(node))
    if count > MAX_VALUES:
        raise OutOfBounds(f"A filter may hold {MAX_VALUES:,} values; this one has {count:,}.", path=path, value=count)
    return node


def _parse(data: object, path: str, depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise OutOfBounds(f"A filter may be {MAX_DEPTH} levels deep.", path=path, hint="Flatten groups of the same kind.")
    if not isinstance(data, Mapping):
        raise WrongType("A filter is an object: a leaf {field, op, values} or one of {and}, {or}, {not}.", path=path, value=data)
    groups = [key for key in ("and", "or", "not") if key in data]
    if groups:
        if len(data) != 1:
            raise InvalidRequest(
                "A group holds exactly one of 'and', 'or', 'not' and nothing else.", path=path, value=", ".join(map(str, data))
            )
        return _parse_group(groups[0], data[groups[0]], path, depth)
    return _parse_leaf(data, path)


def _parse_group(key: str, value: object, path: str, depth: int) -> Node:
    below = f"{path}/{key}"
    if key == "not":
        return Not(_parse(value, below, depth + 1))
    if not isinstance(value, list):
        raise WrongType(f"{key!r} takes a list of filters.", path=below, value=value)
    if not value:
        raise InvalidRequest(f"{key!r} is empty.", path=below, hint="Leave the group out, or give it a filter.")
    children = tuple(_parse(child, f"{below}/{index}", depth + 1) for index, child in enumerate(value))
    return And(children) if key == "and" else Or(children)


def _parse_leaf(data: Mapping[Any, Any], path: str) -> Leaf:
    known = ("field", "op", "values", "ignore_case")
    for key in data:
        if key not in known:
            raise unknown_name("key of a filter", str(key), (*known, "and", "or", "not"), path=f"{path}{pointer(str(key))}")
    for key in ("field", "op"):
        if not isinstance(data.get(key), str):
            raise WrongType(f"A leaf's {key!r} is a text.", path=f"{path}/{key}", value=data.get(key))
    if data["op"] not in OPERATORS:
        raise unknown_name("operator", data["op"], OPERATORS, path=f"{path}/op")
    ignore_case = data.get("ignore_case")
    if not isinstance(ignore_case, bool | None):
        raise WrongType("'ignore_case' is true or false.", path=f"{path}/ignore_case", value=ignore_case)
    op = OPERATORS[data["op"]]
    return Leaf(data["field"], op, _parse_values(data.get("values"), op, f"{path}/values"), bool(ignore_case), path)


def _parse_values(values: object, op: Operator, path: str) -> tuple[Scalar, ...]:
    if values is None:
        values = []
    if not isinstance(values, list):
        raise WrongType("'values' is a list.", path=path, value=values)
    found = tuple(_parse_value(value, f"{path}/{index}") for index, value in enumerate(values))
    if len(values) < op.least or (op.most is not None and len(values) > op.most):
        wanted = str(op.least) if op.least == op.most else f"{op.least} to {op.most}" if op.most else f"at least {op.least}"
        raise InvalidRequest(f"{op.name!r} takes {wanted} values; this has {len(values)}.", path=path, value=len(values))
    return found


def _parse_value(value: object, path: str) -> Scalar:
    if value is None:
        raise WrongType("A value can't be null.", path=path, value=None, hint="Use the operator 'is_null'.")
    exact = Decimal(repr(value)) if isinstance(value, float) else value
    if not isinstance(exact, str | int | Decimal | bool) or (isinstance(exact, Decimal) and not exact.is_finite()):
        raise WrongType("A value is a text, a finite number or true/false.", path=path, value=value)
    if isinstance(exact, str) and "\0" in exact:
        raise WrongType("A text can't hold the character U+0000.", path=path, value=value)
    return exact


def words(node: Node) -> str:
    """The tree as a sentence: `department is one of GROCERY, PRODUCE and not (revenue under 100)`."""
    match node:
        case Leaf(field, op, values):
            shown = ", ".join(str(value) for value in values)
            return f"{field} {op.words} {shown}".rstrip()
        case Not(child):
            return f"not ({words(child)})"
        case And(children) | Or(children):
            joiner = " and " if isinstance(node, And) else " or "
            return joiner.join(f"({words(child)})" if isinstance(child, And | Or) else words(child) for child in children)


def json_schema(ref: str) -> dict[str, Any]:
    """The JSON Schema of a filter node; `ref` is where it stands, for the nodes below it."""
    below = {"$ref": ref}
    leaf = {
        "field": {"type": "string", "description": "A dimension or a time field; in a question a measure, too."},
        "op": {"enum": list(OPERATORS), "description": "How the values are compared."},
        "values": {
            "type": "array",
            "items": {"type": ["string", "number", "boolean"]},
            "description": "Any of them may hold; for a not_ operator none does.",
        },
        "ignore_case": {"type": "boolean", "default": False, "description": "Whether letters match in either case."},
    }
    groups = {
        "and": {"type": "array", "minItems": 1, "items": below, "description": "All hold."},
        "or": {"type": "array", "minItems": 1, "items": below, "description": "At least one holds."},
        "not": {**below, "description": "It doesn't hold."},
    }
    return {
        "description": f"A leaf, or exactly one of and, or, not. At most {MAX_DEPTH} levels.",
        "oneOf": [
            {"title": "Leaf", "type": "object", "required": ["field", "op"], "additionalProperties": False, "properties": leaf},
            *(
                {
                    "title": key.capitalize(),
                    "type": "object",
                    "required": [key],
                    "additionalProperties": False,
                    "properties": {key: value},
                }
                for key, value in groups.items()
            ),
        ],
    }
