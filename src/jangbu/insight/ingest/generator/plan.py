"""What is to be generated: how many shops, how large each is, and where."""

import math
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from jangbu.kernel.errors import InvalidTime, OutOfBounds
from jangbu.kernel.tenancy import TenantId, tenant_id

MAX_TENANTS: Final = 10_000
MAX_DAYS: Final = 3_660
MAX_ROWS: Final = 2_000_000_000
FIRST_DAYS: Final = (date(1990, 1, 1), date(2100, 12, 31))
_FEWEST: Final = 3
"""Rows that every shop has at least, where there are that many."""


@dataclass(frozen=True, slots=True)
class Market:
    """Where a shop is. `step` is what a cent of the invented prices is worth there, in hundredths of the currency: a price of 3.49
    dollars is one of 3,490 won."""

    city: str
    zone: str
    currency: str
    step: int


SEOUL: Final = Market("Seoul", "Asia/Seoul", "KRW", 1_000)
TOKYO: Final = Market("Tokyo", "Asia/Tokyo", "JPY", 100)
NEW_YORK: Final = Market("New York", "America/New_York", "USD", 1)
MARKETS: Final = (SEOUL, SEOUL, NEW_YORK, SEOUL, TOKYO, SEOUL, SEOUL, SEOUL)
"""Those of the first shops; further ones go round."""


@dataclass(frozen=True, slots=True)
class Shop:
    """A tenant to be; `number` counts from 1, `rows` are its sale lines."""

    number: int
    market: Market
    rows: int

    @property
    def id(self) -> TenantId:
        return tenant_id(f"shop-{self.number:04d}")

    @property
    def name(self) -> str:
        return f"{self.market.city} shop {self.number}"


@dataclass(frozen=True, slots=True)
class Plan:
    """`rows` are the sale lines of all shops, `days` the days from `first_day` on, in each shop's own zone.

    Raises:
        OutOfBounds, InvalidTime: a number or a day outside its limits.
    """

    tenants: int
    days: int
    rows: int
    seed: int = 7
    first_day: date = date(2024, 1, 1)
    markets: tuple[Market, ...] = MARKETS

    def __post_init__(self) -> None:
        _check("tenants", self.tenants, 1, MAX_TENANTS)
        _check("days", self.days, 1, MAX_DAYS)
        _check("rows", self.rows, 1, MAX_ROWS)
        _check("seed", self.seed, 0, 2**63 - 1)
        if self.rows < self.tenants:
            hint = "Every tenant has a row at least: give more rows, or fewer tenants."
            raise OutOfBounds(
                f"{self.rows:,} rows are too few for {self.tenants:,} tenants.", path="/rows", value=self.rows, hint=hint
            )
        if not FIRST_DAYS[0] <= self.first_day <= FIRST_DAYS[1]:
            known = " to ".join(day.isoformat() for day in FIRST_DAYS)
            raise InvalidTime(f"A first day is one of {known}.", path="/first_day", value=self.first_day.isoformat())
        if not self.markets:
            raise OutOfBounds("A plan has a market at least.", path="/markets", value=0)

    def shops(self) -> tuple[Shop, ...]:
        """The shops, the largest first: their rows follow Zipf's law (exponent 1.25) and add up to the plan's."""
        sizes = _sizes(self.rows, self.tenants)
        return tuple(Shop(number, self.markets[(number - 1) % len(self.markets)], rows) for number, rows in enumerate(sizes, 1))

    def end(self, market: Market) -> datetime:
        """The midnight after the last day, in the market's zone (aware)."""
        after = self.first_day + timedelta(days=self.days)
        return datetime(after.year, after.month, after.day, tzinfo=ZoneInfo(market.zone))


def _check(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise OutOfBounds(f"{name} are {least:,} to {most:,}, not {value:,}.".capitalize(), path=f"/{name}", value=value)


def _sizes(rows: int, tenants: int) -> list[int]:
    fewest = min(_FEWEST, rows // tenants)
    spread = rows - fewest * tenants
    ends = np.cumsum([1 / (number * math.sqrt(math.sqrt(number))) for number in range(1, tenants + 1)])
    bounds = [0, *(int(share * spread) for share in ends[:-1] / ends[-1]), spread]
    return [fewest + after - before for before, after in pairwise(bounds)]
