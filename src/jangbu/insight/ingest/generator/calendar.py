"""When shops sell: by the month, the day of the week and the hour, in their own zone."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache, lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from jangbu.insight.ingest.generator.chance import Bits, Integers, Purpose, bits
from jangbu.insight.ingest.generator.plan import Plan, Shop

_MONTHS: Final = (90, 86, 95, 98, 104, 100, 97, 94, 102, 105, 112, 128)
_WEEKDAYS: Final = (92, 88, 90, 98, 120, 140, 112)
_HOURS: Final = (3, 1, 1, 1, 1, 3, 8, 20, 32, 45, 60, 75, 90, 80, 70, 72, 80, 95, 110, 100, 75, 50, 25, 10)
"""How much is sold in each month, on each day from Monday on, and in each hour, in proportion."""

_STEPS: Final = 1 << 16
"""Parts of a day's sales."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """A shop's days. `day_ends`: how many of its lines are sold by the end of each day. `months`: their names, such as 2024-01, and
    `month_of_day` the place in them for each day. `hours`: when each hour of each day begins, in seconds since 1970 (UTC)."""

    day_ends: Integers
    months: tuple[str, ...]
    month_of_day: Integers
    hours: Integers

    def moments(self, lines: Integers, chance: Bits) -> tuple[Integers, Integers]:
        """The day (from 0) and the instant (seconds since 1970, UTC) at which lines, by their number, are sold. Lines are numbered
        in the order of their local time."""
        day = np.searchsorted(self.day_ends, lines, side="right")
        ends = self.day_ends[day]
        begins = np.where(day > 0, self.day_ends[day - 1], 0)
        part = (((lines - begins) << 16) + chance) // (ends - begins)
        second = _seconds_of_day()[part]
        return day, self.hours[day * 24 + second // 3600] + second % 3600


def calendar(plan: Plan, shop: Shop) -> Calendar:
    months, month_of_day, season = _seasons(plan.first_day, plan.days)
    luck = 85 + bits(plan.seed, shop.number, Purpose.DAYS, plan.days, 1)[0].astype(np.int64) % 31
    ends = np.cumsum(season * luck // 10_000)
    return Calendar(ends * shop.rows // ends[-1], months, month_of_day, _hours(shop.market.zone, plan.first_day, plan.days))


@lru_cache(maxsize=64)
def _seasons(first_day: date, days: int) -> tuple[tuple[str, ...], Integers, Integers]:
    """The months, each day's place in them, and how much is sold on each day."""
    all_days = [first_day + timedelta(days=number) for number in range(days)]
    names = [f"{day:%Y-%m}" for day in all_days]
    places = {month: place for place, month in enumerate(dict.fromkeys(names))}
    season = [_MONTHS[day.month - 1] * _WEEKDAYS[day.weekday()] for day in all_days]
    return tuple(places), np.array([places[name] for name in names], dtype=np.int64), np.array(season, dtype=np.int64)


@lru_cache(maxsize=64)
def _hours(zone: str, first_day: date, days: int) -> Integers:
    """An hour that the clock skips begins where it would have without the change, so that it still is within its day."""
    start, place = datetime(first_day.year, first_day.month, first_day.day, tzinfo=ZoneInfo(zone)), timedelta(hours=1)
    return np.array([int((start + place * number).timestamp()) for number in range(days * 24)], dtype=np.int64)


@cache
def _seconds_of_day() -> Integers:
    """The second of the day (at the wall clock) by which each part of its sales is sold."""
    ends = np.cumsum(np.array(_HOURS, dtype=np.int64)) * _STEPS
    sold = np.arange(_STEPS, dtype=np.int64) * sum(_HOURS)
    hour = np.searchsorted(ends, sold, side="right")
    weight = np.array(_HOURS, dtype=np.int64)[hour]
    within = sold - (ends[hour] - weight * _STEPS)
    return np.asarray(hour * 3600 + within * 3600 // (weight * _STEPS), dtype=np.int64)
