"""A table of sales in a lakehouse: its rows, loads of them, and what is read of them again."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
from support.stores import Stored, below, rows_at

from jangbu.kernel.tenancy import TenantId
from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.ports import Drop, Lakehouse, Snapshot, TableColumn, TableSpec

SALES = TableSpec(
    "sales",
    (
        TableColumn("tenant", FieldType.TEXT),
        TableColumn("basket", FieldType.TEXT),
        TableColumn("value", FieldType.DECIMAL),
        TableColumn("sold_at", FieldType.INSTANT),
    ),
    time_column="sold_at",
)
ACME, BRAVO = TenantId("acme"), TenantId("bravo")
NEW_YEAR = datetime(2017, 1, 1, tzinfo=UTC)

Row = tuple[str, str, Decimal | None, datetime | None]


def sales(*rows: Row) -> pa.Table:
    schema = pa.schema(
        {"tenant": pa.string(), "basket": pa.string(), "value": pa.decimal128(18, 4), "sold_at": pa.timestamp("us", "UTC")}
    )
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema)


def sale(tenant: str, basket: str, day: int = 0) -> Row:
    return (tenant, basket, Decimal("1.5000"), NEW_YEAR + timedelta(days=day))


def read(lakehouse: Lakehouse, snapshot: Snapshot, tenants: tuple[TenantId, ...] | None = None, span: Any = None) -> pa.Table:
    """Every row of the planned files, the other tenants' in them included."""
    planned = lakehouse.files(snapshot, tenants, span)
    return pa.concat_tables([planned.schema.empty_table(), *(rows_at(file.path).cast(planned.schema) for file in planned.files)])


def baskets(lakehouse: Lakehouse, snapshot: Snapshot | None = None) -> list[str]:
    """Of the snapshot, by default of the newest."""
    return sorted(read(lakehouse, snapshot or lakehouse.current("sales")).column("basket").to_pylist())


def load(lakehouse: Lakehouse, run: str, *rows: Row, drops: tuple[Drop, ...] = ()) -> Snapshot:
    return lakehouse.commit(lakehouse.stage("sales", sales(*rows), run), drops)


def data_files(lakehouse: Lakehouse) -> set[Path | Stored]:
    return below(lakehouse.root(), ".parquet")


def same_bucket(tenant: str) -> str:
    """Another tenant whose rows lie in the same files."""
    from jangbu.platform.lakehouse.tables.layout import bucket_of

    bucket = bucket_of(16)
    return next(name for n in range(1000) if bucket(name := f"t{n}") == bucket(tenant))
