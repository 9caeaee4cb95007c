"""Questions over the test sources: `cases()` for valid ones with their tables; `invalid` has refused ones.

    @given(cases())
    def test_the_system_answers_as_the_reference(case):
        expected = answer(case.request, case.held_tables, MODEL, NOW, TENANT_ZONE)
        found = system(to_json(case.request), case.tables)
        assert_same(found.rows, expected.rows)

Requests hold Python values (Decimals for fractions); `to_json` writes them with their exact digits.
"""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

import pandas as pd
from hypothesis import strategies as st
from reference.conditions import Fields, filters, types_of
from reference.data import MODEL, SOURCES, TENANT_ZONE, TENANTS, of_tenants
from reference.rows import ANCHORS, tables

Request = dict[str, Any]
NOW: Final = datetime(2018, 1, 1, 4, 59, 59, tzinfo=UTC)
"""2017-12-31T23:59:59 in New York."""
ZONES: Final = ("America/New_York", "Asia/Seoul", "Australia/Lord_Howe")
COARSE: Final = ("day", "week", "sunday_week", "month", "quarter", "year")
NEAR_NOW: Final = ("today", "yesterday", "this week", "last week", "this month", "last month", "this quarter", "last quarter")
NEAR_NOW_LONG: Final = (
    "this year",
    "last year",
    "last 12 months",
    "last 3 quarters",
    "last 2 years",
    "last 5 weeks",
    "last 45 days",
)
DATED: Final = "ordered_units"
"""The measure whose own time field is a date."""


@dataclass(frozen=True)
class Case:
    """A request and the tables to load; the principal holds the tenants `held`."""

    request: Request
    tables: dict[str, pd.DataFrame]
    held: tuple[str, ...]

    @property
    def held_tables(self) -> dict[str, pd.DataFrame]:
        return of_tenants(self.tables, self.held)


@st.composite
def cases(draw: st.DrawFn, held: tuple[str, ...] = TENANTS[:1], both_sources: bool = False, order_by_columns: bool = True) -> Case:
    """Valid questions. `both_sources` asks `sales` and `visits` at once; with several tenants in `held` it also groups by and
    narrows tenants; `order_by_columns` orders by compare, change and analysis columns too."""
    exact, anchor = draw(st.integers(0, 3)) > 0, draw(st.sampled_from(ANCHORS))
    data = draw(tables(anchor, exact))
    return Case(draw(requests(anchor, exact, held, both_sources, order_by_columns)), data, held)


@st.composite
def requests(
    draw: st.DrawFn,
    anchor: datetime,
    exact: bool = True,
    held: tuple[str, ...] = TENANTS[:1],
    both_sources: bool = False,
    order_by_columns: bool = True,
) -> Request:
    """Valid requests that ask around the anchor (see `rows`)."""
    sources = tuple(SOURCES) if both_sources else ("sales",)
    kind = draw(st.sampled_from(("plain",) * 5 + ("abc", "quadrant")))
    dated = not both_sources and draw(st.integers(0, 3)) == 0
    request: Request = {"data_source": list(sources) if both_sources else draw(st.sampled_from(("sales", ["sales"])))}
    request["measures"] = draw(_measures(sources, dated, kind, exact))
    if dimensions := draw(_dimensions(sources, held, kind)):
        request["dimensions"] = dimensions
    request |= draw(_times(anchor, dated, is_plain=kind == "plain"))
    if draw(st.integers(0, 2)) > 0:
        request["filter"] = draw(filters(_fields(request, sources, anchor)))
    if kind != "plain" or draw(st.integers(0, 9)) == 0:
        request["analysis"] = draw(_analysis(kind, request, exact))
    if order := draw(_order(request, sources, exact, order_by_columns)):
        request["order"] = order
    request |= draw(st.fixed_dictionaries({}, optional={"totals": st.booleans(), "limit": _limits(), "offset": st.integers(0, 5)}))
    if len(held) > 1 and draw(st.booleans()):
        request["tenants"] = draw(st.lists(st.sampled_from(held), min_size=1, unique=True))
    return request


def _limits() -> st.SearchStrategy[int]:
    return st.one_of(st.integers(1, 12), st.just(1_000_000))


def measure_types(sources: tuple[str, ...]) -> dict[str, str]:
    return {name: measure.type for source in sources for name, measure in SOURCES[source].measures.items()}


def is_steady(name: str, types: dict[str, str]) -> bool:
    """Its values are exact in every data set, so that ties and limits are the same however it was computed."""
    return types[name] != "double" or name.startswith("weight")


@st.composite
def _measures(draw: st.DrawFn, sources: tuple[str, ...], dated: bool, kind: str, exact: bool) -> list[str]:
    types = measure_types(sources)
    names = [name for name in types if dated or name != DATED]
    least = 2 if kind == "quadrant" else 1
    ranked = {"abc": 1, "quadrant": 2, "plain": 0}[kind]
    steady = [name for name in names if exact or is_steady(name, types)]
    first = draw(st.lists(st.sampled_from(steady), min_size=ranked, max_size=ranked, unique=True)) if ranked else []
    more = draw(st.lists(st.sampled_from(names), min_size=max(least - ranked, 0), max_size=4 - ranked, unique=True))
    return first + [name for name in more if name not in first]


def _dimensions(sources: tuple[str, ...], held: tuple[str, ...], kind: str) -> st.SearchStrategy[list[str]]:
    if len(sources) > 1:
        pool = ["household", "store"]
    else:
        pool = (
            ["department"] * 3
            + ["store"] * 2
            + ["product", "household", "returned", "quantity", "ordered_on", "line_value", "weight"]
        )
    if len(held) > 1:
        pool += ["tenant", "tenant"]
    return st.lists(st.sampled_from(pool), min_size=0 if kind == "plain" else 1, max_size=3).map(
        lambda names: list(dict.fromkeys(names))
    )


@st.composite
def _times(draw: st.DrawFn, anchor: datetime, dated: bool, is_plain: bool) -> Request:
    """`time` and `time_frequency`. Where the time is a date's, nothing is finer than a day and no other zone is named."""
    frequencies = ("day", "day", *COARSE) if dated else ("minute", "hour", "hour", "hour", "day", "day", *COARSE)
    frequency = draw(st.sampled_from((None, None, *frequencies))) if is_plain else None
    zone = None if dated else draw(st.sampled_from((None, None, None, *ZONES)))
    time: Request = {} if zone is None else {"zone": zone}
    if dated and draw(st.booleans()):
        time["field"] = draw(st.sampled_from(("sold_at", "ordered_on")))
    fill = frequency is not None and draw(st.integers(0, 2)) == 0
    size = {"minute": "hours", "hour": "days", "day": "month" if fill else "any"}.get(frequency or "", "any")
    if draw(st.integers(0, 3)) > 0 or (fill and frequency in ("minute", "hour", "day")):
        time["range"] = draw(ranges(anchor, ZoneInfo(zone or TENANT_ZONE), size, instants=not dated))
        if draw(st.booleans()):
            time["compare"] = draw(_compares(anchor, ZoneInfo(zone or TENANT_ZONE), size, instants=not dated))
    if fill:
        time["fill"] = True
    return ({"time": time} if time else {}) | ({"time_frequency": frequency} if frequency else {})


def _compares(anchor: datetime, zone: ZoneInfo, size: str, instants: bool) -> st.SearchStrategy[Any]:
    earlier = anchor - timedelta(days=7)
    given = ranges(earlier, zone, size, instants).map(lambda found: {"range": found})
    return st.one_of(st.sampled_from(("previous_period", "previous_year", "previous_year_by_weekday")), given)


@st.composite
def ranges(draw: st.DrawFn, anchor: datetime, zone: ZoneInfo, size: str, instants: bool = True) -> Any:
    """A range around the anchor, at most some hours, some days, about a month, or of any length."""
    today, now_day = anchor.astimezone(zone).date(), NOW.astimezone(zone).date()
    if size == "hours" or (instants and draw(st.integers(0, 3)) == 0):
        start = anchor + timedelta(minutes=draw(st.integers(-12, 12)) * 10)
        most = {"hours": 18, "days": 300}.get(size, 4000)
        end = start + timedelta(minutes=10 * draw(st.integers(1, most)))
        return [_written(start, draw(st.sampled_from((UTC, zone)))), _written(end, zone)]
    words = {"days": (), "month": _month_words(today), "any": (*_month_words(today), *_year_words(today))}[size]
    if abs((today - now_day).days) <= 7:
        words += {"days": NEAR_NOW[:2], "month": NEAR_NOW[:6], "any": NEAR_NOW + NEAR_NOW_LONG}[size]
    if draw(st.booleans()):
        return draw(st.sampled_from((today.isoformat(), *words, *words)))
    first = today + timedelta(days=draw(st.integers(-2, 1) if size == "days" else st.integers(-30, 2)))
    longest = {"days": 2, "month": 31, "any": 90}[size]
    return [first.isoformat(), (first + timedelta(days=draw(st.integers(0, longest)))).isoformat()]


def _written(at: datetime, zone: Any) -> str:
    """The instant with its offset, in UTC as `…Z` at times."""
    return at.astimezone(zone).isoformat().replace("+00:00", "Z")


def _month_words(day: date) -> tuple[str, ...]:
    return (f"{day:%Y-%m}",)


def _year_words(day: date) -> tuple[str, ...]:
    return (f"{day:%Y}", f"{day:%Y}-Q{(day.month + 2) // 3}")


def _time_fields(request: Request, names: list[str]) -> set[str]:
    """The time fields that the measures go by."""
    given = request.get("time", {}).get("field")
    if given is not None:
        return {given}
    sources = [source for name in names for source in SOURCES.values() if name in source.measures]
    own = [source.measures[name].time_field for name, source in zip(names, sources, strict=True)]
    return {field or source.default_time_field for field, source in zip(own, sources, strict=True)}


def extra_measures(request: Request, sources: tuple[str, ...]) -> dict[str, str]:
    """Measures to filter or order by, asked for or not: those that go by the same times as the asked ones."""
    there = _time_fields(request, request["measures"])
    return {name: kind for name, kind in measure_types(sources).items() if _time_fields(request, [name]) <= there}


def _fields(request: Request, sources: tuple[str, ...], anchor: datetime) -> Fields:
    types = types_of("sales")
    if len(sources) > 1:
        names = ["household", "store"]
    else:
        rezoned = request.get("time", {}).get("zone", TENANT_ZONE) != TENANT_ZONE
        names = [
            "department",
            "department",
            *(name for name in types if name != "tenant" and not (rezoned and name == "ordered_on")),
        ]
    return Fields(
        anchor=anchor,
        rows=tuple((name, types[name]) for name in names),
        grouped=tuple((name, types[name]) for name in request.get("dimensions", []) if name in names),
        measures=tuple(extra_measures(request, sources).items()),
        qualifier="sales" if len(sources) == 1 else None,
    )


@st.composite
def _analysis(draw: st.DrawFn, kind: str, request: Request, exact: bool) -> Request:
    """Limits that a double's last digit can't decide: odd ones for ratios, means only of exact values."""
    types = measure_types(tuple(SOURCES))
    if kind == "abc":
        odd = [Decimal("0.5713"), Decimal("0.9137")]
        if not is_steady(request["measures"][0], types):
            return {"kind": kind, "thresholds": odd}
        return {"kind": kind} | draw(st.sampled_from(({}, {}, {"thresholds": [Decimal("0.5"), 1]}, {"thresholds": odd})))
    if kind == "quadrant":
        steady = all(is_steady(name, types) for name in request["measures"][:2])
        given = {"x": Decimal("3.1234567"), "y": Decimal("12.3456789")}
        cuts = [{}, {"cut": "median"}, {"cut": given}, *([{"cut": "mean"}, {"cut": {"x": 2, "y": 0}}] if steady and exact else [])]
        return {"kind": kind} | draw(st.sampled_from(cuts))
    return {"kind": kind}


@st.composite
def _order(draw: st.DrawFn, request: Request, sources: tuple[str, ...], exact: bool, columns: bool) -> list[Request]:
    types = measure_types(sources)
    steady = [name for name in extra_measures(request, sources) if exact or is_steady(name, types)]
    names = steady + [name for name in request["measures"] if name in steady] * 3 + request.get("dimensions", []) * 3
    names += ["time"] * 4 if "time_frequency" in request else []
    names += _column_names(request, exact, types) if columns else []
    keys = draw(st.lists(st.sampled_from(names), max_size=3, unique=True)) if names and draw(st.booleans()) else []
    directions = st.sampled_from(({}, {"direction": "asc"}, {"direction": "desc"}, {"direction": "desc"}))
    return [{"field": name} | draw(directions) for name in keys]


def _column_names(request: Request, exact: bool, types: dict[str, str]) -> list[str]:
    steady = [name for name in request["measures"] if is_steady(name, types)]
    names = [f"{name}_compare" for name in steady] if "compare" in request.get("time", {}) else []
    if exact and "compare" in request.get("time", {}):
        names += [f"{name}_change" for name in steady]
    kind = request.get("analysis", {}).get("kind", "plain")
    if kind == "abc" and exact and request["measures"][0] in steady:
        names += ["share", "cumulative_share", "class"]
    return names + (["quadrant"] * 2 if kind == "quadrant" else [])


def to_json(value: Any) -> str:
    """The request as JSON; a Decimal keeps its digits and never passes through a float."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {to_json(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(to_json, value)) + "]"
    return format(value, "f") if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)


__all__ = ["MODEL", "NOW", "TENANT_ZONE", "Case", "cases", "ranges", "requests", "to_json"]
