"""What is Iceberg's own: conflicts leave no files, metadata stay few, listing costs nothing."""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from sqlalchemy.exc import OperationalError

from jangbu.kernel.errors import Conflict, Unavailable
from jangbu.kernel.tenancy import TenantId
from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.iceberg import IcebergLakehouse, open_lakehouse
from jangbu.platform.lakehouse.ports import Snapshot, Staged, TableColumn, TableSpec, Within
from jangbu.platform.lakehouse.tables import commits, upkeep

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
    lakehouse.commit(lakehouse.stage("notes", notes(("acme", "old"), (TWIN, "kept")), "one"))
    failures, commit = [CommitFailedException("another was first")] * 2, SqlCatalog.commit_table

    def fail_first(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return commit(*arguments)

    monkeypatch.setattr(SqlCatalog, "commit_table", fail_first)
    snapshot = lakehouse.commit(lakehouse.stage("notes", notes(("acme", "new")), "two"), [Within(ACME)])
    planned = {Path(file.path) for file in lakehouse.files(snapshot, None, None).files}
    assert failures == []
    assert sorted(row for path in planned for row in pq.ParquetFile(path).read().column("note").to_pylist()) == ["kept", "new"]
    assert len(set(tmp_path.rglob("*.parquet")) - planned) == 1, "the file of the first snapshot"


Change = Callable[[IcebergLakehouse, Staged], Snapshot]
CHANGES: list[Change] = [IcebergLakehouse.commit, lambda lakehouse, staged: lakehouse.commit(staged, [Within(ACME)])]


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
    lakehouse.commit(lakehouse.stage("notes", notes(("acme", "old"), (TWIN, "kept")), "zero"))
    mine, other = (lakehouse.stage("notes", notes(("acme", "new")), "one") for _ in range(2))
    while_committing(monkeypatch, lambda: change(lakehouse, other))
    found = change(lakehouse, mine)
    assert found == lakehouse.current("notes") == lakehouse.find_run("notes", "one")
    planned = {Path(file.path) for file in lakehouse.files(found, None, None).files}
    read = sorted(row for path in planned for row in pq.ParquetFile(path).read().column("note").to_pylist())
    assert read == (["kept", "new"] if change is CHANGES[1] else ["kept", "new", "old"])
    assert len(set(tmp_path.rglob("*.parquet")) - planned) == (change is CHANGES[1]), "the file of the first snapshot"


@pytest.mark.parametrize("change", CHANGES)
def test_a_run_that_is_given_up_in_the_midst_of_its_commit_changes_nothing(
    lakehouse: IcebergLakehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    first = lakehouse.commit(lakehouse.stage("notes", notes(("acme", "old"), (TWIN, "kept")), "zero"))
    staged = lakehouse.stage("notes", notes(("acme", "new")), "one")
    while_committing(monkeypatch, lambda: lakehouse.give_up("notes", "one"))
    with pytest.raises(Conflict, match="given up"):
        change(lakehouse, staged)
    lakehouse.discard(staged)
    assert lakehouse.files(lakehouse.current("notes"), None, None).files == lakehouse.files(first, None, None).files
    assert len(list(tmp_path.rglob("*.parquet"))) == 1


@pytest.mark.parametrize("change", CHANGES)
def test_a_commit_whose_answer_was_lost_is_found_with_its_files(
    lakehouse: IcebergLakehouse, monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    lakehouse.commit(lakehouse.stage("notes", notes(("acme", "old"), (TWIN, "kept")), "zero"))
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


def lose_the_answer(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """The next commit is made, and this error is raised all the same."""
    commit = SqlCatalog.commit_table

    def lost(*arguments: Any) -> Any:
        monkeypatch.setattr(SqlCatalog, "commit_table", commit)
        commit(*arguments)
        raise error

    monkeypatch.setattr(SqlCatalog, "commit_table", lost)


def all_notes(lakehouse: IcebergLakehouse) -> list[str]:
    files = lakehouse.files(lakehouse.current("notes"), None, None).files
    return sorted(row for file in files for row in pq.ParquetFile(file.path).read().column("note").to_pylist())


LOST = [OperationalError("COMMIT", {}, Exception("connection lost")), OSError(28, "No space left"), KeyError()]


@pytest.mark.parametrize("error", LOST)
def test_files_of_a_commit_that_was_made_stay_whatever_was_said_after_it(
    lakehouse: IcebergLakehouse, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    lakehouse.commit(lakehouse.stage("notes", notes(("acme", "old"), (TWIN, "kept")), "zero"))
    staged = lakehouse.stage("notes", notes(("acme", "new")), "one")
    lose_the_answer(monkeypatch, error)
    with pytest.raises((type(error), Unavailable)):
        lakehouse.commit(staged, [Within(ACME)])
    assert lakehouse.find_run("notes", "one") == lakehouse.current("notes")
    assert all_notes(lakehouse) == ["kept", "new"]


@pytest.mark.parametrize("error", [CommitFailedException("no answer"), *LOST])
def test_files_of_a_compaction_that_was_made_stay_whatever_was_said_after_it(
    lakehouse: IcebergLakehouse, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(commits, "WAIT", 0.001)
    for n in range(3):
        lakehouse.commit(lakehouse.stage("notes", notes(("acme", f"n{n}")), f"run{n}"))
    lose_the_answer(monkeypatch, error)
    with suppress(type(error), Unavailable):
        lakehouse.compact("notes", whole=True)
    assert len(lakehouse.files(lakehouse.current("notes"), None, None).files) == 1
    assert all_notes(lakehouse) == ["n0", "n1", "n2"]


def test_a_run_whose_staged_files_are_gone_changes_nothing(lakehouse: IcebergLakehouse) -> None:
    before = lakehouse.commit(lakehouse.stage("notes", notes(("acme", "old")), "zero"))
    staged = lakehouse.stage("notes", notes(("acme", "new")), "one")
    later = datetime.now(UTC) + timedelta(days=3)
    lakehouse.collect("notes", retired=timedelta(days=1), orphaned=timedelta(days=2), now=later)
    with pytest.raises(Conflict, match="1 of 1 staged files of the run 'one' are gone"):
        lakehouse.commit(staged, [Within(ACME)])
    assert lakehouse.current("notes") == before
    assert all_notes(lakehouse) == ["old"]


def test_of_two_who_forget_the_same_snapshots_the_second_looks_again(
    lakehouse: IcebergLakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "WAIT", 0.001)
    for n in range(6):
        lakehouse.commit(lakehouse.stage("notes", notes(("acme", f"n{n}")), f"run{n}"))
    by_the_other: list[int] = []
    while_committing(monkeypatch, lambda: by_the_other.append(lakehouse.expire("notes", keep=3)))
    assert lakehouse.expire("notes", keep=1) == 2, "what the other one has left"
    assert by_the_other == [3]
    assert all_notes(lakehouse) == [f"n{n}" for n in range(6)]


HOURS = timedelta(hours=1)


def with_a_note_that_a_killed_expiry_left(lakehouse: IcebergLakehouse, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The file that only the first snapshot needs."""
    lakehouse.commit(lakehouse.stage("notes", notes(("acme", "old")), "zero"))
    first = {file.path for file in lakehouse.files(lakehouse.current("notes"), None, None).files}
    lakehouse.commit(lakehouse.stage("notes", notes(("acme", "new")), "one"), [Within(ACME)])

    def killed() -> None:
        raise KeyboardInterrupt

    while_committing(monkeypatch, killed)
    with pytest.raises(KeyboardInterrupt):
        lakehouse.expire("notes", keep=1)
    return first


def test_files_wait_from_when_they_were_retired_not_from_when_a_killed_expiry_would_have(
    lakehouse: IcebergLakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, later = with_a_note_that_a_killed_expiry_left(lakehouse, monkeypatch), datetime.now(UTC) + 3 * HOURS
    assert lakehouse.expire("notes", keep=1, now=later) == 1
    lakehouse.collect("notes", retired=2 * HOURS, orphaned=24 * HOURS, now=later)
    assert all(Path(path).exists() for path in first), "a question may have begun just before"
    lakehouse.collect("notes", retired=2 * HOURS, orphaned=24 * HOURS, now=later + 2 * HOURS)
    assert not any(Path(path).exists() for path in first)
    assert all_notes(lakehouse) == ["new"]


def test_what_others_retire_while_files_are_collected_waits_though_it_is_old(
    lakehouse: IcebergLakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    lakehouse.commit(lakehouse.stage("notes", notes(("acme", "old")), "zero"))
    first = {file.path for file in lakehouse.files(lakehouse.current("notes"), None, None).files}
    lakehouse.commit(lakehouse.stage("notes", notes(("acme", "new")), "one"), [Within(ACME)])
    later = datetime.now(UTC) + 48 * HOURS
    listed = upkeep.listed

    def then_retired(table: Any) -> Any:
        found = list(listed(table))
        monkeypatch.setattr(upkeep, "listed", listed)
        lakehouse.expire("notes", keep=1, now=later)
        return found

    monkeypatch.setattr(upkeep, "listed", then_retired)
    lakehouse.collect("notes", retired=2 * HOURS, orphaned=24 * HOURS, now=later)
    assert all(Path(path).exists() for path in first), "a question may have begun just before"
    lakehouse.collect("notes", retired=2 * HOURS, orphaned=24 * HOURS, now=later + 2 * HOURS)
    assert not any(Path(path).exists() for path in first)


def test_a_commit_that_never_finds_a_moment_says_so(lakehouse: IcebergLakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "WAIT", 0.0001)
    tries: list[int] = []

    def fail() -> None:
        tries.append(1)
        raise CommitFailedException("another was first")

    with pytest.raises(Unavailable, match="'notes'"):
        commits.with_retries(fail, "notes")
    assert len(tries) == commits.ATTEMPTS


def test_a_commit_that_never_finds_a_moment_leaves_nothing(
    lakehouse: IcebergLakehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither data files nor manifests, which name what was dropped."""
    monkeypatch.setattr(commits, "WAIT", 0.0001)
    lakehouse.commit(lakehouse.stage("notes", notes(("acme", "old"), (TWIN, "kept")), "one"))
    staged = lakehouse.stage("notes", notes(("acme", "new")), "two")
    before = {path for path in tmp_path.rglob("*") if path.suffix in {".parquet", ".avro"}}

    def fail(*_: Any) -> Any:
        raise CommitFailedException("another was first")

    with monkeypatch.context() as patched:
        patched.setattr(SqlCatalog, "commit_table", fail)
        with pytest.raises(Unavailable):
            lakehouse.commit(staged, [Within(ACME)])
    assert {path for path in tmp_path.rglob("*") if path.suffix in {".parquet", ".avro"}} == before


def test_a_locked_catalog_is_unavailable() -> None:
    def fail() -> None:
        raise OperationalError("UPDATE", {}, Exception("database is locked"))

    with pytest.raises(Unavailable, match="busy"):
        commits.with_retries(fail, "notes")


def test_a_table_that_is_made_while_the_catalog_is_locked_is_unavailable(lakehouse: IcebergLakehouse, tmp_path: Path) -> None:
    hurried = open_lakehouse(warehouse=tmp_path, catalog_uri=f"sqlite:///{tmp_path / 'catalog.db'}?timeout=0.05")
    with closing(sqlite3.connect(tmp_path / "catalog.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="busy; the table 'more'"):
            hurried.create(TableSpec("more", NOTES.columns))
    hurried.create(TableSpec("more", NOTES.columns))
    assert hurried.tables() == lakehouse.tables() == ("more", "notes")
    hurried.close()


def test_old_metadata_files_are_removed(lakehouse: IcebergLakehouse, tmp_path: Path) -> None:
    for n in range(10):
        lakehouse.commit(lakehouse.stage("notes", notes(("acme", f"n{n}")), f"run{n}"))
    assert len(list((tmp_path / "jangbu" / "notes" / "metadata").glob("*.metadata.json"))) == 6


def test_a_large_load_is_cut_into_sorted_files(lakehouse: IcebergLakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jangbu.platform.lakehouse.tables.writing.CHUNK_ROWS", 100)
    table = notes(*((f"t{n % 7}", f"n{n}") for n in range(1000)))
    snapshot = lakehouse.commit(lakehouse.stage("notes", table, "one"))
    files = lakehouse.files(snapshot, None, None).files
    assert sum(file.rows for file in files) == 1000
    assert max(file.rows for file in files) <= 100
    for file in files:
        tenants = pq.ParquetFile(file.path).read().column("tenant").to_pylist()
        assert tenants == sorted(tenants)


def test_pyiceberg_reads_what_was_written(lakehouse: IcebergLakehouse) -> None:
    """Other engines find the columns by their field ids."""
    lakehouse.commit(lakehouse.stage("notes", notes(("acme", "x"), ("bravo", "한글")), "one"))
    table = lakehouse._catalog.load_table(("jangbu", "notes"))
    assert sorted(row["note"] for row in table.scan(row_filter="tenant = 'bravo'").to_arrow().to_pylist()) == ["한글"]
    assert [str(field.transform) for field in table.spec().fields] == ["bucket[16]"]


def test_listing_lakehouses_imports_no_sdk() -> None:
    code = (
        "import sys; from jangbu.kernel.discovery import discover; found = discover('lakehouse', 'jangbu.platform.lakehouse');"
        "assert 'iceberg' in found; print(sorted({'pyarrow', 'sqlalchemy', 'pyiceberg', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_snapshots_never_go_back_in_time(lakehouse: IcebergLakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other engines refuse such a table; here somebody puts the clock back by an hour."""
    lakehouse.commit(lakehouse.stage("notes", notes(("acme", "a")), "one"))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 3600)
    lakehouse.commit(lakehouse.stage("notes", notes(("acme", "b")), "two"))
    metadata = lakehouse._table("notes").metadata
    assert [entry.timestamp_ms for entry in metadata.snapshot_log] == [each.timestamp_ms for each in metadata.snapshots]
    assert metadata.snapshots[1].timestamp_ms >= metadata.snapshots[0].timestamp_ms
    assert metadata.last_updated_ms >= metadata.snapshots[1].timestamp_ms
