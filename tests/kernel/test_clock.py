"""Clocks are handed in."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from jangbu.kernel.clock import PinnedClock, SystemClock


def test_a_pinned_clock_stands_still_and_shows_utc() -> None:
    clock = PinnedClock(datetime(2017, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-5))))
    assert clock.now() == clock.now() == datetime(2018, 1, 1, 4, 59, 59, tzinfo=UTC)
    assert clock.now().tzinfo is UTC


def test_a_clock_is_not_pinned_to_a_time_without_zone() -> None:
    with pytest.raises(ValueError, match="no zone"):
        PinnedClock(datetime(2017, 12, 31))  # noqa: DTZ001  # refused for that


def test_the_systems_clock_is_aware() -> None:
    before, shown = datetime.now(UTC), SystemClock().now()
    assert shown.tzinfo is UTC
    assert before <= shown <= datetime.now(UTC)
