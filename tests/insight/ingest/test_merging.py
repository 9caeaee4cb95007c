"""Rows that take the place of those with their key, for one tenant and for many at once."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest_place import SALES, SHOP, LakehouseWith, Place, day, days, sales

from jangbu.insight.ingest.contracts import LoadMode, LoadResult
from jangbu.insight.ingest.facade import Delivery, Ingest
from jangbu.kernel.errors import LoadError, UnknownName
from jangbu.kernel.tenancy import TenantId

OTHER = TenantId("other")
BY_PRODUCT = ("product",)


def merge(place: Place, rows: pa.Table, keys: tuple[str, ...] = BY_PRODUCT, tenant: TenantId = SHOP, **more: Any) -> LoadResult:
    return place.ingest.load(SALES, tenant=tenant, batches=rows, mode=LoadMode.MERGE, keys=keys, **more)


def prices(place: Place, tenant: TenantId = SHOP) -> dict[str, str]:
    return {row["product"]: f"{row['price'].normalize():f}" for row in place.rows(tenant=tenant)}


def test_a_row_takes_the_place_of_the_one_with_its_key_and_else_is_new(place: Place) -> None:
    merge(place, sales(("apple", "1", day(1)), ("bread", "2", day(2))))
    result = merge(place, sales(("bread", "3", day(2)), ("cake", "4", day(3))))
    assert (result.rows, result.version, result.repeated) == (2, 2, 0)
    assert prices(place) == {"apple": "1", "bread": "3", "cake": "4"}


def test_the_old_row_is_found_in_whatever_month_it_is(place: Place) -> None:
    merge(place, sales(("apple", "1", day(1, month=1)), ("bread", "2", None)))
    merge(place, sales(("apple", "5", day(1, month=7)), ("bread", "6", day(1))))
    assert prices(place) == {"apple": "5", "bread": "6"}


def test_every_key_column_has_to_agree(place: Place) -> None:
    keys = ("product", "sold_at")
    merge(place, sales(("apple", "1", day(1)), ("apple", "2", day(2))), keys)
    merge(place, sales(("apple", "9", day(2)), ("bread", "3", day(1))), keys)
    assert [(row["product"], row["price"]) for row in place.rows()] == [
        ("apple", Decimal(1)),
        ("apple", Decimal(9)),
        ("bread", Decimal(3)),
    ]


def test_of_rows_that_share_a_key_the_last_counts_and_the_others_are_told(place: Place) -> None:
    result = merge(place, sales(("apple", "1", day(1)), ("bread", "2", day(1)), ("apple", "3", day(1))))
    assert (result.rows, result.repeated) == (2, 1)
    assert prices(place) == {"apple": "3", "bread": "2"}
    assert [(load.rows, load.repeated, load.keys) for load in place.ingest.loads([SHOP])] == [(2, 1, BY_PRODUCT)]


def test_other_tenants_of_the_same_keys_are_left_alone(place: Place) -> None:
    for tenant in (SHOP, OTHER):
        merge(place, sales(("apple", "1", day(1))), tenant=tenant)
    merge(place, sales(("apple", "2", day(1))))
    assert (prices(place), prices(place, OTHER)) == ({"apple": "2"}, {"apple": "1"})


def test_the_same_merge_again_changes_nothing_but_after_another_it_is_put_back(place: Place) -> None:
    paid, refunded = sales(("order", "1", day(1))), sales(("order", "0", day(1)))
    assert [merge(place, rows).changed for rows in (paid, paid, refunded, paid)] == [True, False, True, True]
    assert prices(place) == {"order": "1"}


def test_a_merge_of_nothing_changes_no_row(place: Place) -> None:
    merge(place, sales(("apple", "1", day(1))))
    assert merge(place, sales()).version == 2
    assert prices(place) == {"apple": "1"}


@pytest.mark.parametrize(("mode", "keys"), [(LoadMode.MERGE, ()), (LoadMode.APPEND, BY_PRODUCT), (LoadMode.REPLACE, BY_PRODUCT)])
def test_keys_belong_to_a_merge(place: Place, mode: LoadMode, keys: tuple[str, ...]) -> None:
    with pytest.raises(LoadError, match=mode.value):
        place.ingest.load(SALES, tenant=SHOP, batches=sales(), mode=mode, keys=keys)


@pytest.mark.parametrize("key", ["prodcut", "tenant"])
def test_a_key_is_a_column_of_the_rows(place: Place, key: str) -> None:
    with pytest.raises(UnknownName, match=key):
        merge(place, sales(), (key,))


def test_a_row_without_its_key_is_refused(place: Place) -> None:
    with pytest.raises(LoadError, match=r"no 'product', which is a key"):
        merge(place, sales((None, "1", day(1))))
    assert place.data_files() == 0


MERGES = st.lists(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 9), st.sampled_from([day(1), day(2), day(9, month=5)])), max_size=5),
    min_size=1,
    max_size=4,
)


@settings(max_examples=15, deadline=None)
@given(MERGES, st.sampled_from([("product",), ("product", "sold_at")]))
def test_merges_are_what_a_dict_would_do(tmp_path_factory: Any, loads: list[list[Any]], keys: tuple[str, ...]) -> None:
    place = Place(tmp_path_factory.mktemp("merges"))
    model: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for number, rows in enumerate(loads):
        merge(place, sales(*((name, str(price), at) for name, price, at in rows)), keys, content=f"load {number}")
        model |= {(row[0], row[2]) if len(keys) == 2 else (row[0],): row for row in rows}
    found = sorted((row["product"], int(row["price"]), row["sold_at"]) for row in place.rows())
    assert found == sorted(model.values())
    place.close()


# Many tenants at once


def delivery(tenant: str, rows: pa.Table, content: str | None = None, **more: Any) -> Delivery:
    return Delivery(TenantId(tenant), lambda: rows, content or f"{tenant} {rows.num_rows}", **more)


@pytest.mark.parametrize("mode", [LoadMode.APPEND, LoadMode.REPLACE, LoadMode.MERGE])
def test_many_tenants_are_loaded_by_one_commit(place: Place, mode: LoadMode) -> None:
    keys = BY_PRODUCT if mode is LoadMode.MERGE else ()
    tenants = [f"t{number}" for number in range(20)]
    for name in tenants:
        place.ingest.load(SALES, tenant=TenantId(name), batches=sales(("old", "1", day(1))), mode=LoadMode.APPEND)
    before = snapshots(place)
    rows = sales(("old", "2", day(1)), ("new", "3", day(2)))
    results = place.ingest.load_many(SALES, [delivery(name, rows) for name in tenants], mode=mode, keys=keys)
    assert [(each.tenant, each.rows, each.version) for each in results] == [(name, 2, 2) for name in tenants]
    assert snapshots(place) == before + 1
    wanted = ["new", "old", "old"] if mode is LoadMode.APPEND else ["new", "old"]
    assert all(place.products(TenantId(name)) == wanted for name in tenants)
    assert {payload["tenant"] for _, payload in place.events()[-20:]} == set(tenants)


def snapshots(place: Place) -> int:
    return place.lakehouse.state("sales").snapshots


def test_what_was_delivered_before_is_not_read_again(place: Place) -> None:
    first = place.ingest.load_many(SALES, [delivery("a", sales(("x", "1", day(1))))], mode=LoadMode.APPEND)
    deliveries = [delivery("b", sales(("y", "1", day(1)))), Delivery(TenantId("a"), lambda: pytest.fail("read"), "a 1")]
    results = place.ingest.load_many(SALES, deliveries, mode=LoadMode.APPEND)
    assert [(each.tenant, each.changed) for each in results] == [("b", True), ("a", False)]
    assert results[1].version == first[0].version
    assert snapshots(place) == 2


def test_one_bad_delivery_leaves_none_of_them(place: Place) -> None:
    bad = Delivery(TenantId("bad"), lambda: sales(("x", "1", None)), "bad", days(1, 5))
    with pytest.raises(LoadError, match="sold_at"):
        place.ingest.load_many(SALES, [delivery("good", sales(("x", "1", day(1)))), bad], mode=LoadMode.REPLACE)
    assert (place.version(tenant=TenantId("good")), place.data_files()) == (0, 0)


def test_a_tenant_has_one_delivery(place: Place) -> None:
    twice = [delivery("a", sales()), delivery("a", sales(("x", "1", day(1))))]
    with pytest.raises(LoadError, match="'a' has two deliveries"):
        place.ingest.load_many(SALES, twice, mode=LoadMode.APPEND)


def test_deliveries_that_another_process_loads_meanwhile_are_done_once(place: Place) -> None:
    rows = sales(("x", "1", day(1)))

    def stage_late(*arguments: Any) -> Any:
        staged = place.lakehouse.stage(*arguments)
        place.ingest.load_many(SALES, [delivery("a", rows)], mode=LoadMode.APPEND)
        return staged

    slow = Ingest(place.database, LakehouseWith(place.lakehouse, stage=stage_late), place.clock)  # type: ignore[arg-type]
    results = slow.load_many(SALES, [delivery("a", rows), delivery("b", rows)], mode=LoadMode.APPEND)
    assert [(each.tenant, each.changed) for each in results] == [("a", False), ("b", True)]
    assert place.products(TenantId("a")) == place.products(TenantId("b")) == ["x"]


def test_as_of_never_goes_back_by_a_merge(place: Place) -> None:
    merge(place, sales(("a", "1", day(1))), as_of=datetime(2026, 1, 2, tzinfo=UTC))
    merge(place, sales(("b", "1", day(1))), as_of=datetime(2026, 1, 1, tzinfo=UTC))
    loads = place.ingest.loads([SHOP])
    assert all(later.as_of >= earlier.as_of for later, earlier in pairwise(loads))
