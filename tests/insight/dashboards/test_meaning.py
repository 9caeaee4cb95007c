"""What a question means, by small examples worked by hand: relations and fan-out, times of several kinds, currencies, tenants."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.world import World

from jangbu.insight.catalog.contracts import Separation, SeparationKind
from jangbu.insight.dashboards.data_layer.outside import OutsideTables
from jangbu.insight.dashboards.data_layer.pins import Pinning
from jangbu.insight.dashboards.requests import request_of
from jangbu.insight.ingest.contracts import LoadMode
from jangbu.kernel.errors import Forbidden, InvalidRequest, InvalidTime, OutOfBounds, StorageError, UnknownName, Unsupported
from jangbu.kernel.tenancy import Principal, TenantId

MARKET = Path(__file__).parents[2] / "fixtures" / "definitions" / "market"
NOW = datetime(2024, 3, 10, 3, 0, tzinfo=UTC)


def order(number: int, product: str, amount: str, at: str, currency: str = "KRW", **more: Any) -> dict[str, Any]:
    """An order; `at` is the instant in UTC."""
    row = {"order": f"o{number}", "product": product, "amount": Decimal(amount), "currency": currency}
    return row | {"ordered_at": datetime.fromisoformat(at).replace(tzinfo=UTC)} | more


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World.at(tmp_path_factory.mktemp("shop"), [MARKET])
    for name, zone, currency in (("kim", "Asia/Seoul", "KRW"), ("lee", "Asia/Seoul", "KRW"), ("poe", "America/New_York", "USD")):
        world.tenant(name, zone, currency, NOW)
    world.load("products", None, [{"product": "p1", "category": "food"}, {"product": "p2", "category": "toys"}])
    world.load("tags", "kim", [{"product": "p1", "tag": "new"}, {"product": "p1", "tag": "hot"}, {"product": "p2", "tag": "hot"}])
    world.load("tags", "lee", [{"product": "p1", "tag": "old"}])
    rows = [
        order(1, "p1", "100", "2024-03-01T15:30:00", customer="a", paid_at=datetime(2024, 3, 5, tzinfo=UTC)),
        order(2, "p1", "50", "2024-03-02T14:59:00", customer="b", delivered_on=date(2024, 3, 4)),
        order(3, "p2", "30", "2024-03-02T15:00:00", customer="a", opened_at=datetime(2024, 3, 6, 9, 30)),  # noqa: DTZ001 - a wall clock
        order(4, "p9", "7", "2024-03-09T23:00:00", customer=None),
    ]
    world.load("orders", "kim", rows)
    world.load("orders", "lee", [order(1, "p1", "1000", "2024-03-02T00:00:00", customer="a")])
    world.load(
        "orders", "poe", [order(1, "p1", "5", "2024-03-02T00:00:00", "USD"), order(2, "p1", "6", "2024-03-02T01:00:00", "EUR")]
    )
    world.load("spend", "kim", [{"category": "food", "cost": Decimal(60), "day": date(2024, 3, 2)}])
    yield world
    world.close()


def ask(shop: World, *tenants: str, **request: Any) -> list[list[Any]]:
    asked = {"data_source": "orders", "measures": ["revenue"]} | request
    return shop.rows(asked, *(tenants or ("kim",)))


def refused(shop: World, error: type[Exception], *tenants: str, **request: Any) -> Exception:
    with pytest.raises(error) as caught:
        ask(shop, *tenants, **request)
    return caught.value


# Relations


def test_rows_without_a_related_row_show_as_null(shop: World) -> None:
    assert ask(shop, dimensions=["category"]) == [["food", 150], ["toys", 30], [None, 7]]


def test_a_row_counts_once_in_each_group_that_it_belongs_to(shop: World) -> None:
    rows = ask(shop, dimensions=["tag"], measures=["revenue", "orders"], totals=True)
    assert rows == [["hot", 180, 3], ["new", 150, 2], [None, 7, 1]]


def test_the_total_over_a_relation_that_multiplies_counts_each_row_once(shop: World) -> None:
    totals = shop.ask({"data_source": "orders", "measures": ["revenue"], "dimensions": ["tag"], "totals": True}, "kim").totals
    assert totals is not None
    assert totals.column("revenue")[0].as_py() == 187


def test_filtered_by_a_relation_that_multiplies_a_row_counts_once(shop: World) -> None:
    assert ask(shop, filter={"field": "tag", "op": "in", "values": ["hot", "new"]}) == [[180]]


def test_not_a_tag_means_none_of_its_tags(shop: World) -> None:
    assert ask(shop, filter={"field": "tag", "op": "not_equals", "values": ["new"]}) == [[37]]
    assert ask(shop, filter={"not": {"field": "tag", "op": "equals", "values": ["hot"]}}) == [[7]]
    assert ask(shop, filter={"field": "tag", "op": "is_null"}) == [[7]]
    assert ask(shop, filter={"field": "tag", "op": "is_not_null"}) == [[180]]


def test_grouped_by_tag_a_filter_on_tags_keeps_those_groups(shop: World) -> None:
    assert ask(shop, dimensions=["tag"], filter={"field": "tag", "op": "equals", "values": ["new"]}) == [["new", 150]]


def test_relations_of_several_tenants_stay_apart(shop: World) -> None:
    rows = ask(shop, "kim", "lee", dimensions=["tenant", "tag"])
    assert rows == [["kim", "hot", 180], ["kim", "new", 150], ["kim", None, 7], ["lee", "old", 1000]]


def test_a_measure_with_a_condition_over_a_relation(shop: World) -> None:
    assert ask(shop, measures=["food_revenue", "revenue"]) == [[150, 187]]


# Times


def test_a_day_is_a_day_of_the_tenants_zone(shop: World) -> None:
    rows = ask(shop, time_frequency="day")
    assert rows == [[date(2024, 3, 2), 150], [date(2024, 3, 3), 30], [date(2024, 3, 10), 7]]


def test_a_measure_goes_by_its_own_time(shop: World) -> None:
    rows = ask(shop, measures=["orders", "paid_orders"], time={"range": ["2024-03-02", "2024-03-05"]}, time_frequency="day")
    assert rows == [[date(2024, 3, 2), 2, 0], [date(2024, 3, 3), 1, 0], [date(2024, 3, 5), 0, 1]]


def test_a_wall_clock_time_answers_in_its_own_zone_only(shop: World) -> None:
    time = {"field": "opened_at", "range": "2024-03"}
    rows = ask(shop, time=time, time_frequency="hour")
    assert [[row[0].isoformat(), row[1]] for row in rows] == [["2024-03-06T09:00:00+09:00", 30]]
    assert "Asia/Seoul" in str(refused(shop, InvalidTime, time=time | {"zone": "UTC"}, time_frequency="day"))


def test_a_finer_question_than_a_field_can_answer_is_refused(shop: World) -> None:
    assert "hour" in str(refused(shop, InvalidTime, time={"field": "opened_at", "range": "2024-03"}, time_frequency="minute"))
    assert "day" in str(refused(shop, InvalidTime, time={"field": "delivered_on", "range": "2024-03"}, time_frequency="hour"))


def test_days_cant_be_cut_within(shop: World) -> None:
    whole = {"field": "delivered_on", "range": ["2024-03-03T15:00:00Z", "2024-03-04T15:00:00Z"]}
    assert ask(shop, time=whole) == [[50]]
    refused(shop, InvalidTime, time=whole | {"range": ["2024-03-03T15:30:00Z", "2024-03-04T15:00:00Z"]})


def test_parts_of_the_wall_clock(shop: World) -> None:
    assert ask(shop, dimensions=["weekday", "hour"]) == [[6, 0, 100], [6, 23, 50], [7, 0, 30], [7, 8, 7]]
    assert ask(shop, dimensions=["hour"], time={"zone": "UTC"}) == [[14, 50], [15, 130], [23, 7]]


def test_a_relative_date_in_a_filter_is_resolved_in_the_zone(shop: World) -> None:
    assert ask(shop, filter={"field": "ordered_at", "op": "on", "values": ["today"]}) == [[7]]
    assert ask(shop, filter={"field": "ordered_at", "op": "in_range", "values": ["last 8 days"]}) == [[37]]


# Several data sources as one


def test_two_sources_merge_on_the_dimension_that_both_have(shop: World) -> None:
    request = {"data_source": ["orders", "spend"], "measures": ["revenue", "cost"], "dimensions": ["category"], "currency": "KRW"}
    assert shop.rows(request, "kim") == [["food", 150, 60], ["toys", 30, 0], [None, 7, 0]]


def test_a_ratio_across_sources(shop: World) -> None:
    assert ask(shop, measures=["return_on_ad_spend"], dimensions=["category"], currency="KRW", order=[{"field": "category"}]) == [
        ["food", 2.5],
        ["toys", None],
        [None, None],
    ]


def test_a_dimension_that_only_one_source_has_is_refused(shop: World) -> None:
    request = {"data_source": ["orders", "spend"], "measures": ["revenue", "cost"], "dimensions": ["customer"], "currency": "KRW"}
    with pytest.raises(Unsupported) as caught:
        shop.rows(request, "kim")
    assert caught.value.known == ("category",)


def test_a_condition_that_names_one_source_acts_on_that_one(shop: World) -> None:
    filter_ = {"field": "orders.customer", "op": "equals", "values": ["a"]}
    request = {"data_source": ["orders", "spend"], "measures": ["revenue", "cost"], "filter": filter_, "currency": "KRW"}
    assert shop.rows(request, "kim") == [[130, 60]]


# Money


def test_money_is_told_in_the_rows_currency(shop: World) -> None:
    answer = shop.ask({"data_source": "orders", "measures": ["revenue", "orders"]}, "kim")
    assert [column.unit for column in answer.columns] == ["KRW", "count"]


def test_sums_of_mixed_currencies_are_refused_until_one_is_given(shop: World) -> None:
    error = refused(shop, Unsupported, "poe")
    assert isinstance(error, Unsupported)
    assert error.known == ("EUR", "USD")
    assert ask(shop, "poe", currency="EUR") == [[6]]
    assert ask(shop, "poe", measures=["orders"]) == [[2]]


def test_two_sources_of_different_money_are_refused(shop: World) -> None:
    request = {"data_source": ["orders", "spend"], "measures": ["revenue", "cost"], "currency": "USD"}
    with pytest.raises(InvalidRequest):
        shop.rows(request, "poe")


# Tenants


def test_tenants_of_different_zones_need_one_zone(shop: World) -> None:
    assert "zone" in str(refused(shop, InvalidRequest, "kim", "poe", measures=["orders"], time_frequency="day"))
    rows = ask(shop, "kim", "poe", measures=["orders"], dimensions=["tenant"], time={"zone": "UTC"})
    assert rows == [["kim", 4], ["poe", 2]]


def test_a_tenant_that_isnt_held_is_forbidden_whether_or_not_it_exists(shop: World) -> None:
    for name in ("lee", "nobody"):
        error = refused(shop, Forbidden, "kim", tenants=[name])
        assert isinstance(error, Forbidden)
        assert error.known == ("kim",)


def test_a_shared_source_cant_be_split_by_tenant(shop: World) -> None:
    with pytest.raises(UnknownName):
        shop.dashboards.values(Principal((TenantId("kim"),)), "products", "tenant")


def test_a_source_on_servers_of_the_tenants_own_is_not_looked_for_in_the_lakehouse(shop: World) -> None:
    own = replace(shop.catalog.data_sources["orders"], separation=Separation(SeparationKind.CONNECTION))
    pinning = Pinning(shop.lakehouse, shop.ingest, OutsideTables(shop.ingest))
    with pytest.raises(Unsupported):
        pinning.files(pinning.pin([own], (TenantId("kim"),)), own, None, None)


# Versions and answers


def test_the_answer_tells_which_data_it_saw(shop: World) -> None:
    meta = shop.ask({"data_source": "orders", "measures": ["orders"]}, "kim", "lee").meta
    assert meta.data_versions == {"orders": {"kim": 1, "lee": 1}}
    assert meta.now == NOW
    assert meta.as_of["orders"] is not None
    assert [leg.server for leg in meta.legs] == ["duckdb"]


def test_a_source_without_data_answers_empty_and_says_so(tmp_path: Path) -> None:
    world = World.at(tmp_path, [MARKET])
    world.tenant("kim", "Asia/Seoul", "KRW", NOW)
    answer = world.ask({"data_source": "orders", "measures": ["orders"], "dimensions": ["category"]}, "kim")
    assert answer.table.num_rows == 0
    assert answer.meta.warnings == ("'orders' has no data yet.", "'products' has no data yet.")
    world.close()


def test_data_that_were_loaded_and_are_gone_are_not_taken_for_none(tmp_path: Path) -> None:
    world = World.at(tmp_path, [MARKET])
    world.tenant("kim", "Asia/Seoul", "KRW", NOW)
    world.load("orders", "kim", [order(1, "p1", "1", "2024-03-02T00:00:00")], mode=LoadMode.APPEND)
    world.close()
    for file in tmp_path.rglob("catalog.db*"):
        file.unlink()
    world = World.at(tmp_path, [MARKET])
    with pytest.raises(StorageError, match="'orders' was loaded, but the lakehouse has no table 'orders'"):
        world.ask({"data_source": "orders", "measures": ["orders"]}, "kim")
    with pytest.raises(StorageError, match="'orders' was loaded, but the lakehouse has no table 'orders'"):
        world.load("orders", "kim", [order(2, "p1", "1", "2024-03-02T00:00:00")], mode=LoadMode.APPEND)
    world.close()


def test_a_reload_is_one_new_version(tmp_path: Path) -> None:
    world = World.at(tmp_path, [MARKET])
    world.tenant("kim", "Asia/Seoul", "KRW", NOW)
    for number, amount in enumerate(("1", "2"), start=1):
        rows = [order(1, "p1", amount, "2024-03-02T00:00:00")]
        world.load("orders", "kim", rows, mode=LoadMode.REPLACE, content=amount)
        answer = world.ask({"data_source": "orders", "measures": ["revenue"]}, "kim")
        assert answer.meta.data_versions == {"orders": number}
        assert answer.table.column("revenue").to_pylist() == [Decimal(amount)]
    world.close()


def test_explain_tells_the_plan_and_runs_nothing(shop: World) -> None:
    request = request_of(
        {
            "data_source": "orders",
            "measures": ["revenue"],
            "dimensions": ["category"],
            "filter": {
                "and": [{"field": "revenue", "op": "gt", "values": [1]}, {"field": "customer", "op": "equals", "values": ["a"]}]
            },
            "currency": "KRW",
        }
    )
    found = shop.dashboards.explain(Principal((TenantId("kim"),)), request)
    assert found.filter == "revenue over 1 and customer is a"
    assert found.plan.splitlines()[0] == "Present(order: default; offset 0; limit 10000)"
    assert "Having(revenue over 1)" in found.plan
    assert [leg["purpose"] for leg in found.legs] == ["current"]
    assert shop.lakehouse.root() not in found.legs[0]["sql"]


def test_values_of_a_dimension_page_in_code_point_order(shop: World) -> None:
    who = Principal((TenantId("kim"),))
    first = shop.dashboards.values(who, "orders", "tag", limit=1)
    assert (first.values, first.next_offset) == (("hot",), 1)
    last = shop.dashboards.values(who, "orders", "tag", limit=1, offset=1)
    assert (last.values, last.next_offset) == (("new",), None)
    assert shop.dashboards.values(who, "orders", "tag", search="HO").values == ("hot",)


# Bounds


def test_what_does_not_add_over_time_is_refused_rather_than_summed(shop: World) -> None:
    assert "over time" in str(refused(shop, Unsupported, measures=["balance"]))


def test_a_fill_that_would_make_too_many_rows_is_refused(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jangbu.insight.dashboards.dashboard_layer.answering.MAX_FILLED", 60)
    time = {"range": "2024-03", "fill": True}
    assert len(ask(shop, measures=["orders"], time=time, time_frequency="day")) == 31
    error = refused(shop, OutOfBounds, measures=["orders"], dimensions=["customer"], time=time, time_frequency="day")
    assert "3 groups x 31 buckets" in str(error)


def test_more_groups_than_can_be_merged_are_refused(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jangbu.insight.dashboards.dashboard_layer.answering.MAX_GROUPS", 2)
    analysis = {"analysis": {"kind": "abc"}, "measures": ["orders"]}
    assert "more than 2 groups" in str(refused(shop, OutOfBounds, dimensions=["customer"], **analysis))
    assert len(ask(shop, dimensions=["customer"], measures=["orders"])) == 3


def test_an_answer_waits_for_a_commit_under_way_but_not_for_one_that_died(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[bool] = []

    def still_open(*_: object) -> bool:
        looks.append(True)
        return len(looks) < 3

    monkeypatch.setattr(type(shop.ingest), "has_open_intent", still_open)
    assert ask(shop, measures=["orders"]) == [[4]]
    assert len(looks) == 3
    monkeypatch.setattr(type(shop.ingest), "has_open_intent", lambda *_: True)
    assert ask(shop, measures=["orders"]) == [[4]]
