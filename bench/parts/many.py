"""Sale lines of many merchants, to be loaded: seeded, the same every time. A line is known by its tenant, basket and product."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from bench.harness import BUILD
from bench.parts.sales import END, START, _micros, _money, _texts
from bench.parts.warehouse import DEFINITIONS
from jangbu.insight.catalog.facade import CatalogFacade
from jangbu.insight.ingest.facade import Ingest
from jangbu.kernel.clock import SystemClock
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.database.sqlite import SqliteDatabase
from jangbu.platform.lakehouse.iceberg import open_lakehouse

if TYPE_CHECKING:
    from jangbu.insight.catalog.contracts import DataSource
    from jangbu.platform.lakehouse.ports import Lakehouse


def source() -> "DataSource":
    return CatalogFacade(pack=None, folders=(DEFINITIONS,)).data_source("many_sales")


def lines(rows: int, seed: int = 7, *, start: int | None = None, end: int | None = None) -> pa.Table:
    """Lines of one merchant between two instants (micros; by default the year), in time's order, without the tenant."""
    rng = np.random.default_rng(seed)
    quantity = rng.integers(1, 9, rows)
    return pa.table(
        {
            "sold_at": pa.array(
                np.sort(rng.integers(start or _micros(START), end or _micros(END), rows)), pa.timestamp("us", "UTC")
            ),
            "basket": pa.array(np.char.add("b", (seed * 10**8 + np.arange(rows) // 3).astype(str))),
            "product": _texts(rng.integers(0, 20_000, rows, np.int32), [str(1_000_000 + 7 * number) for number in range(20_000)]),
            "store": _texts(rng.integers(0, 200, rows, np.int32), [str(300 + number) for number in range(200)]),
            "quantity": pa.array(quantity),
            "sales_value": _money(rng.integers(50, 20_000, rows) * quantity),
        }
    )


def merchants(count: int) -> list[TenantId]:
    return [TenantId(f"merchant-{number:03d}") for number in range(count)]


@dataclass(frozen=True, slots=True)
class Shop:
    """A place to load into, in a folder of its own."""

    folder: Path
    lakehouse: "Lakehouse"
    ingest: Ingest


@contextmanager
def shop(folder: Path | None = None) -> Iterator[Shop]:
    """An empty one that is removed at the end, or the one in `folder`, which is kept."""
    BUILD.mkdir(parents=True, exist_ok=True)
    own = folder or Path(mkdtemp(prefix="load-", dir=BUILD))
    database, lakehouse = SqliteDatabase(own / "jangbu.db"), open_lakehouse(warehouse=own / "lakehouse")
    database.migrate()
    try:
        yield Shop(own, lakehouse, Ingest(database, lakehouse, SystemClock()))
    finally:
        lakehouse.close()
        database.close()
        if folder is None:
            rmtree(own)
