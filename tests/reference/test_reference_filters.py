"""The reference's filter leaves, held against query.md's sentences."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from reference.filter_reference import OPERATORS, Setting, check, leaf_test
from reference.model import Refused
from reference.time_reference import zone_named

SETTING = Setting(datetime(2018, 1, 1, 4, 59, 59, tzinfo=UTC), zone_named("America/New_York"))
LATE = datetime(2017, 3, 6, 4, 30, tzinfo=UTC)
"""Half past eleven in the evening of 2017-03-05 in New York."""


def holds(op: str, kind: str, values: list[Any], value: Any, **more: Any) -> bool:
    leaf = {"field": "f", "op": op, "values": values, **more}
    check(leaf)
    return leaf_test(leaf, kind, SETTING)(value)


@pytest.mark.parametrize(
    ("op", "values", "value", "expected"),
    [
        ("equals", ["a", "b"], "b", True),
        ("equals", ["A"], "a", False),
        ("not_equals", ["a", "b"], "b", False),
        ("not_in", ["a"], None, True),
        ("contains", ["%"], "a%b", True),
        ("contains", ["_"], "ab", False),
        ("contains", [""], None, False),
        ("not_contains", ["x"], None, True),
        ("starts_with", ["채"], "채소", True),
        ("not_ends_with", ["소"], "채소", False),
        ("matches", ["^G.*Y$"], "GROCERY", True),
        ("matches", ["OCE"], "GROCERY", True),
        ("matches", ["a$"], "a\n", False),
        ("is_null", [], None, True),
        ("is_null", [], "", False),
        ("is_not_null", [], "", True),
        ("is_empty", [], "", True),
        ("is_empty", [], None, True),
        ("is_not_empty", [], None, False),
    ],
)
def test_text(op: str, values: list[Any], value: Any, expected: bool) -> None:
    assert holds(op, "text", values, value) is expected


def test_case_counts_unless_it_is_ignored() -> None:
    assert holds("contains", "text", ["café"], "GRAND CAFÉ", ignore_case=True)
    assert holds("matches", "text", ["^gro"], "GROCERY", ignore_case=True)
    assert not holds("not_equals", "text", ["grocery"], "GROCERY", ignore_case=True)


@pytest.mark.parametrize(
    ("op", "values", "value", "expected"),
    [
        ("equals", [Decimal("0.1")], Decimal("0.1000"), True),
        ("gt", [5, 1], Decimal(2), True),
        ("gte", [2], Decimal(2), True),
        ("lt", [2], Decimal(2), False),
        ("between", [1, 2], Decimal(2), True),
        ("lt", [2], None, False),
        ("not_equals", [2], None, True),
    ],
)
def test_numbers(op: str, values: list[Any], value: Any, expected: bool) -> None:
    assert holds(op, "decimal", values, value) is expected


@pytest.mark.parametrize(
    ("op", "values", "expected"),
    [
        ("on", ["2017-03-05"], True),
        ("equals", ["2017-03-06"], False),
        ("after", ["2017-03-05"], False),
        ("after", ["2017-03-04"], True),
        ("gt", ["2017-03-05"], False),
        ("gte", ["2017-03-05"], True),
        ("before", ["2017-03-06"], True),
        ("lt", ["2017-03-05"], False),
        ("lte", ["2017-03-05"], True),
        ("between", ["2017-03-01", "2017-03-05"], True),
        ("in_range", ["2017-03-01", "2017-03-05"], True),
        ("in_range", ["2017-Q1"], True),
        ("in_range", ["last 7 days"], False),
        ("not_in_range", ["2017-03"], False),
        ("between", ["2017-03-06T04:00:00Z", "2017-03-06T04:30:00Z"], True),
        ("in_range", ["2017-03-06T04:00:00Z", "2017-03-06T04:30:00Z"], False),
        ("on", ["2017-03-06T04:30:00Z"], True),
        ("after", ["2017-03-06T04:29:59.999999Z"], True),
    ],
)
def test_dates_are_whole_days_in_the_zone(op: str, values: list[str], expected: bool) -> None:
    assert holds(op, "instant", values, LATE) is expected


def test_a_missing_time_is_on_no_day() -> None:
    assert not holds("on", "date", ["2017-03-05"], None)
    assert holds("not_on", "date", ["2017-03-05"], None)
    assert holds("not_in_range", "date", ["2017"], None)
    assert holds("lte", "date", ["2017-03-05"], date(2017, 3, 5))


@pytest.mark.parametrize(
    ("op", "kind", "values"),
    [
        ("contains", "decimal", ["1"]),
        ("gt", "text", ["a"]),
        ("is_empty", "integer", []),
        ("after", "integer", [1]),
        ("gt", "boolean", [True]),
        ("equals", "text", [1]),
        ("equals", "integer", ["1"]),
        ("equals", "integer", [True]),
        ("equals", "boolean", [1]),
        ("matches", "text", ["("]),
        ("matches", "text", ["(?=a)"]),
        ("between", "integer", [2, 1]),
        ("between", "date", ["2017-03-02", "2017-03-01"]),
        ("in_range", "instant", ["2017-03-02", "2017-03-01"]),
        ("on", "date", ["2017-03-05T00:00:00Z"]),
        ("on", "instant", ["2017-03-05T00:00:00"]),
        ("on", "instant", ["2017-03"]),
    ],
)
def test_what_a_leaf_cannot_say_is_refused(op: str, kind: str, values: list[Any]) -> None:
    with pytest.raises(Refused):
        holds(op, kind, values, None)


def test_the_tree_is_checked_without_rows() -> None:
    deep: dict[str, Any] = {"field": "f", "op": "is_null"}
    for _ in range(50):
        deep = {"not": deep}
    for tree in (
        {"and": []},
        {"or": [], "and": []},
        {"not": []},
        [],
        deep,
        {"field": "f", "op": "nope"},
        {"field": "f", "op": "in"},
    ):
        with pytest.raises(Refused):
            check(tree)


def test_every_operator_is_known() -> None:
    assert len(OPERATORS) == 27
