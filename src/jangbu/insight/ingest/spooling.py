"""Small rows of many tenants, kept in the database until they are worth a load of their own."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Row, insert, select, update

from jangbu.insight.access.contracts import TenantState
from jangbu.insight.access.facade import states_of, tenants_in
from jangbu.insight.catalog.contracts import DataSource
from jangbu.insight.ingest import arrow, repository, rows
from jangbu.insight.ingest.commits import PATIENCE, Commits
from jangbu.insight.ingest.contracts import LoadMode, LoadResult
from jangbu.insight.ingest.intents import LoadKey
from jangbu.insight.ingest.packages import Needless, Package, Share
from jangbu.insight.ingest.tables import spool
from jangbu.kernel.clock import Clock
from jangbu.kernel.errors import Forbidden
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.database.ports import Database, UnitOfWork
from jangbu.platform.lakehouse.ports import Lakehouse, TableSpec

ROWS_A_FLUSH: Final = 100_000
"""The most rows that one load takes from the spool; the rest waits for the next."""

_OUT: Final = (TenantState.ERASING, TenantState.DELETED)

Spooled = Sequence[Row[int, Any]]


class Spool:
    def __init__(self, database: Database, lakehouse: Lakehouse, clock: Clock, commits: Commits) -> None:
        self._database, self._lakehouse, self._clock, self._commits = database, lakehouse, clock, commits

    def add(self, source: DataSource, given: Sequence[Mapping[str, Any]]) -> None:
        spec = arrow.table_spec(source)
        payloads = rows.encode(spec, given)
        if payloads:
            with self._database.transaction() as work:
                payloads = _wanted(work.connection, spec, payloads)
                if payloads:
                    work.connection.execute(insert(spool), [{"data_source": source.name, "payload": each} for each in payloads])

    def flush(self, source: DataSource) -> tuple[LoadResult, ...]:
        """One load of what is spooled; a result for each tenant, nothing where nothing was spooled or others have loaded it."""
        spec = arrow.table_spec(source)
        while (found := self._waiting(source.name, spec)) or self._awaited(source.name):
            if not found:
                continue
            self._commits.make_table(spec, source.name)
            batch = rows.decode(spec, [row.payload for row in found])
            staged = self._lakehouse.stage(spec.name, [batch], f"staged-{uuid4().hex}")
            shares = _shares(source.name, spec, found, self._clock.now())
            package = Package(staged, shares, claim=_claim(source.name, spec, found))
            try:
                outcome = self._commits.commit(package)
            except Forbidden:
                continue  # a tenant was suspended meanwhile: its rows wait, the others' don't
            if not isinstance(outcome, Needless):
                return outcome
        return ()

    def _waiting(self, data_source: str, spec: TableSpec) -> Spooled:
        query = select(spool.c.id, spool.c.payload).where(spool.c.data_source == data_source, spool.c.attempt.is_(None))
        with self._database.reading() as connection:
            loaded = query.where(*_of_active(connection, spec))
            return connection.execute(loaded.order_by(spool.c.id).limit(ROWS_A_FLUSH)).all()

    def _awaited(self, data_source: str) -> bool:
        """Wait for others who are loading rows just now, so that these can be asked for when the flush returns. False: nobody
        is."""
        taken = select(spool.c.attempt).where(spool.c.data_source == data_source, spool.c.attempt.is_not(None))
        with self._database.reading() as connection:
            attempt = connection.execute(taken.limit(1)).scalar_one_or_none()
            intents = repository.open_intents(connection, attempt) if attempt else ()
        if intents:
            self._commits.wait(intents[0], time.monotonic() + PATIENCE)
        return bool(intents)


def _wanted(connection: Connection, spec: TableSpec, payloads: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without those of tenants that are on their way out."""
    if spec.tenant_column is None:
        return list(payloads)
    tenants = {TenantId(payload[spec.tenant_column]) for payload in payloads}
    out = {tenant for tenant, state in states_of(connection, tenants).items() if state in _OUT}
    return [payload for payload in payloads if payload[spec.tenant_column] not in out]


def _of_active(connection: Connection, spec: TableSpec) -> "tuple[ColumnElement[bool], ...]":
    """Which rows may be loaded: those of suspended tenants wait."""
    closed = tenants_in(connection, (TenantState.SUSPENDED, TenantState.ERASING))
    return (spool.c.payload[spec.tenant_column].as_string().not_in(closed),) if closed and spec.tenant_column else ()


def _claim(data_source: str, spec: TableSpec, found: Spooled) -> Callable[[UnitOfWork, str], bool]:
    """Takes these rows, unless others have taken some of them meanwhile."""

    def claim(work: UnitOfWork, attempt: str) -> bool:
        mine = (spool.c.data_source == data_source, spool.c.id.between(found[0].id, found[-1].id))
        free = (*mine, spool.c.attempt.is_(None), *_of_active(work.connection, spec))
        if set(work.connection.execute(select(spool.c.id).where(*free)).scalars()) != {row.id for row in found}:
            return False
        work.connection.execute(update(spool).where(*free).values(attempt=attempt))
        return True

    return claim


def _shares(data_source: str, spec: TableSpec, found: Spooled, now: datetime) -> tuple[Share, ...]:
    """One for each tenant among the rows, by their numbers, which no others ever have."""
    content = "spool:" + sha256(",".join(str(row.id) for row in found).encode()).hexdigest()
    counts: Counter[TenantId | None] = Counter(row.payload[spec.tenant_column] if spec.tenant_column else None for row in found)
    return tuple(
        Share(LoadKey(data_source, tenant, LoadMode.APPEND, None, content), count, now, now)
        for tenant, count in sorted(counts.items(), key=lambda item: item[0] or "")
    )
