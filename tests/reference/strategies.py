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
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any, Final
from zoneinfo import ZoneInfo

import pandas as pd
from hypothesis import strategies as st
from reference.conditions import Fields, filter_tree, types_of
from reference.data import SOURCES, TENANT_ZONE, TENANTS, frame, of_tenants
from reference.rows import ANCHORS, sales_row, tables, visits_row

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
OPTIONAL: Final = ("filter", "order", "totals", "limit", "offset", "tenants")
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
    narrows tenants; `order_by_columns` orders by compare, change and analysis columns too.

    A request is a function of a number, so that every corner is as likely as meant; a failing one shrinks by leaving its optional
    parts out, its tables by leaving out rows."""
    scope = _scope(Random(draw(st.integers(0, 2**48))), held, both_sources, order_by_columns)
    return Case(draw(_without_parts(random_request(scope))), draw(tables(scope.anchor, scope.exact)), held)


def case_of(number: int, held: tuple[str, ...] = TENANTS[:1], both_sources: bool = False, order_by_columns: bool = True) -> Case:
    """The case of a number, without Hypothesis: quick to make by the hundred, evenly spread, the same in every run."""
    chance = Random(number)
    scope = _scope(chance, held, both_sources, order_by_columns)
    request = random_request(scope)
    sales = [sales_row(chance.getrandbits(20), scope.anchor, scope.exact) for _ in range(chance.choice((0, 1, *(25, 40) * 4)))]
    visits = [visits_row(chance.getrandbits(20), scope.anchor) for _ in range(chance.choice((0, 5, 12)))]
    return Case(request, {"sales": frame("sales", sales), "visits": frame("visits", visits)}, held)


def _scope(chance: Random, held: tuple[str, ...], both_sources: bool, order_by_columns: bool) -> "Scope":
    exact, anchor = chance.random() < 0.75, chance.choice(ANCHORS)
    return Scope(chance, anchor, exact, held, tuple(SOURCES) if both_sources else ("sales",), order_by_columns)


@st.composite
def _without_parts(draw: st.DrawFn, request: Request) -> Request:
    """The request, now and then without some of its optional parts: a shrinking one loses what isn't needed to fail."""
    if draw(st.integers(0, 9)) > 0 or "analysis" in request:
        return request
    kept = [key for key in request if key not in OPTIONAL or draw(st.booleans())]
    return {key: request[key] for key in kept}


@dataclass(frozen=True)
class Scope:
    """What a random request is drawn by. `exact`: see `rows`."""

    chance: Random
    anchor: datetime
    exact: bool
    held: tuple[str, ...]
    sources: tuple[str, ...]
    order_by_columns: bool


def random_request(scope: Scope) -> Request:
    """A valid request that asks around the scope's anchor."""
    chance, both = scope.chance, len(scope.sources) > 1
    kind = chance.choice(("plain",) * 5 + ("abc", "quadrant"))
    dated = not both and chance.random() < 0.25
    request: Request = {"data_source": list(scope.sources) if both else chance.choice(("sales", ["sales"]))}
    request["measures"] = _measures(scope, dated, kind)
    if dimensions := _dimensions(scope, kind):
        request["dimensions"] = dimensions
    request |= _times(chance, scope.anchor, dated, is_plain=kind == "plain")
    if chance.random() < 0.6:
        request["filter"] = filter_tree(chance, _fields(request, scope))
    if kind != "plain" or chance.random() < 0.1:
        request["analysis"] = _analysis(chance, kind, request, scope.exact)
    if chance.random() < 0.5 and (order := _order(request, scope)):
        request["order"] = order
    optional = {
        "totals": chance.random() < 0.8,
        "limit": chance.choice((1_000_000, *range(1, 13))),
        "offset": chance.choice((0, 1, 1, 2, 5)),
    }
    request |= {
        key: value for key, value in optional.items() if chance.random() < {"totals": 0.5, "limit": 0.25, "offset": 0.15}[key]
    }
    if len(scope.held) > 1 and chance.random() < 0.5:
        request["tenants"] = chance.sample(scope.held, k=chance.randint(1, len(scope.held)))
    return request


def measure_types(sources: tuple[str, ...]) -> dict[str, str]:
    return {name: measure.type for source in sources for name, measure in SOURCES[source].measures.items()}


def is_steady(name: str, types: dict[str, str]) -> bool:
    """Its values are exact in every data set, so that ties and limits are the same however it was computed."""
    return types[name] != "double" or name.startswith("weight")


def _measures(scope: Scope, dated: bool, kind: str) -> list[str]:
    types = measure_types(scope.sources)
    names = [name for name in types if dated or name != DATED] + ([DATED] * 5 if dated else [])
    ranked = {"abc": 1, "quadrant": 2, "plain": 0}[kind]
    steady = [name for name in names if scope.exact or is_steady(name, types)]
    first = list(dict.fromkeys(scope.chance.sample(steady, k=ranked + 6)))[:ranked]
    more = scope.chance.choices(names, k=scope.chance.randint(0 if ranked else 1, 3))
    return list(dict.fromkeys(first + more))


def _dimensions(scope: Scope, kind: str) -> list[str]:
    if len(scope.sources) > 1:
        pool = ["household", "store"]
    else:
        pool = (
            ["department"] * 3
            + ["store"] * 2
            + ["product", "household", "returned", "quantity", "ordered_on", "line_value", "weight"]
        )
    if len(scope.held) > 1:
        pool += ["tenant", "tenant"]
    count = scope.chance.choice((0, 1, 1, 2, 3) if kind == "plain" else (1, 1, 1, 2, 3))
    return list(dict.fromkeys(scope.chance.choices(pool, k=count)))


def _times(chance: Random, anchor: datetime, dated: bool, is_plain: bool) -> Request:
    """`time` and `time_frequency`. Where the time is a date's, nothing is finer than a day and no other zone is named."""
    frequencies = ("day", "day", *COARSE) if dated else ("minute", "hour", "hour", "hour", "day", "day", *COARSE)
    frequency = chance.choice((None, None, None, *frequencies)) if is_plain else None
    zone = None if dated else chance.choice((None, None, None, *ZONES))
    time: Request = {} if zone is None else {"zone": zone}
    if dated and chance.random() < 0.5:
        time["field"] = chance.choice(("sold_at", "ordered_on"))
    fill = frequency is not None and chance.random() < 0.4
    size = {"minute": "hours", "hour": "days", "day": "month" if fill else "any"}.get(frequency or "", "any")
    if chance.random() < 0.75 or (fill and frequency in ("minute", "hour", "day")):
        place = (ZoneInfo(zone or TENANT_ZONE), size, not dated)
        time["range"] = random_range(chance, anchor, *place)
        if chance.random() < 0.5:
            given = {"range": random_range(chance, anchor - timedelta(days=chance.choice((1, 7, 31, 365))), *place)}
            time["compare"] = chance.choice(("previous_period", "previous_year", "previous_year_by_weekday", given))
    if fill:
        time["fill"] = True
    return ({"time": time} if time else {}) | ({"time_frequency": frequency} if frequency else {})


def random_range(chance: Random, anchor: datetime, zone: ZoneInfo, size: str, instants: bool = True) -> Any:
    """A range around the anchor, at most some hours, some days, about a month, or of any length."""
    today, now_day = anchor.astimezone(zone).date(), NOW.astimezone(zone).date()
    if size == "hours" or (instants and chance.random() < 0.25):
        start = anchor + timedelta(minutes=chance.randint(-12, 12) * 10)
        end = start + timedelta(minutes=10 * chance.randint(1, {"hours": 18, "days": 300}.get(size, 4000)))
        return [_written(start, chance.choice((UTC, zone))), _written(end, zone)]
    year, month = (f"{today:%Y}", f"{today:%Y}-Q{(today.month + 2) // 3}"), (f"{today:%Y-%m}",)
    words: tuple[str, ...] = {"days": (), "month": month, "any": month + year}[size]
    if abs((today - now_day).days) <= 7:
        words += {"days": NEAR_NOW[:2], "month": NEAR_NOW[:6], "any": NEAR_NOW + NEAR_NOW_LONG}[size]
    if chance.random() < 0.5:
        return chance.choice((today.isoformat(), *words))
    first = today + timedelta(days=chance.randint(-2, 1) if size == "days" else chance.randint(-30, 2))
    return [first.isoformat(), (first + timedelta(days=chance.randint(0, {"days": 2, "month": 31, "any": 90}[size]))).isoformat()]


def _written(at: datetime, zone: Any) -> str:
    """The instant with its offset, in UTC as `…Z`."""
    return at.astimezone(zone).isoformat().replace("+00:00", "Z")


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


def _fields(request: Request, scope: Scope) -> Fields:
    types = types_of("sales")
    if len(scope.sources) > 1:
        names = ["household", "store"]
    else:
        rezoned = request.get("time", {}).get("zone", TENANT_ZONE) != TENANT_ZONE
        names = [
            "department",
            "sold_at",
            "sold_at",
            *(name for name in types if name != "tenant" and not (rezoned and name == "ordered_on")),
        ]
    return Fields(
        anchor=scope.anchor,
        rows=tuple((name, types[name]) for name in names),
        grouped=tuple((name, types[name]) for name in request.get("dimensions", []) if name in names),
        measures=tuple(extra_measures(request, scope.sources).items()),
        qualifier="sales" if len(scope.sources) == 1 else None,
    )


def _analysis(chance: Random, kind: str, request: Request, exact: bool) -> Request:
    """Limits that a double's last digit can't decide: odd ones for ratios, means only of exact values."""
    types = measure_types(tuple(SOURCES))
    if kind == "abc":
        odd = {"thresholds": [Decimal("0.5713"), Decimal("0.9137")]}
        nice: tuple[Request, ...] = ({}, {}, {"thresholds": [Decimal("0.5"), 1]}, odd)
        return {"kind": kind} | (chance.choice(nice) if is_steady(request["measures"][0], types) else odd)
    if kind == "quadrant":
        steady = exact and all(is_steady(name, types) for name in request["measures"][:2])
        cuts: list[Request] = [{}, {"cut": "median"}, {"cut": {"x": Decimal("3.1234567"), "y": Decimal("12.3456789")}}]
        return {"kind": kind} | chance.choice(cuts + ([{"cut": "mean"}, {"cut": {"x": 2, "y": 0}}] if steady else []))
    return {"kind": kind}


def _order(request: Request, scope: Scope) -> list[Request]:
    types, chance = measure_types(scope.sources), scope.chance
    steady = [name for name in extra_measures(request, scope.sources) if scope.exact or is_steady(name, types)]
    asked = [name for name in request["measures"] if name in steady] + request.get("dimensions", [])
    pools = [steady, asked, asked, ["time"] if "time_frequency" in request else []]
    pools.append(_column_names(request, scope.exact, types) if scope.order_by_columns else [])
    there = [pool for pool in pools if pool]
    names = dict.fromkeys(chance.choice(chance.choice(there)) for _ in range(chance.choice((1, 1, 2, 3)))) if there else {}
    directions: tuple[Request, ...] = ({}, {"direction": "asc"}, {"direction": "desc"}, {"direction": "desc"})
    return [{"field": name} | chance.choice(directions) for name in names]


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
