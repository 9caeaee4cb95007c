"""Small rows of many tenants, kept in the database until they are worth a load of their own."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Row, insert, select, update

from jangbu.insight.catalog.contracts import DataSource
from jangbu.insight.ingest import arrow, repository, rows
from jangbu.insight.ingest.commits import PATIENCE, Commits
from jangbu.insight.ingest.contracts import LoadMode, LoadResult
from jangbu.insight.ingest.intents import Intent, LoadKey
from jangbu.insight.ingest.lease import LEASE
from jangbu.insight.ingest.owner import this_process
from jangbu.insight.ingest.tables import spool
from jangbu.kernel.clock import Clock
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.database.ports import Database, UnitOfWork
from jangbu.platform.lakehouse.ports import Lakehouse, TableSpec

ROWS_A_FLUSH: Final = 100_000
"""The most rows that one load takes from the spool; the rest waits for the next."""

Spooled = Sequence[Row[int, Any]]


class Spool:
    def __init__(self, database: Database, lakehouse: Lakehouse, clock: Clock, commits: Commits) -> None:
        self._database, self._lakehouse, self._clock, self._commits = database, lakehouse, clock, commits

    def add(self, source: DataSource, given: Sequence[Mapping[str, Any]]) -> None:
        payloads = rows.encode(arrow.table_spec(source), given)
        if payloads:
            with self._database.transaction() as work:
                work.connection.execute(insert(spool), [{"data_source": source.name, "payload": payload} for payload in payloads])

    def flush(self, source: DataSource) -> tuple[LoadResult, ...]:
        """One load of what is spooled; a result for each tenant, nothing where nothing was spooled or others have taken it."""
        spec = arrow.table_spec(source)
        while found := self._waiting(source.name):
            self._lakehouse.create(spec)
            batch = rows.decode(spec, [row.payload for row in found])
            staged = self._lakehouse.stage(spec.name, [batch], f"staged-{uuid4().hex}")
            try:
                intents = self._claim(_intents(source.name, spec, found, self._clock.now()), found)
            except BaseException:
                self._lakehouse.discard(staged)
                raise
            if intents:
                return self._commits.commit(
                    intents, replace(staged, run=intents[0].run, attempt=intents[0].attempt), self._lakehouse.append
                )
            self._lakehouse.discard(staged)
        return ()

    def _waiting(self, data_source: str) -> Spooled:
        query = select(spool.c.id, spool.c.payload).where(spool.c.data_source == data_source, spool.c.attempt.is_(None))
        with self._database.reading() as connection:
            return connection.execute(query.order_by(spool.c.id).limit(ROWS_A_FLUSH)).all()

    def _claim(self, intents: Sequence[Intent], found: Spooled) -> Sequence[Intent]:
        """Take the rows for this attempt and open its intents; nothing where others have taken some of the rows meanwhile."""
        deadline = time.monotonic() + PATIENCE
        tenants = [intent.key.tenant for intent in intents]
        while True:
            with self._database.transaction() as work:
                blocking = repository.blocking_intent(work.connection, intents[0].key.data_source, tenants)
                if blocking is None:
                    return self._take(work, intents, found)
            self._commits.wait(blocking, deadline)

    def _take(self, work: UnitOfWork, intents: Sequence[Intent], found: Spooled) -> Sequence[Intent]:
        mine = (spool.c.data_source == intents[0].key.data_source, spool.c.id.between(found[0].id, found[-1].id))
        free = work.connection.execute(select(spool.c.id).where(*mine, spool.c.attempt.is_(None))).scalars()
        if set(free) != {row.id for row in found}:
            return ()
        work.connection.execute(update(spool).where(*mine, spool.c.attempt.is_(None)).values(attempt=intents[0].attempt))
        renewed = [replace(intent, lease_ends_at=self._clock.now() + LEASE) for intent in intents]
        repository.add_intents(work.connection, renewed)
        return renewed


def _intents(data_source: str, spec: TableSpec, found: Spooled, now: datetime) -> list[Intent]:
    """One for each tenant among the rows, of one run: these rows, by their numbers, which no others ever have."""
    content = "spool:" + sha256(",".join(str(row.id) for row in found).encode()).hexdigest()
    run = LoadKey(data_source, None, LoadMode.APPEND, None, content).run()
    attempt, owner = uuid4().hex, this_process()
    counts: Counter[TenantId | None] = Counter(row.payload[spec.tenant_column] if spec.tenant_column else None for row in found)
    return [
        Intent(
            LoadKey(data_source, tenant, LoadMode.APPEND, None, content),
            run,
            attempt,
            spec.name,
            count,
            now,
            owner,
            now + LEASE,
            now,
        )
        for tenant, count in sorted(counts.items(), key=lambda item: item[0] or "")
    ]
