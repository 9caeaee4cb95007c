"""A load of one tenant's rows (or of shared ones), applied once however often it is asked for."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pyarrow as pa
from sqlalchemy import Connection

from jangbu.insight.catalog.contracts import DataSource
from jangbu.insight.ingest import arrow, repository
from jangbu.insight.ingest.commits import PATIENCE, Commits, result_of
from jangbu.insight.ingest.content import ContentHash
from jangbu.insight.ingest.contracts import LoadMode, LoadResult
from jangbu.insight.ingest.intents import Intent, LoadKey
from jangbu.insight.ingest.lease import LEASE
from jangbu.insight.ingest.owner import this_process
from jangbu.kernel.clock import Clock
from jangbu.kernel.errors import InvalidTime, LoadError
from jangbu.kernel.tenancy import TenantId
from jangbu.kernel.types import FieldType
from jangbu.platform.database.ports import Database
from jangbu.platform.lakehouse.ports import Lakehouse, Snapshot, Staged, TableSpec, TimeRange


@dataclass(frozen=True, slots=True)
class LoadOrder:
    """What is to be loaded. `content` is '' until it is known."""

    source: DataSource
    spec: TableSpec
    key: LoadKey
    as_of: datetime
    started_at: datetime


class Loader:
    def __init__(self, database: Database, lakehouse: Lakehouse, clock: Clock, commits: Commits) -> None:
        self._database, self._lakehouse, self._clock, self._commits = database, lakehouse, clock, commits

    def order(
        self,
        source: DataSource,
        tenant: TenantId | None,
        mode: LoadMode,
        span: TimeRange | None,
        as_of: datetime | None,
        content: str | None,
    ) -> LoadOrder:
        """A checked order.

        Raises:
            LoadError: a tenant for a shared data source, or none for another.
            InvalidTime: a range of the wrong kind or turned round; no way to tell until when the data are loaded.
        """
        spec = arrow.table_spec(source)
        if (tenant is None) != (spec.tenant_column is None):
            is_what = "shared: load it without a tenant" if spec.tenant_column is None else "of tenants: say whose rows these are"
            raise LoadError(f"The data source {source.name!r} is {is_what}.", value=source.name)
        if span is not None:
            _check_range(source, spec, span)
        now = self._clock.now()
        until = as_of or (min(_end(source, span), now) if span is not None else now)
        if until.tzinfo is None:
            raise InvalidTime("Until when data are loaded is an aware instant.", value=until.isoformat())
        return LoadOrder(source, spec, LoadKey(source.name, tenant, mode, span, content or ""), until.astimezone(UTC), now)

    def load(self, order: LoadOrder, batches: "pa.Table | Iterable[pa.RecordBatch]", told: Callable[[int], None]) -> LoadResult:
        """The three steps; `told` hears the number of rows so far."""
        self._lakehouse.create(order.spec)
        feed = _Feed(order, batches, told)
        staged = self._lakehouse.stage(order.spec.name, feed, f"staged-{uuid4().hex}")
        try:
            if not order.key.content:
                order = replace(order, key=replace(order.key, content=feed.content()))
            opened = self._open(order, staged.rows)
        except BaseException:
            self._lakehouse.discard(staged)
            raise
        if isinstance(opened, LoadResult):
            self._lakehouse.discard(staged)
            return opened
        return self._commits.commit([opened], replace(staged, run=opened.run, attempt=opened.attempt), self._change(order))[0]

    def done(self, order: LoadOrder) -> LoadResult | None:
        """What had been loaded, where doing it again would change nothing."""
        with self._database.reading() as connection:
            found, _ = _done(connection, order.key)
        return found

    def _open(self, order: LoadOrder, rows: int) -> Intent | LoadResult:
        deadline = time.monotonic() + PATIENCE
        while True:
            with self._database.transaction() as work:
                blocking = repository.blocking_intent(work.connection, order.key.data_source, [order.key.tenant])
                if blocking is None:
                    done, run = _done(work.connection, order.key)
                    if done is not None:
                        return done
                    intent = _intent(order, run, rows, self._clock.now())
                    repository.add_intents(work.connection, [intent])
                    return intent
            self._commits.wait(blocking, deadline)

    def _change(self, order: LoadOrder) -> Callable[[Staged], Snapshot]:
        if order.key.mode is LoadMode.APPEND:
            return self._lakehouse.append
        return lambda staged: self._lakehouse.replace(staged, order.key.tenant, order.key.span)


def _done(connection: Connection, key: LoadKey) -> tuple[LoadResult | None, str]:
    """The load that makes this one needless, and else the run's name. An append was done if it ever was; a replacement only if it
    is the last that touched its range: after A and then B, A is to be put back."""
    if key.mode is LoadMode.APPEND:
        found = repository.loads_of_run(connection, key.run())
        return (result_of(found[0], changed=False) if found else None), key.run()
    latest = repository.latest_overlapping(connection, key)
    if latest is None:
        return None, key.run()
    number, load = latest
    same = (load.mode, load.span, load.content) == (key.mode, key.span, key.content)
    return (result_of(load, changed=False) if same else None), key.run(after=number)


def _intent(order: LoadOrder, run: str, rows: int, now: datetime) -> Intent:
    lease_ends = now + LEASE
    table = order.spec.name
    return Intent(order.key, run, uuid4().hex, table, rows, order.as_of, this_process(), lease_ends, order.started_at)


class _Feed:
    """The batches on their way to the lakehouse: in the table's form, checked, counted, hashed where their hash isn't known."""

    def __init__(self, order: LoadOrder, batches: "pa.Table | Iterable[pa.RecordBatch]", told: Callable[[int], None]) -> None:
        self._order, self._batches, self._told = order, batches, told
        spec = order.spec
        self._columns = tuple(column for column in spec.columns if column.name != spec.tenant_column)
        self._hash = None if order.key.content else ContentHash(arrow.arrow_schema(self._columns))

    def content(self) -> str:
        """The hash of what went through; the key's own where it was given."""
        return self._hash.hexdigest() if self._hash is not None else self._order.key.content

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        rows = 0
        for given in arrow.batches_of(self._batches):
            batch = arrow.conform(given, self._columns, self._order.source.name)
            self._check(batch)
            if self._hash is not None:
                self._hash.update(batch)
            yield self._whole(batch)
            rows += batch.num_rows
            self._told(rows)

    def _check(self, batch: pa.RecordBatch) -> None:
        span, column = self._order.key.span, self._order.spec.time_column
        if span is not None and column is not None:
            times: pa.Array[Any] = batch.column(column)
            arrow.check_span(times, span, column)

    def _whole(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        tenant = self._order.key.tenant
        return batch if tenant is None else arrow.with_tenant(batch, self._order.spec, tenant)


def _check_range(source: DataSource, spec: TableSpec, span: TimeRange) -> None:
    if spec.time_column is None:
        raise InvalidTime(f"{source.name!r} has no time, so it is loaded as a whole.", path="/span")
    aware = source.columns[spec.time_column].type is FieldType.INSTANT
    if any((moment.tzinfo is not None) != aware for moment in (span.start, span.end)):
        wanted = "instants (aware)" if aware else "wall-clock times (naive)"
        raise InvalidTime(f"A range of {spec.time_column!r} is of {wanted}.", path="/span", value=span.start.isoformat())
    if span.start >= span.end:
        raise InvalidTime("A range ends after it starts.", path="/span", value=span.end.isoformat())


def _end(source: DataSource, span: TimeRange) -> datetime:
    if span.end.tzinfo is not None:
        return span.end
    zone = source.time_fields[source.default_time_field].zone if source.default_time_field else None
    if zone is None:
        hint = "Give `as_of`, or declare the time field's zone."
        raise InvalidTime(f"The times of {source.name!r} have no zone of their own.", path="/as_of", hint=hint)
    return span.end.replace(tzinfo=ZoneInfo(zone))
