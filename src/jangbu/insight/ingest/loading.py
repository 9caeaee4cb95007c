"""Loads of one tenant's rows (or of shared ones), or of many tenants' at once, applied once however often they are asked for."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4
from zoneinfo import ZoneInfo

import pyarrow as pa

from jangbu.insight.catalog.contracts import DataSource
from jangbu.insight.ingest import arrow
from jangbu.insight.ingest.attempts import Attempts
from jangbu.insight.ingest.commits import Commits, judge
from jangbu.insight.ingest.contracts import LoadMode, LoadResult
from jangbu.insight.ingest.feeding import Checks, Converter, Feed
from jangbu.insight.ingest.intents import LoadKey
from jangbu.insight.ingest.packages import Needless, Package, Share
from jangbu.kernel.clock import Clock
from jangbu.kernel.errors import InvalidTime, LoadError, unknown_name
from jangbu.kernel.tenancy import TenantId
from jangbu.kernel.types import FieldType
from jangbu.platform.database.ports import Database
from jangbu.platform.lakehouse.ports import Drop, Keyed, Lakehouse, TableColumn, TableSpec, TimeRange, Within
from jangbu.platform.telemetry.tracing import span


@dataclass(frozen=True, slots=True)
class LoadOrder:
    """What is to be loaded. The key's `content` is '' until it is known."""

    source: DataSource
    spec: TableSpec
    key: LoadKey
    as_of: datetime
    started_at: datetime
    converter: Converter | None = None

    @property
    def columns(self) -> tuple[TableColumn, ...]:
        """Those that the rows bring."""
        return tuple(column for column in self.spec.columns if column.name != self.spec.tenant_column)

    @property
    def checks(self) -> Checks:
        return Checks(self.source.name, self.columns, self.spec.time_column, self.key.span, self.key.keys, self.converter)


class Loader:
    def __init__(self, database: Database, lakehouse: Lakehouse, clock: Clock, commits: Commits) -> None:
        self._database, self._lakehouse, self._clock, self._commits = database, lakehouse, clock, commits
        self._attempts = Attempts(database, clock)

    def order(
        self,
        source: DataSource,
        tenant: TenantId | None,
        mode: LoadMode,
        span: TimeRange | None,
        as_of: datetime | None,
        content: str | None,
        keys: Sequence[str] = (),
        converter: Converter | None = None,
    ) -> LoadOrder:
        """A checked order.

        Raises:
            LoadError: a tenant for a shared data source, or none for another; a merge without keys, or keys for another mode.
            InvalidTime: a range of the wrong kind or turned round; no way to tell until when the data are loaded.
            UnknownName: a key that is no column.
        """
        if mode is LoadMode.ERASE:
            raise LoadError("Rows are erased by an erasure, not by a load.", value=mode.value, hint="See `jangbu tenants --help`.")
        spec = arrow.table_spec(source)
        if (tenant is None) != (spec.tenant_column is None):
            is_what = "shared: load it without a tenant" if spec.tenant_column is None else "of tenants: say whose rows these are"
            raise LoadError(f"The data source {source.name!r} is {is_what}.", value=source.name)
        _check_keys(source, spec, mode, keys)
        if span is not None:
            _check_range(source, spec, span)
        now = self._clock.now()
        until = as_of or (min(_end(source, span), now) if span is not None else now)
        if until.tzinfo is None:
            raise InvalidTime("Until when data are loaded is an aware instant.", value=until.isoformat())
        key = LoadKey(source.name, tenant, mode, span, content or "", tuple(keys))
        return LoadOrder(source, spec, key, until.astimezone(UTC), now, converter)

    def load(
        self,
        order: LoadOrder,
        batches: "pa.Table | Iterable[pa.RecordBatch]",
        told: Callable[[int], None],
        total: int | None = None,
    ) -> LoadResult:
        """The three steps; `told` hears the number of rows so far."""
        key = order.key
        with span("load", table=order.spec.name, mode=key.mode.value), self._attempts.of(key, total, order.started_at) as going:

            def tell(rows: int) -> None:
                told(rows)
                going(rows)

            self._commits.make_table(order.spec, order.key.data_source)
            outcome = self._commits.commit(self._packed(order, batches, tell))
        return (outcome.done if isinstance(outcome, Needless) else outcome)[0]

    def load_many(
        self, orders: Sequence[tuple[LoadOrder, Callable[[], "pa.Table | Iterable[pa.RecordBatch]"]]], told: Callable[[int], None]
    ) -> tuple[LoadResult, ...]:
        """Loads of one data source for different tenants, staged and committed together. Each order's content is known; its batches
        are only asked for where it has to be loaded. Results are in the orders' sequence."""
        results: dict[TenantId | None, LoadResult] = {}
        waiting = sorted(orders, key=lambda each: each[0].key.tenant or "")
        while waiting:
            done = self._done([order for order, _ in waiting])
            results |= done
            waiting = [(order, batches) for order, batches in waiting if order.key.tenant not in done]
            if waiting:
                self._commits.make_table(waiting[0][0].spec, waiting[0][0].key.data_source)
                outcome = self._commits.commit(self._packed_together(waiting, told))
                if not isinstance(outcome, Needless):
                    results |= {result.tenant: result for result in outcome}
                    break
        return tuple(results[order.key.tenant] for order, _ in orders)

    def done(self, order: LoadOrder) -> LoadResult | None:
        """What had been loaded, where doing it again would change nothing."""
        return self._done([order]).get(order.key.tenant)

    def _done(self, orders: Sequence[LoadOrder]) -> dict[TenantId | None, LoadResult]:
        with self._database.reading() as connection:
            judged = judge(connection, [order.key for order in orders])
        return {order.key.tenant: found for order, (found, _) in zip(orders, judged, strict=True) if found is not None}

    def _packed(self, order: LoadOrder, batches: "pa.Table | Iterable[pa.RecordBatch]", told: Callable[[int], None]) -> Package:
        feed = Feed(batches, order.checks, order.spec, order.key.tenant, told, hashed=not order.key.content)
        rows, repeated = _latest(order, feed)
        staged = self._lakehouse.stage(order.spec.name, rows, f"staged-{uuid4().hex}")
        key = order.key if order.key.content else replace(order.key, content=feed.content())
        share = Share(key, staged.rows, order.as_of, order.started_at, tuple(feed.bad), repeated)
        return Package(staged, (share,), _drops(order, rows))

    def _packed_together(
        self, orders: Sequence[tuple[LoadOrder, Callable[[], "pa.Table | Iterable[pa.RecordBatch]"]]], told: Callable[[int], None]
    ) -> Package:
        shares: list[Share] = []
        drops: list[Drop] = []

        def everything() -> Iterator[pa.RecordBatch]:
            before = 0
            for order, batches in orders:
                feed = Feed(batches(), order.checks, order.spec, order.key.tenant, partial(_told, told, before), hashed=False)
                rows, repeated = _latest(order, feed)
                yield from rows.to_batches() if isinstance(rows, pa.Table) else rows
                loaded = feed.rows - repeated
                shares.append(Share(order.key, loaded, order.as_of, order.started_at, tuple(feed.bad), repeated))
                drops.extend(_drops(order, rows))
                before += feed.rows

        staged = self._lakehouse.stage(orders[0][0].spec.name, everything(), f"staged-{uuid4().hex}")
        return Package(staged, tuple(shares), _joined(drops))


def _told(told: Callable[[int], None], before: int, rows: int) -> None:
    told(before + rows)


def _latest(order: LoadOrder, feed: Feed) -> "tuple[pa.Table | Feed, int]":
    """What is to be staged: of a merge, the last row of each key, and how many there were besides."""
    if order.key.mode is not LoadMode.MERGE:
        return feed, 0
    batches = list(feed)
    rows = pa.Table.from_batches(batches, schema=arrow.arrow_schema(order.spec.columns))
    latest = arrow.last_of_each(rows, order.key.keys)
    return latest, rows.num_rows - latest.num_rows


def _drops(order: LoadOrder, rows: "pa.Table | Feed") -> tuple[Drop, ...]:
    """What the rows take the place of."""
    if order.key.mode is LoadMode.REPLACE:
        return (Within(order.key.tenant, order.key.span),)
    if not isinstance(rows, pa.Table) or not rows.num_rows:
        return ()
    tenant = (order.spec.tenant_column,) if order.spec.tenant_column else ()
    return (Keyed(rows.select([*tenant, *order.key.keys])),)


def _joined(drops: Sequence[Drop]) -> tuple[Drop, ...]:
    """Keys of many tenants as one table: each file is looked through once."""
    keyed = [drop.keys for drop in drops if isinstance(drop, Keyed)]
    others = tuple(drop for drop in drops if not isinstance(drop, Keyed))
    return (*others, Keyed(pa.concat_tables(keyed))) if keyed else others


def _check_keys(source: DataSource, spec: TableSpec, mode: LoadMode, keys: Sequence[str]) -> None:
    if (mode is LoadMode.MERGE) != bool(keys):
        said = "needs the columns that tell rows apart" if mode is LoadMode.MERGE else "takes no keys"
        raise LoadError(f"A load of {source.name!r} by {mode.value} {said}.", value=mode.value, hint="Keys belong to a merge.")
    known = [column.name for column in spec.columns if column.name != spec.tenant_column]
    if len(set(keys)) < len(keys):
        raise LoadError(f"A key of {source.name!r} is named twice.", value=", ".join(keys), hint="Name each once.")
    for key in keys:
        if key not in known:
            raise unknown_name("column", key, known, path="/keys")


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
