"""A mistake in a definition is told with file, line and what was meant; `check` tells all of them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from jangbu.insight.catalog.loader import Layer
from jangbu.insight.catalog.service import check, load
from jangbu.kernel.errors import CatalogError

Edit = Callable[[str, str, str], Path]

ORDERS, MEASURES = "orders.yml", "order_measures.yml"

VISIBLE_AT_LOADING = [
    (
        ORDERS,
        "default_time_field:",
        "default_time_feild:",
        23,
        "no key 'default_time_feild' here. Did you mean 'default_time_field'",
    ),
    (ORDERS, "weight: {type: double}", "weight: {type: float}", 15, "'type' can't be 'float'"),
    (ORDERS, "price: {type: decimal}", "Price: {type: decimal}", 13, "'Price' can't be a name"),
    (ORDERS, "label: {ko: 주문, en: Orders}", "label: {ko: 주문}", 4, "'en' is missing"),
    (ORDERS, "label: {ko: 주문, en: Orders}", "label: Orders", 4, "'label'"),
    (ORDERS, "kind: data_source", "kind: data_sources", 2, "no kind 'data_sources' here. Did you mean 'data_source'"),
    (ORDERS, "kind: data_source\n", "", 1, "'kind' is missing"),
    (ORDERS, "version: 1", "version: 2", 1, "'version' can't be 2"),
    (ORDERS, "name: orders", "name: tenant", 3, "can't be a data source's name"),
    (ORDERS, "{kind: column, column: tenant}", "{kind: column}", 7, "names no column"),
    (ORDERS, "{kind: column, column: tenant}", "{kind: column, column: tennant}", 7, "'tennant'. Did you mean 'tenant'"),
    (ORDERS, "{kind: column, column: tenant}", "{kind: column, column: count}", 7, "text is needed"),
    (ORDERS, "{kind: column, column: tenant}", "{kind: shared, column: tenant}", 7, "has no column"),
    (ORDERS, "{constant: KRW}", "{constant: won}", 8, "ISO 4217"),
    (ORDERS, "{constant: KRW}", "{constant: KRW, column: item}", 8, "a column or a constant"),
    (ORDERS, "column: ordered_at, label", "column: order_at, label", 21, "'order_at'. Did you mean 'ordered_at'"),
    (ORDERS, "column: ordered_at, label", "column: price, label", 21, "not a time"),
    (ORDERS, "zone: Asia/Seoul", "zone: Asia/Soul", 22, "no time zone 'Asia/Soul'"),
    (ORDERS, "en: Ordered at}", "en: Ordered at}, zone: Asia/Seoul", 21, "An instant needs no zone"),
    (
        ORDERS,
        "default_time_field: ordered_at",
        "personal: {buyer: {column: itme}}\ndefault_time_field: ordered_at",
        23,
        "'itme'. Did you mean 'item'",
    ),
    (
        ORDERS,
        "default_time_field: ordered_at",
        "personal: {buyer: {column: item, also: [ordered_at]}}\ndefault_time_field: ordered_at",
        23,
        "tells tenants or times apart",
    ),
    (
        ORDERS,
        "default_time_field: ordered_at",
        "personal: {buyer: {column: price}}\ndefault_time_field: ordered_at",
        23,
        "is text or an integer",
    ),
    (ORDERS, "default_time_field: ordered_at", "default_time_field: paid_at", 23, "no time field 'paid_at'"),
    (ORDERS, "default_time_field: ordered_at\n", "", 20, "must be 'default_time_field'"),
    (ORDERS, "data_source: items", "data_source: item", 25, "no data source 'item'. Did you mean 'items'"),
    (ORDERS, "on: {item: item}", "on: {item: itme}", 25, "column of 'items' named 'itme'. Did you mean 'item'"),
    (ORDERS, "on: {item: item}", "on: {count: item}", 25, "different types: integer and text"),
    (ORDERS, "on: {item: item}", "on: {}", 25, "'on'"),
    (ORDERS, "cardinality: one", "cardinality: few", 25, "Give one of one, many"),
    (ORDERS, "column: items.category", "column: itmes.category", 28, "no relation 'itmes'. Did you mean 'items'"),
    (ORDERS, "column: items.category", "column: items.categry", 28, "no column 'categry'. Did you mean 'category'"),
    (ORDERS, "column: items.category", "label: {ko: 분, en: C}", 29, "'label' comes twice"),
    (ORDERS, "    formula: hour_of_day(ordered_at)\n", "", 36, "a column or a formula"),
    (ORDERS, "hierarchy: [category]", "hierarchy: [categories]", 35, "no dimension 'categories'. Did you mean 'category'"),
    (ORDERS, "hierarchy: [category]", "hierarchy: [item]", 35, "below it"),
    (ORDERS, "  hour:\n", "  time:\n", 36, "can't be a dimension's name"),
    (MEASURES, "data_source: orders", "data_source: order", 3, "no data source 'order'. Did you mean 'orders'"),
    (MEASURES, "name: buyers", "name: item", 13, "has a dimension 'item' too"),
    (MEASURES, "name: buyers", "name: shipped_on", 13, "has a time field 'shipped_on' too"),
    (MEASURES, "name: tea_revenue", "name: tea_change", 19, "a comparison's columns end so"),
    (MEASURES, "kind: distinct", "kind: simple", 14, "Its kind is distinct"),
    (MEASURES, "kind: distinct", "kind: distnict", 14, "no kind 'distnict' here. Did you mean 'distinct'"),
    (MEASURES, "count_distinct(order)", "sum(price)", 14, "Its kind is simple"),
    (MEASURES, "sum(price)", "median(price)", 21, "no aggregate 'median'"),
    (MEASURES, "sum(price)", "sum(price) - 1", 21, "isn't one aggregate"),
    (MEASURES, "field: category", "field: categry", 22, "'categry'. Did you mean 'category'"),
    (MEASURES, "op: in, values", "op: inn, values", 22, "no operator 'inn'"),
    (MEASURES, "values: [TEA, HERBS]", "values: []", 22, "takes at least 1 values"),
    (MEASURES, "numerator: revenue", "numerator: revenu", 28, "'revenu'. Did you mean 'revenue'"),
    (MEASURES, "denominator: buyers", "denominator: item.stock", 29, "no data source 'item'"),
    (MEASURES, "revenue / items.stock", "revenue / items.stok", 41, "measure of 'items' named 'stok'. Did you mean 'stock'"),
    (
        MEASURES,
        "numerator: revenue",
        "numerator: revenue_per_buyer",
        28,
        "made of itself: orders.revenue_per_buyer → orders.revenue_per_buyer",
    ),
    (MEASURES, "revenue / items.stock", "revenue / revenue_by_stock", 41, "made of itself"),
]

VISIBLE_AT_CHECKING = [
    (ORDERS, "hour_of_day(ordered_at)", "hour_of_day(shipped_on)", 37, "takes instant, local_timestamp; 'shipped_on' is date"),
    (ORDERS, "hour_of_day(ordered_at)", "hours(ordered_at)", 37, "no function 'hours'"),
    (ORDERS, "type: integer\n    label", "type: text\n    label", 38, "declared text, but is integer"),
    (
        MEASURES,
        "price * count",
        "read_csv('/etc/passwd') * count",
        7,
        "no function 'read_csv' in formulas. Known are: if, coalesce",
    ),
    (MEASURES, "price * count", "prise * count", 7, "no column 'prise'. Did you mean 'price'"),
    (MEASURES, "price * count", "items.price * count", 7, "'items' has no column 'price'"),
    (MEASURES, "price * count", "shops.price * count", 7, "no relation 'shops'. Known are: items"),
    (MEASURES, "sum(price)", "sum(item)", 21, "'sum' takes numbers; 'item' is text"),
    (MEASURES, "op: in, values: [TEA, HERBS]", "op: gt, values: [1]", 22, "'gt' can't be asked of 'category', which is text"),
    (MEASURES, "values: [TEA, HERBS]", "values: [1]", 22, "1 can't be a value of 'category'"),
    (
        MEASURES,
        "formula: count_distinct(order)",
        "formula: count_distinct(order)\n    additivity: additive",
        16,
        "its formula is none",
    ),
    (MEASURES, "tea_revenue * 1.5", "round(tea_revenue, 1)", 35, "has no functions; this calls 'round'"),
    (MEASURES, "revenue / items.stock", "revenue > items.stock", 41, "arithmetic over measures"),
]


@pytest.mark.parametrize(("file", "old", "new", "line", "words"), VISIBLE_AT_LOADING)
def test_loading_stops_at_a_mistake_and_says_where(edit: Edit, file: str, old: str, new: str, line: int, words: str) -> None:
    shop = edit(file, old, new)
    with pytest.raises(CatalogError) as caught:
        load([Layer("shop", shop)])
    assert words in str(caught.value)
    told = [(error.file, error.line, str(error)) for error in check([Layer("shop", shop)])]
    assert (str(shop / file), line) in [(at, number) for at, number, text in told if words in text], told


@pytest.mark.parametrize(("file", "old", "new", "line", "words"), VISIBLE_AT_CHECKING)
def test_checking_parses_every_formula(edit: Edit, file: str, old: str, new: str, line: int, words: str) -> None:
    shop = edit(file, old, new)
    load([Layer("shop", shop)])
    found = check([Layer("shop", shop)])
    assert [(error.file, error.line) for error in found] == [(str(shop / file), line)]
    assert words in str(found[0])


def test_definitions_without_a_mistake_check_out(shop: Path) -> None:
    assert check([Layer("shop", shop)]) == []


def test_checking_collects_every_mistake_by_file_and_line(edit: Edit) -> None:
    edit(MEASURES, "sum(price)", "sum(prise)")
    edit(MEASURES, "numerator: revenue", "numerator: revenu")
    edit(ORDERS, "column: items.category", "column: items.kind")
    edit(ORDERS, "zone: Asia/Seoul", "zone: Nowhere")
    shop = edit("items.yml", "stock: {type: integer}", "stock: {type: whole}")
    places = [(Path(error.file or "").name, error.line) for error in check([Layer("shop", shop)])]
    assert ("items.yml", 11) in places
    assert ("orders.yml", 22) in places
    assert ("order_measures.yml", 28) in places
    assert places == sorted(places)


def test_a_mistake_does_not_keep_the_formulas_beside_it_from_being_checked(edit: Edit) -> None:
    edit(ORDERS, "hierarchy: [category]", "hierarchy: [nothing]")
    edit(MEASURES, "numerator: revenue", "numerator: revenu")
    shop = edit(MEASURES, "price * count", "prise * count")
    lines = [(Path(error.file or "").name, error.line) for error in check([Layer("shop", shop)])]
    assert lines == [("order_measures.yml", 7), ("order_measures.yml", 28), ("orders.yml", 35)]


def test_what_refers_to_a_file_with_a_mistake_is_not_blamed(edit: Edit) -> None:
    shop = edit("items.yml", "stock: {type: integer}", "stock: {type: whole}")
    assert [(Path(error.file or "").name, error.line) for error in check([Layer("shop", shop)])] == [("items.yml", 11)]


def test_a_longer_cycle_is_told_once_with_its_way(edit: Edit) -> None:
    edit(MEASURES, "numerator: revenue", "numerator: other_revenue")
    shop = edit(MEASURES, "revenue - tea_revenue * 1.5", "revenue_per_buyer * 2")
    found = [str(error) for error in check([Layer("shop", shop)])]
    assert len(found) == 1
    assert "orders.revenue_per_buyer → orders.other_revenue → orders.revenue_per_buyer" in found[0]
