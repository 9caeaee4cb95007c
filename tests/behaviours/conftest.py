"""The adapters of each port, embedded ones first. A new adapter is one more entry; the suite stays the same."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from jangbu.platform.engines.ports import Engine
from jangbu.platform.lakehouse.ports import Lakehouse


def _duckdb(folder: Path, limits: Mapping[str, int]) -> Engine:
    from jangbu.platform.engines.duckdb import open_engine

    return open_engine(roots=[folder / "lake"], spill=folder / "spill", memory_mb=500, threads=2, **limits)


def _iceberg(folder: Path) -> Lakehouse:
    from jangbu.platform.lakehouse.iceberg import open_lakehouse

    return open_lakehouse(warehouse=folder / "lake")


ENGINES: Mapping[str, Callable[[Path, Mapping[str, int]], Engine]] = {"duckdb": _duckdb}
LAKEHOUSES: Mapping[str, Callable[[Path], Lakehouse]] = {"iceberg": _iceberg}

OpenEngine = Callable[..., Engine]


@pytest.fixture(params=ENGINES)
def open_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenEngine]:
    """Opens engines of the adapter with limits such as `running=1`, and closes them."""
    opened: list[Engine] = []

    def open_(**limits: int) -> Engine:
        opened.append(ENGINES[request.param](tmp_path, limits))
        return opened[-1]

    yield open_
    for engine in opened:
        engine.close()


@pytest.fixture
def engine(open_engine: OpenEngine) -> Engine:
    return open_engine()


@pytest.fixture(params=LAKEHOUSES)
def open_lakehouse(request: pytest.FixtureRequest) -> Callable[[Path], Lakehouse]:
    return LAKEHOUSES[request.param]


@pytest.fixture
def lakehouse(open_lakehouse: Callable[[Path], Lakehouse], tmp_path: Path) -> Iterator[Lakehouse]:
    opened = open_lakehouse(tmp_path)
    yield opened
    opened.close()
