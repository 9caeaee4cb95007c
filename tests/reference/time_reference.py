"""Ranges, compared ranges and buckets, from query.md's sentences with the standard library alone.

A range of days holds a moment whose local date is one of them; a range of instants is half-open. A bucket finer than a day is
identified by its first instant, so the hour that comes twice is two, and one that a change of the clock cuts starts at the change.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from reference.model import Refused

Moment: TypeAlias = date | datetime
FREQUENCIES = ("minute", "hour", "day", "week", "sunday_week", "month", "quarter", "year")
FINE = ("minute", "hour")
_DAY = timedelta(days=1)
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True)
class Days:
    """From `first` to `last`, both included; `count` whole units of `unit` (day, week, month, quarter, year)."""

    first: date
    last: date
    unit: str = "day"

    @property
    def count(self) -> int:
        if self.unit in ("day", "week"):
            return ((self.last - self.first).days + 1) // (7 if self.unit == "week" else 1)
        months = (self.last.year - self.first.year) * 12 + self.last.month - self.first.month + 1
        return months // _MONTHS[self.unit]


@dataclass(frozen=True)
class Instants:
    """From `start` up to, not including, `end`; both in UTC."""

    start: datetime
    end: datetime


Span: TypeAlias = Days | Instants


def zone_named(name: Any) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError) as error:
        raise Refused("invalid_time", f"no zone {name!r}") from error


def moment(text: Any) -> Moment:
    """A date (`2017-03-01`) or an instant (with its offset, in UTC); a naive instant is refused."""
    if not isinstance(text, str):
        raise Refused("wrong_type", f"{text!r} is no date or instant")
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            return date.fromisoformat(text)
        if re.match(r"\d{4}-\d\d-\d\dT", text) and (found := datetime.fromisoformat(text)).tzinfo is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Refused("invalid_time", f"{text!r}: {error}") from error
    raise Refused("invalid_time", f"{text!r} is neither a date nor an instant with its offset")


def is_instant(value: Moment) -> bool:
    return isinstance(value, datetime)


def local_date(value: Moment, zone: ZoneInfo) -> date:
    return value.astimezone(zone).date() if isinstance(value, datetime) else value


def position(value: Moment, of: Moment, zone: ZoneInfo) -> int:
    """-1, 0 or 1: before, within or after `of`, which is a whole day of the zone or an instant."""
    left = value if is_instant(of) else local_date(value, zone)
    return (left > of) - (left < of)


def span_of(value: Any, now: datetime, zone: ZoneInfo) -> Span:
    """The range that two moments or a word stand for."""
    if isinstance(value, str):
        try:
            return _word(value, now.astimezone(zone).date())
        except (ValueError, OverflowError) as error:
            raise Refused("invalid_time", f"{value!r}: {error}") from error
    if not isinstance(value, list):
        raise Refused("wrong_type", f"{value!r} is no range")
    if len(value) != 2:
        raise Refused("invalid_time", f"{value!r} is no range")
    return _pair(moment(value[0]), moment(value[1]))


def _pair(first: Moment, last: Moment) -> Span:
    if is_instant(first) != is_instant(last):
        raise Refused("invalid_time", "a date and an instant make no range")
    if first > last:
        raise Refused("invalid_time", f"{first} to {last} is turned round")
    return Instants(first, last) if isinstance(first, datetime) and isinstance(last, datetime) else Days(first, last)


def _word(text: str, today: date) -> Days:
    if found := re.fullmatch(r"last ([1-9]\d*) (day|week|month|quarter|year)s?", text):
        return _units(today, found[2], 1 - int(found[1]), int(found[1]))
    if found := re.fullmatch(r"(this|last) (week|month|quarter|year)", text):
        return _units(today, found[2], -1 if found[1] == "last" else 0, 1)
    if text in ("today", "yesterday"):
        return _units(today, "day", -1 if text == "yesterday" else 0, 1)
    if found := re.fullmatch(r"(\d{4})-Q([1-4])", text):
        return _units(date(int(found[1]), int(found[2]) * 3, 1), "quarter", 0, 1)
    if found := re.fullmatch(r"(\d{4})(?:-(\d\d))?", text):
        return _units(date(int(found[1]), int(found[2] or 1), 1), "month" if found[2] else "year", 0, 1)
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return _units(date.fromisoformat(text), "day", 0, 1)
    raise Refused("invalid_time", f"{text!r} is no range")


def _units(day: date, unit: str, moved: int, count: int) -> Days:
    """`count` whole units, the first of them `moved` units from the day's own."""
    first = add(unit_start(day, unit), unit, moved)
    return Days(first, add(first, unit, count) - _DAY, unit)


def unit_start(day: date, unit: str) -> date:
    """The first day of the unit that the day is in."""
    if unit == "week":
        return day - timedelta(days=day.weekday())
    if unit == "sunday_week":
        return day - timedelta(days=(day.weekday() + 1) % 7)
    if unit in _MONTHS:
        return date(day.year, (day.month - 1) // _MONTHS[unit] * _MONTHS[unit] + 1, 1)
    return day


def add(start: date, unit: str, count: int) -> date:
    """The start of the unit `count` units on (or back)."""
    if unit in _MONTHS:
        years, month = divmod(start.year * 12 + start.month - 1 + count * _MONTHS[unit], 12)
        return date(years, month + 1, 1)
    return start + count * timedelta(days=7 if unit in ("week", "sunday_week") else 1)


def compared(span: Span, how: Any, now: datetime, zone: ZoneInfo) -> Span:
    """The range that `span` is compared with."""
    if isinstance(how, dict):
        if set(how) != {"range"}:
            raise Refused("invalid_request", f"{how!r} holds more or less than a range")
        return span_of(how["range"], now, zone)
    if how not in ("previous_period", "previous_year", "previous_year_by_weekday"):
        raise Refused("unknown_name" if isinstance(how, str) else "wrong_type", f"compare {how!r}")
    try:
        return _before(span, how, zone)
    except (ValueError, OverflowError) as error:
        raise Refused("invalid_time", f"nothing is before {span}") from error


def _before(span: Span, how: str, zone: ZoneInfo) -> Span:
    if isinstance(span, Days):
        if how == "previous_period":
            first = add(span.first, span.unit, -span.count)
            return Days(first, span.first - _DAY, span.unit)
        return Days(_earlier(span.first, how), _earlier(span.last, how))
    if how == "previous_period":
        return Instants(span.start - (span.end - span.start), span.start)
    return Instants(_earlier_instant(span.start, how, zone), _earlier_instant(span.end, how, zone))


def _earlier(day: date, how: str) -> date:
    if how == "previous_year_by_weekday":
        return day - timedelta(days=364)
    return date(day.year - 1, day.month, 28 if (day.month, day.day) == (2, 29) else day.day)


def _earlier_instant(at: datetime, how: str, zone: ZoneInfo) -> datetime:
    """The same wall clock, and the same pass of an hour that comes twice, on the earlier day."""
    wall = at.astimezone(zone)
    return datetime.combine(_earlier(wall.date(), how), wall.timetz()).astimezone(UTC)


def contains(span: Span, value: Moment | None, zone: ZoneInfo) -> bool:
    if value is None:
        return False
    if isinstance(span, Days):
        return span.first <= local_date(value, zone) <= span.last
    return isinstance(value, datetime) and span.start <= value < span.end


def bucket_of(value: Moment | None, frequency: str, zone: ZoneInfo) -> Moment | None:
    """A date for a day and coarser, the first instant (in UTC) for finer; null's is null."""
    if value is None:
        return None
    if frequency not in FINE:
        return unit_start(local_date(value, zone), frequency)
    if not isinstance(value, datetime):
        raise Refused("invalid_time", f"a date has no {frequency}")
    wall = value.astimezone(zone)
    into = timedelta(minutes=wall.minute if frequency == "hour" else 0, seconds=wall.second, microseconds=wall.microsecond)
    start = value.astimezone(UTC) - into
    return start if start.astimezone(zone).utcoffset() == wall.utcoffset() else _change(start, value, zone)


def next_bucket(bucket: Moment, frequency: str, zone: ZoneInfo) -> Moment:
    if not isinstance(bucket, datetime):
        return add(bucket, frequency, 1)
    wall = bucket.astimezone(zone)
    width = timedelta(hours=1) if frequency == "hour" else timedelta(minutes=1)
    following = bucket + width - timedelta(minutes=wall.minute if frequency == "hour" else 0, seconds=wall.second)
    last = following - _TICK
    return following if last.astimezone(zone).utcoffset() == wall.utcoffset() else _change(bucket, last, zone)


def _change(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The second at which the zone's offset becomes that of `after` (UTC)."""
    low, high = int(before.timestamp()), int(after.timestamp())
    wanted = after.astimezone(zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == wanted:
            high = middle
        else:
            low = middle
    return datetime.fromtimestamp(high, UTC)


def day_start(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of the day in the zone (UTC), where midnight is skipped too."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    if midnight.astimezone(zone).replace(tzinfo=None) == datetime(day.year, day.month, day.day):  # noqa: DTZ001  # wall clocks
        return midnight
    return _change(midnight - _DAY, midnight, zone)


def buckets_of(span: Span, frequency: str, zone: ZoneInfo) -> list[Moment]:
    """Every bucket that holds a part of the range, in order."""
    if isinstance(span, Instants):
        return [] if span.start == span.end else between(span.start, span.end - _TICK, frequency, zone)
    if frequency not in FINE:
        return between(span.first, span.last, frequency, zone)
    return between(day_start(span.first, zone), day_start(span.last + _DAY, zone) - _TICK, frequency, zone)


def between(first: Moment, last: Moment, frequency: str, zone: ZoneInfo) -> list[Moment]:
    """The buckets from that of `first` to that of `last`."""
    bucket, end = bucket_of(first, frequency, zone), bucket_of(last, frequency, zone)
    found: list[Moment] = []
    while bucket is not None and end is not None and bucket <= end:
        found.append(bucket)
        bucket = next_bucket(bucket, frequency, zone)
    return found


def wire(bucket: Moment | None, zone: ZoneInfo) -> str | None:
    """The bucket as the answer shows it: a date, or a wall clock with its offset."""
    if isinstance(bucket, datetime):
        wall = bucket.astimezone(zone)
        return wall.replace(tzinfo=timezone(wall.utcoffset() or timedelta())).isoformat()
    return None if bucket is None else bucket.isoformat()
