"""Rows that were set aside, tried again as the data source is defined now."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any
from uuid import uuid4

import pyarrow as pa

from jangbu.insight.catalog.contracts import DataSource
from jangbu.insight.ingest import arrow, quarantining, repository
from jangbu.insight.ingest.commits import Commits
from jangbu.insight.ingest.contracts import BadRow, Load, LoadMode, QuarantinedRow, QuarantineState, Replayed
from jangbu.insight.ingest.feeding import Checks, Converter, Feed
from jangbu.insight.ingest.intents import LoadKey
from jangbu.insight.ingest.packages import Needless, Package, Share
from jangbu.kernel.clock import Clock
from jangbu.kernel.errors import NotFound
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.database.ports import Database, UnitOfWork
from jangbu.platform.lakehouse.ports import Drop, Keyed, Lakehouse, TableSpec

_MOST = 100_000
"""Rows that are tried at once: as many as one load can set aside."""


class Replays:
    def __init__(self, database: Database, lakehouse: Lakehouse, clock: Clock, commits: Commits) -> None:
        self._database, self._lakehouse, self._clock, self._commits = database, lakehouse, clock, commits

    def replay(self, source: DataSource, run: str, tenant: TenantId | None, converter: Converter) -> Replayed:
        load, waiting = self._waiting(source, run, tenant)
        if not waiting:
            return Replayed(None, 0)
        spec = arrow.table_spec(source)
        good, rows, wrong = _judged(source, spec, load, waiting, converter)
        result = None
        if good:
            self._commits.make_table(spec, source.name)
            outcome = self._commits.commit(self._package(source, spec, load, good, rows))
            result = None if isinstance(outcome, Needless) else outcome[0]
        with self._database.transaction() as work:
            quarantining.judge_again(work.connection, wrong)
        return Replayed(result, len(wrong))

    def _waiting(self, source: DataSource, run: str, tenant: TenantId | None) -> tuple[Load, tuple[QuarantinedRow, ...]]:
        with self._database.reading() as connection:
            loads = [load for load in repository.loads_of_run(connection, run) if load.tenant == tenant]
            state = QuarantineState.WAITING
            waiting = quarantining.find(connection, [tenant], [source.name], run, state, 0, _MOST)
        if not loads or loads[0].data_source != source.name:
            raise NotFound(f"There is no load {run[:80]!r} of {source.name!r}.", value=run)
        return loads[0], waiting

    def _package(self, source: DataSource, spec: TableSpec, load: Load, good: Sequence[QuarantinedRow], rows: pa.Table) -> Package:
        ids = [row.id for row in good]
        latest = arrow.last_of_each(rows, load.keys) if load.keys else rows
        staged = self._lakehouse.stage(spec.name, latest, f"staged-{uuid4().hex}")
        mode = LoadMode.MERGE if load.keys else LoadMode.APPEND
        content = "replay:" + sha256(",".join(map(str, ids)).encode()).hexdigest()
        key = LoadKey(source.name, load.tenant, mode, load.span, content, load.keys)
        now = self._clock.now()
        share = Share(key, latest.num_rows, load.as_of, now, repeated=rows.num_rows - latest.num_rows)
        tenant = (spec.tenant_column,) if spec.tenant_column else ()
        drops: tuple[Drop, ...] = (Keyed(latest.select([*tenant, *load.keys])),) if load.keys else ()

        def claim(work: UnitOfWork, attempt: str) -> bool:
            return quarantining.claim(work.connection, ids, attempt)

        return Package(staged, (share,), drops, claim)


def _judged(
    source: DataSource, spec: TableSpec, load: Load, waiting: Sequence[QuarantinedRow], converter: Converter
) -> tuple[list[QuarantinedRow], pa.Table, list[tuple[int, BadRow]]]:
    """The rows that fit now, as the table takes them, and what is wrong with the others."""
    columns = tuple(column for column in spec.columns if column.name != spec.tenant_column)
    checks = Checks(source.name, columns, spec.time_column, load.span, load.keys, converter)
    feed = Feed(
        [_batch([row.row.payload for row in waiting])], checks, spec, load.tenant, lambda _: None, hashed=False, bounded=False
    )
    batches = list(feed)
    wrong = {row.number: row for row in feed.bad}
    good = [row for place, row in enumerate(waiting, 1) if place not in wrong]
    return good, pa.Table.from_batches(batches), [(waiting[place - 1].id, row) for place, row in wrong.items()]


def _batch(payloads: Sequence[Mapping[str, Any]]) -> pa.RecordBatch:
    """The rows as text, as files bring them; the n-th is the n-th payload."""
    names = dict.fromkeys(name for payload in payloads for name in payload)
    return pa.RecordBatch.from_pydict(
        {name: pa.array([_as_text(payload.get(name)) for payload in payloads], pa.string()) for name in names}
    )


def _as_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)
