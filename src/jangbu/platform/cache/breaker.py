"""A breaker: who has failed often isn't asked for a while, then by one caller at a time."""

import threading
from collections.abc import Callable
from time import monotonic


class Breaker:
    """Opens after `failures` in a row. Then one caller may try each `pause` seconds, which doubles with each failure up to
    `longest`; its success lets all in again. A trier that never comes back holds up nobody: the next one's time comes all the
    same."""

    def __init__(
        self, *, failures: int = 3, pause: float = 0.25, longest: float = 2.0, now: Callable[[], float] = monotonic
    ) -> None:
        self._most, self._first, self._longest, self._now = failures, pause, longest, now
        self._failures, self._pause, self._next = 0, pause, 0.0
        self._lock = threading.Lock()

    @property
    def is_open(self) -> bool:
        return self._failures >= self._most

    def allows(self) -> bool:
        """Whether this caller may try. Where it does, it says how that ended."""
        with self._lock:
            if not self.is_open:
                return True
            if (now := self._now()) < self._next:
                return False
            self._next = now + self._pause
            return True

    def failed(self) -> bool:
        """True: it opened by this."""
        with self._lock:
            was_open = self.is_open
            self._failures += 1
            if self.is_open:
                self._pause = min(self._pause * 2, self._longest) if was_open else self._first
                self._next = self._now() + self._pause
            return self.is_open and not was_open

    def succeeded(self) -> bool:
        """True: it was open."""
        with self._lock:
            was_open = self.is_open
            self._failures, self._pause = 0, self._first
            return was_open
