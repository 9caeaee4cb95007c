"""Times as people say them, resolved once at the gateway: ranges, compared ranges, and the moments of a filter's leaves."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from jangbu.insight.catalog.contracts import TimeField
from jangbu.insight.dashboards.query_layer.leg import Span
from jangbu.insight.dashboards.query_layer.zones import (
    DAY,
    day_at,
    fold_of,
    instant_at,
    instant_micros,
    shift,
    to_instant,
    to_wall,
    truncate,
    wall_micros,
)
from jangbu.kernel.errors import InvalidTime, OutOfBounds, WrongType
from jangbu.kernel.types import FieldType, Frequency

_UNITS = {
    "day": Frequency.DAY,
    "week": Frequency.WEEK,
    "month": Frequency.MONTH,
    "quarter": Frequency.QUARTER,
    "year": Frequency.YEAR,
}
_MAX_UNITS = 10_000
_HINT = (
    "Use two dates, two instants with an offset, a calendar word (2017, 2017-Q1, 2017-03, today, yesterday, "
    "this|last week|month|quarter|year) or 'last N days|weeks|months|quarters|years'."
)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_LAST_N = re.compile(r"last (\d{1,9}) (day|week|month|quarter|year)s?")
_THIS = re.compile(r"(this|last) (week|month|quarter|year)")
_CALENDAR = re.compile(r"(\d{4})(?:-(?:Q([1-4])|(\d{2})))?")


@dataclass(frozen=True, slots=True)
class Days:
    """Whole days of the zone, `last` included. `unit` and `count` say how many units they are, where they were asked as units."""

    first: date
    last: date
    unit: Frequency | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Instants:
    """Half-open, UTC micros."""

    start: int
    end: int


Range = Days | Instants


def checked_zone(name: str, path: str) -> str:
    """The zone's name, if there is such a zone."""
    if name not in _zones():
        raise InvalidTime(f"There is no time zone {name[:80]!r}.", path=path, value=name, hint=_near_zone(name))
    return name


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _near_zone(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, _zones(), n=3)
    return f"Did you mean {' or '.join(near)}?" if near else "Use an IANA name such as Asia/Seoul."


def resolve(value: str | Sequence[str], now: datetime, zone: str, path: str) -> Range:
    """A range of the wire against `now` (aware) in `zone`.

    Raises:
        InvalidTime: not a range, turned round, or outside the years 1 to 9999.
    """
    if isinstance(value, str):
        return _word(value, to_day(now, zone), path)
    if len(value) != 2:
        raise InvalidTime(f"A range has two ends; this has {len(value)}.", path=path, value=len(value), hint=_HINT)
    ends = [_end(part, f"{path}/{index}") for index, part in enumerate(value)]
    if isinstance(ends[0], date) and isinstance(ends[1], date):
        found: Range = Days(ends[0], ends[1])
    elif isinstance(ends[0], int) and isinstance(ends[1], int):
        found = Instants(ends[0], ends[1])
    else:
        raise InvalidTime("A range has two dates or two instants, not one of each.", path=path, value=" … ".join(value))
    return _checked(found, path, " … ".join(value))


def _checked(found: Range, path: str, shown: str) -> Range:
    turned = found.first > found.last if isinstance(found, Days) else found.start > found.end
    if turned:
        raise InvalidTime("The range is turned round: its start is after its end.", path=path, value=shown, hint="Swap the two.")
    return found


def to_day(now: datetime, zone: str) -> date:
    return now.astimezone(ZoneInfo(zone)).date()


def _end(text: str, path: str) -> date | int:
    if _DATE.fullmatch(text):
        return _date(text, path)
    return _instant(text, path)


def _date(text: str, path: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidTime(f"{text!r} isn't a day: {error}.", path=path, value=text) from error


def _instant(text: str, path: str) -> int:
    try:
        found = datetime.fromisoformat(text) if "T" in text or " " in text else None
        if found is not None and found.tzinfo is not None:
            return instant_micros(found.astimezone(UTC))
    except (ValueError, OverflowError):
        found = None
    if found is not None:
        raise InvalidTime("An instant needs its offset.", path=path, value=text, hint=f"Write {text}Z or {text}+09:00.")
    raise InvalidTime(f"{text[:80]!r} is neither a date nor an instant.", path=path, value=text, hint=_HINT)


def _word(word: str, today: date, path: str) -> Days:
    try:
        found = _parsed_word(word, today, path)
    except (OverflowError, ValueError) as error:
        raise InvalidTime(f"{word!r} lies outside the years 1 to 9999.", path=path, value=word) from error
    if found is None:
        raise InvalidTime(f"{word[:80]!r} isn't a range.", path=path, value=word, hint=_HINT)
    return found


def _parsed_word(word: str, today: date, path: str) -> Days | None:
    if word == "today":
        return _units(today, Frequency.DAY, 1)
    if word == "yesterday":
        return _units(today - timedelta(days=1), Frequency.DAY, 1)
    if _DATE.fullmatch(word):
        return _units(_date(word, path), Frequency.DAY, 1)
    if match := _LAST_N.fullmatch(word):
        count, unit = int(match[1]), _UNITS[match[2]]
        if not 1 <= count <= _MAX_UNITS:
            raise OutOfBounds(f"'last N' takes 1 to {_MAX_UNITS:,} units.", path=path, value=count)
        return _units(shift(truncate(today, unit), unit, 1 - count), unit, count)
    if match := _THIS.fullmatch(word):
        unit = _UNITS[match[2]]
        return _units(shift(truncate(today, unit), unit, 0 if match[1] == "this" else -1), unit, 1)
    if match := _CALENDAR.fullmatch(word):
        return _calendar(int(match[1]), match[2], match[3])
    return None


def _calendar(year: int, quarter: str | None, month: str | None) -> Days:
    if quarter:
        return _units(date(year, int(quarter) * 3 - 2, 1), Frequency.QUARTER, 1)
    if month:
        return _units(date(year, int(month), 1), Frequency.MONTH, 1)
    return _units(date(year, 1, 1), Frequency.YEAR, 1)


def _units(day: date, unit: Frequency, count: int) -> Days:
    """`count` whole units from the one that holds `day`."""
    first = truncate(day, unit)
    return Days(first, _last_day(first, unit, count), unit, count)


def _last_day(first: date, unit: Frequency, count: int) -> date:
    try:
        return shift(first, unit, count) - timedelta(days=1)
    except OverflowError:
        if first.year == 9999:
            return date.max
        raise


# Compared ranges


def previous_period(current: Range) -> Range:
    """As many units before; for two dates the N days just before; for two instants as long a time just before."""
    if isinstance(current, Instants):
        return Instants(2 * current.start - current.end, current.start)
    if current.unit is not None:
        return _units(shift(current.first, current.unit, -current.count), current.unit, current.count)
    days = (current.last - current.first).days + 1
    return Days(current.first - timedelta(days=days), current.first - timedelta(days=1))


def previous_year(current: Range, zone: str) -> Range:
    """The same dates (of instants: the same wall clock) a year before, 29 February as 28."""
    if isinstance(current, Days):
        return Days(_year_before(current.first), _year_before(current.last))
    return Instants(*(_moved(end, zone, by_year=True) for end in (current.start, current.end)))


def previous_year_by_weekday(current: Range, zone: str) -> Range:
    """364 days before (of instants: on the wall clock)."""
    if isinstance(current, Days):
        return Days(current.first - timedelta(days=364), current.last - timedelta(days=364))
    return Instants(*(_moved(end, zone, by_year=False) for end in (current.start, current.end)))


def _year_before(day: date) -> date:
    return day.replace(year=day.year - 1, day=28) if (day.month, day.day) == (2, 29) else day.replace(year=day.year - 1)


def _moved(instant: int, zone: str, *, by_year: bool) -> int:
    wall = to_wall(instant, zone)
    day = day_at(wall)
    before = _year_before(day) if by_year else day - timedelta(days=364)
    return to_instant(wall_micros(before) + wall % DAY, zone, fold=fold_of(instant, zone))


def compared(current: Range, compare: str | Range, zone: str, path: str) -> Range:
    """The range that `compare` (a word of the wire, or a resolved range) means."""
    try:
        if not isinstance(compare, str):
            return compare
        if compare == "previous_period":
            return previous_period(current)
        return previous_year(current, zone) if compare == "previous_year" else previous_year_by_weekday(current, zone)
    except (OverflowError, ValueError) as error:
        raise InvalidTime("The compared range lies outside the years 1 to 9999.", path=path, value=str(compare)) from error


# Ranges in a field's own units


def span_of(found: Range, field: TimeField, zone: str, path: str) -> Span:
    """The half-open span of a range on a time field: days are the field's own, an instant is what its own clock shows then.

    Raises:
        InvalidTime: the field's own zone or grain can't answer it exactly.
    """
    if isinstance(found, Days):
        if field.type is FieldType.DATE:
            return Span(found.first, found.last + timedelta(days=1) if found.last < date.max else None)
        return Span(_midnight(found.first, field, zone), _midnight(found.last, field, zone, after=True))
    own = field.zone or zone
    if field.type is FieldType.DATE:
        return Span(*(_whole_day(end, own, field, path) for end in (found.start, found.end)))
    if field.type is FieldType.LOCAL:
        return Span(to_wall(found.start, own), to_wall(found.end, own))
    return Span(found.start, found.end)


def _midnight(day: date, field: TimeField, zone: str, *, after: bool = False) -> int:
    wall = wall_micros(day) + (DAY if after else 0)
    return to_instant(wall, zone) if field.type is FieldType.INSTANT else wall


def _whole_day(instant: int, zone: str, field: TimeField, path: str) -> date:
    wall = to_wall(instant, zone)
    if wall % DAY:
        raise InvalidTime(
            f"{field.name!r} holds days: it can't be cut at {instant_at(instant).isoformat()}.", path=path, hint="Use two dates."
        )
    return day_at(wall)


def moments(op: str, values: tuple[object, ...], field: TimeField, now: datetime, zone: str, path: str) -> tuple[Span, ...]:
    """The spans that a leaf on a time field means: a date is a whole day in the zone, an instant is itself."""
    texts = []
    for index, value in enumerate(values):
        if not isinstance(value, str):
            raise WrongType("A time is a text: a date or an instant with its offset.", path=f"{path}/{index}", value=value)
        texts.append(value)
    if op in ("in_range", "between"):
        return (_range_leaf(op, texts, field, now, zone, path),)
    spans = (
        span_of(_moment(text, now, zone, f"{path}/{index}"), field, zone, f"{path}/{index}") for index, text in enumerate(texts)
    )
    return tuple(_SIDES[op](span) for span in spans)


def _range_leaf(op: str, texts: list[str], field: TimeField, now: datetime, zone: str, path: str) -> Span:
    if len(texts) == 1 and op == "in_range":
        return span_of(_word(texts[0], to_day(now, zone), f"{path}/0"), field, zone, path)
    found = resolve(texts, now, zone, path)
    if isinstance(found, Instants) and op == "between":
        found = Instants(found.start, found.end + 1)
    return span_of(found, field, zone, path)


def _moment(text: str, now: datetime, zone: str, path: str) -> Range:
    """A single day or instant, as a range."""
    if text in ("today", "yesterday"):
        return _word(text, to_day(now, zone), path)
    end = _end(text, path)
    return Days(end, end) if isinstance(end, date) else Instants(end, end + 1)


def _before(span: Span) -> Span:
    return Span(None, span.start)


def _until_end(span: Span) -> Span:
    return Span(None, span.end)


def _after(span: Span) -> Span:
    return Span(span.end, None) if span.end is not None else Span(date.max, date.min)


def _from_start(span: Span) -> Span:
    return Span(span.start, None)


def _itself(span: Span) -> Span:
    return span


_SIDES: dict[str, Callable[[Span], Span]] = {
    "on": _itself,
    "equals": _itself,
    "before": _before,
    "lt": _before,
    "lte": _until_end,
    "after": _after,
    "gt": _after,
    "gte": _from_start,
}
