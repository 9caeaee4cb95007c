"""Requests that have no answer, each with the codes that may refuse it."""

from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st

Request = dict[str, Any]


@dataclass(frozen=True)
class Invalid:
    """`codes` are the errors' codes that fit; the wire's status is 422 for each. `why` is for people."""

    why: str
    request: Request
    codes: frozenset[str]


def _leaf(field: str, op: str, *values: Any, **more: Any) -> Request:
    return {"filter": {"field": field, "op": op, "values": list(values)} | more}


def _deep(levels: int) -> Request:
    node: Request = {"field": "store", "op": "is_null"}
    for _ in range(levels):
        node = {"not": node}
    return {"filter": node}


UNKNOWN, TYPE, TIME = ("unknown_name",), ("wrong_type",), ("invalid_time",)
BOUNDS, SHAPE = ("out_of_bounds",), ("invalid_request",)
CANNOT = ("unsupported", "invalid_request", "invalid_time")

MISTAKES: Final[tuple[tuple[str, Request, tuple[str, ...]], ...]] = (
    ("an unknown key", {"measure": ["revenue"]}, UNKNOWN),
    ("an unknown data source", {"data_source": "sale"}, UNKNOWN),
    ("no data source", {"data_source": []}, BOUNDS),
    ("an unknown measure", {"measures": ["revenues"]}, UNKNOWN),
    ("a measure of another data source", {"measures": ["visits.visits"]}, UNKNOWN),
    ("SQL for a measure", {"measures": ["revenue; drop table sales"]}, UNKNOWN),
    ("a formula for a measure", {"measures": ["sum(sales_value)"]}, UNKNOWN),
    ("no measure", {"measures": []}, BOUNDS),
    ("a text for the measures", {"measures": "revenue"}, TYPE),
    ("an unknown dimension", {"dimensions": ["departement"]}, UNKNOWN),
    ("SQL for a dimension", {"dimensions": ['store"; --']}, UNKNOWN),
    ("a column that is no dimension", {"dimensions": ["sales_value"]}, UNKNOWN),
    ("a time field as a dimension", {"dimensions": ["sold_at"]}, UNKNOWN),
    ("an unknown field in a filter", _leaf("departments_", "equals", "x"), UNKNOWN),
    ("an unknown operator", _leaf("department", "like", "x"), UNKNOWN),
    ("an unknown key of a leaf", _leaf("department", "equals", "x", case="no"), UNKNOWN),
    ("a leaf and a group in one", {"filter": {"and": [], "field": "store", "op": "is_null"}}, SHAPE),
    ("an empty and", {"filter": {"and": []}}, SHAPE),
    ("an empty or below", {"filter": {"not": {"or": []}}}, SHAPE),
    ("a list for a filter", {"filter": [{"field": "store", "op": "is_null"}]}, TYPE),
    ("an object for an and", {"filter": {"and": {"field": "store", "op": "is_null"}}}, TYPE),
    ("a filter 51 levels deep", _deep(50), BOUNDS),
    ("a filter 500 levels deep", _deep(500), BOUNDS),
    ("too many values", _leaf("store", "in", *map(str, range(10_001))), BOUNDS),
    ("no value", _leaf("store", "equals"), SHAPE),
    ("a value too many", _leaf("store", "is_null", "x"), SHAPE),
    ("one end of between", _leaf("quantity", "between", 1), SHAPE),
    ("between turned round", _leaf("quantity", "between", 2, 1), ("invalid_request", "out_of_bounds")),
    ("dates of between turned round", _leaf("sold_at", "between", "2017-03-02", "2017-03-01"), ("invalid_time", "invalid_request")),
    ("in_range turned round", _leaf("sold_at", "in_range", "2017-03-02", "2017-03-01"), ("invalid_time", "invalid_request")),
    ("a null value", _leaf("store", "equals", None), TYPE),
    ("a number for a text", _leaf("store", "equals", 1), TYPE),
    ("a text for a number", _leaf("quantity", "gt", "1"), TYPE),
    ("true for a number", _leaf("quantity", "equals", True), TYPE),
    ("one for a boolean", _leaf("returned", "equals", 1), TYPE),
    ("a text for a measure", _leaf("revenue", "gt", "100"), TYPE),
    ("a text operator on a number", _leaf("quantity", "contains", "1"), TYPE),
    ("a text operator on a measure", _leaf("revenue", "starts_with", "1"), TYPE),
    ("an order of texts", _leaf("department", "gt", "A"), TYPE),
    ("a time operator on a text", _leaf("department", "after", "2017-03-01"), TYPE),
    ("emptiness of a number", {"filter": {"field": "quantity", "op": "is_empty"}}, TYPE),
    ("a pattern that isn't one", _leaf("department", "matches", "("), SHAPE),
    ("a pattern that RE2 lacks", _leaf("department", "matches", "(?=GROCERY)"), SHAPE),
    ("a back-reference", _leaf("department", "matches", r"(a)\1"), SHAPE),
    ("a day that doesn't exist", _leaf("sold_at", "on", "2017-02-29"), TIME),
    ("a naive instant in a filter", _leaf("sold_at", "after", "2017-03-01T00:00:00"), TIME),
    ("an instant on a date", _leaf("ordered_on", "on", "2017-03-01T00:00:00Z"), (*TIME, "wrong_type", "unsupported")),
    (
        "a mixed or whose dimension isn't grouped",
        {"filter": {"or": [{"field": "store", "op": "is_null"}, {"field": "revenue", "op": "gt", "values": [1]}]}},
        ("invalid_request", "unsupported"),
    ),
    ("a range turned round", {"time": {"range": ["2017-03-31", "2017-03-01"]}}, TIME),
    ("instants turned round", {"time": {"range": ["2017-03-31T00:00:00Z", "2017-03-01T00:00:00Z"]}}, TIME),
    ("naive instants", {"time": {"range": ["2017-03-01T00:00:00", "2017-03-02T00:00:00"]}}, TIME),
    ("a date and an instant", {"time": {"range": ["2017-03-01", "2017-03-02T00:00:00Z"]}}, TIME),
    ("a range of one", {"time": {"range": ["2017-03-01"]}}, (*TIME, "out_of_bounds", "invalid_request")),
    ("a number for a range", {"time": {"range": 2017}}, TYPE),
    ("an unknown word", {"time": {"range": "next week"}}, TIME),
    ("a quarter that doesn't exist", {"time": {"range": "2017-Q5"}}, TIME),
    ("a month that doesn't exist", {"time": {"range": "2017-13"}}, TIME),
    ("the last 0 days", {"time": {"range": "last 0 days"}}, (*TIME, "out_of_bounds")),
    ("years before the calendar", {"time": {"range": "last 99999 years"}}, (*TIME, "out_of_bounds")),
    ("SQL for a range", {"time": {"range": "2017' or '1'='1"}}, TIME),
    ("a zone that doesn't exist", {"time": {"zone": "America/New_Yrok"}}, (*TIME, "unknown_name")),
    ("a path for a zone", {"time": {"zone": "../../etc/passwd"}}, (*TIME, "unknown_name")),
    ("an unknown time field", {"time": {"field": "paid_at", "range": "2017"}}, (*UNKNOWN, "invalid_time")),
    ("an unknown comparison", {"time": {"range": "2017", "compare": "previous_decade"}}, (*UNKNOWN, "wrong_type")),
    ("a comparison without a range", {"time": {"compare": "previous_year"}}, CANNOT),
    ("fill without a frequency", {"time": {"range": "2017-03", "fill": True}}, CANNOT),
    ("a text for fill", {"time": {"range": "2017-03", "fill": "yes"}, "time_frequency": "day"}, TYPE),
    ("an unknown frequency", {"time_frequency": "fortnight"}, UNKNOWN),
    ("hours of a date", {"time": {"field": "ordered_on"}, "time_frequency": "hour"}, CANNOT),
    ("hours of a measure by date", {"measures": ["ordered_units"], "time_frequency": "hour"}, CANNOT),
    ("instants of a date", {"time": {"field": "ordered_on", "range": ["2017-03-01T00:00:00Z", "2017-03-02T00:00:00Z"]}}, CANNOT),
    ("a date moved to another zone", {"time": {"field": "ordered_on", "range": "2017", "zone": "Asia/Seoul"}}, CANNOT),
    ("an unknown analysis", {"analysis": {"kind": "xyz"}, "dimensions": ["store"]}, UNKNOWN),
    ("an unknown parameter", {"analysis": {"kind": "abc", "cut": "mean"}, "dimensions": ["store"]}, UNKNOWN),
    ("abc without dimensions", {"analysis": {"kind": "abc"}}, CANNOT),
    ("abc by day", {"analysis": {"kind": "abc"}, "dimensions": ["store"], "time_frequency": "day"}, CANNOT),
    ("thresholds turned round", {"analysis": {"kind": "abc", "thresholds": [0.9, 0.5]}, "dimensions": ["store"]}, BOUNDS + SHAPE),
    ("a text for thresholds", {"analysis": {"kind": "abc", "thresholds": "high"}, "dimensions": ["store"]}, TYPE),
    ("quadrant of one measure", {"analysis": {"kind": "quadrant"}, "dimensions": ["store"]}, CANNOT),
    ("quadrant without dimensions", {"analysis": {"kind": "quadrant"}, "measures": ["revenue", "units"]}, CANNOT),
    (
        "an unknown cut",
        {"analysis": {"kind": "quadrant", "cut": "mode"}, "measures": ["revenue", "units"], "dimensions": ["store"]},
        (*UNKNOWN, "wrong_type"),
    ),
    ("an order by what isn't asked", {"order": [{"field": "store"}]}, (*UNKNOWN, "invalid_request")),
    ("an order by time without one", {"order": [{"field": "time"}]}, (*UNKNOWN, "invalid_request")),
    ("an unknown direction", {"order": [{"field": "revenue", "direction": "down"}]}, UNKNOWN),
    ("an order without a field", {"order": [{"direction": "asc"}]}, SHAPE),
    ("a limit of 0", {"limit": 0}, BOUNDS),
    ("a limit of a billion", {"limit": 10**9}, BOUNDS),
    ("a text for a limit", {"limit": "10"}, TYPE),
    ("an offset below 0", {"offset": -1}, BOUNDS),
    ("a text for totals", {"totals": "yes"}, TYPE),
)


def invalid_requests() -> st.SearchStrategy[Invalid]:
    """A mistake in a request that is otherwise right."""
    base: Request = {"data_source": "sales", "measures": ["revenue"]}
    known = [Invalid(why, base | mistake, frozenset(codes)) for why, mistake, codes in MISTAKES]
    harmless = st.fixed_dictionaries(
        {}, optional={"totals": st.booleans(), "limit": st.integers(1, 9), "offset": st.integers(0, 3)}
    )
    return st.builds(lambda one, more: Invalid(one.why, more | one.request, one.codes), st.sampled_from(known), harmless)
