"""A small world to ask questions of: the reference's test sources in a real lakehouse, database and engine below one folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import pyarrow as pa

from jangbu.insight.access.facade import Access
from jangbu.insight.catalog.contracts import Catalog, DataSource
from jangbu.insight.catalog.facade import CatalogFacade
from jangbu.insight.dashboards.contracts import Answer
from jangbu.insight.dashboards.facade import Dashboards, OutsideTables
from jangbu.insight.dashboards.requests import request_of
from jangbu.insight.ingest.contracts import LoadMode
from jangbu.insight.ingest.facade import Ingest
from jangbu.kernel.clock import SystemClock
from jangbu.kernel.discovery import discover
from jangbu.kernel.tenancy import Principal, TenantId
from jangbu.kernel.types import FieldType
from jangbu.platform.database.ports import Database
from jangbu.platform.database.sqlite import SqliteDatabase
from jangbu.platform.engines.duckdb import open_engine
from jangbu.platform.engines.ports import Engine
from jangbu.platform.lakehouse.iceberg import open_lakehouse
from jangbu.platform.lakehouse.ports import Lakehouse

DEFINITIONS = Path(__file__).parents[1] / "fixtures" / "definitions" / "reference"
NOW = datetime(2017, 12, 31, 17, 30, tzinfo=UTC)

_ARROW = {
    FieldType.TEXT: pa.string(),
    FieldType.INTEGER: pa.int64(),
    FieldType.DECIMAL: pa.decimal128(18, 4),
    FieldType.DOUBLE: pa.float64(),
    FieldType.BOOLEAN: pa.bool_(),
    FieldType.DATE: pa.date32(),
    FieldType.INSTANT: pa.timestamp("us", tz="UTC"),
    FieldType.LOCAL: pa.timestamp("us"),
}


@dataclass
class World:
    """`catalog` is what every tenant sees."""

    access: Access
    catalog: Catalog
    ingest: Ingest
    lakehouse: Lakehouse
    engine: Engine
    dashboards: Dashboards
    database: Database

    @classmethod
    def at(
        cls,
        folder: Path,
        definitions: Sequence[Path] = (DEFINITIONS,),
        plugins: Sequence[Path] = (),
        outside: Sequence[Path] = (),
        **options: Any,
    ) -> "World":
        """`outside` are the folders that may be bound; `options` are `OutsideTables`' (a clock, a timer)."""
        database = SqliteDatabase(folder / "jangbu.sqlite")
        database.migrate()
        lakehouse = open_lakehouse(warehouse=folder / "lakehouse")
        access, ingest = Access(database, SystemClock()), Ingest(database, lakehouse, SystemClock())
        catalogs = CatalogFacade(folders=tuple(definitions), pack=None, outside_folders=outside)
        roots, others = [lakehouse.root()], [each.resolve() for each in outside]
        engine = open_engine(roots=roots, outside=others, spill=folder / "spill", memory_mb=1000, threads=2)
        dashboards = Dashboards(
            access=access,
            catalog=catalogs,
            ingest=ingest,
            lakehouse=lakehouse,
            engines={"duckdb": engine},
            workbench=engine,
            analyses=discover("analysis", "jangbu.insight.dashboards.dashboard_layer.analyses", plugins),
            outside=OutsideTables(ingest, outside, **options),
        )
        return cls(access, catalogs.catalog_for(()), ingest, lakehouse, engine, dashboards, database)

    def tenant(self, name: str, zone: str = "America/New_York", currency: str = "USD", now: datetime = NOW) -> TenantId:
        self.access.create_tenant(name, name, zone, currency, pinned_now=now)
        return TenantId(name)

    def load(self, source: str, tenant: str | None, rows: pd.DataFrame | Sequence[Mapping[str, Any]], **options: Any) -> None:
        definition = self.catalog.data_sources[source]
        frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows), dtype=object)
        mode = options.pop("mode", LoadMode.APPEND)
        options.setdefault("content", uuid4().hex)
        batches = arrow_of(definition, frame)
        self.ingest.load(definition, tenant=TenantId(tenant) if tenant else None, batches=batches, mode=mode, **options)

    def ask(self, request: Mapping[str, Any], *tenants: str) -> Answer:
        principal = Principal(tuple(TenantId(name) for name in tenants))
        return self.dashboards.query(principal, request_of(dict(request)))

    def rows(self, request: Mapping[str, Any], *tenants: str) -> list[list[Any]]:
        return rows_of(self.ask(request, *tenants).table)

    def close(self) -> None:
        self.engine.close()
        self.lakehouse.close()
        self.database.close()


def arrow_of(source: DataSource, frame: pd.DataFrame) -> pa.Table:
    """The frame's rows in the data source's columns, without the tenant's; a column that it hasn't got is null."""
    columns = {name: column for name, column in source.columns.items() if name != source.separation.column}
    arrays = {}
    for name, column in columns.items():
        values = frame[name].tolist() if name in frame else [None] * len(frame)
        arrays[name] = pa.array([_plain(value) for value in values], _ARROW[column.type])
    return pa.table(arrays)


def _plain(value: Any) -> Any:
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    return None if value is None or value is pd.NaT or (isinstance(value, float) and value != value) else value


def rows_of(table: pa.Table) -> list[list[Any]]:
    """Rows as lists; decimals without trailing zeros, instants aware in the column's zone."""
    columns = [column.to_pylist() for column in table.columns]
    return [[value.normalize() if isinstance(value, Decimal) else value for value in row] for row in zip(*columns, strict=True)]
