"""The filter tree: what is refused and where, how deep it may be, and that a leaf is true or false, never unknown."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jangbu.kernel.errors import InvalidRequest, JangbuError, OutOfBounds, UnknownName, WrongType
from jangbu.kernel.filters import MAX_DEPTH, MAX_VALUES, OPERATORS, And, Leaf, Node, Not, Or, fold, leaves, parse, words
from jangbu.kernel.types import FieldType

FRUIT = {"field": "fruit", "op": "equals", "values": ["apple"]}
REFUSED: list[tuple[object, type[JangbuError], str]] = [
    (None, WrongType, "/filter"),
    ([FRUIT], WrongType, "/filter"),
    ({}, WrongType, "/filter/field"),
    ({"field": "a"}, WrongType, "/filter/op"),
    ({"field": 1, "op": "equals", "values": ["x"]}, WrongType, "/filter/field"),
    ({"field": "a", "op": "eqals", "values": ["x"]}, UnknownName, "/filter/op"),
    ({**FRUIT, "value": "x"}, UnknownName, "/filter/value"),
    ({**FRUIT, "a/b": 1}, UnknownName, "/filter/a~1b"),
    ({**FRUIT, "ignore_case": "yes"}, WrongType, "/filter/ignore_case"),
    ({**FRUIT, "values": "apple"}, WrongType, "/filter/values"),
    ({**FRUIT, "values": []}, InvalidRequest, "/filter/values"),
    ({**FRUIT, "values": ["apple", None]}, WrongType, "/filter/values/1"),
    ({**FRUIT, "values": [["apple"]]}, WrongType, "/filter/values/0"),
    ({**FRUIT, "values": [float("nan")]}, WrongType, "/filter/values/0"),
    ({**FRUIT, "values": [Decimal("Infinity")]}, WrongType, "/filter/values/0"),
    ({**FRUIT, "values": ["a\0b"]}, WrongType, "/filter/values/0"),
    ({"field": "n", "op": "between", "values": [1]}, InvalidRequest, "/filter/values"),
    ({"field": "n", "op": "between", "values": [1, 2, 3]}, InvalidRequest, "/filter/values"),
    ({"field": "n", "op": "is_null", "values": [1]}, InvalidRequest, "/filter/values"),
    ({"and": []}, InvalidRequest, "/filter/and"),
    ({"or": FRUIT}, WrongType, "/filter/or"),
    ({"not": []}, WrongType, "/filter/not"),
    ({"and": [FRUIT], "or": [FRUIT]}, InvalidRequest, "/filter"),
    ({"and": [FRUIT], "field": "a"}, InvalidRequest, "/filter"),
    ({"and": [FRUIT, {"or": [{"not": {"and": []}}]}]}, InvalidRequest, "/filter/and/1/or/0/not/and"),
]


@pytest.mark.parametrize(("data", "error", "path"), REFUSED, ids=lambda part: repr(part)[:60])
def test_a_mistake_is_told_with_its_place(data: object, error: type[JangbuError], path: str) -> None:
    with pytest.raises(error) as raised:
        parse(data)
    assert type(raised.value) is error
    assert raised.value.path == path


def test_an_unknown_operator_names_the_known_and_the_near() -> None:
    with pytest.raises(UnknownName) as raised:
        parse({**FRUIT, "op": "contain"})
    assert raised.value.known == tuple(sorted(OPERATORS))
    assert "contains" in raised.value.suggestions


def nested(levels: int) -> dict[str, Any]:
    data: dict[str, Any] = FRUIT
    for _ in range(levels - 1):
        data = {"not": data}
    return data


def test_fifty_levels_are_taken_and_one_more_is_refused() -> None:
    assert len(list(leaves(parse(nested(MAX_DEPTH))))) == 1
    with pytest.raises(OutOfBounds):
        parse(nested(MAX_DEPTH + 1))
    with pytest.raises(OutOfBounds):
        parse(nested(900))


def test_values_are_counted_over_the_whole_tree() -> None:
    half = {**FRUIT, "values": ["x"] * (MAX_VALUES // 2)}
    assert parse({"or": [half, half]})
    with pytest.raises(OutOfBounds) as raised:
        parse({"or": [half, half, FRUIT]})
    assert raised.value.value == MAX_VALUES + 1


def test_a_float_becomes_the_decimal_that_it_prints_as_and_the_given_data_stay_as_they_were() -> None:
    data = {"field": "price", "op": "gt", "values": [0.1]}
    node = parse(data)
    assert isinstance(node, Leaf)
    assert node.values == (Decimal("0.1"),)
    assert data["values"] == [0.1]
    assert type(data["values"][0]) is float


def test_each_leaf_knows_its_place() -> None:
    node = parse({"and": [FRUIT, {"not": FRUIT}]})
    assert [leaf.path for leaf in leaves(node)] == ["/filter/and/0", "/filter/and/1/not"]


@pytest.mark.parametrize("name", OPERATORS)
def test_a_negated_operator_turns_a_positive_one_round_over_the_same_types(name: str) -> None:
    operator = OPERATORS[name]
    base = OPERATORS[operator.base]
    assert not base.negated
    assert (operator.types, operator.least, operator.most) == (base.types, base.least, base.most)
    assert operator.types <= set(FieldType)


# Two-valued truth: the one traversal against a plain evaluator that knows each operator by itself.

Row = Mapping[str, int | str | None]


def _any(test: Callable[[Any, Any], bool]) -> Callable[[Any, tuple[Any, ...]], bool]:
    return lambda value, values: value is not None and any(test(value, each) for each in values)


NAIVE: dict[str, Callable[[Any, tuple[Any, ...]], bool]] = {
    "equals": lambda value, values: value is not None and value in values,
    "not_equals": lambda value, values: value is None or value not in values,
    "in": lambda value, values: value is not None and value in values,
    "not_in": lambda value, values: value is None or value not in values,
    "gt": _any(lambda value, each: value > each),
    "lte": _any(lambda value, each: value <= each),
    "between": lambda value, values: value is not None and values[0] <= value <= values[1],
    "is_null": lambda value, _: value is None,
    "is_not_null": lambda value, _: value is not None,
    "contains": _any(lambda value, each: each in value),
    "not_contains": lambda value, values: value is None or not any(each in value for each in values),
    "is_empty": lambda value, _: value is None or value == "",
    "is_not_empty": lambda value, _: value is not None and value != "",
}
ON_TEXT = ("contains", "not_contains", "is_empty", "is_not_empty", "equals", "not_in", "is_null")
ON_NUMBER = ("equals", "not_equals", "in", "not_in", "gt", "lte", "between", "is_null", "is_not_null")


def holds(node: Node, row: Row) -> bool:
    match node:
        case Leaf(field, operator, values):
            return NAIVE[operator.name](row[field], values)
        case And(children):
            return all(holds(child, row) for child in children)
        case Or(children):
            return any(holds(child, row) for child in children)
        case Not(child):
            return not holds(child, row)


def folded(node: Node, row: Row) -> bool:
    def leaf(leaf: Leaf, negated: bool) -> bool:
        return NAIVE[leaf.op.base](row[leaf.field], leaf.values) != negated

    return fold(node, leaf, all, any)


def _leaf(field: str, name: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    operator = OPERATORS[name]
    most = 3 if operator.most is None else operator.most
    taken = st.lists(values, min_size=operator.least, max_size=most)
    return taken.map(lambda chosen: {"field": field, "op": name, "values": chosen})


TEXTS, NUMBERS = st.sampled_from(["", "a", "ab", "b"]), st.integers(-2, 2)
TREES = st.recursive(
    st.one_of(*(_leaf("t", name, TEXTS) for name in ON_TEXT), *(_leaf("n", name, NUMBERS) for name in ON_NUMBER)),
    lambda below: st.one_of(
        st.lists(below, min_size=1, max_size=3).map(lambda children: {"and": children}),
        st.lists(below, min_size=1, max_size=3).map(lambda children: {"or": children}),
        below.map(lambda child: {"not": child}),
    ),
    max_leaves=12,
)
ROWS = st.fixed_dictionaries({"t": st.none() | TEXTS, "n": st.none() | NUMBERS})


@given(TREES, ROWS)
def test_the_fold_says_what_a_plain_evaluator_says(tree: dict[str, Any], row: Row) -> None:
    node = parse(tree)
    assert folded(node, row) is holds(node, row)


@given(TREES, ROWS)
def test_a_row_meets_a_filter_or_its_negation_never_both_nor_neither(tree: dict[str, Any], row: Row) -> None:
    assert folded(parse(tree), row) is not folded(parse({"not": tree}), row)


@given(TREES)
def test_the_fold_meets_every_leaf_once_in_order(tree: dict[str, Any]) -> None:
    node = parse(tree)
    met = fold(node, lambda leaf, _: [leaf], _joined, _joined)
    assert met == list(leaves(node))


def _joined(parts: list[list[Leaf]]) -> list[Leaf]:
    return [leaf for part in parts for leaf in part]


# Words


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (FRUIT, "fruit is apple"),
        ({"field": "n", "op": "is_null"}, "n is missing"),
        ({"field": "n", "op": "not_in", "values": [1, 2]}, "n is none of 1, 2"),
        ({"not": {"field": "n", "op": "lt", "values": [100]}}, "not (n under 100)"),
        ({"and": [FRUIT, {"field": "n", "op": "gt", "values": [Decimal("1.50")]}]}, "fruit is apple and n over 1.50"),
        ({"and": [FRUIT, {"or": [FRUIT, FRUIT]}]}, "fruit is apple and (fruit is apple or fruit is apple)"),
        ({"not": {"and": [FRUIT, FRUIT]}}, "not (fruit is apple and fruit is apple)"),
    ],
)
def test_a_tree_in_words(data: object, said: str) -> None:
    assert words(parse(data)) == said
