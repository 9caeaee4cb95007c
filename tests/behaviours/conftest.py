"""The adapters of each port, embedded ones first. A new adapter is one more entry; the suite stays the same."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from services.plugin import GetService
from support.stores import Buckets, Folders, RestBuckets, Stores
from support.trino_lake import TrinoLake, trino_lake

from jangbu.platform.engines.ports import Engine
from jangbu.platform.lakehouse.ports import Lakehouse, TableSpec


@dataclass
class DuckDBCase:
    """An engine with the lakehouse that it reads, and what the suite says in its SQL."""

    place: Mapping[str, Any]
    folder: Path
    endless = "SELECT count(*) AS n FROM range(100000000) AS a (i), range(100000000) AS b (i) WHERE a.i * b.i % 7 = 3"
    too_large = "SELECT list(i) AS l FROM range(300000000) AS r (i)"
    pattern = "regexp_matches"

    def open(self, **limits: int) -> Engine:
        from jangbu.platform.engines.duckdb import open_engine

        roots, store = [self.place["warehouse"]], self.place.get("store")
        return open_engine(roots=roots, spill=self.folder / "spill", memory_mb=500, threads=2, store=store, **limits)

    @contextmanager
    def lake(self, spec: TableSpec, rows: pa.Table) -> Iterator[Lakehouse]:
        lakehouse = _iceberg(self.place)
        _load(lakehouse, spec, rows)
        yield lakehouse
        lakehouse.close()

    def counting(self, millions: int) -> str:
        """A FROM clause of so many rows."""
        return f"range({millions}000000) AS r (i)"

    def too_large_with(self) -> Mapping[str, Any]:
        return {"spill_mb": 0}


@dataclass
class TrinoCase:
    """As `DuckDBCase`, on a lakehouse that is made once: what the suite does only reads."""

    shared: TrinoLake
    endless = "SELECT count(*) AS n FROM {0} AS a (i), {0} AS b (i), {0} AS c (i) WHERE a.i * b.i * c.i % 7 = 3".format(
        "UNNEST(sequence(1, 10000))"
    )
    too_large = "SELECT count(*) FROM (SELECT array_agg(a.i) AS l FROM {0} AS a (i), {0} AS b (i)) WHERE cardinality(l) > 0".format(
        "UNNEST(sequence(1, 10000))"
    )
    pattern = "regexp_like"

    def open(self, **limits: Any) -> Engine:
        return self.shared.engine(**limits)

    @contextmanager
    def lake(self, spec: TableSpec, rows: pa.Table) -> Iterator[Lakehouse]:
        if spec.name not in self.shared.lakehouse.tables():
            _load(self.shared.lakehouse, spec, rows)
        yield self.shared.lakehouse

    def counting(self, millions: int) -> str:
        return f"UNNEST(sequence(1, 1000)) AS a (i), UNNEST(sequence(1, 1000)) AS b (i), UNNEST(sequence(1, {millions})) AS r (i)"

    def too_large_with(self) -> Mapping[str, Any]:
        return {"session": {"query_max_memory": "20MB"}}


EngineCase = DuckDBCase | TrinoCase


def _load(lakehouse: Lakehouse, spec: TableSpec, rows: pa.Table) -> None:
    lakehouse.create(spec)
    lakehouse.commit(lakehouse.stage(spec.name, rows, "one"))


def _iceberg(options: Mapping[str, Any]) -> Lakehouse:
    from jangbu.platform.lakehouse.iceberg import open_lakehouse

    return open_lakehouse(**options)


STORES = [
    "folder",
    pytest.param("bucket", marks=pytest.mark.services("s3", "postgres")),
    pytest.param("rest", marks=pytest.mark.services("s3", "iceberg_rest")),
]
"""Where a lakehouse lies: a folder and SQLite, a bucket of S3 and PostgreSQL, a bucket and a REST catalog."""
ENGINES = [
    "duckdb",
    pytest.param("duckdb on S3", marks=pytest.mark.services("s3", "postgres")),
    pytest.param("trino", marks=[pytest.mark.slow, pytest.mark.services("trino", "postgres", "s3")]),
]

OpenEngine = Callable[..., Engine]
OpenLakehouse = Callable[[], Lakehouse]


@pytest.fixture(scope="session")
def shared_trino(service: GetService) -> Iterator[TrinoLake]:
    with trino_lake(service) as lake:
        yield lake


@pytest.fixture(params=ENGINES)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EngineCase]:
    if request.param == "trino":
        yield TrinoCase(request.getfixturevalue("shared_trino"))
        return
    with _stores(request, "bucket" if request.param == "duckdb on S3" else "folder").place() as place:
        yield DuckDBCase(place, tmp_path)


@pytest.fixture
def open_engine(case: EngineCase) -> Iterator[OpenEngine]:
    """Opens engines of the adapter with limits such as `running=1`, and closes them."""
    opened: list[Engine] = []

    def open_(**limits: Any) -> Engine:
        opened.append(case.open(**limits))
        return opened[-1]

    yield open_
    for engine in opened:
        engine.close()


@pytest.fixture
def engine(open_engine: OpenEngine) -> Engine:
    return open_engine()


@pytest.fixture(scope="session", params=STORES)
def stores(request: pytest.FixtureRequest) -> Stores:
    return _stores(request, request.param)


def _stores(request: pytest.FixtureRequest, kind: str) -> Stores:
    if kind == "folder":
        return Folders()
    service = request.getfixturevalue("service")
    if kind == "rest":
        return RestBuckets(service("s3"), service("iceberg_rest"))
    return Buckets(service("s3"), service("postgres"))


@pytest.fixture
def place(stores: Stores) -> Iterator[Mapping[str, Any]]:
    """One lakehouse's; openers of it share it."""
    with stores.place() as options:
        yield options


@pytest.fixture
def reader(place: Mapping[str, Any], tmp_path: Path) -> Iterator[Engine]:
    """An engine that reads the lakehouse of `place` in this process."""
    opened = DuckDBCase(place, tmp_path).open()
    yield opened
    opened.close()


@pytest.fixture
def open_lakehouse(place: Mapping[str, Any]) -> OpenLakehouse:
    return lambda: _iceberg(place)


@pytest.fixture
def lakehouse(open_lakehouse: OpenLakehouse) -> Iterator[Lakehouse]:
    opened = open_lakehouse()
    yield opened
    opened.close()


@pytest.fixture
def with_sales(lakehouse: Lakehouse) -> Lakehouse:
    from support.sales import SALES

    lakehouse.create(SALES)
    return lakehouse
