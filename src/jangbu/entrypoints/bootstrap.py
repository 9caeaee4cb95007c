"""Puts the adapters that the settings name under the contexts, once for each process. Each part is built at its first use."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import cached_property
from inspect import signature
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Self

from jangbu.entrypoints.settings import Settings
from jangbu.kernel.clock import Clock, SystemClock
from jangbu.kernel.discovery import Plugin, discover, find
from jangbu.kernel.tenancy import Principal, TenantId

if TYPE_CHECKING:
    from jangbu.insight.access.facade import Access
    from jangbu.insight.catalog.facade import CatalogFacade
    from jangbu.insight.dashboards.facade import Dashboards
    from jangbu.insight.dashboards.query_log import QueryLog
    from jangbu.insight.ingest.contracts import LoadResult
    from jangbu.insight.ingest.facade import Ingest, Progress
    from jangbu.platform.database.ports import Database
    from jangbu.platform.engines.ports import Engine
    from jangbu.platform.lakehouse.ports import Lakehouse
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
        self.__dict__.update(overrides)

    # Adapters

    @cached_property
    def metrics(self) -> "Metrics":
        from jangbu.platform.telemetry.metrics import Metrics

        return Metrics()

    @cached_property
    def database(self) -> "Database":
        from jangbu.platform.database.sqlite import SqliteDatabase

        return SqliteDatabase(self.folder / "jangbu.db", self.clock)

    @cached_property
    def lakehouse(self) -> "Lakehouse":
        from jangbu.platform.lakehouse.iceberg import open_lakehouse

        return open_lakehouse(warehouse=str(self.folder / "lakehouse"))

    @cached_property
    def engines(self) -> "Engines":
        return Engines(self.settings, self.lakehouse, self.metrics)

    # Contexts

    @cached_property
    def access(self) -> "Access":
        from jangbu.insight.access.facade import Access

        return Access(self.database, self.clock)

    @cached_property
    def catalog(self) -> "CatalogFacade":
        from jangbu.insight.catalog.facade import CatalogFacade

        return CatalogFacade(folders=self.settings.definitions, tenant_folders=self.settings.tenant_definitions)

    @cached_property
    def ingest(self) -> "Ingest":
        from jangbu.insight.ingest.facade import Ingest

        return Ingest(self.database, self.lakehouse, self.clock)

    @cached_property
    def dashboards(self) -> "Dashboards":
        from jangbu.insight.dashboards.facade import Dashboards

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
        self.ingest.recover()
        self.dashboards  # noqa: B018  # building it is the point
        self._started = True

    def is_ready(self) -> bool:
        """Whether questions can be answered: started, not closing, and the database reads."""
        if self._started:
            with self.database.reading():
                pass
        return self._started

    def close(self) -> None:
        """Write what is still in memory and give everything back."""
        self._started = False
        with ExitStack() as closing:
            for name in ("database", "lakehouse", "engines"):
                if name in self.__dict__:
                    closing.callback(self.__dict__.pop(name).close)
            if self._logging is not None:
                closing.callback(self._logging.close)
                self._logging = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What several entry points do

    def operator(self) -> Principal:
        """Who sits at the machine: holds every tenant of the folder."""
        tenants: list[TenantId] = []
        while page := self.access.tenants(offset=len(tenants), limit=1000):
            tenants += [tenant.id for tenant in page]
        return Principal(tuple(tenants), name="operator")

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

    def _query_log(self) -> "QueryLog | None":
        from jangbu.insight.dashboards.query_log import QUERY_LOG, QueryLog

        source = self.catalog.catalog_for(()).data_sources.get(QUERY_LOG) if self.settings.query_log else None
        if source is not None:
            self._logging = QueryLog(self.ingest, source)
            self._logging.start()
        return self._logging


class Engines(Mapping[str, "Engine"]):
    """Every engine that is installed, by name, each opened at its first use with those settings that its `open` takes."""

    def __init__(self, settings: Settings, lakehouse: "Lakehouse", metrics: "Metrics") -> None:
        self._settings = settings
        self._lakehouse = lakehouse
        self._metrics = metrics
        self._plugins = discover("engine", "jangbu.platform.engines", settings.plugin_folders)
        self._open: dict[str, Engine] = {}
        self._lock = Lock()

    def __getitem__(self, name: str) -> "Engine":
        with self._lock:
            if name not in self._open:
                if name not in self._plugins:
                    raise KeyError(name)
                self._open[name] = self._opened(find("engine", name, self._plugins))
            return self._open[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._plugins)

    def __len__(self) -> int:
        return len(self._plugins)

    def __contains__(self, name: object) -> bool:
        return name in self._plugins

    def close(self) -> None:
        with self._lock:
            for engine in self._open.values():
                engine.close()
            self._open.clear()

    def _opened(self, plugin: Plugin) -> "Engine":
        from jangbu.platform.telemetry.engine import MeasuredEngine

        settings = self._settings
        known: dict[str, Any] = {
            "roots": [self._lakehouse.root()],
            "spill": settings.folder.expanduser().absolute() / "spill",
            "memory_mb": settings.engine_memory_mb,
            "spill_mb": settings.engine_spill_mb,
            "threads": settings.engine_threads,
            "running": settings.engine_running,
            "waiting": settings.engine_waiting,
        }
        taken = signature(plugin.open).parameters
        given = {name: value for name, value in known.items() if name in taken}
        return MeasuredEngine(plugin.open(**given), self._metrics, settings.engine_running)
