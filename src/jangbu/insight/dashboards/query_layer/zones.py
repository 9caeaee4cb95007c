"""Wall clocks: a zone's offsets over a stretch of time, and the buckets of a time axis.

Zone rules come from `zoneinfo` only, never from an engine, so that the engines can't differ. Micros are microseconds since
1970-01-01T00:00, of UTC for instants and of the wall clock for local times.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from jangbu.kernel.types import Frequency

MICRO = timedelta(microseconds=1)
DAY = 86_400_000_000
WIDTHS = {Frequency.MINUTE: 60_000_000, Frequency.HOUR: 3_600_000_000}
"""Micros of the frequencies finer than a day."""

ANY_TIME = (0, (date(2100, 1, 1) - date(1970, 1, 1)).days * DAY)
"""Bounds for times of which none are known: the years 1970 to 2100."""

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the wall clock's zero has no zone
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = (datetime.min - _EPOCH) // MICRO, (datetime.max - _EPOCH) // MICRO  # noqa: DTZ901 - as above


@dataclass(frozen=True, slots=True)
class Piece:
    """From `start` (UTC micros) on, until the next piece, the wall clock is `offset` micros ahead of UTC."""

    start: int
    offset: int


def instant_micros(moment: datetime) -> int:
    """UTC micros of an aware datetime."""
    return (moment - _EPOCH_UTC) // MICRO


def wall_micros(moment: datetime | date) -> int:
    """Micros of a naive datetime, or of a day's midnight."""
    if not isinstance(moment, datetime):
        return (moment.toordinal() - _EPOCH.toordinal()) * DAY
    return (moment - _EPOCH) // MICRO


def instant_at(micros: int) -> datetime:
    """The aware datetime, in UTC, of UTC micros; outside the years 1 to 9999 the nearest one inside."""
    return _EPOCH_UTC + timedelta(microseconds=min(max(micros, _FIRST), _LAST))


def wall_at(micros: int) -> datetime:
    """The naive datetime of wall micros, held within the years 1 to 9999."""
    return _EPOCH + timedelta(microseconds=min(max(micros, _FIRST), _LAST))


def day_at(micros: int) -> date:
    return wall_at(micros).date()


def to_instant(wall: int, zone: str, *, fold: int = 0) -> int:
    """UTC micros of wall micros: of two where the clock shows a time twice the earlier, or with `fold` 1 the later, and the moment
    of the jump for a time that it skips."""
    return wall - _offset(wall_at(wall).replace(tzinfo=ZoneInfo(zone), fold=fold))


def fold_of(instant: int, zone: str) -> int:
    """1 where the wall clock shows the instant's time for the second time, else 0."""
    return int(to_instant(to_wall(instant, zone), zone) != instant)


def to_wall(instant: int, zone: str) -> int:
    """Wall micros of UTC micros."""
    return instant + offset_at(instant, zone)


def offset_at(instant: int, zone: str) -> int:
    """How many micros the wall clock is ahead of UTC at an instant."""
    kept = min(max(instant, _FIRST + 2 * DAY), _LAST - 2 * DAY)
    return _offset(instant_at(kept).astimezone(ZoneInfo(zone)))


def _offset(moment: datetime) -> int:
    offset = moment.utcoffset()
    return 0 if offset is None else offset // MICRO


@lru_cache(maxsize=4096)
def _transitions(zone: str, year: int) -> tuple[Piece, ...]:
    """The pieces that begin within a year of UTC, found by comparing each day's ends and halving."""
    start = wall_micros(date(year, 1, 1))
    end = wall_micros(date(year + 1, 1, 1)) if year < 9999 else _LAST
    days = [*range(start, end, DAY), end]
    found = []
    for low, high in pairwise(days):
        before, after = offset_at(low, zone), offset_at(high, zone)
        if before == after:
            continue
        left, right = low, high
        while right - left > 1:
            middle = (left + right) // 2
            left, right = (middle, right) if offset_at(middle, zone) == before else (left, middle)
        found.append(Piece(right, after))
    return tuple(found)


@lru_cache(maxsize=4096)
def pieces(zone: str, low: int, high: int) -> tuple[Piece, ...]:
    """The zone's offsets from `low` to `high` (UTC micros): constant on each piece; the first begins at `low`."""
    years = range(instant_at(low).year, instant_at(high).year + 1)
    inside = (piece for year in years for piece in _transitions(zone, year) if low < piece.start <= high)
    return (Piece(low, offset_at(low, zone)), *inside)


def truncate(day: date, frequency: Frequency) -> date:
    """The first day of the bucket that holds `day`."""
    match frequency:
        case Frequency.WEEK:
            return date.fromordinal(max(day.toordinal() - day.weekday(), 1))
        case Frequency.SUNDAY_WEEK:
            return date.fromordinal(max(day.toordinal() - day.isoweekday() % 7, 1))
        case Frequency.MONTH:
            return day.replace(day=1)
        case Frequency.QUARTER:
            return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
        case Frequency.YEAR:
            return day.replace(month=1, day=1)
        case _:
            return day


def shift(start: date, frequency: Frequency, count: int) -> date:
    """The start of the bucket `count` buckets after the one that starts at `start`.

    Raises:
        OverflowError: outside the years 1 to 9999.
    """
    if frequency in (Frequency.DAY, Frequency.WEEK, Frequency.SUNDAY_WEEK):
        return start + timedelta(days=count * (1 if frequency is Frequency.DAY else 7))
    months = {Frequency.MONTH: 1, Frequency.QUARTER: 3, Frequency.YEAR: 12}[frequency]
    total = start.year * 12 + start.month - 1 + count * months
    if not 12 <= total < 10_000 * 12:
        raise OverflowError("outside the years 1 to 9999")
    return start.replace(year=total // 12, month=total % 12 + 1)


def days_axis(first: date, last: date, frequency: Frequency) -> Iterator[date]:
    """Bucket starts of a day or coarser, from the bucket that holds `first` to the one that holds `last`."""
    current = truncate(first, frequency)
    while current <= last:
        yield current
        try:
            current = shift(current, frequency, 1)
        except OverflowError:
            return


def instants_axis(low: int, high: int, zone: str, frequency: Frequency) -> Iterator[int]:
    """Bucket starts (UTC micros) finer than a day that hold the instants from `low` up to, not including, `high`: the hour that
    comes twice is two, the hour that is skipped is none, and what a change of the clock cuts begins again at the change."""
    width = WIDTHS[frequency]
    parts = pieces(zone, low, high - 1)
    ends = [*(part.start for part in parts[1:]), high]
    for part, end in zip(parts, ends, strict=True):
        first = (part.start + part.offset) // width * width - part.offset
        cut = part is not parts[0] and first < part.start
        yield from (part.start, *range(first + width, end, width)) if cut else range(first, end, width)
