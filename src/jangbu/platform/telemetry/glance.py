"""Looking at what may not answer: never by more than one thread, and never for longer than who asks has time."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock, Thread
from typing import Generic, TypeVar

from jangbu.kernel.errors import Unavailable

T = TypeVar("T")


class Glance(Generic[T]):
    """`look` may take long, as a server stands still; those who ask meanwhile get what it finds then."""

    def __init__(self, look: Callable[[], T]) -> None:
        self._look = look
        self._lock = Lock()
        self._found: Future[T] | None = None

    def take(self, seconds: float) -> T:
        """What `look` returns or raises.

        Raises:
            Unavailable: it still looks after so many seconds.
        """
        found = self._begun()
        try:
            return found.result(seconds)
        except TimeoutError:
            if found.done():
                raise
            raise Unavailable(f"What was looked at doesn't answer within {seconds:g} s.", retry_after=1) from None

    def _begun(self) -> "Future[T]":
        with self._lock:
            if self._found is None or self._found.done():
                self._found = Future()
                Thread(target=self._run, args=(self._found,), name="glance", daemon=True).start()
            return self._found

    def _run(self, found: "Future[T]") -> None:
        try:
            found.set_result(self._look())
        except BaseException as error:  # noqa: BLE001 - it is raised to those who ask
            found.set_exception(error)
