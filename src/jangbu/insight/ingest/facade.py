"""The ingest context's door: loads, the versions they make, the spool, connectors."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from jangbu.insight.catalog.contracts import DataSource
from jangbu.insight.ingest import arrow, attempts, erasures, outside, quarantining, repository
from jangbu.insight.ingest.backfilling import Backfills
from jangbu.insight.ingest.commits import Commits, lost_table
from jangbu.insight.ingest.content import content_of
from jangbu.insight.ingest.contracts import (
    Attempt,
    DataVersion,
    Erasure,
    KeptElsewhere,
    Load,
    LoadMode,
    LoadResult,
    LoadState,
    Person,
    QuarantinedRow,
    QuarantineState,
    Recovered,
    Replayed,
)
from jangbu.insight.ingest.erasing import Erasing, check_subject
from jangbu.insight.ingest.exporting import ExportFormat, Exporting
from jangbu.insight.ingest.feeding import Converter
from jangbu.insight.ingest.loading import Loader
from jangbu.insight.ingest.ports import Connector, Delivery, Elsewhere, Progress, Stream, connectors
from jangbu.insight.ingest.replaying import Replays
from jangbu.insight.ingest.spooling import Spool
from jangbu.insight.ingest.upkeep import Upkeep, UpkeepRules
from jangbu.kernel.clock import Clock
from jangbu.kernel.discovery import Plugin
from jangbu.kernel.errors import AmbiguousName, LoadError, NotFound, OutOfBounds, unknown_name
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.database.ports import Database
from jangbu.platform.lakehouse.ports import Lakehouse, TableSpec, TimeRange

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import Connection

__all__ = ["Converter", "Delivery", "ExportFormat", "Ingest", "Progress", "UpkeepRules", "connectors", "content_of", "lost_table"]

_PAGE = 1_000


def _told_nobody(_where: str) -> None:
    pass


class Ingest:
    """Loads data, exactly once, and knows which version of them there is. `clock` shows real time: leases are measured by it."""

    def __init__(
        self,
        database: Database,
        lakehouse: Lakehouse,
        clock: Clock,
        rules: UpkeepRules | None = None,
        kept: KeptElsewhere | None = None,
    ) -> None:
        self._database, self._clock = database, clock
        self.upkeep = Upkeep(lakehouse, clock, rules or UpkeepRules(), self._open_runs, kept)
        self._commits = Commits(database, lakehouse, clock)
        self._loader = Loader(database, lakehouse, clock, self._commits)
        self.backfills = Backfills(database, lakehouse, clock, self._loader, self._commits)
        self._spool = Spool(database, lakehouse, clock, self._commits)
        self._replays = Replays(database, lakehouse, clock, self._commits)
        self._exporting = Exporting(database, lakehouse, clock)
        self._erasing = Erasing(database, lakehouse, clock, self._commits)

    def table_spec(self, source: DataSource) -> TableSpec:
        """The lakehouse table of a data source.

        Raises:
            LoadError: it isn't kept in the lakehouse.
        """
        return arrow.table_spec(source)

    def load(
        self,
        source: DataSource,
        *,
        tenant: TenantId | None,
        batches: "pa.Table | Iterable[pa.RecordBatch]",
        mode: LoadMode,
        keys: Sequence[str] = (),
        span: TimeRange | None = None,
        as_of: datetime | None = None,
        progress: Progress | None = None,
        content: str | None = None,
        total: int | None = None,
        converter: Converter | None = None,
    ) -> LoadResult:
        """Load rows of the data source's columns without the tenant's (`tenant` is None for a shared one).

        The same load again changes nothing (`changed` is False): for APPEND, if it was ever completed, so that the same rows are
        never there twice; for REPLACE and MERGE, if it is the last that touched its range. Which load is the same is told by
        tenant, data source, mode, `keys`, `span` and `content`, the caller's hash of the rows; without it their values, in their
        order, are hashed, which is known only once they are staged.

        `span` is the half-open range that the rows cover, and that REPLACE empties first (None: everything). MERGE puts each row in
        the place of those that agree with it in `keys`, whenever they are; of rows that share a key the last counts. `as_of`
        (aware) is until when the data are complete; by default the range's end, though not later than now, or now.

        With a `converter`, rows that don't fit, lack a key or lie outside the range are set aside in the quarantine, together with
        the load or not at all; without one, the first of them refuses the load. `total` is how many rows there are, for those who
        watch.

        Raises:
            LoadError: rows that don't fit the data source, or too many that don't. Nothing is left behind.
            InvalidTime: a range that is turned round or of the wrong kind.
            Conflict: the table has other columns, and only a rewrite could change that.
            Unavailable: another load of the same data goes on for minutes, or the disk is full.
        """
        order = self._loader.order(source, tenant, mode, span, as_of, content, keys, converter)
        if content and (done := self._loader.done(order)):
            return done
        return self._loader.load(order, batches, lambda rows: progress(source.name, rows, total) if progress else None, total)

    def load_many(
        self,
        source: DataSource,
        deliveries: Sequence[Delivery],
        *,
        mode: LoadMode,
        keys: Sequence[str] = (),
        progress: Progress | None = None,
        converter: Converter | None = None,
    ) -> tuple[LoadResult, ...]:
        """Loads of different tenants, staged and committed together: a result for each, in their sequence. All happen or none, but
        for those that had been done before. Otherwise as `load`.

        Raises:
            LoadError: two deliveries for one tenant, or as `load`.
        """
        tenants = [delivery.tenant for delivery in deliveries]
        if len(set(tenants)) < len(tenants):
            twice = next(tenant for tenant in tenants if tenants.count(tenant) > 1)
            raise LoadError(f"{twice!r} has two deliveries of {source.name!r} in one load.", value=twice)
        orders = [
            (self._loader.order(source, each.tenant, mode, each.span, each.as_of, each.content, keys, converter), each.batches)
            for each in deliveries
        ]
        return self._loader.load_many(orders, lambda rows: progress(source.name, rows, None) if progress else None)

    def recover(self, now: datetime | None = None) -> tuple[Recovered, ...]:
        """Finish or drop the intents whose lease has ended by `now` (aware; by default the clock's), or whose process ran on this
        machine and is dead. To be called at every start and now and then; safe at any time. Raises JangbuError where a table can't
        be read now: its intents are left to the next time, all others are settled."""
        moment = now or self._clock.now()
        try:
            return self._commits.recover_all(moment)
        finally:
            with self._database.transaction() as work:
                attempts.settle_dead(work.connection, moment)

    def unsettled(self, connection: "Connection") -> str | None:
        """What this state of the database says is half done: a commit or an erasure, in words."""
        return repository.unsettled(connection)

    def _open_runs(self, table: str) -> tuple[str, ...]:
        """What the commits to a lakehouse table that are about to happen, or of unknown fate, are marked with."""
        with self._database.reading() as connection:
            return tuple({i.attempt for i in repository.open_intents(connection) if i.lakehouse_table == table})

    def versions(
        self, tenants: Collection[TenantId], data_sources: Collection[str]
    ) -> Mapping[tuple[TenantId | None, str], DataVersion]:
        """The versions of the tenants' data, and of shared data (under None), in these data sources; nothing for what was never
        loaded. One indexed read."""
        with self._database.reading(tenants) as connection:
            return repository.find_versions(connection, [None, *tenants], data_sources)

    def outside_version(self, data_source: str, place: str, fingerprint: str, as_of: datetime) -> DataVersion:
        """The version of data that others write: the one that this state, told by its `fingerprint`, was given when it was first
        seen at `place`, or a new one where another state was seen last. `as_of` (aware) is when they were written."""
        return outside.version_of(self._database, data_source, place, fingerprint, as_of)

    def has_open_intent(self, tenants: Collection[TenantId], data_sources: Collection[str]) -> bool:
        """Whether a commit to any of these, or to the shared data among them, is about to happen or of unknown fate."""
        with self._database.reading(tenants) as connection:
            return repository.has_open_intent(connection, [None, *tenants], data_sources)

    def loads(
        self, tenants: Collection[TenantId], data_sources: Collection[str] | None = None, *, offset: int = 0, limit: int = 100
    ) -> tuple[Load, ...]:
        """A page of the history of these tenants and of shared data, the newest first. At most 1,000 at once."""
        _check_page(offset, limit)
        with self._database.reading(tenants) as connection:
            return repository.list_loads(connection, [None, *tenants], data_sources, offset, limit)

    def loads_of_run(self, run: str, tenants: Collection[TenantId]) -> tuple[Load, ...]:
        """The completed loads of a run (one for each of these tenants, or of shared data).

        Raises:
            NotFound: there is none.
        """
        held = {None, *tenants}
        with self._database.reading(tenants) as connection:
            found = tuple(load for load in repository.loads_of_run(connection, run) if load.tenant in held)
        if not found:
            raise NotFound(f"There is no load {run[:80]!r}.", value=run, hint="`jangbu loads list` shows their runs.")
        return found

    def find_loads(self, beginning: str, tenants: Collection[TenantId]) -> tuple[Load, ...]:
        """The loads of the one run that begins so.

        Raises:
            NotFound: there is none of these tenants, nor of shared data.
            AmbiguousName: several runs begin so; names some.
        """
        with self._database.reading(tenants) as connection:
            runs = repository.runs_that_begin(connection, beginning, [None, *tenants])
        if len(runs) > 1:
            raise AmbiguousName(f"{len(runs)} or more loads begin with {beginning!r}.", value=beginning, known=runs)
        return self.loads_of_run(runs[0] if runs else beginning, tenants)

    def attempts(
        self,
        tenants: Collection[TenantId],
        data_sources: Collection[str] | None = None,
        *,
        state: LoadState | None = None,
        offset: int = 0,
        limit: int = 100,
    ) -> tuple[Attempt, ...]:
        """A page of loads that go on or have failed, the latest first. At most 1,000 at once."""
        _check_page(offset, limit)
        with self._database.reading(tenants) as connection:
            return attempts.find(connection, [None, *tenants], data_sources, state, offset, limit)

    def quarantined(
        self,
        tenants: Collection[TenantId],
        data_sources: Collection[str] | None = None,
        *,
        run: str | None = None,
        state: QuarantineState | None = None,
        shared: bool = False,
        offset: int = 0,
        limit: int = 100,
    ) -> tuple[QuarantinedRow, ...]:
        """A page of the rows that were set aside of these tenants (`shared`: and of shared data), the latest load's first, in their
        order. At most 1,000 at once."""
        _check_page(offset, limit)
        with self._database.reading(tenants) as connection:
            held = [None, *tenants] if shared else list(tenants)
            return quarantining.find(connection, held, data_sources, run, state, offset, limit)

    def replay(self, source: DataSource, run: str, *, tenant: TenantId | None, converter: Converter) -> Replayed:
        """Try the rows that wait of a load again, as the data source is defined now, and load those that fit: by the load's keys
        where it was a merge, else beside the others. The rest waits on, with what is wrong with it now.

        Raises:
            NotFound: there is no such load of this tenant.
        """
        return self._replays.replay(source, run, tenant, converter)

    def dismiss(self, run: str, *, tenant: TenantId | None) -> int:
        """Wait no longer for the rows that were set aside of a load; the number of them. They stay to be seen."""
        with self._database.transaction() as work:
            return quarantining.dismiss(work.connection, tenant, run, work.now)

    def spool(self, source: DataSource, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep rows, durably, until the next `flush_spool`. A row is a dict by column, the tenant's included; instants are aware,
        decimals Decimal; what it leaves out is null.

        Raises:
            LoadError: a row that couldn't be loaded; then none is kept.
        """
        self._spool.add(source, rows)

    def flush_spool(self, source: DataSource) -> tuple[LoadResult, ...]:
        """Append what is spooled (at most 100,000 rows at once) to the data source's table, as one load. A result for each tenant
        among the rows; nothing where nothing was spooled. Safe if several processes do it at once: what another one is loading
        is waited for."""
        return self._spool.flush(source)

    def erase_tenant(
        self,
        tenant: TenantId,
        *,
        asked_by: str,
        sources: Collection[DataSource],
        elsewhere: Sequence[Elsewhere] = (),
        told: Callable[[str], None] = _told_nobody,
    ) -> Erasure:
        """Remove all of a tenant, for good: rows in every table and what is kept of the past, what the database says of it, what is
        `elsewhere`. From its begin on nothing of it can be asked for or loaded. One that was interrupted goes on when it is asked
        for again. Its report is the proof; `told` hears where it is.

        Raises:
            NotFound: there is no such tenant, or no more.
            Unavailable: a load goes on for too long, the database is read all the time, or something came meanwhile; then it is to
                be asked for again.
        """
        return self._erasing.tenant(tenant, asked_by, sources, elsewhere, told)

    def erase_customer(
        self,
        tenant: TenantId,
        person: Person,
        *,
        asked_by: str,
        sources: Collection[DataSource],
        logs: Collection[DataSource] = (),
        elsewhere: Sequence[Elsewhere] = (),
        told: Callable[[str], None] = _told_nobody,
        keep_rows: bool = False,
    ) -> Erasure:
        """Remove a tenant's customer from the sources that declare its identity, and from the texts of `logs`. `keep_rows`: the
        rows stay, without what is personal. Otherwise as `erase_tenant`.

        Raises:
            UnknownName: no data source declares the identity. Forbidden: the tenant is being erased. Otherwise as `erase_tenant`.
        """
        check_subject(person.subject, sources)
        return self._erasing.customer(tenant, person, asked_by, sources, logs, elsewhere, told, keep_rows=keep_rows)

    def export_tenant(
        self,
        tenant: TenantId,
        folder: Path,
        *,
        format: ExportFormat = ExportFormat.PARQUET,  # noqa: A002
        texts: Mapping[str, str] = MappingProxyType({}),
        definitions: Path | None = None,
    ) -> Mapping[str, Any]:
        """Write all of a tenant into a folder that isn't there or is empty: a file a table, of one version of the data; loads,
        their versions, failures, rows set aside or spooled; `texts`, by their file's names; the folder `definitions`. Returns the
        manifest, which is there too: rows, bytes and SHA-256 of each file. It is written as a whole or not at all.

        Raises:
            Conflict: the folder isn't empty. Unavailable: loads of the tenant go on without end.
        """
        return self._exporting.export(tenant, folder, format, texts, definitions)

    def erasures(self, tenant: TenantId | None = None, *, offset: int = 0, limit: int = 100) -> tuple[Erasure, ...]:
        """A page of the erasures, those of deleted tenants too, the latest first. At most 1,000 at once."""
        _check_page(offset, limit)
        with self._database.reading() as connection:
            return erasures.page(connection, tenant, offset, limit)

    def erasure(self, id: str) -> Erasure:  # noqa: A002
        """Raises NotFound where there is none of this id."""
        with self._database.reading() as connection:
            found = erasures.find(connection, id)
        if found is None:
            raise NotFound(f"There is no erasure {id[:80]!r}.", value=id, hint="`jangbu tenants erasures list` shows their ids.")
        return found

    def run_connector(
        self,
        plugin: Plugin,
        sources: Mapping[str, DataSource],
        tenant: TenantId,
        progress: Progress | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> tuple[LoadResult, ...]:
        """Load every stream of a connector for the tenant, one after the other; those that are loaded already aren't read.

        Raises:
            MissingExtra: what the connector needs isn't installed.
            UnknownName: a stream of a data source that isn't among `sources`.
        """
        plugin.check()
        connector: Connector = plugin.open(**(settings or {}))
        streams = list(connector.streams())
        for stream in streams:
            if stream.data_source not in sources:
                raise unknown_name("data source", stream.data_source, sources)
        return tuple(self._run_stream(stream, sources[stream.data_source], tenant, progress) for stream in streams)

    def _run_stream(self, stream: Stream, source: DataSource, tenant: TenantId, progress: Progress | None) -> LoadResult:
        owner = tenant if arrow.tenant_column(source) is not None else None
        order = self._loader.order(source, owner, stream.mode, stream.span, stream.as_of, stream.content, stream.keys)
        tell = progress or _silent
        if stream.content and (done := self._loader.done(order)):
            tell(source.name, done.rows, stream.rows)
            return done
        tell(source.name, 0, stream.rows)
        return self._loader.load(order, stream.batches(), lambda rows: tell(source.name, rows, stream.rows), stream.rows)


def _check_page(offset: int, limit: int) -> None:
    if not 0 <= offset < 2**63 or not 1 <= limit <= _PAGE:
        raise OutOfBounds(f"A page has 1 to {_PAGE:,} items, from an offset of 0 or more.", path="/limit", value=limit)


def _silent(_source: str, _rows: int, _total: int | None) -> None:
    pass
