"""What is Iceberg's own: conflicts leave no files, delete files are refused, metadata stay few, listing costs nothing."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Transaction
from sqlalchemy.exc import OperationalError

from jangbu.kernel.errors import Conflict, Unavailable, Unsupported
from jangbu.kernel.tenancy import TenantId
from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.iceberg import IcebergLakehouse, open_lakehouse
from jangbu.platform.lakehouse.ports import Snapshot, Staged, TableColumn, TableSpec
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


Change = Callable[[IcebergLakehouse, Staged], Snapshot]
CHANGES: list[Change] = [IcebergLakehouse.append, lambda lakehouse, staged: lakehouse.replace(staged, ACME, None)]


def while_committing(monkeypatch: pytest.MonkeyPatch, do: Callable[[], object]) -> None:
    """Something that happens just before the next commit reaches the catalog, which then finds the table changed."""
    commit = SqlCatalog.commit_table

    def late(*arguments: Any) -> Any:
        monkeypatch.setattr(SqlCatalog, "commit_table", commit)
        do()
        return commit(*arguments)

    monkeypatch.setattr(SqlCatalog, "commit_table", late)


@pytest.mark.parametrize("change", CHANGES)
def test_a_run_that_another_commits_in_the_midst_of_its_commit_is_committed_once(
    lakehouse: IcebergLakehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    """PyIceberg tries again by itself then, from newer metadata."""
    lakehouse.append(lakehouse.stage("notes", notes(("acme", "old"), (TWIN, "kept")), "zero"))
    mine, other = (lakehouse.stage("notes", notes(("acme", "new")), "one") for _ in range(2))
    while_committing(monkeypatch, lambda: change(lakehouse, other))
    found = change(lakehouse, mine)
    assert found == lakehouse.current("notes") == lakehouse.find_run("notes", "one")
    planned = {Path(file.path) for file in lakehouse.files(found, None, None).files}
    read = sorted(row for path in planned for row in pq.ParquetFile(path).read().column("note").to_pylist())
    assert read == (["kept", "new"] if change is CHANGES[1] else ["kept", "new", "old"])
    assert len(set(tmp_path.rglob("*.parquet")) - planned) == (change is CHANGES[1]), "the file of the first snapshot"


@pytest.mark.parametrize("change", CHANGES)
def test_an_attempt_that_is_given_up_in_the_midst_of_its_commit_changes_nothing(
    lakehouse: IcebergLakehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    first = lakehouse.append(lakehouse.stage("notes", notes(("acme", "old"), (TWIN, "kept")), "zero"))
    staged = replace(lakehouse.stage("notes", notes(("acme", "new")), "one"), attempt="a")
    while_committing(monkeypatch, lambda: lakehouse.give_up("notes", "one", "a"))
    with pytest.raises(Conflict, match="given up"):
        change(lakehouse, staged)
    lakehouse.discard(staged)
    assert lakehouse.files(lakehouse.current("notes"), None, None).files == lakehouse.files(first, None, None).files
    assert len(list(tmp_path.rglob("*.parquet"))) == 1


@pytest.mark.parametrize("change", CHANGES)
def test_a_commit_whose_answer_was_lost_is_found_with_its_files(
    lakehouse: IcebergLakehouse, monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    lakehouse.append(lakehouse.stage("notes", notes(("acme", "old"), (TWIN, "kept")), "zero"))
    commit = SqlCatalog.commit_table

    def lost(*arguments: Any) -> Any:
        monkeypatch.setattr(SqlCatalog, "commit_table", commit)
        commit(*arguments)
        raise CommitFailedException("no answer")

    staged = lakehouse.stage("notes", notes(("acme", "new")), "one")
    monkeypatch.setattr(SqlCatalog, "commit_table", lost)
    found = change(lakehouse, staged)
    assert found == lakehouse.current("notes")
    files = [Path(file.path) for file in lakehouse.files(found, None, None).files]
    assert sorted(row for path in files for row in pq.ParquetFile(path).read().column("note").to_pylist())[:2] == ["kept", "new"]


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
