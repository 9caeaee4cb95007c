"""A checked, hashed, idempotent load beside PyIceberg's append of the same rows.

2 million lines of one merchant, and of 400, into an empty table each. Both write the same partitions, with the same compression;
ours also checks every row, hashes the content, keeps intent, history, version and event, and sorts by tenant and time.
"""

from collections.abc import Callable, Sequence
from functools import partial
from shutil import rmtree
from tempfile import mkdtemp
from time import perf_counter

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog

from bench.harness import BUILD, Entry, interleaved, note, rounds
from bench.parts.many import lines, merchants, shop, source
from jangbu.insight.ingest.contracts import LoadMode
from jangbu.insight.ingest.conversion import converter_of
from jangbu.insight.ingest.facade import Delivery, Ingest, content_of
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.lakehouse.tables.layout import iceberg_schema, partition_spec

ROWS = 2_000_000


def run() -> list[Entry]:
    entries = [_beside(count) for count in (1, 400)]
    worse = min(entries, key=lambda entry: entry.value or 0)
    return [Entry("load", worse.value, "x", 0.75, "higher", {"the worse of": f"{entries[0].name}, {entries[1].name}"}), *entries]


def _beside(count: int) -> Entry:
    note(f"{ROWS:,} lines of {count} merchants")
    shares = [(tenant, lines(ROWS // count, number)) for number, tenant in enumerate(merchants(count))]
    cases: dict[str, Callable[[], object]] = {"jangbu": partial(_ours, shares), "pyiceberg": partial(_theirs, _whole(shares))}
    milliseconds = interleaved(cases, rounds(5), warm_up=1)
    speeds = {f"{name} (rows/s)": ROWS / value * 1000 for name, value in milliseconds.items()}
    return Entry(f"load_{count}", milliseconds["pyiceberg"] / milliseconds["jangbu"], "x", 1.0, "higher", speeds)


def _ours(shares: Sequence[tuple[TenantId, pa.Table]]) -> float:
    kind = source()
    with shop() as place:
        start = perf_counter()
        if len(shares) == 1:
            ((tenant, rows),) = shares
            mode, converter = LoadMode.APPEND, converter_of(kind)
            place.ingest.load(kind, tenant=tenant, batches=rows, mode=mode, converter=converter)
        else:
            _many(place.ingest, shares)
        return perf_counter() - start


def _many(ingest: Ingest, shares: Sequence[tuple[TenantId, pa.Table]]) -> None:
    kind = source()
    deliveries = [Delivery(tenant, partial(_same, rows), content_of(kind, rows)) for tenant, rows in shares]
    ingest.load_many(kind, deliveries, mode=LoadMode.APPEND, converter=converter_of(kind))


def _same(rows: pa.Table) -> pa.Table:
    return rows


def _whole(shares: Sequence[tuple[TenantId, pa.Table]]) -> pa.Table:
    """As PyIceberg takes them: one table with the tenant."""
    tables = [
        rows.add_column(0, "tenant", pa.array([tenant]).take(pa.nulls(rows.num_rows, pa.int8()).fill_null(0)))
        for tenant, rows in shares
    ]
    return pa.concat_tables(tables).combine_chunks()


def _theirs(rows: pa.Table) -> float:
    folder = mkdtemp(prefix="pyiceberg-", dir=BUILD)
    with shop() as place:
        spec = place.ingest.table_spec(source())
    schema = iceberg_schema(spec)
    with SqlCatalog("bench", uri=f"sqlite:///{folder}/catalog.db", warehouse=folder) as catalog:
        catalog.create_namespace("bench")
        properties = {"write.parquet.compression-codec": "zstd"}
        table = catalog.create_table(("bench", "lines"), schema, partition_spec=partition_spec(spec, schema), properties=properties)
        start = perf_counter()
        table.append(rows)
        elapsed = perf_counter() - start
    rmtree(folder)
    return elapsed
