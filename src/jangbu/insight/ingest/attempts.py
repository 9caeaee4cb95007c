"""Loads that go on, for those who look from elsewhere, and loads that failed."""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Connection, Row, delete, insert, select, update

from jangbu.insight.ingest.contracts import Attempt, LoadMode, LoadState
from jangbu.insight.ingest.intents import LoadKey
from jangbu.insight.ingest.owner import is_dead, this_process
from jangbu.insight.ingest.tables import load_attempts
from jangbu.kernel.clock import Clock
from jangbu.kernel.errors import JangbuError, Unavailable
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.database.ports import Database

TOLD_EVERY: Final = 1.0
"""Seconds between two notes of how far a load has come; one that takes less leaves none."""

KEPT: Final = timedelta(days=30)
"""How long it is known that a load failed."""

_LONGEST: Final = 500
"""Characters of an error that are kept."""


class Attempts:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    @contextmanager
    def of(self, key: LoadKey, total: int | None, started_at: datetime) -> Iterator[Callable[[int], None]]:
        """Within the block the load goes on; call what is yielded with its rows so far. A load that fails is noted as such."""
        note = _Note(self._database, self._clock, key, total, started_at)
        try:
            yield note.told
        except Exception as error:
            note.failed(error)
            raise
        except BaseException:
            note.ended()
            raise
        note.ended()


class _Note:
    def __init__(self, database: Database, clock: Clock, key: LoadKey, total: int | None, started_at: datetime) -> None:
        self._database, self._clock, self._key, self._total, self._started_at = database, clock, key, total, started_at
        self._id, self._rows, self._is_written = uuid4().hex, 0, False
        self._last = time.monotonic()

    def told(self, rows: int) -> None:
        self._rows = rows
        if time.monotonic() - self._last >= TOLD_EVERY:
            self._last = time.monotonic()
            self._write(LoadState.RUNNING, None)

    def failed(self, error: Exception) -> None:
        # What isn't ours may hold anything; only its kind is told.
        said = str(error) if isinstance(error, JangbuError) else type(error).__name__
        self._write(LoadState.FAILED, said[:_LONGEST])

    def ended(self) -> None:
        if self._is_written:
            self._quietly(lambda connection: connection.execute(delete(load_attempts).where(load_attempts.c.id == self._id)))

    def _write(self, state: LoadState, error: str | None) -> None:
        values = {"state": state.value, "rows": self._rows, "error": error, "updated_at": self._clock.now()}
        if self._is_written:
            query: Any = update(load_attempts).where(load_attempts.c.id == self._id).values(**values)
        else:
            same = {"data_source": self._key.data_source, "tenant": self._key.tenant, "mode": self._key.mode.value}
            more = {"id": self._id, "total": self._total, "owner": this_process(), "started_at": self._started_at}
            query = insert(load_attempts).values(**same, **more, **values)
        self._is_written |= self._quietly(lambda connection: connection.execute(query))

    def _quietly(self, write: Callable[[Connection], object]) -> bool:
        """A note is no reason for a load to fail, nor may it hide why one did."""
        try:
            with self._database.transaction() as work:
                write(work.connection)
        except (Unavailable, RuntimeError):
            return False
        return True


def settle_dead(connection: Connection, now: datetime) -> None:
    """Loads whose process has ended without a word have failed; those that failed long ago are forgotten."""
    running = select(load_attempts.c.id, load_attempts.c.owner).where(load_attempts.c.state == LoadState.RUNNING.value)
    dead = [row.id for row in connection.execute(running) if is_dead(row.owner)]
    if dead:
        ended = {"state": LoadState.FAILED.value, "error": "Its process ended.", "updated_at": now}
        connection.execute(update(load_attempts).where(load_attempts.c.id.in_(dead)).values(**ended))
    old = (load_attempts.c.state == LoadState.FAILED.value, load_attempts.c.updated_at < now - KEPT)
    connection.execute(delete(load_attempts).where(*old))


def find(
    connection: Connection,
    tenants: Collection[TenantId | None],
    data_sources: Collection[str] | None,
    state: LoadState | None,
    offset: int,
    limit: int,
) -> tuple[Attempt, ...]:
    """A page, the latest first."""
    query = select(load_attempts).where(load_attempts.c.tenant.in_(list(tenants)))
    if data_sources is not None:
        query = query.where(load_attempts.c.data_source.in_(list(data_sources)))
    if state is not None:
        query = query.where(load_attempts.c.state == state.value)
    ordered = query.order_by(load_attempts.c.started_at.desc(), load_attempts.c.id)
    return tuple(_attempt(row) for row in connection.execute(ordered.offset(offset).limit(limit)))


def _attempt(row: Row[Any]) -> Attempt:
    return Attempt(
        row.id,
        row.tenant,
        row.data_source,
        LoadMode(row.mode),
        LoadState(row.state),
        row.rows,
        row.total,
        row.error,
        row.started_at,
        row.updated_at,
    )
