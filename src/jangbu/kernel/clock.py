"""Time comes from a clock that is handed in, so that a tenant's can be pinned and a test's can stand still."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The current instant, aware, in UTC."""


@dataclass(frozen=True, slots=True)
class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class PinnedClock:
    """A clock that always shows `at` (aware)."""

    at: datetime

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ValueError("A clock is pinned to an aware instant; this one has no zone.")

    def now(self) -> datetime:
        return self.at.astimezone(UTC)
