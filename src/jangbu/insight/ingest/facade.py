"""The ingest context's door: loads, the versions they make, the spool, connectors."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jangbu.insight.catalog.contracts import DataSource
from jangbu.insight.ingest import arrow, repository
from jangbu.insight.ingest.commits import Commits
from jangbu.insight.ingest.contracts import DataVersion, Load, LoadMode, LoadResult, Recovered
from jangbu.insight.ingest.loading import Loader
from jangbu.insight.ingest.ports import Connector, Progress, Stream
from jangbu.insight.ingest.spooling import Spool
from jangbu.kernel.clock import Clock
from jangbu.kernel.discovery import Plugin, discover
from jangbu.kernel.errors import OutOfBounds, unknown_name
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.database.ports import Database
from jangbu.platform.lakehouse.ports import Lakehouse, TableSpec, TimeRange

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Ingest", "Progress", "connectors"]

_PAGE = 1_000


def connectors(folders: Iterable[Path] = ()) -> Mapping[str, Plugin]:
    """The connectors that ship with Jangbu and those of plug-in folders, by name."""
    return discover("connector", "jangbu.insight.ingest.connectors", folders)


class Ingest:
    """Loads data, exactly once, and knows which version of them there is. `clock` shows real time: leases are measured by it."""

    def __init__(self, database: Database, lakehouse: Lakehouse, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._commits = Commits(database, lakehouse, clock)
        self._loader = Loader(database, lakehouse, clock, self._commits)
        self._spool = Spool(database, lakehouse, clock, self._commits)

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
        span: TimeRange | None = None,
        as_of: datetime | None = None,
        progress: Progress | None = None,
        content: str | None = None,
    ) -> LoadResult:
        """Load rows of the data source's columns without the tenant's (`tenant` is None for a shared one).

        The same load again changes nothing (`changed` is False): for APPEND, if it was ever completed, so that the same rows are
        never there twice; for REPLACE, if it is the last that touched its range. Which load is the same is told by tenant, data
        source, mode, `span` and `content`, the caller's hash of the rows; without it their values, in their order, are hashed,
        which is known only once they are staged.

        `span` is the half-open range that the rows cover, and that REPLACE empties first (None: everything). `as_of` (aware) is
        until when the data are complete; by default the range's end, though not later than now, or now.

        Raises:
            LoadError: rows that don't fit the data source, or lie outside `span`. Nothing is left behind.
            InvalidTime: a range that is turned round or of the wrong kind.
            Conflict: the table has other columns.
            Unavailable: another load of the same data goes on for minutes.
        """
        order = self._loader.order(source, tenant, mode, span, as_of, content)
        if content and (done := self._loader.done(order)):
            return done
        return self._loader.load(order, batches, lambda rows: progress(source.name, rows, None) if progress else None)

    def recover(self, now: datetime | None = None) -> tuple[Recovered, ...]:
        """Finish or drop the intents whose lease has ended by `now` (aware; by default the clock's), or whose process ran on this
        machine and is dead. To be called at every start; safe at any time."""
        with self._database.reading() as connection:
            attempts = {intent.attempt: intent for intent in repository.open_intents(connection)}
        moment = now or self._clock.now()
        abandoned = [attempt for attempt, intent in attempts.items() if self._commits.is_abandoned(intent, moment)]
        return tuple(done for attempt in abandoned if (done := self._commits.recover(attempt, moment)))

    def versions(
        self, tenants: Collection[TenantId], data_sources: Collection[str]
    ) -> Mapping[tuple[TenantId | None, str], DataVersion]:
        """The versions of the tenants' data, and of shared data (under None), in these data sources; nothing for what was never
        loaded. One indexed read."""
        with self._database.reading() as connection:
            return repository.find_versions(connection, [None, *tenants], data_sources)

    def has_open_intent(self, tenants: Collection[TenantId], data_sources: Collection[str]) -> bool:
        """Whether a commit to any of these, or to the shared data among them, is about to happen or of unknown fate."""
        with self._database.reading() as connection:
            return repository.has_open_intent(connection, [None, *tenants], data_sources)

    def loads(
        self, tenants: Collection[TenantId], data_sources: Collection[str] | None = None, *, offset: int = 0, limit: int = 100
    ) -> tuple[Load, ...]:
        """A page of the history of these tenants and of shared data, the newest first. At most 1,000 at once."""
        if offset < 0 or not 1 <= limit <= _PAGE:
            raise OutOfBounds(f"A page has 1 to {_PAGE:,} items, from an offset of 0 or more.", path="/limit", value=limit)
        with self._database.reading() as connection:
            return repository.list_loads(connection, [None, *tenants], data_sources, offset, limit)

    def spool(self, source: DataSource, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep rows, durably, until the next `flush_spool`. A row is a dict by column, the tenant's included; instants are aware,
        decimals Decimal; what it leaves out is null.

        Raises:
            LoadError: a row that couldn't be loaded; then none is kept.
        """
        self._spool.add(source, rows)

    def flush_spool(self, source: DataSource) -> tuple[LoadResult, ...]:
        """Append what is spooled (at most 100,000 rows at once) to the data source's table, as one load. A result for each tenant
        among the rows; nothing where nothing was spooled. Safe if several processes do it at once."""
        return self._spool.flush(source)

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
        order = self._loader.order(source, owner, stream.mode, stream.span, stream.as_of, stream.content)
        tell = progress or _silent
        if stream.content and (done := self._loader.done(order)):
            tell(source.name, done.rows, stream.rows)
            return done
        tell(source.name, 0, stream.rows)
        return self._loader.load(order, stream.batches(), lambda rows: tell(source.name, rows, stream.rows))


def _silent(_source: str, _rows: int, _total: int | None) -> None:
    pass
