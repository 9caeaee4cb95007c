"""What is DuckDB's own: filters and columns reach the Parquet scan, and listing the engine costs nothing."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlglot import exp

from jangbu.kernel.errors import Unsupported
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.engines.duckdb import DuckDBEngine, open_engine
from jangbu.platform.engines.parquet_scans import DELETED
from jangbu.platform.engines.ports import Scan, Statement
from jangbu.platform.lakehouse.ports import DataFile, Deleted, Snapshot, TableFiles

START = datetime(2017, 1, 1, tzinfo=UTC)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[DuckDBEngine]:
    opened = open_engine(roots=[tmp_path], spill=tmp_path / "spill", memory_mb=500, threads=1)
    assert isinstance(opened, DuckDBEngine)
    yield opened
    opened.close()


@pytest.fixture
def sales(tmp_path: Path) -> TableFiles:
    """100 row groups of an hour each."""
    times = pa.array([START + timedelta(minutes=6 * n) for n in range(1000)], pa.timestamp("us", "UTC"))
    rows = pa.table({"tenant": ["acme"] * 1000, "value": range(1000), "other": range(1000), "sold_at": times})
    path = tmp_path / "a.parquet"
    pq.write_table(rows, path, row_group_size=10)
    return TableFiles(Snapshot("sales", "", 1), (DataFile(str(path), 1000, path.stat().st_size),), rows.schema)


def explained(engine: DuckDBEngine, sales: TableFiles, condition: exp.Expression) -> str:
    scan = Scan("sales", ("value", "other", "sold_at"), sales, None, "tenant", (TenantId("acme"),))
    body = engine.render(exp.select(exp.Sum(this=exp.column("value"))).from_(exp.to_table("sales")).where(condition))
    text = f"EXPLAIN ANALYZE {engine.sql(Statement(body, (scan,)))}"
    cursor = engine._connection.cursor()
    if sales.deleted is not None:
        cursor.register(DELETED, sales.deleted.read())
    plan = str(cursor.execute(text).fetchall()[0][1])
    return re.sub(r"[\s│]+", " ", plan)


def test_filters_and_columns_reach_the_scan_and_row_groups_are_skipped(engine: DuckDBEngine, sales: TableFiles) -> None:
    low, high = (engine.emitter.literal(START + timedelta(hours=hour)) for hour in (10, 12))
    sold_at = exp.column("sold_at")
    plan = explained(engine, sales, exp.and_(sold_at >= low, sold_at < high))
    filters = plan[plan.index("Filters:") : plan.index("Total Files Read")]
    assert "tenant='acme'" in filters
    assert "sold_at>=" in filters
    assert "sold_at<" in filters
    assert plan.count("Projections: value") == 1
    assert "other" not in plan.split("Projections:")[1]


def without(files: TableFiles, *positions: int) -> TableFiles:
    """Without these rows of its first file."""
    path = files.files[0].path
    gone = pa.table({"path": [path] * len(positions), "position": pa.array(positions, pa.int64())})
    return replace(files, deleted=Deleted(frozenset({path}), 1, lambda: gone))


def test_filters_and_columns_reach_the_scan_of_a_file_with_deleted_rows(engine: DuckDBEngine, sales: TableFiles) -> None:
    condition = exp.column("sold_at") >= engine.emitter.literal(START + timedelta(hours=99))
    plan = explained(engine, without(sales, 3, 999), condition)
    filters = plan[plan.index("Filters:") : plan.index("Total Files Read")]
    assert "tenant='acme'" in filters
    assert "sold_at>=" in filters
    assert "other" not in plan.split("Projections:", 1)[1]
    scan = Scan("sales", ("value", "sold_at"), without(sales, 3, 998, 2000), None, "tenant", (TenantId("acme"),))
    late = engine.run(Statement('SELECT "value" FROM "sales" WHERE "value" IN (2, 3, 997, 998, 999)', (scan,)), timeout=5)
    assert sorted(late.column(0).to_pylist()) == [2, 997, 999], "positions count in the whole file, whatever groups are skipped"


def test_a_column_called_as_duckdb_calls_positions_is_refused_where_rows_are_deleted(engine: DuckDBEngine, tmp_path: Path) -> None:
    rows = pa.table({"tenant": ["acme"] * 3, "file_row_number": [7, 8, 9], "filename": ["a", "b", "c"]})
    pq.write_table(rows, tmp_path / "b.parquet")
    files = TableFiles(Snapshot("sales", "", 1), (DataFile(str(tmp_path / "b.parquet"), 3, 100),), rows.schema)
    scan = Scan("sales", ("file_row_number",), files, None, "tenant", (TenantId("acme"),))
    asked = Statement('SELECT * FROM "sales"', (scan,))
    assert engine.run(asked, timeout=5).column(0).to_pylist() == [7, 8, 9]
    with pytest.raises(Unsupported, match="'sales' has a column 'file_row_number'"):
        engine.run(replace(asked, scans=(replace(scan, files=without(files, 1)),)), timeout=5)


def test_the_configuration_is_what_was_asked(engine: DuckDBEngine, tmp_path: Path) -> None:
    names = (
        "TimeZone",
        "enable_external_access",
        "lock_configuration",
        "autoload_known_extensions",
        "autoinstall_known_extensions",
    )
    asked = f"SELECT {', '.join(f'current_setting({name!r})::VARCHAR AS {name}' for name in names)}"
    (row,) = engine.run(Statement(asked), timeout=5).to_pylist()
    assert list(row.values()) == ["UTC", "false", "true", "false", "false"]
    settings = {"memory": "memory_limit", "threads": "threads", "dirs": "allowed_directories"}
    asked = f"SELECT {', '.join(f'current_setting({setting!r}) AS {name}' for name, setting in settings.items())}"
    (limits,) = engine.run(Statement(asked), timeout=5).to_pylist()
    assert (limits["memory"], limits["threads"]) == ("476.8 MiB", 1)
    assert all(folder.startswith(str(tmp_path)) for folder in limits["dirs"])


def test_listing_engines_imports_no_sdk() -> None:
    code = (
        "import sys; from jangbu.kernel.discovery import discover; found = discover('engine', 'jangbu.platform.engines');"
        "assert 'duckdb' in found; print(sorted({'duckdb', 'pyarrow', 'sqlglot', 'sqlalchemy', 'pyiceberg'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
