"""The middle and the end of a load's three steps, for every kind of load: intent, lakehouse commit, unit of work.

1. Files are staged; then the intents are written, in a transaction that finds nobody else about to commit to the same tenant and
   data source. So the order of the lakehouse's commits is the order of our history.
2. The lakehouse commit, with the attempt's marker.
3. One unit of work: versions, history, events, spooled rows deleted, rows set aside, intents closed.
"""

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import uuid4

from sqlalchemy import Connection, delete, update

from jangbu.insight.access.contracts import TenantState
from jangbu.insight.access.facade import states_of
from jangbu.insight.ingest import quarantining, repository
from jangbu.insight.ingest.contracts import Load, LoadMode, LoadResult, Recovered, TenantDataUpdated
from jangbu.insight.ingest.grouping import Grouping
from jangbu.insight.ingest.intents import Intent, LoadKey
from jangbu.insight.ingest.lease import LEASE, kept
from jangbu.insight.ingest.owner import is_dead, this_process
from jangbu.insight.ingest.packages import Blocked, Needless, Outcome, Package, Share
from jangbu.insight.ingest.tables import spool
from jangbu.kernel.clock import Clock
from jangbu.kernel.errors import Conflict, Forbidden, JangbuError, NotFound, StorageError, Unavailable
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.database.ports import Database, UnitOfWork
from jangbu.platform.lakehouse.ports import Lakehouse, TableSpec
from jangbu.platform.telemetry.tracing import span

PATIENCE: Final = 300.0
"""Seconds that a load waits for others of the same tenant and data source."""

_PAUSES: Final = (0.005, 0.25)
"""Seconds between looks at an intent that is in the way: the first, and the longest."""


class Commits:
    def __init__(self, database: Database, lakehouse: Lakehouse, clock: Clock) -> None:
        self._database, self._lakehouse, self._clock = database, lakehouse, clock
        self._grouping = Grouping(self._commit_many)
        self._known: set[str] = set()
        self._left: set[str] = set()
        """Attempts that this process has let go of while it couldn't know, or write down, what became of them."""

    def make_table(self, spec: TableSpec, data_source: str) -> None:
        """The table is there afterwards, with these columns.

        Raises:
            Conflict: it has other columns, and only a rewrite could change that.
            StorageError: it is gone, though rows were loaded into it: what is loaded now would hide that.
        """
        if spec.name not in self._known and spec.name not in self._lakehouse.tables():
            with self._database.reading() as connection:
                was_loaded = repository.was_loaded(connection, data_source)
            if was_loaded:
                raise lost_table(data_source, spec.name)
        self._lakehouse.create(spec)
        self._known.add(spec.name)

    def commit(self, package: Package) -> tuple[LoadResult, ...] | Needless:
        """Intent, commit and unit of work for a package, together with others that wait for the same table. Others' commits to the
        same tenants are waited for. The files that aren't committed are removed, but for those whose fate can't be known: they are
        left for the recovery.

        Raises:
            Forbidden: a tenant is suspended, or on its way out.
            Unavailable: others go on for too long.
        """
        deadline = time.monotonic() + PATIENCE
        outcome = self._grouping.submit(package)
        while isinstance(outcome, Blocked):
            try:
                self.wait(outcome.by, deadline)
            except BaseException:
                self._discard([package])
                raise
            outcome = self._grouping.submit(package)
        if isinstance(outcome, Needless):
            self._discard([package])
        return outcome

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
        """Whether the owner's lease has ended by `now`, or its process, if it ran on this machine; or it is this one, which has let
        go of it. The lease may have been renewed since the intent was read, so it is read again."""
        with self._database.reading() as connection:
            return self._are_abandoned(repository.open_intents(connection, intent.attempt), now)

    def recover_all(self, now: datetime) -> tuple[Recovered, ...]:
        """Recover every abandoned attempt. Where a table can't be read, its attempts are left to the next time and no other table
        waits for it; the first such error is raised at the end."""
        with self._database.reading() as connection:
            found = {intent.attempt: intent for intent in repository.open_intents(connection)}
        recovered: list[Recovered] = []
        errors: dict[str, JangbuError] = {}
        for attempt, intent in found.items():
            if intent.lakehouse_table in errors or not self.is_abandoned(intent, now):
                continue
            try:
                if done := self.recover(attempt, now):
                    recovered.append(done)
            except JangbuError as error:
                errors[intent.lakehouse_table] = error
        for first in errors.values():
            raise first
        return tuple(recovered)

    def recover(self, attempt: str, now: datetime) -> Recovered | None:
        """Finish an abandoned attempt whose commit happened, else drop it. None: somebody else did, or it isn't abandoned."""
        with self._database.reading() as connection:
            intents = repository.open_intents(connection, attempt)
        if not self._are_abandoned(intents, now):
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
        self._left.discard(attempt)
        return Recovered(first.run, first.key.data_source, tuple(intent.key.tenant for intent in intents), finished)

    def _commit_many(self, packages: Sequence[Package]) -> Sequence[Outcome | Exception]:
        """An outcome for each package. Where the commit of several fails, each is tried alone, so that none fails for another."""
        attempt = uuid4().hex
        try:
            opened = self._open_all(packages, attempt)
            ready = [(package, opening) for package, opening in zip(packages, opened, strict=True) if isinstance(opening, list)]
            results = self._change([package for package, _ in ready], [each for _, opening in ready for each in opening])
        except LeftOpen as left:
            self._left.add(attempt)
            return [left.cause] * len(packages)
        except BaseException as error:
            if isinstance(error, Unavailable):
                self._left.add(attempt)  # its intents may be there: a commit's answer can be lost
            if isinstance(error, Exception) and len(packages) > 1:
                return [self._commit_many([package])[0] for package in packages]
            self._discard(packages, attempt)
            if not isinstance(error, Exception):
                raise
            return [error]
        by_intent = iter(results)
        return [tuple(next(by_intent) for _ in each) if isinstance(each, list) else each for each in opened]

    def _open_all(self, packages: Sequence[Package], attempt: str) -> "list[list[Intent] | Blocked | Needless]":
        with self._database.transaction() as work:
            return [self._open(work, package, attempt) for package in packages]

    def _open(self, work: UnitOfWork, package: Package, attempt: str) -> "list[Intent] | Blocked | Needless":
        tenants = [share.key.tenant for share in package.shares]
        check_states(work.connection, tenants, package.states)
        blocking = repository.blocking_intent(work.connection, package.data_source, tenants)
        if blocking is not None:
            return Blocked(blocking)
        judged = judge(work.connection, [share.key for share in package.shares])
        done = tuple(found for found, _ in judged if found is not None)
        if done or not package.claim(work, attempt):
            return Needless(done)
        now, owner = self._clock.now(), this_process()
        named = zip(package.shares, judged, strict=True)
        intents = [_intent(share, run, attempt, package.staged.table, owner, now) for share, (_, run) in named]
        repository.add_intents(work.connection, intents)
        for share, intent in zip(package.shares, intents, strict=True):
            quarantining.add(work.connection, intent, share.bad, now)
        return intents

    def _change(self, packages: Sequence[Package], intents: Sequence[Intent]) -> tuple[LoadResult, ...]:
        """Steps 2 and 3 for open intents of one attempt. Where the commit didn't happen, the intents are dropped; where that can't
        be known, or it can't be written down, they are left for the recovery."""
        if not packages:
            return ()
        attempt, table = intents[0].attempt, packages[0].staged.table
        staged = self._lakehouse.join([package.staged for package in packages], attempt)
        try:
            with kept(self._database, attempt), span("commit", table=table, loads=len(intents)):
                self._lakehouse.commit(staged, [drop for package in packages for drop in package.drops])
        except BaseException as error:
            if not self._has(table, attempt, error):
                self._drop(attempt)
                if len(packages) == 1 and (done := self._done_by_others(intents)):
                    self._discard(packages)
                    return done
                raise
            if not isinstance(error, Exception):
                self._finish(intents)
                raise
        try:
            return self._finish(intents)
        except Exception as error:
            raise LeftOpen(error) from error

    def _has(self, table: str, attempt: str, error: BaseException) -> bool:
        try:
            return self._lakehouse.find_run(table, attempt) is not None
        except Exception as unknown:  # noqa: BLE001 - whatever it is, it leaves the question open
            raise LeftOpen(error if isinstance(error, Exception) else unknown) from error

    def _discard(self, packages: Sequence[Package], attempt: str = "") -> None:
        """Remove the packages' files, unless they were committed by the attempt."""
        for package in packages:
            try:
                self._lakehouse.discard(replace(package.staged, run=attempt or package.staged.run))
            except Conflict:  # what was committed after all stays
                continue

    def _happened(self, intent: Intent) -> bool:
        try:
            return self._lakehouse.find_run(intent.lakehouse_table, intent.attempt) is not None
        except NotFound:
            return False

    def _give_up(self, intent: Intent) -> bool:
        """Whether it didn't happen; then it can't any more, though its process may only stand still."""
        try:
            return self._lakehouse.give_up(intent.lakehouse_table, intent.attempt)
        except NotFound:
            return True

    def _are_abandoned(self, intents: Sequence[Intent], now: datetime) -> bool:
        return any(each.lease_ends_at <= now or each.attempt in self._left or is_dead(each.owner) for each in intents)

    def _is_open(self, attempt: str) -> bool:
        with self._database.reading() as connection:
            return bool(repository.open_intents(connection, attempt))

    def _done_by_others(self, intents: Sequence[Intent]) -> tuple[LoadResult, ...]:
        """What others have recorded of the same runs, after this attempt was given up."""
        with self._database.reading() as connection:
            found = repository.loads_of_runs(connection, [intent.run for intent in intents])
        return tuple(result_of(load, changed=True) for load in found.values()) if len(found) == len(intents) else ()

    def _finish(self, intents: Sequence[Intent]) -> tuple[LoadResult, ...]:
        attempt = intents[0].attempt
        with self._database.transaction() as work:
            if not repository.close_intents(work.connection, attempt):
                return self._finished_by_others(work.connection, intents)
            work.connection.execute(delete(spool).where(spool.c.attempt == attempt))
            quarantining.settle(work.connection, attempt, work.now)
            return self._record(work, intents)

    def _finished_by_others(self, connection: Connection, intents: Sequence[Intent]) -> tuple[LoadResult, ...]:
        done = repository.loads_of_runs(connection, [intent.run for intent in intents])
        if len(done) < len(intents):
            raise Unavailable(f"Another load of the same rows of {intents[0].key.data_source!r} is about to end.", retry_after=1)
        return tuple(result_of(done[intent.run], changed=True) for intent in intents)

    def _record(self, work: UnitOfWork, intents: Sequence[Intent]) -> tuple[LoadResult, ...]:
        versions = repository.next_versions(work.connection, intents)
        repository.add_loads(work.connection, zip(intents, versions, strict=True), work.now)
        for intent in intents:
            if intent.key.mode is LoadMode.REPLACE:
                quarantining.supersede(work.connection, intent, work.now)
        work.emit(*(TenantDataUpdated(version.tenant, version.data_source, version.version) for version in versions))
        return tuple(
            LoadResult(
                intent.run,
                intent.key.data_source,
                intent.key.tenant,
                intent.rows,
                version.version,
                changed=True,
                bad=intent.bad,
                repeated=intent.repeated,
            )
            for intent, version in zip(intents, versions, strict=True)
        )

    def _drop(self, attempt: str, *, abandoned_by: datetime | None = None) -> bool:
        """Whether the intents were dropped: not where they should be abandoned and their owner has given a sign of life."""
        with self._database.transaction() as work:
            if abandoned_by and not self._are_abandoned(repository.open_intents(work.connection, attempt), abandoned_by):
                return False
            repository.close_intents(work.connection, attempt)
            work.connection.execute(update(spool).where(spool.c.attempt == attempt).values(attempt=None))
            quarantining.drop(work.connection, attempt)
            return True


def lost_table(data_source: str, table: str) -> StorageError:
    return StorageError(
        f"{data_source!r} was loaded, but the lakehouse has no table {table!r}.",
        value=table,
        hint="Put the lakehouse's folder, or its catalog, back from a copy; or bind the data source to its table again.",
    )


class LeftOpen(Exception):
    """A commit has happened, or may have, and couldn't be written down: its intents stay for the recovery, its files, too."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


def check_states(connection: Connection, tenants: Sequence[TenantId | None], allowed: Sequence[TenantState]) -> None:
    """Within the transaction that opens the intents, so that an erasure and a load can't cross. Raises Forbidden."""
    for tenant, state in states_of(connection, [tenant for tenant in tenants if tenant is not None]).items():
        if state not in allowed:
            raise Forbidden(f"The tenant {tenant!r} {state.reason}; nothing is loaded.", value=tenant)


def judge(connection: Connection, keys: Sequence[LoadKey]) -> list[tuple[LoadResult | None, str]]:
    """For each key the load that makes it needless, and else the run's name. An append was done if it ever was; a replacement or a
    merge only if it is the last that touched its range: after A and then B, A is to be put back."""
    appends = repository.loads_of_runs(connection, [key.run() for key in keys if key.mode is LoadMode.APPEND])
    latest = repository.latest_overlapping(connection, [key for key in keys if key.mode is not LoadMode.APPEND])
    return [_judged_append(appends, key) if key.mode is LoadMode.APPEND else _judged_last(latest.get(key), key) for key in keys]


def _judged_append(done: Mapping[str, Load], key: LoadKey) -> tuple[LoadResult | None, str]:
    run = key.run()
    return (result_of(done[run], changed=False) if run in done else None), run


def _judged_last(latest: tuple[int, Load] | None, key: LoadKey) -> tuple[LoadResult | None, str]:
    if latest is None:
        return None, key.run()
    number, load = latest
    same = (load.mode, load.span, load.content, load.keys) == (key.mode, key.span, key.content, key.keys)
    return (result_of(load, changed=False) if same else None), key.run(after=number)


def result_of(load: Load, *, changed: bool) -> LoadResult:
    return LoadResult(load.run, load.data_source, load.tenant, load.rows, load.version, changed, load.bad, load.repeated)


def _intent(share: Share, run: str, attempt: str, table: str, owner: str, now: datetime) -> Intent:
    return Intent(
        key=share.key,
        run=run,
        attempt=attempt,
        lakehouse_table=table,
        rows=share.rows,
        as_of=share.as_of,
        owner=owner,
        lease_ends_at=now + LEASE,
        started_at=share.started_at,
        bad=len(share.bad),
        repeated=share.repeated,
    )
