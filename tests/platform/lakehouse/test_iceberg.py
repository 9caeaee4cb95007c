"""What is Iceberg's own: conflicts leave no files, delete files are refused, metadata stay few, listing costs nothing."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Transaction
from sqlalchemy.exc import OperationalError

from jangbu.kernel.errors import Unavailable, Unsupported
from jangbu.kernel.tenancy import TenantId
from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.iceberg import IcebergLakehouse, open_lakehouse
from jangbu.platform.lakehouse.ports import TableColumn, TableSpec
from jangbu.platform.lakehouse.tables import commits

NOTES = TableSpec("notes", (TableColumn("tenant", FieldType.TEXT), TableColumn("note", FieldType.TEXT)))
ACME, TWIN = TenantId("acme"), "t13"
"""Two tenants of one bucket."""


@pytest.fixture
def lakehouse(tmp_path: Path) -> Iterator[IcebergLakehouse]:
    opened = open_lakehouse(warehouse=tmp_path)
    assert isinstance(opened, IcebergLakehouse)
    opened.create(NOTES)
    yield opened
    opened.close()


def notes(*rows: tuple[str, str]) -> pa.Table:
    return pa.table(
        {"tenant": pa.array([row[0] for row in rows], pa.string()), "note": pa.array([row[1] for row in rows], pa.string())}
    )


def test_a_conflict_is_planned_again_and_its_rewritten_files_are_removed(
    lakehouse: IcebergLakehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "WAIT", 0.001)
    lakehouse.append(lakehouse.stage("notes", notes(("acme", "old"), (TWIN, "kept")), "one"))
    failures, commit = [CommitFailedException("another was first")] * 2, Transaction.commit_transaction

    def fail_first(transaction: Transaction) -> Any:
        if failures:
            raise failures.pop()
        return commit(transaction)

    monkeypatch.setattr(Transaction, "commit_transaction", fail_first)
    snapshot = lakehouse.replace(lakehouse.stage("notes", notes(("acme", "new")), "two"), ACME, None)
    planned = {Path(file.path) for file in lakehouse.files(snapshot, None, None).files}
    assert failures == []
    assert sorted(row for path in planned for row in pq.ParquetFile(path).read().column("note").to_pylist()) == ["kept", "new"]
    assert len(set(tmp_path.rglob("*.parquet")) - planned) == 1, "the file of the first snapshot"


def test_a_commit_that_never_finds_a_moment_says_so(lakehouse: IcebergLakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "WAIT", 0.0001)
    tries: list[int] = []

    def fail() -> None:
        tries.append(1)
        raise CommitFailedException("another was first")

    with pytest.raises(Unavailable, match="'notes'"):
        commits.with_retries(fail, "notes")
    assert len(tries) == commits.ATTEMPTS


def test_a_locked_catalog_is_unavailable() -> None:
    def fail() -> None:
        raise OperationalError("UPDATE", {}, Exception("database is locked"))

    with pytest.raises(Unavailable, match="busy"):
        commits.with_retries(fail, "notes")


def test_delete_files_are_refused(lakehouse: IcebergLakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyiceberg.manifest import ManifestContent, ManifestFile

    snapshot = lakehouse.append(lakehouse.stage("notes", notes(("acme", "x")), "one"))
    monkeypatch.setattr(ManifestFile, "content", property(lambda _: ManifestContent.DELETES))
    with pytest.raises(Unsupported, match="'notes' has delete files"):
        lakehouse.files(snapshot, None, None)


def test_old_metadata_files_are_removed(lakehouse: IcebergLakehouse, tmp_path: Path) -> None:
    for n in range(10):
        lakehouse.append(lakehouse.stage("notes", notes(("acme", f"n{n}")), f"run{n}"))
    assert len(list((tmp_path / "jangbu" / "notes" / "metadata").glob("*.metadata.json"))) == 6


def test_a_large_load_is_cut_into_sorted_files(lakehouse: IcebergLakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jangbu.platform.lakehouse.tables.writing.CHUNK_ROWS", 100)
    table = notes(*((f"t{n % 7}", f"n{n}") for n in range(1000)))
    snapshot = lakehouse.append(lakehouse.stage("notes", table, "one"))
    files = lakehouse.files(snapshot, None, None).files
    assert sum(file.rows for file in files) == 1000
    assert max(file.rows for file in files) <= 100
    for file in files:
        tenants = pq.ParquetFile(file.path).read().column("tenant").to_pylist()
        assert tenants == sorted(tenants)


def test_pyiceberg_reads_what_was_written(lakehouse: IcebergLakehouse) -> None:
    """Other engines find the columns by their field ids."""
    lakehouse.append(lakehouse.stage("notes", notes(("acme", "x"), ("bravo", "한글")), "one"))
    table = lakehouse._catalog.load_table(("jangbu", "notes"))
    assert sorted(row["note"] for row in table.scan(row_filter="tenant = 'bravo'").to_arrow().to_pylist()) == ["한글"]
    assert [str(field.transform) for field in table.spec().fields] == ["bucket[16]"]


def test_listing_lakehouses_imports_no_sdk() -> None:
    code = (
        "import sys; from jangbu.kernel.discovery import discover; found = discover('lakehouse', 'jangbu.platform.lakehouse');"
        "assert 'iceberg' in found; print(sorted({'pyarrow', 'sqlalchemy', 'pyiceberg', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
