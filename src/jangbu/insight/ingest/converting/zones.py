"""Wall clocks and instants of a zone, in microseconds, by the time zone database that Python uses.

A wall clock that a change to summer time leaves out takes the offset before the change (02:30 becomes 03:30); one that comes twice
is the first of the two. Both are Python's `fold=0` (PEP 495).
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from jangbu.insight.ingest.converting.outcome import Whole

DAY: Final = 86_400_000_000
FIRST: Final = -62_135_596_800_000_000
"""0001-01-01, the first day that a time can have."""
END: Final = 253_402_300_800_000_000
"""10000-01-01, which none can have."""
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - a wall clock
_MICRO: Final = timedelta(microseconds=1)


def to_instants(clocks: Whole, zone: str) -> Whole:
    """The instants of wall clocks (both in microseconds since 1970; within the years 1 to 9999)."""
    zone_info = ZoneInfo(zone)
    return clocks - _offsets(clocks, lambda moment: moment.replace(tzinfo=zone_info).utcoffset())


def to_clocks(instants: Whole, zone: str) -> Whole:
    """The wall clocks of instants."""
    zone_info = ZoneInfo(zone)
    return instants + _offsets(instants, lambda moment: moment.replace(tzinfo=UTC).astimezone(zone_info).utcoffset())


def _offsets(micros: Whole, offset_of: Callable[[datetime], timedelta | None]) -> Whole:
    """The offset at each time. A day whose beginning, noon and end have the same one has it throughout; the few others are looked
    up time by time."""

    @cache
    def offset(at: int) -> int:
        try:
            return (offset_of(_EPOCH + timedelta(microseconds=at)) or timedelta()) // _MICRO
        except OverflowError:
            # The first or last day of all, which the zone's offset would leave.
            return 0

    days, places = np.unique(micros // DAY, return_inverse=True)
    probes = [{offset(int(day) * DAY), offset(int(day) * DAY + DAY // 2), offset(int(day) * DAY + DAY - 1)} for day in days]
    offsets = np.array([next(iter(probe)) for probe in probes], dtype=np.int64)[places]
    for row in np.flatnonzero(np.array([len(probe) > 1 for probe in probes], dtype=np.bool_)[places]):
        offsets[row] = offset(int(micros[row]))
    return offsets
