"""Rows that another engine has deleted by their positions are gone: from answers, through our changes, and for good."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyiceberg.manifest import DataFileContent, FileFormat
from pyiceberg.table.snapshots import Operation
from pyiceberg.types import StringType
from support.deletes import Deleter, Says, seen_by_pyiceberg
from support.sales import ACME, NEW_YEAR, SALES, Row, load, sale, sales, same_bucket
from support.stores import Folders, at, below, opened, rows_at

from jangbu.kernel.errors import Unsupported
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.engines.duckdb import open_engine
from jangbu.platform.engines.ports import Engine, Scan, Statement
from jangbu.platform.lakehouse.iceberg import IcebergLakehouse
from jangbu.platform.lakehouse.ports import Drop, Keyed, Lakehouse, Snapshot, TimeRange, Within
from jangbu.platform.lakehouse.tables.producing import Edit, Producer

TWIN = same_bucket("acme")
EVERYBODY = (ACME, TenantId(TWIN), TenantId("bravo"))
TENTH = TimeRange(NEW_YEAR, NEW_YEAR + timedelta(days=10))


def deleter(lakehouse: Lakehouse, **options: Any) -> Deleter:
    assert isinstance(lakehouse, IcebergLakehouse)
    return Deleter(lakehouse._catalog.load_table(("jangbu", "sales")), **options)


def of(*baskets: str) -> Says:
    return lambda row: row["basket"] in baskets


def keyed(*keys: tuple[str, str]) -> Keyed:
    return Keyed(sales(*((*key, None, None) for key in keys)).select(["tenant", "basket"]))


def answer(engine: Engine, lakehouse: Lakehouse, snapshot: Snapshot | None = None, tenants: Any = EVERYBODY) -> list[str]:
    """The baskets of the tenants' rows, as the engine answers."""
    files = lakehouse.files(snapshot or lakehouse.current("sales"), tenants, None)
    scan = Scan("sales", ("basket",), files, tenant_column="tenant", tenants=tenants)
    return sorted(engine.run(Statement('SELECT "basket" FROM "sales"', (scan,)), timeout=30).column("basket").to_pylist())


@pytest.fixture
def filled(with_sales: Lakehouse) -> Lakehouse:
    """Two files in one partition, each of acme's and its twin's, and one of bravo's."""
    load(with_sales, "one", sale("acme", "a1"), sale("acme", "a2", 1), sale(TWIN, "t1"), sale("bravo", "b1"))
    load(with_sales, "two", sale("acme", "a3"), sale(TWIN, "t2", 1))
    return with_sales


# What is read


@pytest.mark.parametrize("by_partition", [False, True])
def test_deleted_rows_are_in_no_answer(filled: Lakehouse, reader: Engine, by_partition: bool) -> None:
    before = filled.current("sales")
    assert deleter(filled, by_partition=by_partition).delete(of("a1", "a3", "t2")) == 3
    assert answer(reader, filled) == ["a2", "b1", "t1"]
    assert answer(reader, filled, tenants=(ACME,)) == ["a2"]
    assert answer(reader, filled, before) == ["a1", "a2", "a3", "b1", "t1", "t2"]
    assert [row["basket"] for each in filled.rows(filled.current("sales"), Within(ACME)) for row in each.to_pylist()] == ["a2"]
    assert filled.state("sales").rows == 3


def test_only_files_with_deleted_rows_are_read_another_way(filled: Lakehouse, reader: Engine) -> None:
    assert filled.files(filled.current("sales"), None, None).deleted is None
    deleter(filled).delete(of("a3"))
    files = filled.files(filled.current("sales"), None, None)
    assert files.deleted is not None
    assert (len(files.deleted.files), len(files.files), files.deleted.by) == (1, 3, 1)
    assert filled.files(filled.current("sales"), (TenantId("bravo"),), None).deleted is None
    text = reader.sql(Statement('SELECT "basket" FROM "sales"', (Scan("sales", ("basket",), files, None, "tenant", (ACME,)),)))
    assert text.count("WHERE \"tenant\" IN ('acme')") == 1, "whatever way a file is read, tenants are told apart in one place"


def test_a_file_that_is_added_after_a_delete_is_not_concerned_by_it(filled: Lakehouse, reader: Engine) -> None:
    """Iceberg's sequence numbers: the delete file names the very path that a later snapshot adds again."""
    theirs = deleter(filled)
    (task,) = (task for task in theirs.table.scan().plan_files() if b"bravo" in task.file.lower_bounds.values())
    kept = at(task.file.file_path).read_bytes()
    load(filled, "gone", drops=(Within(TenantId("bravo")),))
    deleter(filled).commit([task], {task.file.file_path: [0]})
    at(task.file.file_path).write_bytes(kept)
    again = deleter(filled).table
    Producer(again, Edit(Operation.APPEND, {}, [task.file])).commit_to(again)
    assert answer(reader, filled) == ["a1", "a2", "a3", "b1", "t1", "t2"]
    assert len(seen_by_pyiceberg(deleter(filled).table)) == 6


def test_columns_that_were_renamed_and_added_since(filled: Lakehouse, reader: Engine) -> None:
    table = deleter(filled).table
    with table.update_schema() as update:
        update.rename_column("basket", "receipt")
        update.rename_column("value", "basket")
        update.add_column("note", StringType())
    deleter(filled).delete(lambda row: row["receipt"] in ("a2", "t1"))
    files = filled.files(filled.current("sales"), None, None)
    scan = Scan("sales", ("receipt", "basket", "note"), files, tenant_column="tenant", tenants=EVERYBODY)
    rows = reader.run(Statement('SELECT * FROM "sales"', (scan,)), timeout=30).to_pylist()
    assert sorted((row["receipt"], str(row["basket"]), row["note"]) for row in rows) == [
        (receipt, "1.5000", None) for receipt in ("a1", "a3", "b1", "t2")
    ]


def test_equality_deletes_are_refused_and_say_what_to_do(filled: Lakehouse) -> None:
    before = filled.current("sales")
    deleter(filled, content=DataFileContent.EQUALITY_DELETES).delete(of("a1"))
    with pytest.raises(Unsupported, match="'sales' has equality delete files") as refused:
        filled.files(filled.current("sales"), None, None)
    assert "optimize" in str(refused.value.hint)
    with pytest.raises(Unsupported, match="equality"):
        filled.compact("sales")
    assert len(filled.files(before, None, None).files) == 3
    assert filled.expire("sales", keep=2) == 1


def test_delete_files_of_another_format_are_refused(filled: Lakehouse) -> None:
    deleter(filled, form=FileFormat.ORC).delete(of("a1"))
    with pytest.raises(Unsupported, match="'sales' has delete files of the format ORC"):
        filled.files(filled.current("sales"), None, None)


# What is changed


@pytest.mark.parametrize("drop", [keyed(("acme", "a2")), Within(ACME, TENTH)], ids=["merge", "replace"])
def test_rows_do_not_come_back_when_their_file_is_written_anew(filled: Lakehouse, reader: Engine, drop: Drop) -> None:
    deleter(filled, by_partition=True).delete(of("a1", "t1"))
    load(filled, "three", sale("acme", "new", 2), drops=(drop,))
    assert answer(reader, filled, tenants=(TenantId(TWIN), TenantId("bravo"))) == ["b1", "t2"]
    assert "a1" not in answer(reader, filled)
    assert len(seen_by_pyiceberg(deleter(filled).table)) == filled.state("sales").rows == len(answer(reader, filled))


def test_a_delete_file_goes_with_the_last_file_that_it_names(filled: Lakehouse, reader: Engine) -> None:
    deleter(filled, by_partition=True).delete(of("a1", "a3"))
    load(filled, "three", drops=(keyed(("acme", "a2")),))
    assert filled.state("sales").delete_files == 1, "it names a row of the other file"
    after = load(filled, "four", drops=(keyed((TWIN, "t2")),))
    assert filled.state("sales").delete_files == 0
    assert filled.files(after, None, None).deleted is None
    assert answer(reader, filled) == ["b1", "t1"]
    filled.expire("sales", keep=1)
    later = datetime.now(UTC) + timedelta(hours=2)
    filled.collect("sales", retired=timedelta(hours=1), orphaned=timedelta(days=1), now=later)
    assert not [path for path in below(filled.root(), ".parquet") if path.name.startswith("deletes-")]


def test_compaction_takes_deleted_rows_out_and_says_so(filled: Lakehouse, reader: Engine) -> None:
    deleter(filled).delete(of("a1", "b1"))
    done = filled.compact("sales")
    assert (done.files_before, done.files_after, done.rows, done.rows_deleted, done.delete_files) == (2, 1, 2, 2, 2)
    assert answer(reader, filled) == ["a2", "a3", "t1", "t2"]
    state = filled.state("sales")
    assert (state.rows, state.delete_files) == (4, 0)


def test_few_deleted_rows_do_not_make_a_file_worth_writing_anew(with_sales: Lakehouse, reader: Engine) -> None:
    load(with_sales, "one", *(sale("acme", f"a{n}", n % 20) for n in range(100)))
    deleter(with_sales).delete(of("a1", "a2"))
    assert with_sales.state("sales").joinable_files == 0
    assert with_sales.compact("sales").files_before == 0
    assert with_sales.compact("sales", whole=True).rows_deleted == 2
    assert len(answer(reader, with_sales)) == 98


def test_upkeep_keeps_what_a_pinned_question_reads(filled: Lakehouse, reader: Engine) -> None:
    deleter(filled).delete(of("a1"))
    pinned = filled.current("sales")
    filled.compact("sales", whole=True)
    filled.expire("sales", keep=1)
    filled.collect("sales", retired=timedelta(hours=1), orphaned=timedelta(0))
    assert answer(reader, filled, pinned) == answer(reader, filled) == ["a2", "a3", "b1", "t1", "t2"]
    assert filled.verify("sales").damages == ()


def test_a_delete_file_that_is_gone_or_torn_is_named(filled: Lakehouse) -> None:
    theirs = deleter(filled)
    theirs.delete(of("a1", "b1"))
    assert filled.verify("sales").files == 5
    at(theirs.written[0]).unlink()
    at(theirs.written[1]).write_bytes(at(theirs.written[1]).read_bytes()[:100])
    assert {damage.path for damage in filled.verify("sales").damages} == set(theirs.written)


# At once


def first(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Another engine is faster, just before the next commit."""
    commit_to = Producer.commit_to

    def late(self: Producer, table: Any) -> Any:
        monkeypatch.setattr(Producer, "commit_to", commit_to)
        act()
        return commit_to(self, table)

    monkeypatch.setattr(Producer, "commit_to", late)


def test_rows_that_are_deleted_while_their_file_is_written_anew_stay_deleted(
    filled: Lakehouse, reader: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first(monkeypatch, lambda: deleter(filled).delete(of("t1")))
    load(filled, "three", drops=(keyed(("acme", "a1")),))
    assert answer(reader, filled) == ["a2", "a3", "b1", "t2"]
    alive = {str(at(file.path)) for file in filled.files(filled.current("sales"), None, None).files}
    filled.expire("sales", keep=1)
    filled.collect("sales", retired=timedelta(0), orphaned=timedelta(0), now=datetime.now(UTC) + timedelta(hours=1))
    assert {str(path) for path in below(filled.root(), ".parquet")} == alive, "what the first try had written is gone"


def test_rows_that_are_deleted_while_their_file_is_compacted_stay_deleted(
    filled: Lakehouse, reader: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first(monkeypatch, lambda: deleter(filled).delete(of("t1")))
    assert filled.compact("sales", whole=True).files_before == 0, "the next upkeep looks at them again"
    assert answer(reader, filled) == ["a1", "a2", "a3", "b1", "t2"]
    assert filled.compact("sales", whole=True).rows_deleted == 1
    assert answer(reader, filled) == ["a1", "a2", "a3", "b1", "t2"]


# Erasure


def erase(lakehouse: Lakehouse, drop: Drop) -> None:
    load(lakehouse, "erase", drops=(drop,))
    assert lakehouse.purge("sales", [drop]).left.rows == 0


def in_any_file(lakehouse: Lakehouse, text: str) -> list[str]:
    files = below(lakehouse.root())
    told = [str(path) for path in files if path.name.endswith(".parquet") and text in str(rows_at(path).to_pylist())]
    return told + [str(path) for path in files if text.encode() in path.read_bytes()]


@pytest.mark.parametrize("repeats", [False, True])
def test_rows_that_were_deleted_only_out_of_sight_are_erased(with_sales: Lakehouse, reader: Engine, repeats: bool) -> None:
    load(with_sales, "one", sale("acme", "secret-1"), sale("acme", "kept"), sale(TWIN, "t1"))
    load(with_sales, "two", sale("acme", "secret-2", 1), sale(TWIN, "t2"))
    load(with_sales, "three", sale(TWIN, "t3"), sale(TWIN, "t4"))
    deleter(with_sales, by_partition=True, repeats=repeats).delete(of("secret-1", "secret-2", "t3"))
    drop = keyed(("acme", "secret-1"), ("acme", "secret-2"))
    assert with_sales.find_rows("sales", [drop]).rows == (4 if repeats else 2)
    erase(with_sales, drop)
    assert in_any_file(with_sales, "secret") == []
    assert answer(reader, with_sales) == ["kept", "t1", "t2", "t4"]


def test_a_tenants_deleted_rows_are_erased(filled: Lakehouse, reader: Engine) -> None:
    deleter(filled, repeats=True).delete(lambda row: row["tenant"] == "acme")
    erase(filled, Within(ACME))
    assert answer(reader, filled) == ["b1", "t1", "t2"]
    assert filled.find_rows("sales", [Within(ACME)]).rows == 0
    assert in_any_file(filled, "acme") == []


# Against a model

DAYS = st.sampled_from([0, 1, 40]) | st.none()
ROWS = st.lists(st.tuples(st.sampled_from(EVERYBODY), st.sampled_from("abc"), DAYS), max_size=8)
KEYS = st.lists(st.tuples(st.sampled_from(EVERYBODY), st.sampled_from("abc")), max_size=3)
CHANGES = st.one_of(
    st.tuples(st.just("append"), ROWS),
    st.tuples(st.just("merge"), ROWS, KEYS),
    st.tuples(st.just("replace"), ROWS, st.sampled_from(EVERYBODY), st.booleans()),
    st.tuples(st.just("delete"), KEYS, st.booleans(), st.booleans()),
    st.tuples(st.just("delete"), KEYS, st.booleans(), st.booleans()),
    st.tuples(st.just("compact"), st.booleans()),
    st.tuples(st.just("keep one"), st.none()),
)


def rows_of(drawn: list[tuple[str, str, int | None]]) -> list[Row]:
    return [(t, b, None, None) if day is None else sale(t, b, day) for t, b, day in drawn]


def changed(lakehouse: Lakehouse, wanted: list[Row], run: str, change: Any) -> list[Row]:
    """Do it, and say what ought to be there then."""
    match change:
        case "append", drawn:
            load(lakehouse, run, *rows_of(drawn))
            return [*wanted, *rows_of(drawn)]
        case "merge", drawn, keys:
            load(lakehouse, run, *rows_of(drawn), drops=(keyed(*keys),))
            return [*(row for row in wanted if row[:2] not in keys), *rows_of(drawn)]
        case "replace", drawn, tenant, all_:
            load(lakehouse, run, *rows_of(drawn), drops=(Within(tenant, None if all_ else TENTH),))
            going = [row for row in wanted if row[0] == tenant and (all_ or (row[3] and row[3] < TENTH.end))]
            return [*(row for row in wanted if row not in going), *rows_of(drawn)]
        case "delete", keys, by_partition, repeats:
            theirs = deleter(lakehouse, by_partition=by_partition, repeats=repeats)
            assert theirs.delete(lambda row: (row["tenant"], row["basket"]) in keys) == sum(row[:2] in keys for row in wanted)
            return [row for row in wanted if row[:2] not in keys]
        case "compact", whole:
            lakehouse.compact("sales", whole=whole)
        case _:
            lakehouse.expire("sales", keep=1)
            lakehouse.collect("sales", retired=timedelta(0), orphaned=timedelta(days=1))
    return wanted


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.lists(CHANGES, min_size=2, max_size=8))
def test_any_changes_and_deletes_leave_what_a_plain_list_says(tmp_path_factory: pytest.TempPathFactory, changes: list[Any]) -> None:
    """On a folder: where files lie makes no difference to what others deleted in them."""
    wanted: list[Row] = []
    with opened(Folders()) as lakehouse:
        lakehouse.create(SALES)
        for number, change in enumerate(changes):
            wanted = changed(lakehouse, wanted, f"run{number}", change)
            assert lakehouse.state("sales").rows == len(wanted)
        planned = lakehouse.files(lakehouse.current("sales"), None, None)
        engine = open_engine(roots=[lakehouse.root()], spill=tmp_path_factory.mktemp("spill"), memory_mb=300, threads=1)
        scan = Scan("sales", tuple(planned.schema.names), planned, tenant_column="tenant", tenants=EVERYBODY)
        found = engine.run(Statement('SELECT * FROM "sales"', (scan,)), timeout=30).to_pylist()
        engine.close()
        theirs = seen_by_pyiceberg(deleter(lakehouse).table) if planned.snapshot.snapshot_id is not None else []
        assert lakehouse.verify("sales").damages == ()
    assert Counter(tuple(row.values()) for row in found) == Counter(wanted)
    assert Counter(tuple(row.values()) for row in theirs) == Counter(wanted)
