"""A table's columns change without its rows being written again: what was there is read under the columns of today."""

from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from multiprocessing import get_context
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.transforms import DayTransform
from pyiceberg.types import FloatType, IntegerType, ListType, StringType
from support.sales import ACME, NEW_YEAR, SALES, data_files, load, sale, sales, same_bucket
from support.stores import rows_at

from jangbu.kernel.errors import Conflict, LoadError, Unsupported
from jangbu.kernel.tenancy import TenantId
from jangbu.kernel.types import FieldType
from jangbu.platform.engines.ports import Engine, Scan, Statement
from jangbu.platform.lakehouse.iceberg import IcebergLakehouse
from jangbu.platform.lakehouse.iceberg import open_lakehouse as open_iceberg
from jangbu.platform.lakehouse.ports import Keyed, Lakehouse, TableColumn, TableSpec, TimeRange, Within

TENANT, BASKET, VALUE, SOLD_AT = SALES.columns
STORE = TableColumn("store", FieldType.TEXT)
WIDE = TableColumn("value", FieldType.DECIMAL, 30, 4)
RENAMED = replace(
    SALES,
    columns=(TENANT, TableColumn("receipt", FieldType.TEXT), VALUE, TableColumn("bought_at", FieldType.INSTANT)),
    time_column="bought_at",
    renamed={"receipt": "basket", "bought_at": "sold_at"},
)


def with_columns(*columns: TableColumn, **more: Any) -> TableSpec:
    return replace(SALES, columns=columns, **more)


Ask = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def ask(with_sales: Lakehouse, reader: Engine) -> Ask:
    """The rows of tenants, by default acme's, as the engine reads them of the newest snapshot."""

    def rows(*tenants: str, span: TimeRange | None = None) -> list[dict[str, Any]]:
        asked = tuple(TenantId(name) for name in tenants or ("acme",))
        files = with_sales.files(with_sales.current("sales"), asked, span)
        scan = Scan("sales", tuple(files.schema.names), files, None, "tenant", asked)
        answer = reader.run(Statement('SELECT * FROM "sales" ORDER BY 2, 3', (scan,)), timeout=30)
        assert answer.schema == files.schema
        found: list[dict[str, Any]] = answer.to_pylist()
        return found

    return rows


# What can change


def test_a_new_column_is_null_in_older_rows(with_sales: Lakehouse, ask: Ask) -> None:
    load(with_sales, "one", sale("acme", "b1"))
    with_sales.create(with_columns(*SALES.columns, STORE))
    load_rows(with_sales, "two", {"tenant": "acme", "basket": "b2", "store": "s"})
    assert [(row["basket"], row["store"]) for row in ask()] == [("b1", None), ("b2", "s")]


def load_rows(lakehouse: Lakehouse, run: str, *rows: dict[str, Any]) -> None:
    schema = lakehouse.files(lakehouse.current("sales"), None, None).schema
    lakehouse.commit(lakehouse.stage("sales", pa.Table.from_pylist(list(rows), schema=schema), run))


def test_a_column_that_is_added_to_a_table_without_rows_is_there(with_sales: Lakehouse, ask: Ask) -> None:
    with_sales.create(with_columns(*SALES.columns, STORE))
    assert ask() == []
    load_rows(with_sales, "one", {"tenant": "acme", "store": "s"})
    assert [row["store"] for row in ask()] == ["s"]


def test_a_wider_decimal_takes_larger_values_beside_the_old(with_sales: Lakehouse, ask: Ask) -> None:
    load(with_sales, "one", sale("acme", "b1"))
    with_sales.create(with_columns(TENANT, BASKET, WIDE, SOLD_AT))
    load_rows(with_sales, "two", {"tenant": "acme", "basket": "b2", "value": Decimal("9" * 26 + ".9999")})
    assert [row["value"] for row in ask()] == [Decimal("1.5000"), Decimal("9" * 26 + ".9999")]


def test_renamed_columns_keep_their_values_and_their_pruning(with_sales: Lakehouse, ask: Ask) -> None:
    load(with_sales, "one", sale("acme", "b1"), sale("acme", "b2", 1), sale("acme", "b3", 40))
    with_sales.create(RENAMED)
    load_rows(with_sales, "two", {"tenant": "acme", "receipt": "b4", "bought_at": NEW_YEAR + timedelta(days=2)})
    assert [row["receipt"] for row in ask()] == ["b1", "b2", "b3", "b4"]
    assert [row["bought_at"] for row in ask()][:2] == [NEW_YEAR, NEW_YEAR + timedelta(days=1)]
    february = TimeRange(NEW_YEAR + timedelta(days=31), NEW_YEAR + timedelta(days=59))
    assert [row["receipt"] for row in ask(span=february)] == ["b3"]
    first_days = TimeRange(NEW_YEAR, NEW_YEAR + timedelta(days=2))
    assert [row["receipt"] for row in ask(span=first_days)] == ["b1", "b2"], "the file of the third day has bounds beyond it"


def test_a_renamed_tenant_column_still_keeps_tenants_apart(with_sales: Lakehouse) -> None:
    twin = same_bucket("acme")
    load(with_sales, "one", sale("acme", "b1"), sale(twin, "b2"))
    merchant = TableColumn("merchant", FieldType.TEXT)
    spec = with_columns(merchant, *SALES.columns[1:], tenant_column="merchant", renamed={"merchant": "tenant"})
    with_sales.create(spec)
    assert with_sales.files(with_sales.current("sales"), (ACME,), None).tenant_column == "merchant"
    with_sales.commit(with_sales.stage("sales", pa.table({"merchant": ["acme"], "basket": ["b3"]}), "two"), [Within(ACME)])
    assert names(with_sales) == ["b2", "b3"]


def names(lakehouse: Lakehouse) -> list[str]:
    """What the table's second column, which it always had, holds."""

    planned = lakehouse.files(lakehouse.current("sales"), None, None)
    return sorted(name for file in planned.files for name in rows_at(file.path).column(1).to_pylist())


def test_a_column_is_renamed_and_widened_at_once(with_sales: Lakehouse, ask: Ask) -> None:
    load(with_sales, "one", sale("acme", "b1"))
    price = TableColumn("price", FieldType.DECIMAL, 38, 4)
    with_sales.create(with_columns(TENANT, BASKET, price, SOLD_AT, renamed={"price": "value"}))
    assert [row["price"] for row in ask()] == [Decimal("1.5000")]


def test_two_columns_that_change_names_with_a_third_are_not_mixed_up(with_sales: Lakehouse, ask: Ask) -> None:
    with_sales.create(with_columns(*SALES.columns, STORE))
    load_rows(with_sales, "one", {"tenant": "acme", "basket": "b", "store": "s"})
    shop, place = TableColumn("shop", FieldType.TEXT), TableColumn("basket", FieldType.TEXT)
    with_sales.create(with_columns(TENANT, shop, VALUE, SOLD_AT, STORE, renamed={"shop": "basket"}))
    with_sales.create(with_columns(TENANT, shop, VALUE, SOLD_AT, place, renamed={"basket": "store"}))
    assert [(row["shop"], row["basket"]) for row in ask()] == [("b", "s")]


def test_a_dropped_column_that_comes_again_is_a_new_one(with_sales: Lakehouse, ask: Ask) -> None:
    load(with_sales, "one", sale("acme", "b1"))
    with_sales.create(with_columns(TENANT, BASKET, SOLD_AT, dropped=("value",)))
    assert sorted(ask()[0]) == ["basket", "sold_at", "tenant"]
    text = TableColumn("value", FieldType.TEXT)
    with_sales.create(with_columns(TENANT, BASKET, SOLD_AT, text))
    load_rows(with_sales, "two", {"tenant": "acme", "basket": "b2", "value": "new"})
    assert [row["value"] for row in ask()] == [None, "new"]


def test_a_column_that_the_columns_do_not_name_stays_until_it_is_dropped(with_sales: Lakehouse, ask: Ask) -> None:
    load(with_sales, "one", sale("acme", "b1"))
    with_sales.create(with_columns(TENANT, BASKET, SOLD_AT))
    assert [row["value"] for row in ask()] == [Decimal("1.5000")]


@pytest.mark.parametrize("spec", [with_columns(*SALES.columns, STORE), RENAMED, with_columns(TENANT, SOLD_AT, dropped=("value",))])
def test_the_same_change_again_changes_nothing(with_sales: Lakehouse, spec: TableSpec) -> None:
    load(with_sales, "one", sale("acme", "b1"))
    with_sales.create(spec)
    before = with_sales.current("sales")
    with_sales.create(spec)
    assert with_sales.current("sales") == before


def test_no_change_writes_a_data_file(with_sales: Lakehouse) -> None:
    load(with_sales, "one", sale("acme", "b1"))
    before = data_files(with_sales)
    for spec in (with_columns(*SALES.columns, STORE), RENAMED):
        with_sales.create(spec)
    assert data_files(with_sales) == before


# What can't


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (with_columns(TENANT, BASKET, TableColumn("value", FieldType.DECIMAL, 10, 4), SOLD_AT), r"value is decimal\(18, 4\)"),
        (with_columns(TENANT, BASKET, TableColumn("value", FieldType.DECIMAL, 18, 2), SOLD_AT), r"decimal\(18, 2\)"),
        (with_columns(TENANT, BASKET, TableColumn("value", FieldType.DECIMAL, 20, 6), SOLD_AT), r"decimal\(20, 6\)"),
        (with_columns(TENANT, BASKET, TableColumn("value", FieldType.INTEGER), SOLD_AT), "value is decimal.* integer"),
        (with_columns(TENANT, TableColumn("basket", FieldType.INTEGER), VALUE, SOLD_AT), "basket is text.* integer"),
        (with_columns(TENANT, BASKET, VALUE, TableColumn("sold_at", FieldType.LOCAL)), "sold_at is instant.* local"),
        (with_columns(*SALES.columns, time_column=None), "time column is sold_at, not none"),
        (with_columns(*SALES.columns, tenant_column="basket"), "tenant column is tenant, not basket"),
        (with_columns(*SALES.columns, tenant_column=None), "tenant column is tenant, not none"),
        (with_columns(TENANT, BASKET, VALUE, time_column=None, dropped=("sold_at",)), "sold_at can't be dropped"),
        (with_columns(TENANT, VALUE, SOLD_AT, TableColumn("Basket", FieldType.TEXT)), "Basket is there as basket"),
        (with_columns(TENANT, SOLD_AT, TableColumn("price", FieldType.TEXT), renamed={"price": "value"}), "price is decimal"),
    ],
)  # fmt: skip
def test_what_only_a_rewrite_could_change_is_a_conflict_that_names_it(with_sales: Lakehouse, spec: TableSpec, said: str) -> None:
    load(with_sales, "one", sale("acme", "b1"))
    before = with_sales.current("sales")
    with pytest.raises(Conflict, match=said):
        with_sales.create(spec)
    assert with_sales.current("sales") == before


def test_a_conflict_names_each_difference(with_sales: Lakehouse) -> None:
    spec = with_columns(TENANT, TableColumn("basket", FieldType.DATE), TableColumn("value", FieldType.TEXT), time_column=None)
    with pytest.raises(Conflict, match=r"(?=.*basket is text)(?=.*value is decimal)(?=.*time column)"):
        with_sales.create(spec)


# Beside loads


def test_what_was_staged_before_a_change_is_committed_after_it(with_sales: Lakehouse, ask: Ask) -> None:
    staged = with_sales.stage("sales", sales(sale("acme", "b1")), "one")
    with_sales.create(replace(RENAMED, columns=(*RENAMED.columns[:2], WIDE, RENAMED.columns[3], STORE)))
    with_sales.commit(staged)
    assert ask() == [
        {"tenant": "acme", "receipt": "b1", "value": Decimal("1.5000"), "bought_at": NEW_YEAR, "store": None},
    ]


def test_rows_under_a_columns_old_name_are_refused_after_a_change(with_sales: Lakehouse) -> None:
    with_sales.create(RENAMED)
    with pytest.raises(LoadError, match="unknown: basket, sold_at"):
        with_sales.stage("sales", sales(sale("acme", "b1")), "one")


@pytest.mark.parametrize("keyed", [True, False])
def test_rows_of_before_a_change_are_dropped_after_it_and_those_that_stay_keep_their_values(
    with_sales: Lakehouse, ask: Ask, keyed: bool
) -> None:
    load(with_sales, "one", sale("acme", "b1"), sale("acme", "b2", 1), sale("acme", "b3", 2))
    with_sales.create(replace(RENAMED, columns=(*RENAMED.columns[:2], WIDE, RENAMED.columns[3], STORE)))
    second = TimeRange(NEW_YEAR + timedelta(days=1), NEW_YEAR + timedelta(days=2))
    drop = Keyed(pa.table({"tenant": ["acme"], "receipt": ["b2"]})) if keyed else Within(ACME, second)
    with_sales.commit(with_sales.stage("sales", pa.table({"tenant": ["acme"], "store": ["s"]}), "two"), [drop])
    assert [(row["receipt"], row["value"], row["store"]) for row in ask()] == [
        ("b1", Decimal("1.5000"), None),
        ("b3", Decimal("1.5000"), None),
        (None, None, "s"),
    ]


def test_compaction_joins_files_of_before_and_after_a_change(with_sales: Lakehouse, ask: Ask) -> None:
    for n in range(3):
        load(with_sales, f"old{n}", sale("acme", f"b{n}"))
    with_sales.create(replace(RENAMED, columns=(*RENAMED.columns[:2], WIDE, RENAMED.columns[3], STORE)))
    load_rows(with_sales, "new", {"tenant": "acme", "receipt": "b3", "bought_at": NEW_YEAR, "store": "s"})
    before = ask()
    assert with_sales.compact("sales", whole=True).files_after == 1
    assert ask() == before
    assert [row["store"] for row in before] == [None, None, None, "s"]


def test_a_snapshot_of_before_a_change_is_read_as_it_was(with_sales: Lakehouse) -> None:
    pinned = load(with_sales, "one", sale("acme", "b1"))
    with_sales.create(RENAMED)
    planned = with_sales.files(pinned, (ACME,), None)
    assert (planned.schema.names, planned.evolved) == (["tenant", "basket", "value", "sold_at"], False)


def test_loads_and_changes_of_columns_at_once_lose_nothing(with_sales: Lakehouse, ask: Ask) -> None:
    def change(n: int) -> None:
        if n % 2:
            with_sales.create(with_columns(*SALES.columns, TableColumn(f"extra{n}", FieldType.INTEGER)))
        else:
            load(with_sales, f"run{n}", sale("acme", f"b{n}"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(change, range(8)))
    rows = ask()
    assert [row["basket"] for row in rows] == ["b0", "b2", "b4", "b6"]
    assert {"extra1", "extra3", "extra5", "extra7"} < set(rows[0])


def _change_in_a_process(place: Mapping[str, Any], names: list[str]) -> None:
    lakehouse = open_iceberg(**place)
    for name in names:
        lakehouse.create(with_columns(*SALES.columns, TableColumn(name, FieldType.INTEGER)))
    lakehouse.close()


@pytest.mark.slow
def test_two_processes_that_change_the_columns_at_once_both_do(with_sales: Lakehouse, place: Mapping[str, Any]) -> None:
    ours, theirs = ["shared", *(f"a{n}" for n in range(4))], ["shared", *(f"b{n}" for n in range(4))]
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        list(pool.map(_change_in_a_process, [place] * 2, [ours, theirs]))
    columns = with_sales.files(with_sales.current("sales"), None, None).schema.names
    assert sorted(columns) == sorted({*(column.name for column in SALES.columns), *ours, *theirs})


# What other engines change


def theirs(lakehouse: Lakehouse) -> Any:
    """The table as another engine has it."""
    assert isinstance(lakehouse, IcebergLakehouse)
    return lakehouse._catalog.load_table(("jangbu", "sales"))


def test_columns_of_32_bits_are_read_kept_and_widened_where_they_are_defined(with_sales: Lakehouse, ask: Ask) -> None:
    load(with_sales, "one", sale("acme", "b1"))
    table = theirs(with_sales)
    with table.update_schema() as update:
        update.add_column("units", IntegerType())
        update.add_column("weight", FloatType())
    rows = sales(sale("acme", "b2")).append_column("units", [[7]]).append_column("weight", [[0.5]])
    with_sales.commit(with_sales.stage("sales", rows, "two"))
    load(with_sales, "three", drops=(Within(ACME, TimeRange(NEW_YEAR + timedelta(days=1), NEW_YEAR + timedelta(days=2))),))
    with_sales.compact("sales", whole=True)
    assert [(row["basket"], row["units"], row["weight"]) for row in ask()] == [("b1", None, None), ("b2", 7, 0.5)]
    (file,) = with_sales.files(with_sales.current("sales"), None, None).files
    assert rows_at(file.path).schema.field("units").type == pa.int32(), "as the table says"
    assert sorted(row["basket"] for row in theirs(with_sales).scan().to_arrow().to_pylist()) == ["b1", "b2"]
    with_sales.create(with_columns(*SALES.columns, TableColumn("units", FieldType.INTEGER)))
    large = sales(sale("acme", "b3")).append_column("units", pa.array([2**40], pa.int64()))
    with_sales.commit(with_sales.stage("sales", large, "four"))
    assert [row["units"] for row in ask()] == [None, 7, 2**40]


def test_columns_of_other_types_are_left_alone(with_sales: Lakehouse, ask: Ask) -> None:
    load(with_sales, "one", sale("acme", "b1"), sale("acme", "b2"))
    with theirs(with_sales).update_schema() as update:
        update.add_column("tags", ListType(100, StringType(), element_required=False))
    load(with_sales, "two", sale("acme", "b3"))
    assert [row["basket"] for row in ask()] == ["b1", "b2", "b3"]
    with pytest.raises(Unsupported, match="that aren't kept here: tags"):
        load(with_sales, "three", drops=(Keyed(pa.table({"tenant": ["acme"], "basket": ["b1"]})),))
    assert with_sales.compact("sales", whole=True).files_before == 0
    with pytest.raises(Conflict, match="tags is there with a type that isn't kept here"):
        with_sales.create(with_columns(*SALES.columns, TableColumn("tags", FieldType.TEXT)))
    assert [row["basket"] for row in ask()] == ["b1", "b2", "b3"]


def test_other_partitions_are_read_and_not_written(with_sales: Lakehouse, ask: Ask) -> None:
    load(with_sales, "one", sale("acme", "b1"))
    with theirs(with_sales).update_spec() as update:
        update.add_field("sold_at", DayTransform(), "by_day")
    assert [row["basket"] for row in ask()] == ["b1"]
    with pytest.raises(Unsupported, match="partitioned the table 'sales' by day"):
        with_sales.stage("sales", sales(sale("acme", "b2")), "two")
