"""Two tenants with data of the same shapes below one folder. Their keys of rows (products, households, …) are the same, so that a
join across tenants would find a partner; every other text says whose it is."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import pyarrow as pa
from support.world import arrow_of

from jangbu.entrypoints.bootstrap import Application
from jangbu.entrypoints.settings import load
from jangbu.insight.catalog.contracts import DataSource
from jangbu.insight.ingest.contracts import BadRow, LoadMode
from jangbu.kernel.tenancy import TenantId
from jangbu.kernel.types import FieldType

HANOK, NAMU = "hanok", "namu"
ROWS = {HANOK: 3, NAMU: 5}
MONEY = {HANOK: Decimal("1111.1100"), NAMU: Decimal("2222.2200")}
SHARED = frozenset({"product", "household", "campaign", "coupon_upc"})
"""Columns that relations are joined on."""


def value(tenant: str, column: str, type_: FieldType, index: int) -> Any:
    match type_:
        case FieldType.TEXT:
            return f"{column} {index}" if column in SHARED else f"{tenant}'s {column} {index}"
        case FieldType.INTEGER:
            return index + 1
        case FieldType.DECIMAL:
            return MONEY[tenant]
        case FieldType.DOUBLE:
            return float(index)
        case FieldType.BOOLEAN:
            return index % 2 == 0
        case FieldType.DATE:
            return date(2017, 3, 1 + index)
    return datetime(2017, 3, 1, 12, tzinfo=UTC) + timedelta(days=index)


def rows(source: DataSource, tenant: str) -> pd.DataFrame:
    columns = [column for column in source.columns.values() if column.name != source.separation.column]
    return pd.DataFrame(
        [{column.name: value(tenant, column.name, column.type, index) for column in columns} for index in range(ROWS[tenant])],
        dtype=object,
    )


def set_up(folder: Path) -> Mapping[str, str]:
    """Load both; returns the keys of `hanok`, `namu` and `both`."""
    with Application(load(folder=folder)) as application:
        for tenant in (HANOK, NAMU):
            application.access.create_tenant(tenant, tenant, "America/New_York", "USD", datetime(2017, 12, 31, tzinfo=UTC))
            for source in application.catalog.catalog_for(()).data_sources.values():
                if source.name != "query_log":
                    application.ingest.load(
                        source,
                        tenant=TenantId(tenant),
                        batches=arrow_of(source, rows(source, tenant)),
                        mode=LoadMode.APPEND,
                        content=uuid4().hex,
                    )
            _load_with_a_bad_row(application, TenantId(tenant))
        held = {HANOK: [HANOK], NAMU: [NAMU], "both": [HANOK, NAMU]}
        return {
            name: application.access.create_key(f"{name}'s key", tenants, ["operator"])[1].reveal()
            for name, tenants in held.items()
        }


def _load_with_a_bad_row(application: Application, tenant: TenantId) -> None:
    """A load that sets one row aside and leaves the tenant's rows as they are."""
    source = application.catalog.data_source("coupons")
    texts = {column: [f"{tenant}'s bad {column}"] for column in source.columns if column != source.separation.column}
    rows = pa.table({name: pa.array(values, pa.string()) for name, values in texts.items()})

    def converter(batch: pa.RecordBatch, columns: Any, first_row: int) -> Any:
        return batch.slice(0, 0), [BadRow(first_row, "product", "not_a_number", f"{tenant}'s word", batch.to_pylist()[0])]

    application.ingest.load(source, tenant=tenant, batches=rows, mode=LoadMode.APPEND, content="bad", converter=converter)
