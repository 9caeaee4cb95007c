"""Strategies for small tables whose rows crowd where zones change their clocks and where months end.

`exact=True` draws money in sixteenths, so that doubles computed from it by any honest way are equal where they are equal on paper:
only then may a test sort, class or cut by a ratio. `exact=False` draws money that no double holds. Weights are always eighths.
"""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

import pandas as pd
from hypothesis import strategies as st
from reference.data import TENANT_ZONE, TENANTS, frame

ANCHORS: Final = tuple(
    datetime.fromisoformat(text).astimezone(UTC)
    for text in (
        "2017-11-05T06:00:00Z",  # New York's doubled hour
        "2017-03-12T07:00:00Z",  # New York's skipped hour
        "2017-04-01T15:00:00Z",  # Lord Howe's doubled half hour
        "2017-09-30T15:30:00Z",  # Lord Howe's skipped half hour
        "2017-04-01T04:00:00Z",  # a month and a quarter end in New York
        "2017-03-31T15:00:00Z",  # the same in Seoul
        "2016-02-29T17:00:00Z",  # the day that most years lack
        "2018-01-01T04:59:59Z",  # now, as the clock is pinned
    )
)
SHIFTS: Final = (0, 0, 0, 0, -1, 1, -7, -28, -31, -364, -365, -366)
"""Days from an anchor: itself, its neighbours, and where comparisons look."""

TEXTS: Final = (
    "GROCERY",
    "grocery",
    "PRODUCE",
    "채소",
    "과일·견과",
    "Café",
    "a%b",
    "a_b",
    "O'Brien",
    '"x"',
    "\\",
    "(x)",
    "a\nb",
    "😀",
    "",
)
STORES: Final = ("1", "2", "10", "٣")
HOUSEHOLDS: Final = ("h1", "h2", "H2", "h10")
PRODUCTS: Final = ("p1", "p2", "819063", "상품")
BASKETS: Final = tuple(f"b{number}" for number in range(6))
ODD_MONEY: Final = tuple(
    map(Decimal, ("0.1", "0.2", "0.3", "-0.1", "0.0001", "19.99", "-5.55", "1000000.01", "99999999999.9999", "0"))
)


def moments(anchor: datetime) -> st.SearchStrategy[datetime]:
    """Instants around the anchor and where its comparisons look."""
    near = st.one_of(st.integers(-18, 18).map(lambda tens: tens * 10), st.integers(-200, 200), st.integers(-4320, 4320))
    ticks = st.sampled_from((timedelta(), timedelta(), timedelta(microseconds=-1), timedelta(seconds=29, microseconds=5)))
    return st.builds(
        lambda days, minutes, tick: anchor + timedelta(days=days, minutes=minutes) + tick, st.sampled_from(SHIFTS), near, ticks
    )


def money(exact: bool) -> st.SearchStrategy[Decimal]:
    sixteenths = st.integers(-320, 1600).map(lambda part: Decimal(part) / 16)
    return sixteenths if exact else st.one_of(st.sampled_from(ODD_MONEY), st.decimals(-100, 1000, places=4))


def _or_none(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(strategy, strategy, strategy, strategy, st.none())


def _local_day(at: datetime, days: int | None) -> date | None:
    return None if days is None else at.astimezone(ZoneInfo(TENANT_ZONE)).date() + timedelta(days=days)


@st.composite
def sales_row(draw: st.DrawFn, anchor: datetime, exact: bool) -> dict[str, Any]:
    at = draw(moments(anchor))
    return {
        "tenant": draw(st.sampled_from((TENANTS[0], TENANTS[0], TENANTS[0], TENANTS[1]))),
        "household": draw(st.sampled_from(HOUSEHOLDS)),
        "store": draw(st.sampled_from(STORES)),
        "basket": draw(st.sampled_from(BASKETS)),
        "product": draw(st.sampled_from(PRODUCTS)),
        "department": draw(_or_none(st.one_of(st.sampled_from(TEXTS[:4]), st.sampled_from(TEXTS)))),
        "quantity": draw(st.integers(-2, 6)),
        "sales_value": draw(_or_none(money(exact))),
        "weight": draw(_or_none(st.integers(-8, 400).map(lambda part: part / 8))),
        "returned": draw(_or_none(st.booleans())),
        "sold_at": at,
        "ordered_on": _local_day(at, draw(_or_none(st.sampled_from((0, 0, -1, -2, 1))))),
    }


@st.composite
def visits_row(draw: st.DrawFn, anchor: datetime) -> dict[str, Any]:
    return {
        "tenant": draw(st.sampled_from(TENANTS)),
        "household": draw(_or_none(st.sampled_from(HOUSEHOLDS))),
        "store": draw(st.sampled_from((*STORES, "99"))),
        "pages": draw(_or_none(st.integers(0, 9))),
        "visited_at": draw(moments(anchor)),
    }


@st.composite
def tables(draw: st.DrawFn, anchor: datetime, exact: bool = True, most: int = 25) -> dict[str, pd.DataFrame]:
    """`sales` and `visits`, of both tenants, around the anchor; columns are of plain Python objects (instants aware, in UTC)."""
    return {
        "sales": frame("sales", draw(st.lists(sales_row(anchor, exact), max_size=most))),
        "visits": frame("visits", draw(st.lists(visits_row(anchor), max_size=most // 2))),
    }
