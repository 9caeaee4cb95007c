"""1,000 changed lines of 400 merchants over 3 days merged into 5 million, beside PyIceberg's upsert of them into 1 million.

Both find lines by tenant, basket and product. Half of the changed lines are there with another price, half are new.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from shutil import rmtree
from tempfile import mkdtemp
from time import perf_counter

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table

from bench.harness import BUILD, Entry, interleaved, note, rounds
from bench.parts.many import Shop, lines, merchants, shop, source
from bench.parts.sales import _micros
from jangbu.insight.ingest.contracts import LoadMode
from jangbu.insight.ingest.facade import Delivery
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.lakehouse.tables.layout import iceberg_schema, partition_spec

ROWS, THEIR_ROWS, CHANGED = 5_000_000, 1_000_000, 1_000
KEYS = ("basket", "product")
DAYS = (_micros(datetime(2017, 6, 12, tzinfo=UTC)), _micros(datetime(2017, 6, 15, tzinfo=UTC)))


def run() -> list[Entry]:
    note(f"loading {ROWS:,} and {THEIR_ROWS:,} lines")
    shares = {tenant: lines(ROWS // 400, number) for number, tenant in enumerate(merchants(400))}
    folder = mkdtemp(prefix="upsert-", dir=BUILD)
    with shop() as place, SqlCatalog("bench", uri=f"sqlite:///{folder}/catalog.db", warehouse=folder) as catalog:
        _fill(place, shares)
        place.ingest.upkeep.run("many_sales", whole=True)
        table = _their_table(catalog, place, shares)
        numbers = iter(range(10**6))
        cases: dict[str, Callable[[], object]] = {
            "jangbu": lambda: _merge(place, _changes(shares, next(numbers))),
            "pyiceberg": lambda: _upsert(table, _changes(shares, next(numbers))),
        }
        milliseconds = interleaved(cases, rounds(3), warm_up=1)
    rmtree(folder)
    beside = {f"{name} (ms)": value for name, value in milliseconds.items()}
    return [Entry("merge", milliseconds["jangbu"] / milliseconds["pyiceberg"], "x", 0.1, beside=beside)]


def _fill(place: Shop, shares: dict[TenantId, pa.Table]) -> None:
    deliveries = [Delivery(tenant, partial(_same, rows), "first") for tenant, rows in shares.items()]
    place.ingest.load_many(source(), deliveries, mode=LoadMode.APPEND)


def _same(rows: pa.Table) -> pa.Table:
    return rows


def _changes(shares: dict[TenantId, pa.Table], number: int) -> dict[TenantId, pa.Table]:
    """For each merchant a few of its lines of those days with another price, and as many new ones."""
    found = {}
    for at, (tenant, rows) in enumerate(shares.items()):
        few = CHANGED // 400 + (at < CHANGED % 400)
        days = rows.filter(
            pc.and_(pc.greater_equal(micros := rows["sold_at"].cast(pa.int64()), DAYS[0]), pc.less(micros, DAYS[1]))
        ).slice(number % 7, few // 2 + at % 2)
        price = days.schema.get_field_index("sales_value")
        changed = days.set_column(price, "sales_value", pa.array([f"{number}.{at}"] * len(days)).cast(pa.decimal128(18, 4)))
        new = lines(few - len(days), 10**6 + number * 400 + at, start=DAYS[0], end=DAYS[1])
        found[tenant] = pa.concat_tables([changed, new])
    return found


def _merge(place: Shop, changes: dict[TenantId, pa.Table]) -> float:
    deliveries = [
        Delivery(tenant, partial(_same, rows), f"{rows['sales_value'][0]} {len(rows)}") for tenant, rows in changes.items()
    ]
    start = perf_counter()
    place.ingest.load_many(source(), deliveries, mode=LoadMode.MERGE, keys=KEYS)
    return perf_counter() - start


def _their_table(catalog: SqlCatalog, place: Shop, shares: dict[TenantId, pa.Table]) -> Table:
    """Every merchant's lines of a fifth of the year about those days, so that the changed ones are among them."""
    spec = place.ingest.table_spec(source())
    schema = iceberg_schema(spec)
    catalog.create_namespace("bench")
    table = catalog.create_table(("bench", "lines"), schema, partition_spec=partition_spec(spec, schema))
    first, last = (edge + days * 86_400_000_000 for edge, days in ((DAYS[0], -35), (DAYS[0], 38)))
    table.append(
        _with_tenants(
            {
                tenant: rows.filter(pc.and_(pc.greater_equal(m := rows["sold_at"].cast(pa.int64()), first), pc.less(m, last)))
                for tenant, rows in shares.items()
            }
        )
    )
    return table


def _with_tenants(shares: dict[TenantId, pa.Table]) -> pa.Table:
    return pa.concat_tables([rows.add_column(0, "tenant", pa.array([tenant] * len(rows))) for tenant, rows in shares.items()])


def _upsert(table: Table, changes: dict[TenantId, pa.Table]) -> float:
    rows = _with_tenants(changes)
    start = perf_counter()
    table.upsert(rows, join_cols=["tenant", *KEYS])
    return perf_counter() - start
