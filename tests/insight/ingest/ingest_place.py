"""A shop's sales, a shared calendar, and a place to load them."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import select

sys.path.append(str(Path(__file__).parents[2]))

from support.database_at import database_at

from jangbu.insight.catalog.contracts import Binding, Column, Currency, DataSource, Separation, SeparationKind, Text, TimeField
from jangbu.insight.ingest.facade import Ingest
from jangbu.kernel.clock import SystemClock
from jangbu.kernel.tenancy import TenantId
from jangbu.kernel.types import FieldType
from jangbu.platform.database.schema import outbox
from jangbu.platform.lakehouse.iceberg import open_lakehouse
from jangbu.platform.lakehouse.ports import Lakehouse, TimeRange

SHOP = TenantId("shop")
WORDS = Text("", "")


def data_source(
    name: str,
    columns: dict[str, FieldType],
    *,
    time: str | None = None,
    separation: SeparationKind = SeparationKind.COLUMN,
    zone: str | None = None,
) -> DataSource:
    kept_apart = Separation(separation, "tenant" if separation is SeparationKind.COLUMN else None)
    fields = {time: TimeField(time, time, columns[time], WORDS, zone=zone)} if time else {}
    return DataSource(
        name=name,
        label=WORDS,
        description=WORDS,
        binding=Binding(name),
        separation=kept_apart,
        columns=MappingProxyType({column: Column(column, type_) for column, type_ in columns.items()}),
        time_fields=MappingProxyType(fields),
        default_time_field=time,
        currency=Currency(),
        relations=MappingProxyType({}),
        dimensions=MappingProxyType({}),
        measures=MappingProxyType({}),
    )


SALES = data_source(
    "sales",
    {"tenant": FieldType.TEXT, "product": FieldType.TEXT, "price": FieldType.DECIMAL, "sold_at": FieldType.INSTANT},
    time="sold_at",
)
CALENDAR = data_source("calendar", {"day": FieldType.DATE, "name": FieldType.TEXT}, time="day", separation=SeparationKind.SHARED)


def day(number: int, month: int = 3) -> datetime:
    return datetime(2017, month, number, 9, 30, tzinfo=UTC)


def days(first: int, last: int) -> TimeRange:
    """Days of March 2017, the last not included."""
    return TimeRange(datetime(2017, 3, first, tzinfo=UTC), datetime(2017, 3, last, tzinfo=UTC))


def sales(*rows: tuple[str | None, str, datetime | None]) -> pa.Table:
    """Rows of (product, price, sold_at)."""
    columns = list(zip(*rows, strict=True)) if rows else [(), (), ()]
    return pa.table(
        {
            "product": pa.array(columns[0], pa.string()),
            "price": pa.array([Decimal(price) for price in columns[1]], pa.decimal128(18, 4)),
            "sold_at": pa.array(columns[2], pa.timestamp("us", tz="UTC")),
        }
    )


@dataclass
class Place:
    """A database and a lakehouse in a folder, and what stands in them."""

    folder: Path
    clock: Any = field(default_factory=SystemClock)

    def __post_init__(self) -> None:
        self.database = database_at(self.folder)
        self.database.migrate()
        self.lakehouse: Lakehouse = open_lakehouse(warehouse=self.folder / "lakehouse")
        self.ingest = Ingest(self.database, self.lakehouse, self.clock)

    def rows(self, table: str = "sales", tenant: str | None = SHOP) -> list[dict[str, Any]]:
        found = self.lakehouse.files(self.lakehouse.current(table), None, None)
        rows = [row for file in found.files for row in pq.ParquetFile(file.path).read().to_pylist()]
        mine = [row for row in rows if tenant is None or row["tenant"] == tenant]
        return sorted(mine, key=lambda row: tuple(str(value) for value in row.values()))

    def products(self, tenant: str = SHOP) -> list[str]:
        return [row["product"] for row in self.rows(tenant=tenant)]

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        with self.database.reading() as connection:
            return [(row.name, row.payload) for row in connection.execute(select(outbox).order_by(outbox.c.id))]

    def version(self, source: str = "sales", tenant: TenantId | None = SHOP) -> int:
        found = self.ingest.versions([SHOP] if tenant is None else [tenant], [source]).get((tenant, source))
        return found.version if found else 0

    def data_files(self) -> int:
        return len(list((self.folder / "lakehouse").rglob("*.parquet")))

    def close(self) -> None:
        self.lakehouse.close()
        self.database.close()


class LakehouseWith:
    """A lakehouse with some of its methods replaced."""

    def __init__(self, real: Lakehouse, **methods: Callable[..., Any]) -> None:
        self._real, self._methods = real, methods

    def __getattr__(self, name: str) -> Any:
        return self._methods.get(name) or getattr(self._real, name)


@dataclass
class MovableClock:
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def forward(self, **by: float) -> None:
        self.at += timedelta(**by)
