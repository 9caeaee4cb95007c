"""Trino reads the lakehouse's tables by the same REST catalog, and answers what DuckDB does."""

from collections.abc import Iterator

import pytest
from services.plugin import GetService
from support.sales import ACME, SALES, load, sale, same_bucket
from support.stores import store_of
from support.trino_lake import TrinoLake, command, rest_lake

from jangbu.platform.engines import duckdb
from jangbu.platform.engines.ports import Engine, Scan, Statement
from jangbu.platform.lakehouse.ports import Snapshot, Within

pytestmark = [pytest.mark.slow, pytest.mark.services("trino", "iceberg_rest", "s3")]
TWIN = same_bucket("acme")
"""In a file with acme."""


@pytest.fixture(scope="module")
def lake(service: GetService) -> Iterator[TrinoLake]:
    with rest_lake(service) as made:
        made.lakehouse.create(SALES)
        yield made


@pytest.fixture(scope="module")
def engines(lake: TrinoLake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, Engine]]:
    spill = tmp_path_factory.mktemp("spill")
    here = duckdb.open_engine(
        roots=[lake.lakehouse.root()], spill=spill, memory_mb=500, threads=2, running=1, waiting=1, store=store_of(lake.s3)
    )
    there = lake.engine()
    yield here, there
    here.close()
    there.close()


def asked(engines: tuple[Engine, Engine], lake: TrinoLake, snapshot: Snapshot | None = None) -> list[dict[str, object]]:
    """What acme's rows are, by both, which must say the same."""
    files = lake.lakehouse.files(snapshot or lake.lakehouse.current("sales"), None, None)
    scan = Scan("sales", ("basket", "value", "sold_at"), files, None, "tenant", (ACME,))
    statement = Statement('SELECT "basket", sum("value") AS v, max("sold_at") AS t FROM "sales" GROUP BY 1 ORDER BY 1', (scan,))
    here, there = (engine.run(statement, timeout=60.0).to_pylist() for engine in engines)
    assert here == there
    return here


def test_both_read_each_snapshot_as_it_was(lake: TrinoLake, engines: tuple[Engine, Engine]) -> None:
    load(lake.lakehouse, "one", sale("acme", "b1"), sale("acme", "b2", 40), sale(TWIN, "other"))
    first = lake.lakehouse.current("sales")
    assert [row["basket"] for row in asked(engines, lake)] == ["b1", "b2"]
    load(lake.lakehouse, "two", sale("acme", "b3"), drops=(Within(ACME),))
    assert [row["basket"] for row in asked(engines, lake)] == ["b3"]
    assert [row["basket"] for row in asked(engines, lake, first)] == ["b1", "b2"]


def test_what_one_writes_the_other_reads(lake: TrinoLake, engines: tuple[Engine, Engine]) -> None:
    """Rows of others' are appended; their commit and ours go through the same catalog."""
    load(lake.lakehouse, "three", sale("acme", "ours"))
    command(
        lake.server, f"INSERT INTO {lake.catalog}.jangbu.sales VALUES ('acme', 'theirs', 2.5, TIMESTAMP '2017-02-01 00:00:00 UTC')"
    )
    load(lake.lakehouse, "four", sale("acme", "ours after"))
    assert {"ours", "theirs", "ours after"} <= {str(row["basket"]) for row in asked(engines, lake)}
