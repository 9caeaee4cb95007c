"""Rows dropped by their keys as new ones come: exactly those that agree with a key in each of its columns, and no other's."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.sales import ACME, NEW_YEAR, SALES, Row, baskets, data_files, load, read, sale, sales, same_bucket
from support.stores import Stores, opened

from jangbu.kernel.tenancy import TenantId
from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.ports import Drop, Keyed, Lakehouse, TableColumn, TableSpec, TimeRange, Within

TWIN = same_bucket("acme")


def keyed(*keys: tuple[str, str]) -> Keyed:
    """By tenant and basket."""
    return Keyed(sales(*((*key, None, None) for key in keys)).select(["tenant", "basket"]))


# One way and another


def test_a_row_with_a_key_takes_the_place_of_the_old_one(with_sales: Lakehouse) -> None:
    before = load(with_sales, "one", sale("acme", "b1"), sale("acme", "b2"), sale(TWIN, "b1"), sale("bravo", "b1"))
    after = load(with_sales, "two", sale("acme", "b1", 1), drops=(keyed(("acme", "b1")),))
    rows = {(row["tenant"], row["basket"], row["sold_at"]) for row in read(with_sales, after).to_pylist()}
    new = NEW_YEAR + timedelta(days=1)
    assert rows == {("acme", "b1", new), ("acme", "b2", NEW_YEAR), (TWIN, "b1", NEW_YEAR), ("bravo", "b1", NEW_YEAR)}
    assert len(baskets(with_sales, before)) == 4
    assert with_sales.find_run("sales", "two") == after


def test_keys_are_found_in_every_month(with_sales: Lakehouse) -> None:
    load(with_sales, "one", sale("acme", "b1", 40), sale("acme", "b1", 400), ("acme", "b1", None, None), sale("acme", "b2"))
    assert baskets(with_sales, load(with_sales, "two", drops=(keyed(("acme", "b1")),))) == ["b2"]


def test_keys_that_are_nowhere_take_nothing_and_rewrite_nothing(with_sales: Lakehouse) -> None:
    load(with_sales, "one", sale("acme", "b1"), sale(TWIN, "b9"))
    files = data_files(with_sales)
    after = load(with_sales, "two", drops=(keyed(("acme", "b9"), ("acme", "b8"), ("charlie", "b1")),))
    assert baskets(with_sales, after) == ["b1", "b9"]
    assert data_files(with_sales) == files


def test_no_keys_take_nothing(with_sales: Lakehouse) -> None:
    load(with_sales, "one", sale("acme", "b1"))
    after = load(with_sales, "two", sale("acme", "b2"), drops=(keyed(),))
    assert baskets(with_sales, after) == ["b1", "b2"]


def test_keys_of_a_table_without_rows_take_nothing(with_sales: Lakehouse) -> None:
    assert baskets(with_sales, load(with_sales, "one", sale("acme", "b1"), drops=(keyed(("acme", "b1")),))) == ["b1"]


def test_a_key_given_twice_is_one_key(with_sales: Lakehouse) -> None:
    load(with_sales, "one", sale("acme", "b1"), sale("acme", "b2"))
    assert baskets(with_sales, load(with_sales, "two", drops=(keyed(("acme", "b1"), ("acme", "b1")),))) == ["b2"]


def test_a_pair_of_values_that_only_two_keys_together_hold_is_no_key(with_sales: Lakehouse) -> None:
    load(with_sales, "one", *(sale(tenant, basket) for tenant in ("acme", TWIN) for basket in ("b1", "b2")))
    after = load(with_sales, "two", drops=(keyed(("acme", "b1"), (TWIN, "b2")),))
    rows = {(row["tenant"], row["basket"]) for row in read(with_sales, after).to_pylist()}
    assert rows == {("acme", "b2"), (TWIN, "b1")}


def test_a_row_with_a_null_agrees_with_no_key(with_sales: Lakehouse) -> None:
    load(with_sales, "one", ("acme", None, None, NEW_YEAR), ("acme", "b1", None, NEW_YEAR), sale("acme", "b1", 1))  # type: ignore[arg-type]
    keys = Keyed(pa.table({"tenant": ["acme"], "basket": ["b1"], "value": pa.array([Decimal("1.5")], pa.decimal128(18, 4))}))
    after = load(with_sales, "two", drops=(keys,))
    assert [(row["basket"], row["value"]) for row in read(with_sales, after).sort_by("basket").to_pylist()] == [
        ("b1", None),
        (None, None),
    ]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (pa.table({"basket": ["b1"]}), "keys"),
        (pa.table({"tenant": ["acme"], "receipt": ["b1"]}), "receipt"),
        (pa.table({"tenant": ["acme", "acme"], "basket": ["b1", None]}), "nulls: basket"),
        (pa.table({"tenant": pa.array([None], pa.string()), "basket": ["b1"]}), "nulls: tenant"),
    ],
)
def test_keys_that_do_not_fit_are_a_mistake_and_change_nothing(with_sales: Lakehouse, keys: pa.Table, said: str) -> None:
    before = load(with_sales, "one", sale("acme", "b1"))
    staged = with_sales.stage("sales", sales(), "two")
    with pytest.raises(ValueError, match=said):
        with_sales.commit(staged, [Keyed(keys)])
    assert with_sales.current("sales") == before


def test_many_tenants_keys_are_dropped_in_one_snapshot(with_sales: Lakehouse) -> None:
    tenants = [f"t{n}" for n in range(40)]
    load(with_sales, "one", *(sale(tenant, basket, day) for tenant in tenants for day, basket in ((0, "old"), (40, "kept"))))
    new = [sale(tenant, "new", 80) for tenant in tenants]
    after = load(with_sales, "two", *new, drops=(keyed(*((tenant, "old") for tenant in tenants)),))
    assert baskets(with_sales, after) == ["kept"] * 40 + ["new"] * 40
    assert with_sales.state("sales").snapshots == 2


def test_spans_and_keys_are_dropped_together(with_sales: Lakehouse) -> None:
    load(with_sales, "one", *(sale("acme", f"b{n}", n) for n in range(5)), sale(TWIN, "b1"), sale("bravo", "b1"))
    first_two = Within(ACME, TimeRange(NEW_YEAR, NEW_YEAR + timedelta(days=2)))
    drops: tuple[Drop, ...] = (first_two, keyed(("acme", "b4"), (TWIN, "b1")), keyed(("acme", "b4")), Within(TenantId("bravo")))
    assert baskets(with_sales, load(with_sales, "two", sale("acme", "new"), drops=drops)) == ["b2", "b3", "new"]


KINDS = TableSpec(
    "kinds",
    (
        TableColumn("tenant", FieldType.TEXT),
        TableColumn("number", FieldType.INTEGER),
        TableColumn("price", FieldType.DECIMAL),
        TableColumn("day", FieldType.DATE),
        TableColumn("at", FieldType.INSTANT),
        TableColumn("wall", FieldType.LOCAL),
        TableColumn("flag", FieldType.BOOLEAN),
        TableColumn("left", FieldType.TEXT),
    ),
    time_column="at",
)
BEFORE_1970 = datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


@pytest.mark.parametrize(
    ("column", "one", "other"),
    [
        ("number", -(2**63), 2**63 - 1),
        ("price", Decimal("-99999999999999.9999"), Decimal("0.0001")),
        ("day", date(1969, 12, 31), date(2017, 1, 1)),
        ("at", BEFORE_1970, NEW_YEAR),
        ("wall", BEFORE_1970.replace(tzinfo=None), NEW_YEAR.replace(tzinfo=None)),
        ("flag", True, False),
        ("left", "", "한글 'x'"),
    ],
)
def test_keys_of_every_type(lakehouse: Lakehouse, column: str, one: Any, other: Any) -> None:
    lakehouse.create(KINDS)
    schema = lakehouse.files(lakehouse.current("kinds"), None, None).schema
    rows = [{"tenant": "acme", column: value} for value in (one, other, None)]
    lakehouse.commit(lakehouse.stage("kinds", pa.Table.from_pylist(rows, schema=schema), "one"))
    key = pa.Table.from_pylist([rows[0]], schema=pa.schema([schema.field("tenant"), schema.field(column)]))
    after = lakehouse.commit(lakehouse.stage("kinds", schema.empty_table(), "two"), [Keyed(key)])
    left = [row[column] for row in read(lakehouse, after).to_pylist()]
    assert sorted(left, key=str) == sorted([other, None], key=str)


def test_keys_of_narrower_types_are_taken_as_the_tables(with_sales: Lakehouse) -> None:
    load(with_sales, "one", ("acme", "b1", Decimal(7), NEW_YEAR), sale("acme", "b2"))
    keys = pa.table(
        {
            "value": pa.array([Decimal("7.0")], pa.decimal128(5, 1)),
            "tenant": pa.array(["acme"]).dictionary_encode(),
            "sold_at": pa.array([NEW_YEAR], pa.timestamp("s", "Asia/Seoul")),
        }
    )
    assert baskets(with_sales, load(with_sales, "two", drops=(Keyed(keys),))) == ["b2"]


def test_keys_of_days_in_a_shared_table(lakehouse: Lakehouse) -> None:
    days = TableSpec("days", (TableColumn("day", FieldType.DATE), TableColumn("name", FieldType.TEXT)), None, "day")
    lakehouse.create(days)
    rows = pa.table({"day": [date(1969, 12, 31), date(1970, 1, 1), date(2017, 1, 31), None], "name": ["a", "b", "c", "d"]})
    lakehouse.commit(lakehouse.stage("days", rows, "one"))
    keys = Keyed(pa.table({"day": [date(1969, 12, 31), date(2017, 1, 31)]}))
    after = lakehouse.commit(lakehouse.stage("days", rows.slice(0, 0), "two"), [keys])
    assert sorted(read(lakehouse, after).column("name").to_pylist()) == ["b", "d"]


def test_a_key_with_the_time_reads_only_the_months_of_the_keys(with_sales: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    load(with_sales, "one", *(sale("acme", f"b{month}", 31 * month) for month in range(6)))
    opened: list[Any] = []
    parquet_file = pq.ParquetFile
    monkeypatch.setattr(pq, "ParquetFile", lambda *a, **more: opened.append(a) or parquet_file(*a, **more))
    keys = Keyed(sales(sale("acme", "b2", 62)).select(["tenant", "basket", "sold_at"]))
    after = load(with_sales, "two", drops=(keys,))
    monkeypatch.undo()
    assert baskets(with_sales, after) == ["b0", "b1", "b3", "b4", "b5"]
    assert 1 <= len(opened) <= 4, "one file of six: its footer, its telling column, its keys, its rows"


def test_merges_of_the_same_keys_at_once_leave_one_row_of_each(with_sales: Lakehouse) -> None:
    load(with_sales, "zero", sale("acme", "b1"), sale("acme", "b2"), sale("acme", "kept"))

    def merge(n: int) -> None:
        load(
            with_sales, f"run{n}", sale("acme", "b1", n), sale("acme", "b2", 40 + n), drops=(keyed(("acme", "b1"), ("acme", "b2")),)
        )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(merge, range(8)))
    assert baskets(with_sales) == ["b1", "b2", "kept"]


# Against a model

TENANTS = ("acme", TWIN, "bravo")
INSTANTS = st.sampled_from([datetime(1969, 12, 31, 23, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC), NEW_YEAR])
PRICES = st.sampled_from([Decimal(1), Decimal("1.5")])
ROWS = st.lists(
    st.tuples(
        st.sampled_from(TENANTS), st.sampled_from("abc") | st.none(), PRICES | st.none(),
        INSTANTS | st.none(),
    ),
    max_size=10,
)  # fmt: skip
KEYS = st.tuples(
    st.permutations(["tenant", "basket", "value", "sold_at"]).flatmap(
        lambda names: st.integers(0, 3).map(lambda n: ["tenant", *[name for name in names if name != "tenant"][:n]])
    ),
    st.lists(st.tuples(st.sampled_from(TENANTS), st.sampled_from("abcd"), PRICES, INSTANTS), max_size=4),
)
SPANS = st.tuples(st.sampled_from(TENANTS), st.none() | st.tuples(INSTANTS, INSTANTS))
NAMES = ("tenant", "basket", "value", "sold_at")


def drop_of(said: Any) -> Drop:
    if isinstance(said[0], list):
        return Keyed(sales(*said[1]).select(said[0]))
    return Within(TenantId(said[0]), TimeRange(min(said[1]), max(said[1])) if said[1] else None)


def goes(row: Row, said: Any) -> bool:
    if isinstance(said[0], list):
        at = [NAMES.index(name) for name in said[0]]
        return any(all(row[n] == key[n] for n in at) for key in said[1])
    return row[0] == said[0] and (said[1] is None or (row[3] is not None and min(said[1]) <= row[3] < max(said[1])))


CHANGE = st.tuples(ROWS, st.lists(KEYS | SPANS, max_size=3))


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(st.lists(CHANGE, min_size=1, max_size=4), st.booleans())
def test_any_changes_leave_what_a_plain_model_says(
    stores: Stores, changes: list[tuple[list[Row], list[Any]]], upkeep: bool
) -> None:
    wanted: list[Row] = []
    with opened(stores) as lakehouse:
        lakehouse.create(SALES)
        for at, (rows, drops) in enumerate(changes):
            load(lakehouse, f"run{at}", *rows, drops=tuple(map(drop_of, drops)))
            wanted = [*(row for row in wanted if not any(goes(row, said) for said in drops)), *rows]
            if upkeep:
                lakehouse.compact("sales", whole=True)
                lakehouse.expire("sales", keep=1)
                lakehouse.collect("sales", retired=timedelta(0), orphaned=timedelta(0))
        found = [tuple(row[name] for name in NAMES) for row in read(lakehouse, lakehouse.current("sales")).to_pylist()]
        assert sorted(found, key=str) == sorted(wanted, key=str)
