"""A time range in the micros of a table's time column."""

from dataclasses import dataclass
from datetime import UTC, datetime

from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.ports import TimeRange
from jangbu.platform.lakehouse.tables.layout import DAY, Layout

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open, in micros since 1970."""

    start: int
    end: int


def span_of(range_: TimeRange, layout: Layout, table: str) -> Span:
    """Raises ValueError where the table has no time, or its times and the range aren't both instants or both local."""
    if layout.time is None:
        raise ValueError(f"The table {table!r} has no time column to take a range of.")
    aware = layout.time_type is FieldType.INSTANT
    if any((time.tzinfo is not None) != aware for time in (range_.start, range_.end)):
        raise ValueError(f"The times of the table {table!r} are {'instants' if aware else 'local'}; the range's aren't.")
    start, end = _micros(range_.start), _micros(range_.end)
    if layout.time_type is FieldType.DATE:
        # A day is within a range that holds its midnight.
        start, end = (-(-micros // DAY) * DAY for micros in (start, end))
    return Span(start, end)


def _micros(time: datetime) -> int:
    passed = (time if time.tzinfo is not None else time.replace(tzinfo=UTC)) - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds
