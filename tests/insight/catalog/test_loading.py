"""Layers of folders become one catalog; what can be postponed is."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jangbu.insight.catalog.contracts import Additivity, Catalog, Function, MeasureKind
from jangbu.insight.catalog.loader import Layer
from jangbu.insight.catalog.service import load
from jangbu.kernel.errors import CatalogError
from jangbu.kernel.types import FieldType, Frequency

MEASURE = """
version: 1
kind: measures
data_source: orders
measures:
  - name: {name}
    kind: simple
    formula: {formula}
    label: {{ko: 값, en: Value}}
    description: {{ko: 값이에요., en: A value.}}
    format: integer
"""


def folder(tmp_path: Path, name: str, **files: str) -> Path:
    made = tmp_path / name
    made.mkdir()
    for file, text in files.items():
        (made / f"{file}.yml").write_text(text, encoding="utf-8")
    return made


def test_a_new_measure_is_one_new_file(shop: Path, tmp_path: Path) -> None:
    own = folder(tmp_path, "own", gifts=MEASURE.format(name="gifts", formula="sum(if(gift, 1, 0))"))
    gifts = load([Layer("pack", shop), Layer("folder", own)]).catalog.data_sources["orders"].measures["gifts"]
    assert (gifts.function, gifts.type, gifts.additivity) == (Function.SUM, FieldType.INTEGER, Additivity.ADDITIVE)


def test_a_later_layer_takes_the_place_of_a_definition_whole(shop: Path, tmp_path: Path) -> None:
    own = folder(tmp_path, "own", revenue=MEASURE.format(name="revenue", formula="sum(price)"))
    loaded = load([Layer("pack", shop), Layer("acme", own)])
    revenue = loaded.catalog.data_sources["orders"].measures["revenue"]
    assert revenue.argument is not None
    assert (revenue.argument.text, revenue.unit, revenue.up_is_good) == ("price", None, None)
    assert loaded.definitions.measures["orders", "revenue"].layer == "acme"
    assert len(loaded.catalog.data_sources["orders"].measures) == 6


def test_two_definitions_of_one_name_in_a_layer_are_refused_and_both_places_told(shop: Path) -> None:
    (shop / "more.yml").write_text(MEASURE.format(name="revenue", formula="sum(price)"), encoding="utf-8")
    with pytest.raises(CatalogError) as caught:
        load([Layer("pack", shop)])
    assert "'revenue' of 'orders' is defined twice" in str(caught.value)
    assert f"{shop / 'more.yml'}:6" in str(caught.value)
    assert caught.value.file == str(shop / "order_measures.yml")


def test_hidden_files_and_others_are_left_out(shop: Path) -> None:
    (shop / ".hidden.yml").write_text("nonsense: [")
    (shop / ".git").mkdir()
    (shop / ".git" / "x.yml").write_text("nonsense: [")
    (shop / "notes.md").write_text("nonsense: [")
    assert set(load([Layer("pack", shop)]).catalog.data_sources) == {"orders", "items"}


def test_no_layers_make_an_empty_catalog() -> None:
    assert load([]).catalog.data_sources == {}


def test_a_data_source_says_what_its_file_says(catalog: Catalog) -> None:
    orders = catalog.data_sources["orders"]
    assert (orders.label.ko, orders.label.en, orders.binding.table, orders.currency.constant) == ("주문", "Orders", "orders", "KRW")
    assert orders.default_time_field == "ordered_at"
    assert orders.relations["items"].on == (("item", "item"),)
    assert orders.columns["price"].scale == 4
    assert list(orders.dimensions) == ["category", "item", "hour"]
    assert catalog.data_sources["items"].default_time_field is None


def test_a_date_answers_days_and_coarser(catalog: Catalog) -> None:
    times = catalog.data_sources["orders"].time_fields
    assert (times["shipped_on"].grain, times["shipped_on"].zone) == (Frequency.DAY, "Asia/Seoul")
    assert (times["ordered_at"].grain, times["ordered_at"].type) == (None, FieldType.INSTANT)


def test_dimensions_read_columns_relations_and_formulas(catalog: Catalog) -> None:
    dimensions = catalog.data_sources["orders"].dimensions
    assert dimensions["category"].expression.relations == {"items"}
    assert dimensions["category"].expression.tree.sql("duckdb") == '"items"."category"'
    assert dimensions["item"].hierarchy == ("category",)
    assert (dimensions["hour"].type, dimensions["hour"].expression.columns) == (FieldType.INTEGER, {("", "ordered_at")})


@pytest.mark.parametrize(
    ("name", "kind", "type_", "additivity", "zero"),
    [
        ("revenue", MeasureKind.SIMPLE, FieldType.DECIMAL, Additivity.ADDITIVE, True),
        ("buyers", MeasureKind.DISTINCT, FieldType.INTEGER, Additivity.NONE, True),
        ("tea_revenue", MeasureKind.SIMPLE, FieldType.DECIMAL, Additivity.ADDITIVE, True),
        ("revenue_per_buyer", MeasureKind.RATIO, FieldType.DOUBLE, Additivity.NONE, False),
        ("other_revenue", MeasureKind.DERIVED, FieldType.DECIMAL, Additivity.ADDITIVE, True),
        ("revenue_by_stock", MeasureKind.DERIVED, FieldType.DOUBLE, Additivity.NONE, False),
    ],
)
def test_what_a_measure_is_follows_from_its_formula(
    catalog: Catalog, name: str, kind: MeasureKind, type_: FieldType, additivity: Additivity, zero: bool
) -> None:
    measure = catalog.data_sources["orders"].measures[name]
    assert (measure.kind, measure.type, measure.additivity, measure.zero_when_empty) == (kind, type_, additivity, zero)


@pytest.mark.parametrize(
    ("formula", "type_", "additivity", "zero"),
    [
        ("count()", FieldType.INTEGER, Additivity.ADDITIVE, True),
        ("count(item)", FieldType.INTEGER, Additivity.ADDITIVE, True),
        ("sum(weight)", FieldType.DOUBLE, Additivity.ADDITIVE, True),
        ("min(price)", FieldType.DECIMAL, Additivity.NONE, False),
        ("max(count)", FieldType.INTEGER, Additivity.NONE, False),
        ("avg(price)", FieldType.DOUBLE, Additivity.NONE, False),
        ("avg(items.stock)", FieldType.DOUBLE, Additivity.NONE, False),
    ],
)
def test_each_aggregate_has_its_type_additivity_and_emptiness(
    shop: Path, tmp_path: Path, formula: str, type_: FieldType, additivity: Additivity, zero: bool
) -> None:
    own = folder(tmp_path, "own", one=MEASURE.format(name="one", formula=formula))
    measure = load([Layer("pack", shop), Layer("folder", own)]).catalog.data_sources["orders"].measures["one"]
    assert (measure.type, measure.additivity, measure.zero_when_empty) == (type_, additivity, zero)


def test_a_derived_measure_names_its_inputs(catalog: Catalog) -> None:
    measure = catalog.data_sources["orders"].measures["revenue_by_stock"]
    assert measure.inputs == ("revenue", "items.stock")
    assert measure.formula is not None
    assert measure.formula.columns == {("", "revenue"), ("items", "stock")}


def test_a_declared_additivity_may_be_weaker_than_the_formulas(catalog: Catalog) -> None:
    assert catalog.data_sources["items"].measures["stock"].additivity is Additivity.SEMI


def test_a_filter_is_a_tree_over_dimensions(catalog: Catalog) -> None:
    tree = catalog.data_sources["orders"].measures["tea_revenue"].filter
    assert tree is not None
    assert (tree.field, tree.values) == ("category", ("TEA", "HERBS"))  # type: ignore[union-attr]  # a leaf


def test_measures_are_built_once_and_their_names_known_before(catalog: Catalog) -> None:
    measures = catalog.data_sources["orders"].measures
    assert measures["revenue"] is measures["revenue"]
    assert "revenue" in measures
    assert measures.get("nothing") is None


def test_loading_parses_no_formula(shop: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from jangbu.insight.catalog.facade import CatalogFacade;"
        "CatalogFacade().catalog_for(); sys.exit('sqlglot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_mistake_in_a_formula_shows_at_its_first_use_with_its_line(edit: Callable[[str, str, str], Path], shop: Path) -> None:
    edit("order_measures.yml", "sum(price * count - discount)", "sum(prise * count)")
    measures = load([Layer("pack", shop)]).catalog.data_sources["orders"].measures
    assert measures["buyers"].type is FieldType.INTEGER
    with pytest.raises(CatalogError, match=r"order_measures.yml:7: 'orders' has no column 'prise'. Did you mean 'price'") as caught:
        measures["revenue"]
    assert caught.value.line == 7
