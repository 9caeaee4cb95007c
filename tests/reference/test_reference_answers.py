"""The reference's answers, held against examples worked by hand from query.md."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from reference.data import MODEL, TENANT_ZONE, frame
from reference.model import Refused
from reference.reference import ReferenceAnswer, answer, assert_same

NOW = datetime(2018, 1, 1, 4, 59, 59, tzinfo=UTC)


def line(value: str | None, at: str = "2017-03-01T12:00:00Z", **more: Any) -> dict[str, Any]:
    money = None if value is None else Decimal(value)
    defaults = {"household": "h1", "store": "1", "basket": "b1", "product": "p1", "quantity": 1}
    return defaults | {"sales_value": money, "sold_at": datetime.fromisoformat(at)} | more


def ask(rows: list[dict[str, Any]], visits: list[dict[str, Any]] | None = None, **request: Any) -> ReferenceAnswer:
    tables = {"sales": frame("sales", rows), "visits": frame("visits", visits or [])}
    return answer({"data_source": "sales", "measures": ["revenue"]} | request, tables, MODEL, NOW, TENANT_ZONE)


DEPARTMENTS = [
    line("60", department="GROCERY", basket="b1"),
    line("30", department="채소", basket="b2"),
    line("20", department="채소", basket="b3"),
    line("7.5", department="", basket="b4"),
    line("-2.5", department=None, basket="b5"),
]


def test_groups_come_by_code_point_with_null_last() -> None:
    found = ask(DEPARTMENTS, dimensions=["department"], measures=["revenue", "orders"], totals=True)
    assert found.columns == [("department", "dimension"), ("revenue", "measure"), ("orders", "measure")]
    assert found.rows == [["", Decimal("7.5"), 1], ["GROCERY", 60, 1], ["채소", 50, 2], [None, Decimal("-2.5"), 1]]
    assert found.totals == [None, 115, 5]
    assert not found.truncated


def test_over_no_rows_sums_and_counts_are_zero_and_others_null() -> None:
    names = [
        "revenue",
        "orders",
        "lines",
        "net",
        "weight_sum",
        "biggest",
        "spread",
        "average_line",
        "average_order_value",
        "markup",
    ]
    found = ask([], measures=names, totals=True)
    assert found.rows == [[0, 0, 0, 0, 0.0, None, None, None, None, None]]
    assert found.totals == found.rows[0]


def test_each_kind_of_measure() -> None:
    rows = [
        line("10.1", basket="b1", department="GROCERY", weight=0.5, returned=True),
        line("20.2", basket="b1", department=None, weight=None, returned=None),
        line(None, basket="b2", department="PRODUCE", weight=2.25, quantity=-3, returned=False),
    ]
    names = ["revenue", "orders", "lines", "priced_lines", "units", "departments", "returned_lines", "grocery_revenue", "net"]
    names += ["other_revenue", "biggest", "smallest", "spread", "average_line", "average_order_value", "markup", "weight_sum"]
    grocery, other = Decimal("10.1"), Decimal("20.2")
    expected = [Decimal("30.3"), 2, 3, 2, -1, 2, 1, grocery, other, other, other, grocery, grocery, 15.15, 15.15, 1515.0, 2.75]
    assert_same(ask(rows, measures=names).rows, [expected])


def test_a_sum_of_nothing_but_nulls_is_zero() -> None:
    found = ask([line(None)], measures=["revenue", "biggest", "average_line", "average_order_value"])
    assert found.rows == [[0, None, None, 0.0]]


def test_a_condition_keeps_null_rows_unless_it_names_them() -> None:
    not_grocery = {"not": {"field": "department", "op": "equals", "values": ["GROCERY"]}}
    assert ask(DEPARTMENTS, filter=not_grocery).rows == [[55]]
    assert ask(DEPARTMENTS, filter={"field": "department", "op": "not_equals", "values": ["GROCERY"]}).rows == [[55]]


def test_the_top_level_and_is_split_before_and_after_aggregation() -> None:
    conditions = [
        {"field": "product", "op": "equals", "values": ["p1"]},
        {"field": "revenue", "op": "gte", "values": [50]},
    ]
    found = ask(DEPARTMENTS, dimensions=["department"], filter={"and": conditions}, totals=True)
    assert found.rows == [["GROCERY", 60], ["채소", 50]]
    assert found.totals == [None, 115]


def test_a_mixed_subtree_needs_its_dimensions_grouped() -> None:
    either = [{"field": "department", "op": "is_null"}, {"field": "revenue", "op": "gt", "values": [55]}]
    assert ask(DEPARTMENTS, dimensions=["department"], filter={"or": either}).rows == [["GROCERY", 60], [None, Decimal("-2.5")]]
    with pytest.raises(Refused, match="invalid_request"):
        ask(DEPARTMENTS, filter={"or": either})


def test_measures_that_are_not_asked_for_filter_and_order() -> None:
    found = ask(
        DEPARTMENTS,
        dimensions=["department"],
        filter={"field": "orders", "op": "lte", "values": [1]},
        order=[{"field": "average_line", "direction": "desc"}],
    )
    assert [row[0] for row in found.rows] == ["GROCERY", "", None]


def test_nulls_are_last_in_both_directions_and_ties_by_dimensions() -> None:
    rows = [line(value, store=store) for value, store in (("5", "2"), ("5", "10"), ("1", "1"), (None, "3"))]
    for direction, expected in (("asc", ["1", "10", "2", "3"]), ("desc", ["10", "2", "1", "3"])):
        found = ask(rows, measures=["biggest"], dimensions=["store"], order=[{"field": "biggest", "direction": direction}])
        assert [row[0] for row in found.rows] == expected


def test_a_cut_answer_says_so() -> None:
    assert ask(DEPARTMENTS, dimensions=["department"], limit=2, offset=1).truncated
    last = ask(DEPARTMENTS, dimensions=["department"], limit=2, offset=2)
    assert not last.truncated
    assert [row[0] for row in last.rows] == ["채소", None]


def test_without_dimensions_the_one_row_is_there_before_having_and_offset() -> None:
    assert ask([], filter={"field": "revenue", "op": "gt", "values": [0]}).rows == []
    assert ask([], offset=1).rows == []


def test_days_are_the_zones() -> None:
    rows = [line("1", "2017-03-06T04:30:00Z"), line("2", "2017-03-06T05:00:00Z")]
    assert ask(rows, time_frequency="day").rows == [["2017-03-05", 1], ["2017-03-06", 2]]
    assert ask(rows, time={"zone": "Asia/Seoul"}, time_frequency="day").rows == [["2017-03-06", 3]]
    assert ask(rows, time={"range": ["2017-03-05", "2017-03-05"]}).rows == [[1]]
    half_open = ["2017-03-06T04:30:00Z", "2017-03-06T05:00:00Z"]
    assert ask(rows, time={"range": half_open}).rows == [[1]]


def test_the_hour_that_comes_twice_is_two_rows() -> None:
    rows = [line("1", "2017-11-05T05:59:59.999999Z"), line("2", "2017-11-05T06:00:00Z"), line("4", "2017-11-05T07:00:00Z")]
    expected = [["2017-11-05T01:00:00-04:00", 1], ["2017-11-05T01:00:00-05:00", 2], ["2017-11-05T02:00:00-05:00", 4]]
    assert ask(rows, time_frequency="hour").rows == expected


def test_weeks_begin_on_monday_or_sunday() -> None:
    rows = [line("1", "2017-12-31T12:00:00Z"), line("2", "2018-01-01T12:00:00Z")]
    assert ask(rows, time_frequency="week").rows == [["2017-12-25", 1], ["2018-01-01", 2]]
    assert ask(rows, time_frequency="sunday_week").rows == [["2017-12-31", 3]]


def test_a_measure_has_its_own_time_field() -> None:
    rows = [line("1", quantity=5, ordered_on=date(2017, 2, 28)), line("2", quantity=7, ordered_on=None)]
    names = ["revenue", "ordered_units"]
    assert ask(rows, measures=names, time_frequency="month").rows == [["2017-02-01", 0, 5], ["2017-03-01", 3, 0], [None, 0, 7]]
    assert ask(rows, measures=names, time={"field": "sold_at"}, time_frequency="month").rows == [["2017-03-01", 3, 12]]
    assert ask(rows, measures=names, time={"range": "2017-02"}).rows == [[0, 5]]


def test_a_dates_column_answers_no_hours_instants_or_other_zones() -> None:
    times: list[dict[str, Any]] = [
        {"time": {"field": "ordered_on"}, "time_frequency": "hour"},
        {"time": {"field": "ordered_on", "range": ["2017-03-01T00:00:00Z", "2017-03-02T00:00:00Z"]}},
        {"time": {"field": "ordered_on", "range": "2017", "zone": "Asia/Seoul"}},
    ]
    for request in times:
        with pytest.raises(Refused, match="unsupported"):
            ask([], **request)


MONTHS = [
    line("10", "2017-02-01T12:00:00Z", department="A"),
    line("20", "2017-02-28T12:00:00Z", department="B"),
    line("40", "2017-03-01T12:00:00Z", department="A"),
    line("80", "2017-03-31T12:00:00Z", department="C"),
]


def test_groups_of_either_range_are_rows() -> None:
    found = ask(MONTHS, dimensions=["department"], time={"range": "2017-03", "compare": "previous_period"}, totals=True)
    assert found.columns == [
        ("department", "dimension"),
        ("revenue", "measure"),
        ("revenue_compare", "compare"),
        ("revenue_change", "change"),
    ]
    assert found.rows == [["A", 40, 10, 3.0], ["B", 0, 20, -1.0], ["C", 80, 0, None]]
    assert found.totals == [None, 120, 30, 3.0]


def test_a_measure_that_is_no_sum_is_null_where_its_group_is_absent() -> None:
    found = ask(MONTHS, dimensions=["department"], measures=["biggest"], time={"range": "2017-03", "compare": "previous_period"})
    assert found.rows == [["A", 40, 10, 3.0], ["B", None, 20, None], ["C", 80, None, None]]


def test_buckets_pair_by_ordinal_and_an_unpaired_one_is_null() -> None:
    found = ask(MONTHS, time={"range": "2017-03", "compare": "previous_period"}, time_frequency="day")
    assert found.rows == [["2017-03-01", 40, 10, 3.0], ["2017-03-28", 0, 20, -1.0], ["2017-03-31", 80, None, None]]


def test_a_compared_bucket_without_a_partner_is_no_row() -> None:
    found = ask(MONTHS, time={"range": "2017-02", "compare": {"range": "2017-03"}}, time_frequency="day")
    assert found.rows == [["2017-02-01", 10, 40, -0.75], ["2017-02-28", 20, 0, None]]


def test_conditions_on_measures_look_at_the_current_range() -> None:
    over = {"field": "revenue", "op": "gt", "values": [15]}
    time = {"range": "2017-03", "compare": "previous_period"}
    assert [row[0] for row in ask(MONTHS, dimensions=["department"], time=time, filter=over).rows] == ["A", "C"]
    assert [row[0] for row in ask(MONTHS, dimensions=["department"], time=time, filter={"not": over}).rows] == ["B"]


def test_february_29_is_compared_as_28() -> None:
    rows = [line("1", "2016-02-29T12:00:00Z"), line("2", "2015-02-28T12:00:00Z")]
    assert ask(rows, time={"range": "2016-02-29", "compare": "previous_year"}).rows == [[1, 2, -0.5]]


def test_fill_gives_each_group_every_bucket() -> None:
    time = {"range": ["2017-03-30", "2017-04-01"], "fill": True}
    found = ask(MONTHS, measures=["revenue", "biggest"], dimensions=["department"], time=time, time_frequency="day")
    assert found.rows == [["2017-03-30", "C", 0, None], ["2017-03-31", "C", 80, 80], ["2017-04-01", "C", 0, None]]


def test_fill_without_dimensions_shows_a_range_without_rows() -> None:
    found = ask([], time={"range": ["2017-03-12", "2017-03-12"], "fill": True}, time_frequency="hour")
    assert len(found.rows) == 23
    assert ask([], time={"fill": True}, time_frequency="day").rows == []


def test_fill_without_a_range_is_from_the_first_to_the_last_found() -> None:
    found = ask(MONTHS, time={"fill": True}, time_frequency="month", dimensions=["department"])
    assert found.rows[:4] == [["2017-02-01", "A", 10], ["2017-02-01", "B", 20], ["2017-02-01", "C", 0], ["2017-03-01", "A", 40]]
    assert len(found.rows) == 6


def test_fill_comes_after_having_and_brings_the_bucket_back_empty() -> None:
    time = {"range": "2017-03", "compare": "previous_period", "fill": True}
    over = {"field": "revenue", "op": "gt", "values": [50]}
    rows = ask(MONTHS, time=time, time_frequency="day", filter=over).rows
    assert rows[0] == ["2017-03-01", 0, 0, None]
    assert rows[28] == ["2017-03-29", 0, None, None]
    assert rows[30] == ["2017-03-31", 80, None, None]


def test_the_crossing_row_is_a() -> None:
    rows = [
        line(value, store=store) for value, store in (("70", "1"), ("20", "2"), ("6", "3"), ("4", "4"), ("-5", "5"), (None, "6"))
    ]
    found = ask(rows, dimensions=["store"], analysis={"kind": "abc"}, totals=True)
    assert [name for name, role in found.columns if role == "analysis"] == ["share", "cumulative_share", "class"]
    expected = [
        ["1", 70, 0.7, 0.7, "A"],
        ["2", 20, 0.2, 0.9, "A"],
        ["3", 6, 0.06, 0.96, "B"],
        ["4", 4, 0.04, 1.0, "C"],
        ["6", 0, 0.0, 1.0, "C"],
        ["5", -5, 0.0, 1.0, "C"],
    ]
    assert_same(found.rows, expected)
    assert found.totals == [None, 95, None, None, None]


def test_abc_keeps_an_order_that_is_asked_for_and_its_ties_are_by_dimension() -> None:
    rows = [line("5", store=store) for store in ("2", "10", "1")]
    assert [row[0] for row in ask(rows, dimensions=["store"], analysis={"kind": "abc"}).rows] == ["1", "10", "2"]
    found = ask(rows, dimensions=["store"], analysis={"kind": "abc"}, order=[{"field": "store", "direction": "desc"}])
    assert [(row[0], row[4]) for row in found.rows] == [("2", "A"), ("10", "A"), ("1", "A")]


def test_abc_of_nothing_positive_is_c() -> None:
    found = ask([line("-1")], dimensions=["store"], analysis={"kind": "abc"})
    assert found.rows == [["1", -1, 0.0, 0.0, "C"]]


QUADRANT = [
    line("10", store="1", quantity=10),
    line("10", store="2", quantity=1),
    line("4", store="3", quantity=1),
    line("2", store="4", quantity=10),
    line(None, store="5", quantity=99),
]


@pytest.mark.parametrize(
    ("cut", "quadrants", "cuts"),
    [
        (None, [1, 4, 3, 2, None], {"x": 7.0, "y": 10.0}),
        ("mean", [4, 4, 3, 3, None], {"x": 6.5, "y": 24.2}),
        ({"x": 2, "y": Decimal("0.5")}, [1, 1, 1, 1, None], {"x": 2.0, "y": 0.5}),
    ],
)
def test_a_quadrant_is_high_from_the_cut_on(cut: Any, quadrants: list[int | None], cuts: dict[str, float]) -> None:
    analysis = {"kind": "quadrant"} | ({} if cut is None else {"cut": cut})
    found = ask(QUADRANT, measures=["biggest", "units"], dimensions=["store"], analysis=analysis)
    assert [row[3] for row in found.rows] == quadrants
    assert found.cuts == cuts


def test_two_sources_meet_on_shared_dimensions() -> None:
    sales = [line("5", store="1"), line("7", store="2")]
    visits = [{"store": "2", "household": "h1", "visited_at": datetime(2017, 3, 1, 12, tzinfo=UTC)}, {"store": "3"}]
    visits[1]["visited_at"] = datetime(2017, 3, 2, 12, tzinfo=UTC)
    found = ask(sales, visits, data_source=["sales", "visits"], measures=["revenue", "visits"], dimensions=["store"])
    assert found.rows == [["1", 5, 0], ["2", 7, 1], ["3", 0, 1]]


def test_tenants_narrow_the_rows_and_group_them() -> None:
    rows = [line("5", tenant="acme"), line("7", tenant="beta")]
    assert ask(rows, dimensions=["tenant"]).rows == [["acme", 5], ["beta", 7]]
    assert ask(rows, tenants=["beta"]).rows == [[7]]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"measures": []}, "out_of_bounds"),
        ({"measures": ["revenu"]}, "unknown_name"),
        ({"dimensions": ["sold_at"]}, "unknown_name"),
        ({"time": {"fill": True}}, "invalid_time"),
        ({"time": {"compare": "previous_year"}}, "invalid_time"),
        ({"time": {"zone": "Mars/Base"}}, "invalid_time"),
        ({"time_frequency": "decade"}, "unknown_name"),
        ({"analysis": {"kind": "abc"}}, "unsupported"),
        ({"analysis": {"kind": "abc"}, "dimensions": ["store"], "time_frequency": "day"}, "unsupported"),
        ({"analysis": {"kind": "quadrant"}, "dimensions": ["store"]}, "unsupported"),
        ({"limit": 0}, "out_of_bounds"),
        ({"limit": 10**9}, "out_of_bounds"),
        ({"order": [{"field": "store"}]}, "unknown_name"),
        ({"data_source": "returns"}, "unknown_name"),
        ({"surprise": 1}, "unknown_name"),
    ],
)
def test_what_has_no_answer_is_refused(request_: dict[str, Any], code: str) -> None:
    with pytest.raises(Refused, match=code):
        ask([], **request_)


def test_a_float_never_stands_for_money() -> None:
    assert_same([["2017-03-01", Decimal("1.50"), 0.3]], [[date(2017, 3, 1), Decimal("1.5"), 0.1 + 0.2]])
    for found in ([1.5], [Decimal("1.5001")], ["1.5"], [None], [True]):
        with pytest.raises(AssertionError):
            assert_same([found], [[Decimal("1.5")]])
    with pytest.raises(AssertionError):
        assert_same([], [[1]])
