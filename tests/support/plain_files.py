"""The dashboards over plain Parquet files, for tests that need fresh data thousands of times: the lakehouse and the database have
suites of their own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from support.world import DEFINITIONS, arrow_of

from jangbu.insight.access.contracts import Tenant
from jangbu.insight.catalog.facade import CatalogFacade
from jangbu.insight.dashboards.contracts import Answer
from jangbu.insight.dashboards.facade import Dashboards
from jangbu.insight.dashboards.requests import parse_request
from jangbu.kernel.discovery import discover
from jangbu.kernel.tenancy import Principal, TenantId
from jangbu.platform.engines.duckdb import open_engine
from jangbu.platform.engines.ports import Engine
from jangbu.platform.lakehouse.ports import DataFile, Snapshot, TableFiles


@dataclass
class PlainFiles:
    """Asks `Dashboards` about data frames. `put` gives a data source its rows, in place of those it had."""

    folder: Path
    now: datetime
    zone: str
    engine: Engine = field(init=False)
    catalog: CatalogFacade = field(init=False)
    _files: dict[str, TableFiles] = field(default_factory=dict)
    _numbers: Any = field(default_factory=count)

    def __post_init__(self) -> None:
        self.catalog = CatalogFacade(pack=None, folders=(DEFINITIONS,), refresh_seconds=1e9)
        self.engine = open_engine(roots=[self.folder], spill=self.folder / "spill", memory_mb=1000, threads=1)
        self.dashboards = Dashboards(
            access=self,  # type: ignore[arg-type]  # it has what is asked of them
            catalog=self.catalog,
            ingest=self,  # type: ignore[arg-type]
            lakehouse=self,  # type: ignore[arg-type]
            engines={"duckdb": self.engine},
            workbench=self.engine,
            analyses=discover("analysis", "jangbu.insight.dashboards.dashboard_layer.analyses"),
        )

    def put(self, tables: Mapping[str, pd.DataFrame]) -> None:
        for name, frame in tables.items():
            source = self.catalog.catalog_for().data_sources[name]
            tenants = pa.array(frame["tenant"].tolist(), pa.string())
            table = arrow_of(source, frame).add_column(0, "tenant", tenants)
            path = self.folder / f"{name}-{next(self._numbers)}.parquet"
            pq.write_table(table, path)
            times = pc.cast(table[source.time_fields[source.default_time_field or ""].column], pa.int64())
            edges = pc.min_max(times).as_py()
            file = DataFile(str(path), len(frame), path.stat().st_size, edges["min"], edges["max"])
            snapshot = Snapshot(name, str(path), 1)
            old = self._files.get(name)
            self._files[name] = TableFiles(snapshot, (file,) if len(frame) else (), table.schema)
            if old is not None:
                Path(old.snapshot.metadata_location).unlink()

    def ask(self, body: str, *tenants: str) -> Answer:
        return self.dashboards.query(Principal(tuple(TenantId(name) for name in tenants)), parse_request(body))

    # What the dashboards ask of the access context, the ingest context and the lakehouse

    def tenants_named(self, names: tuple[TenantId, ...]) -> tuple[Tenant, ...]:
        return tuple(Tenant(name, str(name), self.zone, "USD", self.now) for name in names)

    def versions(self, _tenants: object, _sources: object) -> dict[Any, Any]:
        return {}

    def has_open_intent(self, _tenants: object, _sources: object) -> bool:
        return False

    def current(self, table: str) -> Snapshot:
        return self._files[table].snapshot

    def files(self, snapshot: Snapshot, _tenants: object, _span: object) -> TableFiles:
        return self._files[snapshot.table]

    def root(self) -> str:
        return str(self.folder)
