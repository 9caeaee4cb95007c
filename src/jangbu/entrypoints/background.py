"""The worker and the scheduler of a process, in threads, beside whatever else it does."""

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from jangbu.entrypoints.handlers import jobs
from jangbu.kernel.errors import JangbuError

if TYPE_CHECKING:
    from jangbu.entrypoints.bootstrap import Application
    from jangbu.platform.queues.scheduler import Scheduler
    from jangbu.platform.queues.worker import Worker

_TICK: Final = 1.0
"""Seconds between the scheduler's looks at the clock."""
_AGAIN: Final = 5.0
"""Seconds until a worker that couldn't start tries again."""
_log = structlog.get_logger(__name__)


class Background:
    """Started and stopped once. The application stops it before it closes the parts that handlers use.

    Raises:
        ConfigurationError: handlers with a mistake.
    """

    def __init__(self, application: "Application", *, worker: bool = True, scheduler: bool = True) -> None:
        self._application = application
        self._with_worker = worker
        self._jobs = jobs(application.handlers) if scheduler else ()
        self._stopping = threading.Event()
        self._worker: Worker | None = None
        self._thread = threading.Thread(target=self._run, name="background", daemon=True)
        application.before_closing(self.stop)

    def start(self) -> None:
        """Begin; what this needs is imported and opened in a thread of its own, so that nobody waits for it."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Take nothing more. Doesn't wait."""
        self._stopping.set()
        if self._worker is not None:
            self._worker.ask_to_stop()

    def stop(self) -> None:
        """Return when nothing runs any more; what takes longer than the settings allow is left to others."""
        self.ask_to_stop()
        if self._thread.ident is not None:
            self._thread.join()
        if self._worker is not None:
            self._worker.stop(self._application.settings.shutdown_seconds)
            self._worker = None

    def _run(self) -> None:
        while self._with_worker and not self._has_begun():
            if self._stopping.wait(_AGAIN):
                return
        if self._jobs:
            self._schedule()

    def _has_begun(self) -> bool:
        """Whether the worker runs; a server that it needs may be away."""
        try:
            self._application.start()  # where it isn't yet: handlers find every part built
            worker = self._make_worker()
            worker.start()
            self._worker = worker
        except JangbuError as error:
            _log.warning("worker held up", by="its start", reason=str(error))
            return False
        except Exception:  # noqa: BLE001 - the next try may go better
            _log.exception("worker held up")
            return False
        return True

    def _make_worker(self) -> "Worker":
        from jangbu.platform.queues.bus import Backoff, Bus
        from jangbu.platform.queues.worker import Worker

        application, settings = self._application, self._application.settings
        backoff = Backoff(first=timedelta(seconds=settings.message_pause))
        bus = Bus(
            application.queues,
            application.handlers,
            application,
            application.metrics,
            tries=settings.message_tries,
            backoff=backoff,
        )
        lease = timedelta(seconds=settings.message_lease)
        return Worker(bus, application.queues, application.relay, threads=settings.worker_threads, lease=lease)

    def _schedule(self) -> None:
        from jangbu.platform.queues.scheduler import Scheduler

        scheduler = Scheduler(self._application.database, self._jobs)
        while not self._stopping.is_set():
            self._tick(scheduler)
            self._stopping.wait(_TICK)

    def _tick(self, scheduler: "Scheduler") -> None:
        try:
            scheduler.tick(self._application.clock.now())
        except JangbuError as error:
            _log.warning("scheduler held up", reason=str(error))
        except Exception:  # noqa: BLE001 - the thread lives on: the next tick is another try
            _log.exception("scheduler held up")
