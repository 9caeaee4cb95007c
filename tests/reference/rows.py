"""Strategies for small tables whose rows crowd where zones change their clocks and where months end.

`exact=True` draws money in sixteenths, so that doubles computed from it by any honest way are equal where they are equal on paper:
only then may a test sort, class or cut by a ratio. `exact=False` draws money that no double holds. Weights are always eighths.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
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


# A row is a function of a number, so that drawing stays cheap and a failing table still shrinks row by row.


def moment_of(chance: Random, anchor: datetime) -> datetime:
    """An instant around the anchor or where its comparisons look."""
    minutes = chance.choice((chance.randint(-18, 18) * 10, chance.randint(-200, 200), chance.randint(-4320, 4320)))
    tick = chance.choice((timedelta(), timedelta(), timedelta(microseconds=-1), timedelta(seconds=29, microseconds=5)))
    return anchor + timedelta(days=chance.choice(SHIFTS), minutes=minutes) + tick


def money_of(chance: Random, exact: bool) -> Decimal:
    if exact:
        return Decimal(chance.randint(-320, 1600)) / 16
    return chance.choice((chance.choice(ODD_MONEY), Decimal(chance.randint(-1_000_000, 10_000_000)).scaleb(-4)))


def _or_none(chance: Random, value: Any) -> Any:
    return None if chance.random() < 0.2 else value


def sales_row(number: int, anchor: datetime, exact: bool) -> dict[str, Any]:
    chance = Random(number)
    at = moment_of(chance, anchor)
    ordered = at.astimezone(ZoneInfo(TENANT_ZONE)).date() + timedelta(days=chance.choice((0, 0, -1, -2, 1)))
    return {
        "tenant": chance.choice((TENANTS[0], TENANTS[0], TENANTS[0], TENANTS[1])),
        "household": chance.choice(HOUSEHOLDS),
        "store": chance.choice(STORES),
        "basket": chance.choice(BASKETS),
        "product": chance.choice(PRODUCTS),
        "department": _or_none(chance, chance.choice((chance.choice(TEXTS[:4]), chance.choice(TEXTS)))),
        "quantity": chance.randint(-2, 6),
        "sales_value": _or_none(chance, money_of(chance, exact)),
        "weight": _or_none(chance, chance.randint(-8, 400) / 8),
        "returned": _or_none(chance, chance.random() < 0.4),
        "sold_at": at,
        "ordered_on": _or_none(chance, ordered),
    }


def visits_row(number: int, anchor: datetime) -> dict[str, Any]:
    chance = Random(number)
    return {
        "tenant": chance.choice(TENANTS),
        "household": _or_none(chance, chance.choice(HOUSEHOLDS)),
        "store": chance.choice((*STORES, "99")),
        "pages": _or_none(chance, chance.randint(0, 9)),
        "visited_at": moment_of(chance, anchor),
    }


def _numbers(most: int) -> st.SearchStrategy[list[int]]:
    """Few rows, none, or many."""
    number = st.integers(0, 2**20)
    return st.one_of(st.lists(number, max_size=most // 3), *(st.lists(number, min_size=most // 2, max_size=most) for _ in range(3)))


@st.composite
def tables(draw: st.DrawFn, anchor: datetime, exact: bool = True, most: int = 25) -> dict[str, pd.DataFrame]:
    """`sales` and `visits`, of both tenants, around the anchor; columns are of plain Python objects (instants aware, in UTC)."""
    return {
        "sales": frame("sales", [sales_row(number, anchor, exact) for number in draw(_numbers(most))]),
        "visits": frame("visits", [visits_row(number, anchor) for number in draw(_numbers(most // 2))]),
    }
