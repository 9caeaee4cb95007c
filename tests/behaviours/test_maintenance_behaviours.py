"""What an engine does for the lakehouse's tables: no row changes by it, and what it writes counts only once we commit it."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.table import Table
from services.plugin import GetService
from support.deletes import Deleter
from support.sales import ACME, NEW_YEAR, SALES, baskets, load, read, sale, sales, same_bucket
from support.spark_lake import SparkLake, spark_lake

from jangbu.kernel.errors import Conflict, LoadError
from jangbu.kernel.tenancy import TenantId
from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.iceberg import IcebergLakehouse
from jangbu.platform.lakehouse.maintenance import Alike, Backfill, Maintainer, Name
from jangbu.platform.lakehouse.ports import TableColumn, TableSpec, TimeRange, Within
from jangbu.platform.lakehouse.tables import delegating
from jangbu.platform.lakehouse.tables.delegating import PIN, STAGING

pytestmark = [
    pytest.mark.slow,
    pytest.mark.services("spark", "postgres"),
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
    ),
]
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def lake(service: GetService) -> Iterator[SparkLake]:
    with spark_lake(service) as made:
        yield made


@pytest.fixture(scope="module")
def by(lake: SparkLake) -> Iterator[Maintainer]:
    engine = lake.engine()
    yield engine.maintainer
    engine.close()


@pytest.fixture
def lakehouse(lake: SparkLake) -> Iterator[IcebergLakehouse]:
    """With an empty table of sales."""
    lake.lakehouse.create(SALES)
    yield lake.lakehouse
    lake.lakehouse._catalog.purge_table(("jangbu", "sales"))


@pytest.fixture
def file(tmp_path: Path) -> Callable[[pa.Table], str]:
    """Puts rows, without the tenant's column, into a file of another's."""

    def put(rows: pa.Table) -> str:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.parquet"
        pq.write_table(rows.drop_columns("tenant"), path)
        return str(path)

    return put


def months(lakehouse: IcebergLakehouse) -> TimeRange:
    return TimeRange(NEW_YEAR, NEW_YEAR + timedelta(days=31))


def staging(lakehouse: IcebergLakehouse) -> list[Any]:
    return [*lakehouse._catalog.list_tables(STAGING), *(name for name in tags(lakehouse) if name.startswith(PIN))]


def tags(lakehouse: IcebergLakehouse) -> list[str]:
    return list(lakehouse._catalog.load_table(("jangbu", "sales")).metadata.refs)


# Upkeep


def test_small_files_become_one_of_each_partition_sorted_as_ours_with_checksums(
    lakehouse: IcebergLakehouse, by: Maintainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delegating, "MANIFESTS", 3)
    for n in range(4):
        load(lakehouse, f"run{n}", *(sale(tenant, f"b{n}", 5 - n) for tenant in ("bravo", "acme", same_bucket("acme"))))
    before = read(lakehouse, lakehouse.current("sales")).sort_by([(name, "ascending") for name in ("tenant", "basket")])
    done = lakehouse.compact("sales", by=by)
    assert (done.files_before, done.files_after, done.rows) == (8, 2, 12)
    after = read(lakehouse, lakehouse.current("sales")).sort_by([(name, "ascending") for name in ("tenant", "basket")])
    assert after.equals(before)
    for path in (found.path for found in lakehouse.files(lakehouse.current("sales"), None, None).files):
        rows = pq.read_table(path).select(["tenant", "sold_at"]).to_pylist()
        assert rows == sorted(rows, key=lambda row: (row["tenant"], row["sold_at"]))
    assert lakehouse.verify("sales").damages == ()
    assert lakehouse.state("sales").manifests <= 2, "manifests are joined, too"
    load(lakehouse, "later", sale("acme", "b9"))
    assert len(baskets(lakehouse)) == 13, "loads go on as before"


def test_rows_that_others_deleted_by_files_of_deletes_are_gone_from_the_data_files(
    lake: SparkLake, lakehouse: IcebergLakehouse, by: Maintainer
) -> None:
    load(lakehouse, "one", *(sale("acme", f"b{n}") for n in range(5)))
    engine = lake.engine()
    other = "ALTER TABLE jangbu.jangbu.sales SET TBLPROPERTIES ('write.delete.mode' = 'merge-on-read')"
    for text in (other, "DELETE FROM jangbu.jangbu.sales WHERE basket IN ('b1', 'b3')"):
        engine.maintainer._run(text)  # type: ignore[attr-defined]  # another writer's doing, by the same session
    engine.close()
    lakehouse.compact("sales", by=by)
    assert baskets(lakehouse) == ["b0", "b2", "b4"]
    lakehouse._catalog.load_table(("jangbu", "sales")).transaction().remove_properties("write.delete.mode").commit_transaction()


def test_old_snapshots_go_with_their_files_but_for_what_questions_open_runs_and_tags_hold(
    lakehouse: IcebergLakehouse, by: Maintainer
) -> None:
    open_run = load(lakehouse, "open", sale("acme", "a"))
    load(lakehouse, "two", sale("acme", "b"), drops=(Within(ACME),))
    replaced = lakehouse.files(lakehouse.current("sales"), None, None).files[0].path
    assert lakehouse.give_up("sales", "woke late")
    load(lakehouse, "three", sale("acme", "c"), drops=(Within(ACME),))
    load(lakehouse, "four", sale("bravo", "d"))
    now = datetime.now(UTC)
    pinned = lakehouse.files(lakehouse.current("sales"), None, None)
    assert lakehouse.expire("sales", keep=10, by=by, retired=HOUR, now=now + 3 * HOUR) == 0
    gone = lakehouse.expire("sales", keep=2, runs=lambda: ["open"], by=by, retired=HOUR, now=now + 3 * HOUR)
    assert gone == 2
    assert not Path(replaced).exists(), "nobody reads what was replaced hours ago"
    assert lakehouse.find_run("sales", "open") is not None, "the marker of an open run stays"
    assert Path(lakehouse.files(open_run, None, None).files[0].path).exists()
    assert all(Path(each.path).exists() for each in pinned.files)
    with pytest.raises(Conflict, match="given up"):
        load(lakehouse, "woke late", sale("acme", "late"))
    assert baskets(lakehouse) == ["c", "d"]


def test_what_was_replaced_a_moment_ago_is_only_retired(lakehouse: IcebergLakehouse, by: Maintainer) -> None:
    load(lakehouse, "one", sale("acme", "a"))
    replaced = lakehouse.files(lakehouse.current("sales"), None, None).files[0].path
    load(lakehouse, "two", sale("acme", "b"), drops=(Within(ACME),))
    assert lakehouse.expire("sales", keep=1, by=by, retired=HOUR) == 1
    assert Path(replaced).exists(), "a question may be reading it"
    assert lakehouse.state("sales", on_disk=True).retired_files > 0


def test_of_files_that_nobody_needs_those_of_loads_that_go_on_and_retired_ones_stay(
    lakehouse: IcebergLakehouse, by: Maintainer
) -> None:
    old = (datetime.now(UTC) - timedelta(days=3)).timestamp()
    load(lakehouse, "one", sale("acme", "a"))
    retired = lakehouse.files(lakehouse.current("sales"), None, None).files[0].path
    load(lakehouse, "two", sale("acme", "b"), drops=(Within(ACME),))
    lakehouse.expire("sales", keep=1)
    killed = lakehouse.stage("sales", sales(sale("acme", "killed")), "killed").handle[0].file_path  # type: ignore[index]
    for path in (retired, killed, *(str(note) for note in Path(lakehouse.root()).rglob("retired/*.json"))):
        os.utime(path, (old, old))
    going_on = lakehouse.stage("sales", sales(sale("acme", "c")), "three")
    live = lakehouse.files(lakehouse.current("sales"), None, None).files[0].path
    os.utime(live, (old, old))
    assert lakehouse.collect("sales", retired=2 * HOUR, orphaned=24 * HOUR, by=by) == 1
    assert [Path(path).exists() for path in (killed, retired, live)] == [False, True, True]
    lakehouse.commit(going_on)
    assert baskets(lakehouse) == ["b", "c"]
    lakehouse.collect("sales", retired=2 * HOUR, orphaned=72 * HOUR, by=by, now=datetime.now(UTC) + 3 * HOUR)
    assert not Path(retired).exists()


# Backfills


def test_a_range_of_a_tenant_is_put_in_place_of_what_was_there_in_one_commit_with_the_runs_marker(
    lakehouse: IcebergLakehouse, by: Maintainer, file: Callable[[pa.Table], str]
) -> None:
    neighbour = same_bucket("acme")
    held = [sale(tenant, f"{tenant}{day}", day) for tenant in ("acme", "bravo", neighbour) for day in (0, 10, 40)]
    load(lakehouse, "one", *held, ("acme", "never", Decimal(1), None))
    before = len(lakehouse.current("sales").handle.metadata.snapshots)  # type: ignore[attr-defined]
    files = (file(sales(sale("acme", "new1", 3))), file(sales(sale("acme", "new2", 12), sale("acme", "new3", 1))))
    what = Backfill(files, ACME, Within(ACME, months(lakehouse)), months(lakehouse))
    staged = lakehouse.backfill("sales", what, "attempt", by)
    assert staged.rows == 3
    assert len(baskets(lakehouse)) == 10, "nobody sees it yet"
    committed = lakehouse.commit(staged)
    assert baskets(lakehouse) == sorted(
        ["new1", "new2", "new3", "never", "acme40", *(f"{tenant}{day}" for tenant in ("bravo", neighbour) for day in (0, 10, 40))]
    )
    assert lakehouse.find_run("sales", "attempt") == committed
    metadata = lakehouse.current("sales").handle.metadata  # type: ignore[attr-defined]
    marked = [each for each in metadata.snapshots if each.summary and each.summary["jangbu.run"] == "attempt"]
    assert len(marked) == 1
    assert len(metadata.snapshots) == before + 1
    assert lakehouse.commit(staged) == committed, "done again, it changes nothing"
    assert staging(lakehouse) == []
    assert lakehouse.verify("sales").damages == ()


def test_rows_are_merged_by_their_keys(lakehouse: IcebergLakehouse, by: Maintainer, file: Callable[[pa.Table], str]) -> None:
    load(
        lakehouse,
        "one",
        *(sale(tenant, basket, day) for tenant in ("acme", same_bucket("acme")) for basket, day in (("b1", 0), ("b2", 45))),
    )
    path = file(sales(("acme", "b2", Decimal("9.0000"), NEW_YEAR), ("acme", "b3", None, NEW_YEAR)))
    lakehouse.commit(lakehouse.backfill("sales", Backfill((path,), ACME, Alike(ACME, ("basket",))), "merge", by))
    rows = read(lakehouse, lakehouse.current("sales")).to_pylist()
    found = {(row["tenant"], row["basket"]): row["value"] for row in rows}
    old = Decimal("1.5000")
    assert found == {
        ("acme", "b1"): old,
        ("acme", "b2"): Decimal("9.0000"),
        ("acme", "b3"): None,
        (same_bucket("acme"), "b1"): old,
        (same_bucket("acme"), "b2"): old,
    }
    assert len(rows) == 5


def test_rows_come_beside_others_and_into_a_table_without_any(
    lakehouse: IcebergLakehouse, by: Maintainer, file: Callable[[pa.Table], str]
) -> None:
    for run in ("one", "two"):
        lakehouse.commit(lakehouse.backfill("sales", Backfill((file(sales(sale("acme", run))),), ACME), run, by))
    assert baskets(lakehouse) == ["one", "two"]


def test_a_tenant_whose_range_is_emptied_is_gone_and_its_neighbours_stay(
    lakehouse: IcebergLakehouse, by: Maintainer, file: Callable[[pa.Table], str]
) -> None:
    load(lakehouse, "one", sale("acme", "a"), sale(same_bucket("acme"), "n"), sale("acme", "b", 400))
    what = Backfill((file(sales().slice(0, 0)),), ACME, Within(ACME))
    lakehouse.commit(lakehouse.backfill("sales", what, "emptied", by))
    assert baskets(lakehouse) == ["n"]


def test_a_partition_that_was_changed_meanwhile_is_a_conflict_and_nothing_is_lost(
    lakehouse: IcebergLakehouse, by: Maintainer, file: Callable[[pa.Table], str]
) -> None:
    load(lakehouse, "one", sale("acme", "old"))
    path = file(sales(sale("acme", "new")))
    staged = lakehouse.backfill("sales", Backfill((path,), ACME, Within(ACME)), "attempt", by)
    load(lakehouse, "meanwhile", sale(same_bucket("acme"), "meanwhile"))
    with pytest.raises(Conflict, match="changed where rows"):
        lakehouse.commit(staged)
    lakehouse.discard(staged)
    assert baskets(lakehouse) == ["meanwhile", "old"]
    elsewhere = lakehouse.backfill("sales", Backfill((path,), ACME, Within(ACME)), "again", by)
    load(lakehouse, "elsewhere", sale("bravo", "elsewhere", 80))
    lakehouse.commit(elsewhere)
    assert baskets(lakehouse) == ["elsewhere", "meanwhile", "new"], "a change of other partitions is none of its business"


def test_rows_that_others_delete_meanwhile_do_not_come_back(
    lakehouse: IcebergLakehouse, by: Maintainer, file: Callable[[pa.Table], str]
) -> None:
    twin = same_bucket("acme")
    load(lakehouse, "one", sale("acme", "old"), sale(twin, "kept"), sale(twin, "deleted"))
    what = Backfill((file(sales(sale("acme", "new"))),), ACME, Within(ACME))
    staged = lakehouse.backfill("sales", what, "attempt", by)
    Deleter(lakehouse._catalog.load_table(("jangbu", "sales"))).delete(lambda row: row["basket"] == "deleted")
    with pytest.raises(Conflict, match="changed where rows"):
        lakehouse.commit(staged)
    lakehouse.discard(staged)
    lakehouse.commit(lakehouse.backfill("sales", what, "again", by))
    assert baskets(lakehouse) == ["kept", "new"]


def test_a_backfill_that_was_given_up_is_never_committed(
    lakehouse: IcebergLakehouse, by: Maintainer, file: Callable[[pa.Table], str]
) -> None:
    staged = lakehouse.backfill("sales", Backfill((file(sales(sale("acme", "late"))),), ACME), "attempt", by)
    assert lakehouse.give_up("sales", "attempt")
    with pytest.raises(Conflict, match="given up"):
        lakehouse.commit(staged)
    assert baskets(lakehouse) == []


@dataclass(frozen=True)
class FindsNothing:
    """In an engine's place, where it is only asked for orphans."""

    def orphans(self, table: Name, before: datetime) -> frozenset[str]:
        return frozenset()


def test_what_a_process_that_died_has_left_goes_after_a_day_and_what_goes_on_stays(lakehouse: IcebergLakehouse) -> None:
    by: Any = FindsNothing()
    snapshot = load(lakehouse, "one", sale("acme", "a")).snapshot_id
    assert snapshot is not None

    def newest() -> Table:
        return lakehouse._catalog.load_table(("jangbu", "sales"))

    with delegating.pinned(newest, snapshot), delegating.staging_table(lakehouse._catalog, newest()):
        assert len(staging(lakehouse)) == 2
        for hours, left in ((23, 2), (25, 0)):
            now = datetime.now(UTC) + hours * HOUR
            lakehouse.collect("sales", retired=2 * HOUR, orphaned=72 * HOUR, by=by, now=now)
            assert len(staging(lakehouse)) == left
    assert baskets(lakehouse) == ["a"]


@pytest.mark.parametrize(
    ("rows", "changed", "said"),
    [
        (sales(sale("acme", "a", 40)), {"span": True}, "outside 2017-01-01"),
        (sales(("acme", "a", None, None)), {"span": True}, "have no 'sold_at'"),
        (sales(sale("acme", "a"), sale("acme", "a")), {"drop": Alike(ACME, ("basket",))}, "come more than once"),
        (sales(("acme", None, None, NEW_YEAR)), {"drop": Alike(ACME, ("basket",))}, "lack a key"),  # type: ignore[arg-type]
        (sales(sale("acme", "a")).append_column("colour", pa.array(["red"])), {}, "no column 'colour'"),
        (sales(sale("acme", "a")).drop_columns("value"), {}, "lack 'value'"),
        (sales(sale("acme", "a")).set_column(2, "value", pa.array([0.1])), {}, "'value' is double"),
    ],
)
def test_files_that_do_not_fit_change_nothing_and_leave_nothing(
    lakehouse: IcebergLakehouse, by: Maintainer, file: Callable[[pa.Table], str], rows: pa.Table, changed: dict[str, Any], said: str
) -> None:
    given = {**changed, **({"span": months(lakehouse)} if changed.get("span") else {})}
    before = set(Path(lakehouse.root()).rglob("*.parquet"))
    with pytest.raises(LoadError, match=said):
        lakehouse.backfill("sales", replace(Backfill((file(rows),), ACME), **given), "attempt", by)
    assert set(Path(lakehouse.root()).rglob("*.parquet")) == before
    assert staging(lakehouse) == []


def test_a_shared_table_of_days_is_filled_by_its_days(lake: SparkLake, by: Maintainer, tmp_path: Path) -> None:
    columns = (TableColumn("day", FieldType.DATE), TableColumn("name", FieldType.TEXT))
    lake.lakehouse.create(TableSpec("days", columns, tenant_column=None, time_column="day"))
    dates = [NEW_YEAR.date() + timedelta(days=n) for n in (0, 1, 40)]
    lake.lakehouse.commit(lake.lakehouse.stage("days", pa.table({"day": dates, "name": ["a", "b", "c"]}), "one"))
    pq.write_table(pa.table({"day": dates[1:2], "name": ["it's\\new"]}), tmp_path / "days.parquet")
    span = TimeRange(datetime(2017, 1, 1), datetime(2017, 2, 1))  # noqa: DTZ001 - days have no zone
    what = Backfill((str(tmp_path / "days.parquet"),), None, Within(None, span), span)
    lake.lakehouse.commit(lake.lakehouse.backfill("days", what, "two", by))
    found = lake.lakehouse.files(lake.lakehouse.current("days"), None, None).files
    assert sorted(name for each in found for name in pq.read_table(each.path)["name"].to_pylist()) == ["c", "it's\\new"]


def test_what_a_table_got_and_lost_since_is_kept_through_a_backfill(
    lake: SparkLake, by: Maintainer, file: Callable[[pa.Table], str]
) -> None:
    lakehouse, columns = lake.lakehouse, (*SALES.columns[:2], SALES.columns[3])
    lakehouse.create(TableSpec("changing", SALES.columns, time_column="sold_at"))
    lakehouse.commit(lakehouse.stage("changing", sales(sale("acme", "a"), sale("bravo", "b")), "one"))
    named = TableSpec("changing", (*columns, TableColumn("note", FieldType.TEXT)), time_column="sold_at", dropped=("value",))
    lakehouse.create(named)
    path = file(sales(sale(TenantId("acme"), "new")).drop_columns("value").append_column("note", pa.array(["n"])))
    lakehouse.commit(lakehouse.backfill("changing", Backfill((path,), ACME, Within(ACME)), "two", by))
    found = lakehouse.files(lakehouse.current("changing"), None, None)
    assert found.evolved
    assert sorted(row["basket"] for each in found.files for row in pq.read_table(each.path).to_pylist()) == ["b", "new"]
