"""The middle and the end of a load's three steps, for every kind of load: intent, lakehouse commit, unit of work.

1. Files are staged; then the intents are written, in a transaction that finds nobody else about to commit to the same tenant and
   data source. So the order of the lakehouse's commits is the order of our history.
2. The lakehouse commit, with the run's marker.
3. One unit of work: versions, history, events, spooled rows deleted, intents closed.
"""

import random
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import delete, update

from jangbu.insight.ingest import repository
from jangbu.insight.ingest.contracts import Load, LoadResult, Recovered, TenantDataUpdated
from jangbu.insight.ingest.intents import Intent
from jangbu.insight.ingest.lease import kept
from jangbu.insight.ingest.owner import is_dead
from jangbu.insight.ingest.tables import spool
from jangbu.kernel.clock import Clock
from jangbu.kernel.errors import NotFound, Unavailable
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.database.ports import Database, UnitOfWork
from jangbu.platform.lakehouse.ports import Lakehouse, Snapshot, Staged

PATIENCE: Final = 300.0
"""Seconds that a load waits for others of the same tenant and data source."""

_PAUSES: Final = (0.005, 0.25)
"""Seconds between looks at an intent that is in the way: the first, and the longest."""


class Commits:
    def __init__(self, database: Database, lakehouse: Lakehouse, clock: Clock) -> None:
        self._database, self._lakehouse, self._clock = database, lakehouse, clock

    def commit(self, intents: Sequence[Intent], staged: Staged, change: Callable[[Staged], Snapshot]) -> tuple[LoadResult, ...]:
        """Steps 2 and 3 for open intents of one attempt. Where the commit didn't happen, the intents are dropped and the staged
        files removed; where that can't be known, they are left for the recovery."""
        attempt, run = intents[0].attempt, intents[0].run
        try:
            with kept(self._database, attempt):
                change(staged)
        except BaseException as error:
            if self._lakehouse.find_run(staged.table, run) is None:
                self._drop(attempt)
                self._lakehouse.discard(staged)
                raise
            if not isinstance(error, Exception):
                self._finish(intents)
                raise
        return self._finish(intents)

    def wait(self, blocking: Intent, deadline: float) -> None:
        """Return when an intent is out of the way: closed by its owner, or recovered here where the owner is gone.

        Raises:
            Unavailable: `deadline` (of time.monotonic) has passed.
        """
        pause, longest = _PAUSES
        while self._is_open(blocking.attempt):
            if self.is_abandoned(blocking, self._clock.now()):
                self.recover(blocking.attempt, self._clock.now())
                return
            if time.monotonic() > deadline:
                raise Unavailable(f"Another load of {blocking.key.data_source!r} goes on for too long.", retry_after=60)
            time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter isn't a secret
            pause = min(pause * 2, longest)

    def is_abandoned(self, intent: Intent, now: datetime) -> bool:
        """Whether the owner's lease has ended by `now`, or its process, if it ran on this machine. The lease may have been renewed
        since the intent was read, so it is read again."""
        with self._database.reading() as connection:
            return _are_abandoned(repository.open_intents(connection, intent.attempt), now)

    def recover(self, attempt: str, now: datetime) -> Recovered | None:
        """Finish an abandoned attempt whose commit happened, else drop it. None: somebody else did, or it isn't abandoned."""
        with self._database.reading() as connection:
            intents = repository.open_intents(connection, attempt)
        if not _are_abandoned(intents, now):
            return None
        first = intents[0]
        finished = self._happened(first)
        if not finished:
            if not self.is_abandoned(first, now):
                return None
            finished = not self._give_up(first)
        if finished:
            self._finish(intents)
        elif not self._drop(attempt, abandoned_by=now):
            return None
        return Recovered(first.run, first.key.data_source, tuple(intent.key.tenant for intent in intents), finished)

    def _happened(self, intent: Intent) -> bool:
        try:
            return self._lakehouse.find_run(intent.lakehouse_table, intent.run) is not None
        except NotFound:
            return False

    def _give_up(self, intent: Intent) -> bool:
        """Whether it didn't happen; then it can't any more, though its process may only stand still."""
        try:
            return self._lakehouse.give_up(intent.lakehouse_table, intent.run, intent.attempt)
        except NotFound:
            return True

    def _is_open(self, attempt: str) -> bool:
        with self._database.reading() as connection:
            return bool(repository.open_intents(connection, attempt))

    def _finish(self, intents: Sequence[Intent]) -> tuple[LoadResult, ...]:
        run, attempt = intents[0].run, intents[0].attempt
        with self._database.transaction() as work:
            if not repository.close_intents(work.connection, attempt):
                return _finished_by_others(repository.loads_of_run(work.connection, run), intents[0])
            work.connection.execute(delete(spool).where(spool.c.attempt == attempt))
            return tuple(self._record(work, intent) for intent in intents)

    def _record(self, work: UnitOfWork, intent: Intent) -> LoadResult:
        key = intent.key
        version = repository.next_version(work.connection, intent)
        repository.add_load(work.connection, intent, version, work.now)
        work.emit(TenantDataUpdated(key.tenant, key.data_source, version.version))
        return LoadResult(intent.run, key.data_source, key.tenant, intent.rows, version.version, changed=True)

    def _drop(self, attempt: str, *, abandoned_by: datetime | None = None) -> bool:
        """Whether the intents were dropped: not where they should be abandoned and their owner has given a sign of life."""
        with self._database.transaction() as work:
            if abandoned_by and not _are_abandoned(repository.open_intents(work.connection, attempt), abandoned_by):
                return False
            repository.close_intents(work.connection, attempt)
            work.connection.execute(update(spool).where(spool.c.attempt == attempt).values(attempt=None))
            return True


def _are_abandoned(intents: Sequence[Intent], now: datetime) -> bool:
    return any(intent.lease_ends_at <= now or is_dead(intent.owner) for intent in intents)


def _finished_by_others(done: Sequence[Load], intent: Intent) -> tuple[LoadResult, ...]:
    """What the recovery, or another attempt after this one was given up, has recorded of the run."""
    if not done:
        raise Unavailable(f"Another load of the same rows of {intent.key.data_source!r} is about to end.", retry_after=1)
    return tuple(result_of(load, changed=True) for load in done)


def result_of(load: Load, *, changed: bool) -> LoadResult:
    tenant: TenantId | None = load.tenant
    return LoadResult(load.run, load.data_source, tenant, load.rows, load.version, changed)
