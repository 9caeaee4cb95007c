"""What bounds an engine inside this process: how many statements run at once, how many wait, and when one is interrupted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition, Thread
from time import monotonic

from jangbu.kernel.errors import Cancelled, JangbuError, TimedOut, Unavailable
from jangbu.platform.engines.ports import CancelToken

POLL = 0.02
"""Seconds between two looks at the cancel tokens of what runs or waits."""


@dataclass(slots=True)
class Bound:
    """How long one statement may take. `deadline` is on the monotonic clock, `timeout` (seconds) is for the error's text."""

    deadline: float
    timeout: float
    cancel: CancelToken | None = None

    @classmethod
    def of(cls, timeout: float, cancel: CancelToken | None) -> "Bound":
        return cls(monotonic() + timeout, timeout, cancel)

    def error(self) -> JangbuError | None:
        """`Cancelled` or `TimedOut` where the statement must end now."""
        if self.cancel is not None and self.cancel.event.is_set():
            return Cancelled("The question was cancelled; its query was interrupted.")
        if monotonic() >= self.deadline:
            return TimedOut(f"The answer took longer than {self.timeout:g} s; its query was interrupted.")
        return None

    def left(self) -> float:
        """Seconds until the deadline; 0 after it."""
        return max(0.0, self.deadline - monotonic())

    def pause(self) -> float:
        """Seconds until it is worth looking again."""
        return self.left() if self.cancel is None else min(self.left(), POLL)


class Slots:
    """At most `running` holders at once and `waiting` more in the queue."""

    def __init__(self, running: int, waiting: int) -> None:
        self._free = running
        self._waiting = 0
        self._most_waiting = waiting
        self._changed = Condition()

    @contextmanager
    def take(self, bound: Bound) -> Iterator[None]:
        """Hold a slot.

        Raises:
            Unavailable: the queue is full.
            TimedOut, Cancelled: the bound was reached before or while waiting.
        """
        with self._changed:
            self._wait(bound)
            self._free -= 1
        try:
            yield
        finally:
            with self._changed:
                self._free += 1
                self._changed.notify()

    def _wait(self, bound: Bound) -> None:
        if error := bound.error():
            raise error
        if self._free > 0:
            return
        if self._waiting >= self._most_waiting:
            raise Unavailable(f"The query engine is busy: {self._waiting} questions are waiting already.", retry_after=1)
        self._waiting += 1
        try:
            while self._free <= 0:
                if error := bound.error():
                    self._changed.notify()
                    raise error
                self._changed.wait(bound.pause())
        finally:
            self._waiting -= 1


@dataclass(slots=True, eq=False)
class Watch:
    """A running statement. `error` says why it was interrupted, if it was."""

    interrupt: Callable[[], None]
    bound: Bound
    error: JangbuError | None = None

    def look(self) -> None:
        # Again at each look: an interrupt that comes before the statement has begun is lost.
        self.error = self.error or self.bound.error()
        if self.error is not None:
            self.interrupt()

    def pause(self) -> float:
        return POLL if self.error is not None else self.bound.pause()


class Watcher:
    """One thread that interrupts what has run too long or was cancelled; never what has ended already."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._watches: set[Watch] = set()
        self._changed = Condition()
        self._closed = False
        self._thread: Thread | None = None

    @contextmanager
    def watch(self, interrupt: Callable[[], None], bound: Bound) -> Iterator[Watch]:
        """Interrupt within this context once the bound is reached; none comes after its end."""
        watch = Watch(interrupt, bound)
        with self._changed:
            self._start()
            self._watches.add(watch)
            self._changed.notify()
        try:
            yield watch
        finally:
            with self._changed:
                self._watches.discard(watch)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _start(self) -> None:
        if self._closed:
            raise Unavailable("The query engine is closed.")
        if self._thread is None:
            self._thread = Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def _run(self) -> None:
        with self._changed:
            while not self._closed:
                for watch in self._watches:
                    watch.look()
                self._changed.wait(min((watch.pause() for watch in self._watches), default=None))
