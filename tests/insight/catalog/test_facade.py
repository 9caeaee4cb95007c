"""Who sees which definitions, and finding one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from jangbu.insight.catalog.facade import CatalogFacade
from jangbu.kernel.errors import AmbiguousName, CatalogError, ConfigurationError, UnknownName
from jangbu.kernel.tenancy import TenantId, tenant_id

Edit = Callable[[str, str, str], Path]

ACME, OTHER = tenant_id("acme"), tenant_id("other")
OWN = """
version: 1
kind: measures
data_source: orders
measures:
  - {name: gifts, kind: simple, formula: "sum(if(gift, 1, 0))", format: integer,
     label: {ko: 선물, en: Gifts}, description: {ko: 선물이에요., en: Gifts.}}
"""


@pytest.fixture
def tenants(tmp_path: Path) -> Path:
    (tmp_path / "tenants" / ACME).mkdir(parents=True)
    (tmp_path / "tenants" / ACME / "gifts.yml").write_text(OWN, encoding="utf-8")
    return tmp_path / "tenants"


@pytest.fixture
def facade(shop: Path, tenants: Path) -> CatalogFacade:
    return CatalogFacade(None, [shop], tenants, refresh_seconds=0)


def measures(facade: CatalogFacade, *asked: TenantId) -> set[str]:
    return set(facade.data_source("orders", asked).measures)


def test_a_tenants_own_layer_is_the_tenants_alone(facade: CatalogFacade) -> None:
    assert "gifts" in measures(facade, ACME)
    assert "gifts" not in measures(facade, OTHER)
    assert "gifts" not in measures(facade)


def test_several_tenants_together_have_the_shared_definitions(facade: CatalogFacade) -> None:
    assert facade.catalog_for([ACME, OTHER]) is facade.catalog_for()
    assert facade.catalog_for([ACME, ACME]) is facade.catalog_for([ACME])


def test_the_catalog_is_the_same_object_while_nothing_changes(facade: CatalogFacade) -> None:
    assert facade.catalog_for([OTHER]) is facade.catalog_for([OTHER])
    assert facade.catalog_for([ACME]) is facade.catalog_for([ACME])


def test_a_changed_file_is_loaded(facade: CatalogFacade, edit: Edit) -> None:
    before = facade.catalog_for()
    edit("order_measures.yml", "name: buyers\n", "name: shoppers\n")
    edit("order_measures.yml", "denominator: buyers\n", "denominator: shoppers\n")
    after = facade.catalog_for()
    assert after is not before
    assert "shoppers" in after.data_sources["orders"].measures


def test_a_change_with_a_mistake_is_told_and_not_taken(facade: CatalogFacade, edit: Edit) -> None:
    before = facade.catalog_for()
    edit("order_measures.yml", "denominator: buyers", "denominator: byers")
    assert facade.catalog_for() is before
    assert "'byers'" in str(facade.mistake())
    assert ["'byers'" in str(error) for error in facade.check()] == [True]
    edit("order_measures.yml", "denominator: byers", "denominator: buyers")
    facade.catalog_for()
    assert facade.mistake() is None


def test_files_are_not_looked_at_again_within_the_refresh_time(shop: Path, edit: Edit) -> None:
    facade = CatalogFacade(None, [shop], refresh_seconds=3600)
    before = facade.catalog_for()
    edit("order_measures.yml", "en: Buyers", "en: Shoppers")
    assert facade.catalog_for() is before


def test_the_first_load_with_a_mistake_fails(edit: Edit) -> None:
    shop = edit("order_measures.yml", "denominator: buyers", "denominator: byers")
    with pytest.raises(CatalogError, match="byers"):
        CatalogFacade(None, [shop]).catalog_for()


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no folder of definitions"):
        CatalogFacade(folders=[tmp_path / "nowhere"])


def test_a_folder_that_cant_be_read_is_no_empty_one(facade: CatalogFacade, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = facade.catalog_for()
    monkeypatch.setattr("jangbu.insight.catalog.loader.os.access", lambda folder, _: folder != shop)
    assert facade.catalog_for() is before
    assert "can't be read" in str(facade.mistake())
    with pytest.raises(CatalogError, match="can't be read"):
        CatalogFacade(None, [shop]).catalog_for()


def test_a_listing_has_everything(facade: CatalogFacade) -> None:
    listing = facade.listing()
    assert {measure["name"] for measure in listing["measures"]} == {
        *("revenue", "buyers", "tea_revenue", "revenue_per_buyer", "other_revenue", "revenue_by_stock", "stock")
    }
    assert next(measure for measure in listing["measures"] if measure["name"] == "revenue") == {
        "name": "revenue",
        "data_source": "orders",
        "kind": "simple",
        "label": {"ko": "매출", "en": "Revenue"},
        "description": {"ko": "판매 금액이에요.", "en": "What was sold."},
        "unit": "currency",
        "format": "money",
        "type": "decimal",
        "additivity": "additive",
        "up_is_good": True,
        "time_field": None,
    }
    assert [(each["data_source"], each["name"]) for each in listing["dimensions"]] == [
        *(("items", "category"), ("orders", "category"), ("orders", "item"), ("orders", "hour"))
    ]
    assert [source["name"] for source in listing["data_sources"]] == ["items", "orders"]
    assert listing["data_sources"][1]["default_time_field"] == "ordered_at"


def test_showing_a_measure_says_how_it_is_made_and_where(facade: CatalogFacade, shop: Path, tenants: Path) -> None:
    tea = facade.show("tea_revenue")
    assert (tea["is"], tea["formula"], tea["filter"]) == ("measure", "sum(price)", "category is one of TEA, HERBS")
    assert (tea["layer"], tea["file"], tea["line"]) == ("folder", str(shop / "order_measures.yml"), 19)
    assert facade.show("revenue_per_buyer")["formula"] == "revenue / buyers"
    assert facade.show("orders.revenue_by_stock")["inputs"] == ["revenue", "items.stock"]
    gifts = facade.show("gifts", ACME)
    assert (gifts["layer"], gifts["file"]) == ("acme", str(tenants / ACME / "gifts.yml"))


def test_showing_dimensions_and_data_sources(facade: CatalogFacade) -> None:
    hour = facade.show("hour")
    assert (hour["is"], hour["formula"], hour["type"], hour["line"]) == ("dimension", "hour_of_day(ordered_at)", "integer", 36)
    orders = facade.show("orders")
    assert (orders["is"], orders["table"], orders["dimensions"]) == ("data_source", "orders", ["category", "item", "hour"])
    assert orders["relations"] == {"items": {"data_source": "items", "on": {"item": "item"}, "cardinality": "one"}}


def test_a_name_of_two_data_sources_must_be_qualified(facade: CatalogFacade) -> None:
    with pytest.raises(AmbiguousName, match=r"items\.category, orders\.category"):
        facade.show("category")
    assert facade.show("items.category")["data_source"] == "items"


def test_an_unknown_name_suggests_what_is_near(facade: CatalogFacade) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'buyers'"):
        facade.show("byers")
    with pytest.raises(UnknownName, match="no data source 'order'"):
        facade.data_source("order")


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("revenue", "revenue"),
        ("매출", "revenue"),
        ("차 매출", "tea_revenue"),
        ("TEA", "tea_revenue"),
        ("byers", "buyers"),
        ("발", None),
        ("", None),
    ],
)
def test_search_finds_names_and_labels_in_both_languages(facade: CatalogFacade, text: str, first: str | None) -> None:
    found = facade.search(text)
    assert (found[0]["name"] if found else None) == first


def test_search_says_what_was_found_and_stops_at_the_limit(facade: CatalogFacade) -> None:
    assert {entry["is"] for entry in facade.search("상품")} == {"data_source", "dimension"}
    assert len(facade.search("revenue", limit=2)) == 2
