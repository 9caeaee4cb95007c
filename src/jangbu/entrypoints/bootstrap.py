"""Puts the adapters that the settings name under the contexts, once for each process. Each part is built at its first use."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from jangbu.entrypoints.engines import Engines
from jangbu.entrypoints.settings import Settings
from jangbu.entrypoints.stores import catalog_access_of, store_of
from jangbu.kernel.clock import Clock, SystemClock
from jangbu.kernel.discovery import discover, find
from jangbu.kernel.errors import Closed, StorageError, Unavailable, unknown_name
from jangbu.kernel.tenancy import Principal, TenantId

if TYPE_CHECKING:
    from jangbu.insight.access.facade import Access
    from jangbu.insight.catalog.contracts import DataSource
    from jangbu.insight.catalog.facade import CatalogFacade
    from jangbu.insight.dashboards.facade import Dashboards
    from jangbu.insight.dashboards.query_log import QueryLog
    from jangbu.insight.ingest.contracts import Erasure, LoadResult, Person, Replayed
    from jangbu.insight.ingest.facade import Ingest, Progress
    from jangbu.platform.cache.ports import Cache
    from jangbu.platform.database.ports import Database
    from jangbu.platform.lakehouse.ports import Lakehouse
    from jangbu.platform.queues.bus import Handlers
    from jangbu.platform.queues.ports import Queues
    from jangbu.platform.queues.relay import Relay
    from jangbu.platform.telemetry.metrics import Metrics

_WORKBENCH = "duckdb"
"""The engine that merges legs: it reads Arrow tables in memory."""


class Application:
    """The whole of Jangbu in one process. `overrides` takes the place of parts of the same name, for tests:
    `Application(settings, dashboards=FakeDashboards())`."""

    def __init__(self, settings: Settings, *, clock: Clock | None = None, **overrides: Any) -> None:
        unknown = [name for name in overrides if not isinstance(getattr(type(self), name, None), cached_property)]
        if unknown:
            raise TypeError(f"An application has no part {', '.join(unknown)}.")
        self.settings = settings
        self.clock = clock or SystemClock()
        self._started = False
        self._logging: QueryLog | None = None
        self._before_closing: list[Callable[[], None]] = []
        self._stop_tracing: Callable[[], None] | None = None
        self.__dict__.update(overrides)

    # Adapters

    @cached_property
    def metrics(self) -> "Metrics":
        from jangbu.platform.telemetry.metrics import Metrics

        metrics = Metrics()
        metrics.look(self._measure_queues)
        metrics.look(self._measure_cache)
        return metrics

    @cached_property
    def database(self) -> "Database":
        from jangbu.platform.database.opening import open_database

        uri = self.settings.database.get_secret_value() if self.settings.database else None
        connections, patience = self.settings.database_connections, self.settings.database_patience
        return open_database(uri, self.folder, self.clock, connections=connections, patience=patience)

    @cached_property
    def lakehouse(self) -> "Lakehouse":
        from jangbu.platform.lakehouse.iceberg import open_lakehouse

        settings = self.settings
        return open_lakehouse(
            warehouse=settings.warehouse or str(self.folder / "lakehouse"),
            catalog_uri=settings.lake_catalog.get_secret_value() if settings.lake_catalog is not None else None,
            catalog=catalog_access_of(settings),
            store=store_of(settings),
        )

    @cached_property
    def engines(self) -> Engines:
        return Engines(self.settings, self.lakehouse, self.metrics)

    @cached_property
    def queues(self) -> "Queues":
        if self.settings.queues == "sqs":
            from jangbu.entrypoints.adapters import sqs_queues

            return sqs_queues(self.settings, self.clock)
        from jangbu.platform.queues.sqlite import SqliteQueues

        return SqliteQueues(self.folder / "queues.db", self.clock)

    @cached_property
    def cache(self) -> "Cache":
        from jangbu.entrypoints.adapters import open_cache

        return open_cache(self.settings, self.metrics)

    @cached_property
    def relay(self) -> "Relay":
        from jangbu.platform.queues.relay import Relay

        return Relay(self.database, self.queues)

    @cached_property
    def handlers(self) -> "Handlers":
        from jangbu.entrypoints.handlers import find_handlers

        return find_handlers(self.settings.plugin_folders)

    def trace(self, process: str) -> None:
        """Record spans, where the settings say so, until it is closed. `process` is what this one does, such as `worker`.

        Raises:
            ConfigurationError: headers that can't be read, or a missing extra.
        """
        settings = self.settings
        if settings.traces is not None:
            from jangbu.platform.telemetry import tracing

            given = settings.traces_headers.get_secret_value() if settings.traces_headers is not None else ""
            self._stop_tracing = tracing.start(settings.traces, tracing.headers_of(given), settings.traces_share, process)

    # Contexts

    @cached_property
    def access(self) -> "Access":
        from jangbu.insight.access.facade import Access

        return Access(self.database, self.clock)

    @cached_property
    def catalog(self) -> "CatalogFacade":
        from jangbu.insight.catalog.facade import CatalogFacade

        settings = self.settings
        return CatalogFacade(
            folders=settings.definitions, tenant_folders=settings.tenant_definitions, outside_folders=settings.outside_folders
        )

    @cached_property
    def ingest(self) -> "Ingest":
        from jangbu.insight.ingest.contracts import KeptElsewhere
        from jangbu.insight.ingest.facade import Ingest

        name, kept = self.settings.upkeep_engine, None
        if name is not None:
            if name not in self.engines:
                raise unknown_name("engine of JANGBU_UPKEEP_ENGINE", name, self.engines)
            kept = KeptElsewhere(lambda: self.engines.maintainer(name), self.settings.upkeep_engine_mb * 1_000_000)
        return Ingest(self.database, self.lakehouse, self.clock, kept=kept)

    @cached_property
    def dashboards(self) -> "Dashboards":
        from jangbu.insight.dashboards.facade import Dashboards, OutsideTables

        analyses = discover("analysis", "jangbu.insight.dashboards.dashboard_layer.analyses", self.settings.plugin_folders)
        return Dashboards(
            access=self.access,
            catalog=self.catalog,
            ingest=self.ingest,
            lakehouse=self.lakehouse,
            engines=self.engines,
            workbench=self.engines[_WORKBENCH],
            analyses=analyses,
            default_engine=self.settings.engine,
            timeout=self.settings.query_timeout,
            query_log=self._query_log(),
            outside=OutsideTables(self.ingest, self.settings.outside_folders),
        )

    # Its life

    @property
    def folder(self) -> Path:
        """The data folder, absolute."""
        return self.settings.folder.expanduser().absolute()

    def open(self) -> None:
        """Make the folder and bring the database up to this release: enough for tenants, keys and loads."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.database.migrate()

    def start(self) -> None:
        """`open`, finish or drop what a crash left half done, and build what a question needs, so that the first one needn't wait.
        A second call does nothing."""
        if self._started:
            return
        self.open()
        try:
            self.ingest.recover()
        except Closed:  # it was settled before it was closed, and still answers
            pass
        except (StorageError, Unavailable) as error:  # one table's: the others answer, and recovery is tried again
            import structlog

            structlog.get_logger(__name__).warning("not all loads recovered", reason=str(error))
        self.relay, self.cache, self.dashboards  # noqa: B018  # building them is the point
        self._started = True

    def is_ready(self) -> bool:
        """Whether questions can be answered: started, not closing, and the database reads."""
        if self._started:
            with self.database.reading():
                pass
        return self._started

    def before_closing(self, stop: Callable[[], None]) -> None:
        """Have `stop` end what uses the parts, before they are closed; what is given first is stopped first."""
        self._before_closing.append(stop)

    def close(self) -> None:
        """Write what is still in memory and give everything back."""
        self._started = False
        with ExitStack() as closing:
            if self._stop_tracing is not None:
                closing.callback(self._stop_tracing)
                self._stop_tracing = None
            self.__dict__.pop("relay", None)
            for name in ("database", "queues", "cache", "lakehouse", "engines"):
                if name in self.__dict__:
                    closing.callback(self.__dict__.pop(name).close)
            if self._logging is not None:
                closing.callback(self._logging.close)
                self._logging = None
            for stop in reversed(self._before_closing):
                closing.callback(stop)
            self._before_closing.clear()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What several entry points do

    def operator(self) -> Principal:
        """Who sits at the machine: holds every tenant of the folder."""
        return self.access.operator()

    def erase_tenant(self, tenant: TenantId, asked_by: str, told: "Callable[[str], None]") -> "Erasure":
        """Delete a tenant with all that is kept of it; see `Ingest.erase_tenant`."""
        from jangbu.entrypoints import elsewhere

        erased = self.ingest.erase_tenant(
            tenant, asked_by=asked_by, sources=self._sources(tenant), elsewhere=elsewhere.places(self), told=told
        )
        self.access.forget_principals()
        return erased

    def erase_customer(
        self, tenant: TenantId, person: "Person", asked_by: str, told: "Callable[[str], None]", *, keep_rows: bool = False
    ) -> "Erasure":
        """Erase a customer of a tenant; see `Ingest.erase_customer`."""
        from jangbu.entrypoints import elsewhere
        from jangbu.insight.dashboards.query_log import QUERY_LOG

        sources = self._sources(tenant)
        return self.ingest.erase_customer(
            tenant,
            person,
            asked_by=asked_by,
            sources=sources,
            logs=[source for source in sources if source.name == QUERY_LOG],
            elsewhere=elsewhere.places(self),
            told=told,
            keep_rows=keep_rows,
        )

    def export_tenant(self, tenant: TenantId, folder: Path, format_: str) -> "Mapping[str, Any]":
        """Write all of a tenant into a folder: rows, history, keys without secrets, its own definitions; returns the manifest.

        Raises:
            NotFound: there is no such tenant. Conflict: the folder is within the data folder. Otherwise as `Ingest.export_tenant`.
        """
        import json
        from dataclasses import asdict

        from jangbu.insight.ingest.facade import ExportFormat
        from jangbu.kernel.errors import Conflict

        if folder.resolve().is_relative_to(self.folder.resolve()):
            raise Conflict(f"{folder.name!r} is within the data folder; nothing was exported.", value=folder.name)
        about = asdict(self.access.tenant(tenant))
        keys = [asdict(key) | {"tenants": [tenant]} for key in self.access.keys_of(tenant)]
        texts = {
            f"{name}.json": json.dumps(content, ensure_ascii=False, indent=2, default=str)
            for name, content in (("tenant", about), ("keys", keys))
        }
        layers = self.settings.tenant_definitions
        own = layers / tenant if layers is not None else None
        return self.ingest.export_tenant(tenant, folder, format=ExportFormat(format_), texts=texts, definitions=own)

    def remembered(self) -> int:
        """How many caches of this process may hold something of a tenant."""
        engines = self.__dict__.get("engines")
        return (engines.opened() if isinstance(engines, Engines) else 0) + int(self.access.remembers())

    def forget(self) -> None:
        """Empty them. What is asked while this is done may have to be asked again."""
        self.access.forget_principals()
        if isinstance(self.__dict__.get("engines"), Engines):
            self.engines.close()

    def _sources(self, tenant: TenantId) -> "tuple[DataSource, ...]":
        return tuple(self.catalog.catalog_for((tenant,)).data_sources.values())

    def seen_by(self, tenants: tuple[TenantId, ...]) -> TenantId | None:
        """Whose catalog these tenants see: one tenant its own, several together the shared one (None)."""
        return tenants[0] if len(tenants) == 1 else None

    def run_connector(self, name: str, tenant: TenantId, progress: "Progress | None" = None) -> "tuple[LoadResult, ...]":
        """Load all that a connector has for the tenant.

        Raises:
            UnknownName: there is no such connector; MissingExtra: its dependency isn't installed.
        """
        from jangbu.insight.ingest.facade import connectors

        plugin = find("connector", name, connectors(self.settings.plugin_folders))
        sources = self.catalog.catalog_for((tenant,)).data_sources
        results = self.ingest.run_connector(plugin, sources, tenant, progress)
        for result in results:
            self.metrics.load(result.data_source, result.rows, changed=result.changed)
        return results

    def replay(self, run: str, tenant: TenantId | None) -> "Replayed":
        """Try the rows that a load set aside again, as the tenant's catalog defines the data source now.

        Raises:
            NotFound: there is no such load of this tenant.
            UnknownName: its data source isn't defined any more.
        """
        from jangbu.insight.ingest.conversion import converter_of

        whose = (tenant,) if tenant is not None else ()
        load = next(load for load in self.ingest.loads_of_run(run, whose) if load.tenant == tenant)
        source = self.catalog.data_source(load.data_source, whose)
        return self.ingest.replay(source, run, tenant=tenant, converter=converter_of(source))

    def _measure_queues(self) -> None:
        """Sets the gauges of queues and outbox, where there is anything to look at."""
        if "database" not in self.__dict__:
            return
        from jangbu.platform.queues.envelope import depths_of

        waiting, oldest = self.relay.lag(self.clock.now())
        self.metrics.outbox.set(waiting)
        self.metrics.outbox_oldest.set(oldest.total_seconds())
        for name, depth in depths_of(self.queues).items():
            for state in ("waiting", "held", "parked"):
                self.metrics.queued.labels(name, state).set(getattr(depth, state))
            if depth.oldest is not None:
                self.metrics.oldest.labels(name).set(depth.oldest.total_seconds())

    def _measure_cache(self) -> None:
        """Sets the gauges of the cache, where it is open."""
        cache = self.__dict__.get("cache")
        if cache is not None:
            self.metrics.cache_reachable.set(cache.is_reachable())
            self.metrics.cache_bytes.set(cache.held_bytes() or 0)

    def _query_log(self) -> "QueryLog | None":
        from jangbu.insight.dashboards.query_log import QUERY_LOG, QueryLog

        source = self.catalog.catalog_for(()).data_sources.get(QUERY_LOG) if self.settings.query_log else None
        if source is not None:
            self._logging = QueryLog(self.ingest, source)
            self._logging.start()
        return self._logging
