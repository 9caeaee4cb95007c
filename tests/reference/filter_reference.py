"""The filter tree in plain Python: each leaf true or false, a null satisfying only `is_null` and `is_empty`."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from reference.model import MOMENTS, NUMBERS, Refused
from reference.time_reference import Moment, contains, is_instant, moment, position, span_of

Test: TypeAlias = Callable[[Any], bool]
Getter: TypeAlias = Callable[[str], Any]

TEXT_ONLY = ("contains", "starts_with", "ends_with", "matches", "is_empty")
ORDERED = ("gt", "gte", "lt", "lte", "between")
TIME_ONLY = ("before", "after", "on", "in_range")
ANY_TYPE = ("equals", "is_null")
NEGATED = {f"not_{name}": name for name in ("equals", "contains", "starts_with", "ends_with", "matches", "on", "in_range")} | {
    "not_in": "equals",
    "is_not_null": "is_null",
    "is_not_empty": "is_empty",
}
POSITIVE = {name: name for name in (*TEXT_ONLY, *ORDERED, *TIME_ONLY, *ANY_TYPE)} | {"in": "equals"}
OPERATORS = tuple(POSITIVE | NEGATED)
COUNTS = {"between": (2, 2), "is_null": (0, 0), "is_empty": (0, 0), "in_range": (1, 2)}
MAX_DEPTH, MAX_VALUES = 50, 10_000


@dataclass(frozen=True)
class Setting:
    """The now and the zone that dates and words are read in."""

    now: datetime
    zone: ZoneInfo


def check(node: Any) -> None:
    """Refuses what isn't a filter tree."""
    _check(node, 1)
    if sum(len(leaf.get("values") or []) for leaf in leaves(node)) > MAX_VALUES:
        raise Refused("out_of_bounds", "too many values")


def _check(node: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Refused("out_of_bounds", "too deep")
    if not isinstance(node, dict):
        raise Refused("wrong_type", f"{node!r} is no filter")
    groups = [key for key in ("and", "or", "not") if key in node]
    if not groups:
        return _check_leaf(node)
    if len(node) > 1:
        raise Refused("invalid_request", "a group with other keys")
    children = node[groups[0]]
    if groups[0] == "not":
        children = [children]
    if not isinstance(children, list):
        raise Refused("wrong_type", f"{groups[0]!r} takes a list")
    if not children:
        raise Refused("invalid_request", f"{groups[0]!r} is empty")
    for child in children:
        _check(child, depth + 1)
    return None


def _check_leaf(leaf: dict[str, Any]) -> None:
    if unknown := set(leaf) - {"field", "op", "values", "ignore_case"}:
        raise Refused("unknown_name", f"keys {unknown}")
    values = leaf.get("values", [])
    if not isinstance(leaf.get("field"), str) or not isinstance(leaf.get("op"), str) or not isinstance(values, list):
        raise Refused("wrong_type", f"{leaf!r} is no leaf")
    if not isinstance(leaf.get("ignore_case", False), bool):
        raise Refused("wrong_type", "ignore_case is true or false")
    if leaf["op"] not in OPERATORS:
        raise Refused("unknown_name", f"operator {leaf['op']!r}")
    least, most = COUNTS.get(base_of(leaf["op"]), (1, MAX_VALUES + 1))
    if not least <= len(values) <= most:
        raise Refused("invalid_request", f"{leaf['op']} with {len(values)} values")


def base_of(op: str) -> str:
    return NEGATED.get(op) or POSITIVE[op]


def leaves(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    children = node.get("and") or node.get("or") or ([node["not"]] if "not" in node else None)
    if children is None:
        yield node
    else:
        for child in children:
            yield from leaves(child)


def condition(node: dict[str, Any], type_of: Callable[[str], str], setting: Setting) -> Callable[[Getter], bool]:
    """What holds where the tree does; it is asked with a function from a field's name to its value."""
    if "not" in node:
        inner = condition(node["not"], type_of, setting)
        return lambda get: not inner(get)
    if "and" in node:
        every = [condition(child, type_of, setting) for child in node["and"]]
        return lambda get: all(part(get) for part in every)
    if "or" in node:
        some = [condition(child, type_of, setting) for child in node["or"]]
        return lambda get: any(part(get) for part in some)
    field, test = node["field"], leaf_test(node, type_of(node["field"]), setting)
    return lambda get: test(get(field))


def leaf_test(leaf: dict[str, Any], kind: str, setting: Setting) -> Test:
    """The leaf as a test of one value of a field of type `kind`."""
    base = base_of(leaf["op"])
    _check_type(base, kind)
    test = _positive(base, kind, leaf, setting)
    return (lambda value: not test(value)) if leaf["op"] in NEGATED else test


def _check_type(base: str, kind: str) -> None:
    fits = (
        base in ANY_TYPE
        or (base in TEXT_ONLY and kind == "text")
        or (base in ORDERED and kind in (*NUMBERS, *MOMENTS))
        or (base in TIME_ONLY and kind in MOMENTS)
    )
    if not fits:
        raise Refused("wrong_type", f"{base} on a {kind}")


def _positive(base: str, kind: str, leaf: dict[str, Any], setting: Setting) -> Test:
    if base == "is_null":
        return lambda value: value is None
    if base == "is_empty":
        return lambda value: value is None or value == ""
    if kind in MOMENTS:
        test = _time_test(base, kind, leaf["values"], setting)
    elif kind == "text":
        test = _text_test(base, leaf)
    else:
        test = _plain_test(base, [_plain(value, kind) for value in leaf["values"]])
    return lambda value: value is not None and test(value)


def _plain(value: Any, kind: str) -> Any:
    if kind == "boolean":
        if not isinstance(value, bool):
            raise Refused("wrong_type", f"{value!r} is neither true nor false")
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise Refused("wrong_type", f"{value!r} is no number")
    return float(value) if kind == "double" else Decimal(str(value))


def _plain_test(base: str, values: list[Any]) -> Test:
    if base == "between":
        low, high = values
        if low > high:
            raise Refused("invalid_request", "between is turned round")
        return lambda value: bool(low <= value <= high)
    compare: dict[str, Callable[[Any, Any], bool]] = {
        "equals": lambda value, other: value == other,
        "gt": lambda value, other: value > other,
        "gte": lambda value, other: value >= other,
        "lt": lambda value, other: value < other,
        "lte": lambda value, other: value <= other,
    }
    return lambda value: any(compare[base](value, other) for other in values)


def _lower(text: str) -> str:
    """Character by character, as engines do (no special final sigma)."""
    return "".join(character.lower() for character in text)


def _text_test(base: str, leaf: dict[str, Any]) -> Test:
    values, fold = leaf["values"], bool(leaf.get("ignore_case"))
    if not all(isinstance(value, str) for value in values):
        raise Refused("wrong_type", f"{values!r} aren't texts")
    if base == "matches":
        patterns = [_pattern(value, fold) for value in values]
        return lambda text: any(pattern.search(text) for pattern in patterns)
    wanted = [_lower(value) for value in values] if fold else values
    compare: dict[str, Callable[[str, str], bool]] = {
        "equals": lambda text, other: text == other,
        "contains": lambda text, other: other in text,
        "starts_with": lambda text, other: text.startswith(other),
        "ends_with": lambda text, other: text.endswith(other),
    }
    return lambda text: any(compare[base](_lower(text) if fold else text, other) for other in wanted)


def _pattern(text: str, fold: bool) -> re.Pattern[str]:
    """RE2's pattern for Python's engine: no look-around or back-references, and a last `$` is the text's very end."""
    if re.search(r"\(\?(=|!|<|P=|>)|\\[1-9]", text):
        raise Refused("invalid_request", f"{text!r} isn't RE2")
    if text.endswith("$") and not text.endswith("\\$"):
        text = text[:-1] + r"\Z"
    try:
        return re.compile(text, re.IGNORECASE if fold else 0)
    except re.error as error:
        raise Refused("invalid_request", f"{text!r} is no pattern: {error}") from error


def _time_test(base: str, kind: str, values: list[Any], setting: Setting) -> Test:
    zone = setting.zone
    if base == "in_range":
        span = span_of(values if len(values) == 2 else values[0], setting.now, zone)
        if kind == "date" and not hasattr(span, "first"):
            raise Refused("invalid_time", "instants on a date")
        return lambda value: contains(span, value, zone)
    moments = [_moment(value, kind) for value in values]
    if base == "between":
        first, last = moments
        if is_instant(first) != is_instant(last) or first > last:
            raise Refused("invalid_time", "between is turned round or mixed")
        return lambda value: position(value, first, zone) >= 0 and position(value, last, zone) <= 0
    wanted: dict[str, tuple[int, ...]] = {
        "equals": (0,), "on": (0,), "gt": (1,), "after": (1,), "gte": (0, 1), "lt": (-1,), "before": (-1,), "lte": (-1, 0),
    }  # fmt: skip
    return lambda value: any(position(value, other, zone) in wanted[base] for other in moments)


def _moment(value: Any, kind: str) -> Moment:
    found = moment(value)
    if kind == "date" and is_instant(found):
        raise Refused("invalid_time", "an instant on a date")
    return found
