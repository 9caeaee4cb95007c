"""What every lakehouse does: staged files, commits with a marker, pinned snapshots, pruning that loses no row."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from multiprocessing import get_context
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.sales import (
    ACME,
    BRAVO,
    NEW_YEAR,
    SALES,
    Row,
    baskets,
    data_files,
    load,
    read,
    sale,
    sales,
    same_bucket,
)
from support.stores import Stores, at, opened, rows_at

from jangbu.kernel.errors import Conflict, LoadError, NotFound
from jangbu.kernel.tenancy import TenantId
from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.iceberg import open_lakehouse as open_iceberg
from jangbu.platform.lakehouse.ports import Lakehouse, TableColumn, TableSpec, TimeRange, Within

CALENDAR = TableSpec(
    "calendar", (TableColumn("day", FieldType.DATE), TableColumn("name", FieldType.TEXT)), tenant_column=None, time_column="day"
)
PRODUCTS = TableSpec("products", (TableColumn("tenant", FieldType.TEXT), TableColumn("product", FieldType.TEXT)))

# Tables


def test_creating_a_table_again_changes_nothing(with_sales: Lakehouse) -> None:
    load(with_sales, "one", sale("acme", "b1"))
    with_sales.create(SALES)
    assert with_sales.tables() == ("sales",)
    assert baskets(with_sales, with_sales.current("sales")) == ["b1"]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (replace(SALES, columns=(*SALES.columns[:2], TableColumn("value", FieldType.DOUBLE), SALES.columns[3])), "value"),
        (TableSpec("sales", SALES.columns), "time"),
    ],
)  # fmt: skip
def test_what_only_a_rewrite_could_change_is_a_conflict_that_names_it(with_sales: Lakehouse, spec: TableSpec, said: str) -> None:
    with pytest.raises(Conflict, match=said):
        with_sales.create(spec)


@pytest.mark.parametrize(
    "spec",
    [
        TableSpec("../sales", SALES.columns),
        TableSpec("sales", SALES.columns, tenant_column="merchant"),
        TableSpec("sales", SALES.columns, tenant_column="value"),
        TableSpec("sales", SALES.columns, time_column="basket"),
        TableSpec("sales", (*SALES.columns, SALES.columns[0])),
        TableSpec("sales", (*SALES.columns, TableColumn("Basket", FieldType.TEXT))),
    ],
)
def test_a_table_that_can_not_be_is_refused(lakehouse: Lakehouse, spec: TableSpec) -> None:
    with pytest.raises(ValueError, match=r"sales|merchant|value|basket"):
        lakehouse.create(spec)
    assert lakehouse.tables() == ()


def test_a_table_that_is_not_there_names_those_that_are(with_sales: Lakehouse) -> None:
    with pytest.raises(NotFound) as error:
        with_sales.current("salse")
    assert error.value.suggestions == ("sales",)


def test_a_table_without_rows_has_no_files_and_its_types(with_sales: Lakehouse) -> None:
    snapshot = with_sales.current("sales")
    planned = with_sales.files(snapshot, (ACME,), TimeRange(NEW_YEAR, NEW_YEAR + timedelta(days=1)))
    assert snapshot.snapshot_id is None
    assert planned.files == ()
    assert planned.schema == sales().schema


def test_every_type_comes_back_as_it_went_in(lakehouse: Lakehouse) -> None:
    types = {
        "text": ("한글 'quoted'", FieldType.TEXT),
        "integer": (-(2**63), FieldType.INTEGER),
        "decimal": (Decimal("-99999999999999.9999"), FieldType.DECIMAL),
        "double": (0.1, FieldType.DOUBLE),
        "boolean": (True, FieldType.BOOLEAN),
        "day": (date(1969, 12, 31), FieldType.DATE),
        "instant": (datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), FieldType.INSTANT),
        "local": (datetime(2017, 3, 12, 2, 30), FieldType.LOCAL),  # noqa: DTZ001 - a wall clock
    }
    lakehouse.create(TableSpec("kinds", tuple(TableColumn(n, t) for n, (_, t) in types.items()), None, "instant"))
    schema = lakehouse.files(lakehouse.current("kinds"), None, None).schema
    rows = [{name: value for name, (value, _) in types.items()}, dict.fromkeys(types)]
    snapshot = lakehouse.commit(lakehouse.stage("kinds", pa.Table.from_pylist(rows, schema=schema), "one"))
    assert read(lakehouse, snapshot).sort_by("text").to_pylist() == rows


# Staging


def test_staged_rows_are_seen_by_nobody_until_they_are_committed(with_sales: Lakehouse) -> None:
    before = with_sales.current("sales")
    staged = with_sales.stage("sales", sales(sale("acme", "b1")), "one")
    assert (staged.table, staged.run, staged.rows) == ("sales", "one", 1)
    assert with_sales.current("sales") == before
    assert with_sales.find_run("sales", "one") is None


def test_discarding_what_was_staged_leaves_no_file(with_sales: Lakehouse) -> None:
    staged = with_sales.stage("sales", sales(sale("acme", "b1"), sale("bravo", "b2", 40)), "one")
    assert len(data_files(with_sales)) == 2
    with_sales.discard(staged)
    with_sales.discard(staged)
    assert data_files(with_sales) == set()


def test_what_was_committed_can_not_be_discarded(with_sales: Lakehouse) -> None:
    staged = with_sales.stage("sales", sales(sale("acme", "b1")), "one")
    snapshot = with_sales.commit(staged)
    with pytest.raises(Conflict, match="one"):
        with_sales.discard(staged)
    assert baskets(with_sales, snapshot) == ["b1"]


def test_a_stream_of_batches_is_staged_like_a_table(with_sales: Lakehouse) -> None:
    batches = (sales(sale("acme", f"b{n}", n)).to_batches()[0] for n in range(5))
    snapshot = with_sales.commit(with_sales.stage("sales", batches, "one"))
    assert baskets(with_sales, snapshot) == ["b0", "b1", "b2", "b3", "b4"]


def test_files_are_sorted_by_tenant_and_time_and_partitioned_by_month(with_sales: Lakehouse) -> None:
    rows = [sale(tenant, f"{tenant}{day}", day) for day in (40, 3, 30, 0, 35) for tenant in ("bravo", "acme")]
    snapshot = load(with_sales, "one", *rows)
    for file in with_sales.files(snapshot, None, None).files:
        keys = [(row["tenant"], row["sold_at"]) for row in rows_at(file.path).to_pylist()]
        assert keys == sorted(keys)
        assert len({key[1].strftime("%Y-%m") for key in keys}) == 1


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (sales(sale("acme", "b")).drop_columns(["tenant"]), "missing: tenant"),
        (sales(sale("acme", "b")).append_column("store", pa.array(["x"])), "unknown: store"),
        (sales().drop_columns(["tenant"]), "missing: tenant"),
        (sales(sale("acme", "b")).set_column(2, "value", pa.array([1.5])), "'value'.*decimal.*double"),
        (sales(sale("acme", "b")).set_column(2, "value", pa.array([Decimal("1.23456")])), "'value'.*1.23456"),
        (sales(sale("acme", "b")).set_column(2, "value", pa.array([2**62])), "'value'.*4611686018427387904"),
        (sales(sale("acme", "b")).set_column(3, "sold_at", pa.array([datetime(2017, 1, 1)])), "'sold_at'.*timestamp"),  # noqa: DTZ001
        (sales(sale("acme", "b")).set_column(3, "sold_at", pa.array([1], pa.timestamp("ns", "UTC"))), "'sold_at'"),
        (sales((None, "b", None, None)), "'tenant'.*whose"),  # type: ignore[arg-type]  # the bad value under test
        (sales(("", "b", None, None)), "'tenant'.*whose"),
    ],
)  # fmt: skip
def test_rows_that_do_not_fit_are_refused_by_name_and_leave_no_file(with_sales: Lakehouse, rows: pa.Table, said: str) -> None:
    with pytest.raises(LoadError, match=said):
        with_sales.stage("sales", rows, "one")
    assert data_files(with_sales) == set()


def test_a_stream_that_fails_half_way_leaves_no_file(with_sales: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jangbu.platform.lakehouse.tables.writing.CHUNK_ROWS", 2)

    def batches() -> Iterator[pa.RecordBatch]:
        yield from sales(*(sale("acme", f"b{n}") for n in range(6))).to_batches()
        raise ConnectionResetError("the source went away")

    with pytest.raises(ConnectionResetError):
        with_sales.stage("sales", batches(), "one")
    assert data_files(with_sales) == set()


def test_narrower_types_are_widened_exactly(with_sales: Lakehouse) -> None:
    rows = pa.table(
        {
            "sold_at": pa.array([NEW_YEAR], pa.timestamp("ms", "Asia/Seoul")),
            "value": pa.array([7], pa.int8()),
            "basket": pa.array(["b1"]).dictionary_encode(),
            "tenant": pa.array(["acme"], pa.large_string()),
        }
    )
    snapshot = with_sales.commit(with_sales.stage("sales", rows, "one"))
    assert read(with_sales, snapshot).to_pylist() == [{"tenant": "acme", "basket": "b1", "value": Decimal(7), "sold_at": NEW_YEAR}]


# Commits


def test_an_append_carries_its_marker_and_adds_its_rows(with_sales: Lakehouse) -> None:
    first = load(with_sales, "one", sale("acme", "b1"))
    second = load(with_sales, "two", sale("acme", "b2"))
    assert baskets(with_sales, second) == ["b1", "b2"]
    assert baskets(with_sales, first) == ["b1"]
    found = with_sales.find_run("sales", "one")
    assert found is not None
    assert found.snapshot_id == first.snapshot_id
    assert with_sales.find_run("sales", "three") is None
    assert with_sales.current("sales") == second


def test_an_append_of_no_rows_still_leaves_its_marker(with_sales: Lakehouse) -> None:
    snapshot = with_sales.commit(with_sales.stage("sales", sales(), "empty"))
    assert with_sales.find_run("sales", "empty") == snapshot
    assert with_sales.files(snapshot, None, None).files == ()


def test_replacing_a_tenant_leaves_the_other_of_the_same_bucket_alone(with_sales: Lakehouse) -> None:
    twin = same_bucket("acme")
    before = load(with_sales, "one", sale("acme", "old"), sale(twin, "kept"), sale("acme", "old2", 40), sale(twin, "kept2", 40))
    after = with_sales.commit(with_sales.stage("sales", sales(sale("acme", "new")), "two"), [Within(ACME)])
    assert baskets(with_sales, after) == ["kept", "kept2", "new"]
    assert baskets(with_sales, before) == ["kept", "kept2", "old", "old2"]
    assert with_sales.find_run("sales", "two") == after


def test_replacing_a_range_takes_its_start_and_leaves_its_end(with_sales: Lakehouse) -> None:
    load(with_sales, "one", *(sale("acme", f"d{day}", day) for day in range(5)), ("acme", "never", None, None))
    span = TimeRange(NEW_YEAR + timedelta(days=1), NEW_YEAR + timedelta(days=3))
    after = with_sales.commit(with_sales.stage("sales", sales(sale("acme", "new", 1)), "two"), [Within(ACME, span)])
    assert baskets(with_sales, after) == ["d0", "d3", "d4", "never", "new"]


def test_replacing_all_takes_rows_without_a_time_too(with_sales: Lakehouse) -> None:
    load(with_sales, "one", sale("acme", "old"), ("acme", "never", None, None), sale("bravo", "kept"))
    after = with_sales.commit(with_sales.stage("sales", sales(), "two"), [Within(ACME)])
    assert baskets(with_sales, after) == ["kept"]
    assert with_sales.find_run("sales", "two") == after


@pytest.mark.parametrize("span", [None, TimeRange(NEW_YEAR, NEW_YEAR + timedelta(days=1))])
def test_replacing_nothing_by_something_or_by_nothing_works(with_sales: Lakehouse, span: TimeRange | None) -> None:
    first = with_sales.commit(with_sales.stage("sales", sales(), "none"), [Within(ACME, span)])
    assert with_sales.find_run("sales", "none") == first
    load(with_sales, "one", sale("bravo", "kept"))
    after = with_sales.commit(with_sales.stage("sales", sales(sale("acme", "new")), "two"), [Within(ACME, span)])
    assert baskets(with_sales, after) == ["kept", "new"]


def test_replacing_a_shared_table_by_days(lakehouse: Lakehouse) -> None:
    lakehouse.create(CALENDAR)

    def days(*named: tuple[int, str]) -> pa.Table:
        return pa.table(
            {"day": pa.array([date(2017, 1, day) for day, _ in named], pa.date32()), "name": [name for _, name in named]}
        )

    lakehouse.commit(lakehouse.stage("calendar", days((1, "a"), (2, "b"), (3, "c")), "one"))
    span = TimeRange(datetime(2017, 1, 1, 12), datetime(2017, 1, 3))  # noqa: DTZ001 - days of a wall clock
    after = lakehouse.commit(lakehouse.stage("calendar", days((2, "B")), "two"), [Within(None, span)])
    assert sorted(read(lakehouse, after).column("name").to_pylist()) == ["B", "a", "c"]
    assert lakehouse.files(after, None, span).files[0].time_min is not None


def test_replacing_an_unpartitioned_table_puts_rows_in_the_place_of_all(lakehouse: Lakehouse) -> None:
    lakehouse.create(TableSpec("units", (TableColumn("name", FieldType.TEXT),), tenant_column=None))
    lakehouse.commit(lakehouse.stage("units", pa.table({"name": ["kg", "g"]}), "one"))
    after = lakehouse.commit(lakehouse.stage("units", pa.table({"name": ["t"]}), "two"), [Within(None)])
    assert read(lakehouse, after).column("name").to_pylist() == ["t"]


def test_a_change_that_does_not_say_whose_rows_is_a_mistake(with_sales: Lakehouse) -> None:
    staged = with_sales.stage("sales", sales(), "one")
    with pytest.raises(ValueError, match="of tenants"):
        with_sales.commit(staged, [Within(None)])
    local = TimeRange(datetime(2017, 1, 1), datetime(2017, 1, 2))  # noqa: DTZ001 - the mistake under test
    with pytest.raises(ValueError, match="instants"):
        with_sales.commit(staged, [Within(ACME, local)])


def test_a_pinned_snapshot_can_be_read_after_many_commits(with_sales: Lakehouse, open_lakehouse: Callable[[], Lakehouse]) -> None:
    pinned = replace(load(with_sales, "first", sale("acme", "old")), handle=None)
    for n in range(8):
        with_sales.commit(with_sales.stage("sales", sales(sale("acme", f"new{n}")), f"run{n}"), [Within(ACME)])
    assert not at(pinned.metadata_location).exists(), "old metadata are removed, so this must not be what is read"
    other = open_lakehouse()
    assert baskets(other, pinned) == ["old"]
    assert baskets(other, other.current("sales")) == ["new7"]
    other.close()


def test_a_snapshot_that_is_not_there_is_not_found(with_sales: Lakehouse) -> None:
    pinned = load(with_sales, "one", sale("acme", "b1"))
    with pytest.raises(NotFound, match="expired"):
        with_sales.files(replace(pinned, snapshot_id=1), None, None)


def test_snapshots_seen_by_one_opener_are_seen_by_another(with_sales: Lakehouse, open_lakehouse: Callable[[], Lakehouse]) -> None:
    other = open_lakehouse()
    assert other.current("sales").snapshot_id is None
    assert baskets(other, load(with_sales, "one", sale("acme", "b1"))) == ["b1"]
    assert other.current("sales") == with_sales.current("sales")
    other.close()


# Once, and never after it was given up


def test_a_run_that_is_staged_twice_is_committed_once(with_sales: Lakehouse) -> None:
    first, again = (with_sales.stage("sales", sales(sale("acme", "b1")), "one") for _ in range(2))
    committed = with_sales.commit(first)
    load(with_sales, "two", sale("acme", "b2"))
    assert with_sales.commit(again).snapshot_id == committed.snapshot_id
    assert with_sales.commit(first).snapshot_id == committed.snapshot_id
    assert baskets(with_sales, with_sales.current("sales")) == ["b1", "b2"]
    assert len(data_files(with_sales)) == 2, "what was staged again is removed, what was committed stays"


def test_a_replace_of_a_run_that_was_committed_undoes_nothing_later(with_sales: Lakehouse) -> None:
    load(with_sales, "zero", sale("acme", "b0"), sale(same_bucket("acme"), "kept"))
    committed = with_sales.commit(with_sales.stage("sales", sales(sale("acme", "b1")), "one"), [Within(ACME)])
    with_sales.commit(with_sales.stage("sales", sales(sale("acme", "b2")), "two"), [Within(ACME)])
    files = data_files(with_sales)
    again = with_sales.stage("sales", sales(sale("acme", "b1")), "one")
    assert with_sales.commit(again, [Within(ACME)]).snapshot_id == committed.snapshot_id
    assert baskets(with_sales, with_sales.current("sales")) == ["b2", "kept"]
    assert data_files(with_sales) == files


@pytest.mark.parametrize("how", ["append", "replace"])
def test_a_run_that_was_given_up_can_not_be_committed(with_sales: Lakehouse, how: str) -> None:
    slow, other = (with_sales.stage("sales", sales(sale("acme", "b1")), run) for run in ("one", "two"))
    assert with_sales.give_up("sales", "one") is True
    assert with_sales.give_up("sales", "one") is True
    assert with_sales.find_run("sales", "one") is None
    with pytest.raises(Conflict, match="'one'"):
        with_sales.commit(slow, [Within(ACME)] if how == "replace" else ())
    with_sales.discard(slow)
    assert baskets(with_sales, with_sales.commit(other)) == ["b1"]
    assert with_sales.give_up("sales", "two") is False


def test_what_lies_in_a_table_stays_when_a_run_is_given_up(with_sales: Lakehouse) -> None:
    load(with_sales, "one", sale("acme", "b1"))
    with_sales.give_up("sales", "two")
    assert baskets(with_sales, with_sales.current("sales")) == ["b1"]
    assert baskets(with_sales, load(with_sales, "three", sale("acme", "b2"))) == ["b1", "b2"]


def test_giving_up_what_is_about_to_be_committed_at_once_leaves_one_truth(with_sales: Lakehouse) -> None:
    def commit(staged: Any) -> bool:
        try:
            with_sales.commit(staged)
        except Conflict:
            return False
        return True

    for n in range(4):
        staged = with_sales.stage("sales", sales(sale("acme", f"b{n}")), f"run{n}")
        with ThreadPoolExecutor(2) as pool:
            committed = pool.submit(commit, staged)
            given_up = pool.submit(with_sales.give_up, "sales", f"run{n}")
        there = f"b{n}" in baskets(with_sales, with_sales.current("sales"))
        assert (committed.result(), given_up.result()) == (there, not there)


# Several at once


def test_threads_that_append_and_replace_at_once_lose_nothing(with_sales: Lakehouse) -> None:
    def change(n: int) -> None:
        staged = with_sales.stage("sales", sales(sale(f"t{n}", f"b{n}")), f"run{n}")
        with_sales.commit(staged, [Within(TenantId(f"t{n}"))]) if n % 2 else with_sales.commit(staged)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(change, range(8)))
    assert baskets(with_sales, with_sales.current("sales")) == sorted(f"b{n}" for n in range(8))


def test_two_replaces_of_the_same_rows_at_once_leave_those_of_one(with_sales: Lakehouse) -> None:
    load(with_sales, "one", sale("acme", "old"), sale("acme", "old2", 40), sale("bravo", "kept"))

    def change(n: int) -> None:
        with_sales.commit(with_sales.stage("sales", sales(sale("acme", f"new{n}")), f"run{n}"), [Within(ACME)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(change, range(4)))
    left = baskets(with_sales, with_sales.current("sales"))
    assert len(left) == 2
    assert left[0] == "kept"


def test_first_replaces_of_the_same_rows_at_once_leave_those_of_one(with_sales: Lakehouse) -> None:
    def change(n: int) -> None:
        with_sales.commit(with_sales.stage("sales", sales(sale("acme", f"new{n}")), f"run{n}"), [Within(ACME)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(change, range(4)))
    assert len(baskets(with_sales, with_sales.current("sales"))) == 1


def _append_in_a_process(place: Mapping[str, Any], first: int) -> None:
    lakehouse = open_iceberg(**place)
    lakehouse.create(SALES)
    for n in range(first, first + 4):
        load(lakehouse, f"run{n}", sale("acme", f"b{n}"))
    lakehouse.close()


@pytest.mark.slow
def test_two_processes_that_open_create_and_append_at_once_lose_nothing(place: Mapping[str, Any]) -> None:
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        list(pool.map(_append_in_a_process, [place] * 2, [0, 4]))
    lakehouse = open_iceberg(**place)
    assert baskets(lakehouse, lakehouse.current("sales")) == sorted(f"b{n}" for n in range(8))
    assert all(lakehouse.find_run("sales", f"run{n}") for n in range(8))
    lakehouse.close()


# Pruning


TENANTS = ("acme", "bravo", "caffe-첫", "t1", "t2")
INSTANTS = st.datetimes(datetime(1969, 11, 1), datetime(1970, 3, 1)).map(lambda time: time.replace(tzinfo=UTC))  # noqa: DTZ001
ROWS = st.lists(st.tuples(st.sampled_from(TENANTS), st.just("b"), st.none(), st.none() | INSTANTS), max_size=12)


@settings(max_examples=15, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=3), st.lists(st.sampled_from(TENANTS), min_size=1, unique=True), INSTANTS, INSTANTS)
def test_pruning_loses_no_row(stores: Stores, loads: list[list[Row]], asked: list[str], one: datetime, other: datetime) -> None:
    tenants = tuple(TenantId(name) for name in asked)
    span = TimeRange(min(one, other), max(one, other) + timedelta(microseconds=1))
    everything = [row for rows in loads for row in rows]
    with opened(stores) as lakehouse:
        lakehouse.create(SALES)
        for at, rows in enumerate(loads):
            load(lakehouse, f"run{at}", *rows)
        for within in (None, span):
            wanted = [
                row for row in everything if row[0] in asked and (within is None or (row[3] and span.start <= row[3] < span.end))
            ]
            found = read(lakehouse, lakehouse.current("sales"), tenants, within).to_pylist()
            kept = [
                r
                for r in found
                if r["tenant"] in asked and (within is None or (r["sold_at"] and span.start <= r["sold_at"] < span.end))
            ]
            assert sorted((r["tenant"], str(r["sold_at"])) for r in kept) == sorted((row[0], str(row[3])) for row in wanted)


@settings(max_examples=15, deadline=None)
@given(ROWS, ROWS, st.sampled_from(TENANTS), st.none() | st.tuples(INSTANTS, INSTANTS))
def test_replace_is_what_it_says_over_any_rows(
    stores: Stores, before: list[Row], new: list[Row], tenant: str, times: tuple[datetime, datetime] | None
) -> None:
    span = TimeRange(min(times), max(times)) if times else None
    with opened(stores) as lakehouse:
        lakehouse.create(SALES)
        load(lakehouse, "one", *before)
        after = lakehouse.commit(lakehouse.stage("sales", sales(*new), "two"), [Within(TenantId(tenant), span)])
        gone = [row for row in before if row[0] == tenant and (span is None or (row[3] and span.start <= row[3] < span.end))]
        wanted = [*(row for row in before if row not in gone), *new]
        assert sorted((r["tenant"], str(r["sold_at"])) for r in read(lakehouse, after).to_pylist()) == sorted(
            (row[0], str(row[3])) for row in wanted
        )


def test_only_the_files_of_the_asked_tenant_and_months_are_planned(with_sales: Lakehouse) -> None:
    snapshot = load(with_sales, "one", *(sale(tenant, "b", 31 * month) for tenant in ("acme", "bravo") for month in range(6)))
    assert len(with_sales.files(snapshot, None, None).files) == 12
    assert len(with_sales.files(snapshot, (ACME,), None).files) == 6
    march = TimeRange(datetime(2017, 3, 1, tzinfo=UTC), datetime(2017, 4, 1, tzinfo=UTC))
    (file,) = with_sales.files(snapshot, (ACME,), march).files
    assert file.rows == 1
    assert file.time_min == file.time_max == int((NEW_YEAR + timedelta(days=62)).timestamp()) * 1_000_000
    assert file.bytes == len(at(file.path).read_bytes())


def test_a_table_without_time_is_pruned_by_tenant(lakehouse: Lakehouse) -> None:
    lakehouse.create(PRODUCTS)
    snapshot = lakehouse.commit(lakehouse.stage("products", pa.table({"tenant": ["acme", "bravo"], "product": ["p", "q"]}), "one"))
    (file,) = lakehouse.files(snapshot, (BRAVO,), None).files
    assert rows_at(file.path).column("product").to_pylist() == ["q"]
    assert (file.time_min, file.time_max) == (None, None)


def test_planning_again_reads_no_manifest_again(with_sales: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyiceberg.manifest import ManifestFile

    read_paths: list[str] = []
    fetch = ManifestFile.fetch_manifest_entry

    def counted(self: ManifestFile, *args: Any, **options: Any) -> Any:
        read_paths.append(self.manifest_path)
        return fetch(self, *args, **options)

    load(with_sales, "one", sale("acme", "b1"))
    monkeypatch.setattr(ManifestFile, "fetch_manifest_entry", counted)
    for _ in range(3):
        with_sales.files(with_sales.current("sales"), (ACME,), None)
    assert len(read_paths) == 1
    with_sales.files(load(with_sales, "two", sale("acme", "b2")), (ACME,), None)
    assert len(set(read_paths)) == len(read_paths) == 2
