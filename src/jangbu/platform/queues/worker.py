"""The worker: threads that take messages from the queues to their handlers, and the outbox to the queues."""

import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from queue import SimpleQueue
from time import monotonic
from typing import Final

import structlog

from jangbu.kernel.errors import JangbuError
from jangbu.platform.queues.bus import Bus
from jangbu.platform.queues.envelope import COMMANDS, NAMES
from jangbu.platform.queues.ports import Queues, Received
from jangbu.platform.queues.relay import Relay

_RENEWALS: Final = 3
"""Renewals a lease, so that one may fail."""
_PRUNES_EVERY: Final = 3600.0
"""Seconds."""
_log = structlog.get_logger(__name__)


class Worker:
    """At most `threads` messages at once, each held for as long as its handler runs, by leases of `lease` that are renewed. One
    thread of several is left to events: commands may take minutes each. Idle, it looks for new ones every `pause` seconds, and
    ever less often up to what the queues ask for. What it has itself put on a queue is looked for at once. It is started and
    stopped once."""

    def __init__(
        self, bus: Bus, queues: Queues, relay: Relay, *, threads: int, lease: timedelta = timedelta(seconds=30), pause: float = 0.25
    ) -> None:
        self._bus, self._queues, self._relay = bus, queues, relay
        self._lease, self._pause, self._count = lease, pause, threads
        self._stopping, self._ended, self._wake = threading.Event(), threading.Event(), threading.Event()
        self._held: dict[str, Received] = {}
        self._lock = threading.Lock()
        self._taken: SimpleQueue[Received | None] = SimpleQueue()
        self._order = list(NAMES)
        self._feeding = [self._thread("relay", self._relay_on), self._thread("queues", self._feed)]
        self._keeping = self._thread("leases", self._keep)
        self._handling = [self._thread(f"handler-{number}", self._handle) for number in range(threads)]

    def start(self) -> None:
        for thread in (*self._feeding, self._keeping, *self._handling):
            thread.start()

    def ask_to_stop(self) -> None:
        """Take nothing more. Doesn't wait."""
        self._stopping.set()
        self._wake.set()

    def stop(self, patience: float) -> None:
        """Take nothing more; what runs may finish for `patience` seconds, then it is released, so that others needn't wait for its
        lease. A handler that goes on nevertheless does so with a void receipt."""
        self.ask_to_stop()
        ends = monotonic() + patience
        for thread in self._feeding:
            thread.join(max(2.0, ends - monotonic()))  # their steps are short; what they receive is to be released below
        for _ in self._handling:
            self._taken.put(None)
        for thread in self._handling:
            thread.join(max(0.0, ends - monotonic()))
        self._ended.set()
        self._keeping.join()
        for message in self._holding():
            _log.warning("message left unfinished", message=message.id, queue=message.queue)
            _tried(partial(self._queues.release, message, counted=False), "queues")

    def _thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        # A daemon, as a handler can't be interrupted: the process ends, and its message is another's.
        return threading.Thread(target=work, name=f"worker-{name}", daemon=True)

    # The outbox

    def _relay_on(self) -> None:
        pruned = monotonic()
        while not self._stopping.is_set():
            if _tried(self._relay.run, "outbox"):
                self._wake.set()
            else:
                self._stopping.wait(self._pause)
            if monotonic() - pruned > _PRUNES_EVERY:
                pruned = monotonic()
                _tried(self._relay.prune, "inbox")

    # Taking

    def _feed(self) -> None:
        rest = self._pause
        while not self._stopping.is_set():
            self._wake.clear()
            if _tried(self._take, "queues") or self._wake.wait(rest):
                rest = self._pause
            else:
                rest = max(self._pause, min(rest * 2, self._queues.capabilities.rests.total_seconds()))

    def _take(self) -> int:
        """Receive as many messages as there are threads without one; how many."""
        taken = 0
        for name in tuple(self._order):
            if self._stopping.is_set():
                break
            free = self._free(name)
            if free <= 0:
                continue
            found = self._queues.receive(name, lease=self._lease, limit=free)
            for message in found:
                with self._lock:
                    self._held[message.receipt] = message
                self._taken.put(message)
            if found:
                # The others are asked first the next time, so that none starves another.
                self._order.remove(name)
                self._order.append(name)
            taken += len(found)
        return taken

    def _free(self, name: str) -> int:
        """The threads that may take a message of this queue."""
        free = self._count - len(self._held)
        if name != COMMANDS or self._count == 1:
            return free
        return min(free, self._count - 1 - sum(message.queue == COMMANDS for message in self._holding()))

    # Handling

    def _handle(self) -> None:
        while (message := self._taken.get()) is not None:
            try:
                _tried(partial(self._settle, message), "message")
            finally:
                with self._lock:
                    del self._held[message.receipt]
                self._wake.set()

    def _settle(self, message: Received) -> int:
        if self._stopping.is_set():
            self._queues.release(message, counted=False)
        else:
            self._bus.take(message)
        return 1

    # Leases

    def _keep(self) -> None:
        while not self._ended.wait(self._lease.total_seconds() / _RENEWALS):
            for message in self._holding():
                _tried(partial(self._queues.renew, message, self._lease), "lease")

    def _holding(self) -> tuple[Received, ...]:
        with self._lock:
            return tuple(self._held.values())


def _tried(step: Callable[[], int], what: str) -> int:
    """What the step returns; 0 where it fails. A worker's threads outlive what fails: the next round is another try."""
    try:
        return step()
    except JangbuError as error:
        _log.warning("worker held up", by=what, reason=str(error))
    except Exception:  # noqa: BLE001 - the thread lives on
        _log.exception("worker held up", by=what)
    return 0
