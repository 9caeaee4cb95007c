"""What a file is taken for, and that its definition stands."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jangbu.insight.catalog.contracts import DataSource
from jangbu.insight.catalog.facade import CatalogFacade
from jangbu.insight.ingest.files.opening import open_files
from jangbu.insight.ingest.inference import Inferred, infer
from jangbu.insight.ingest.inferring import rendering
from jangbu.insight.ingest.inferring.words import column_name
from jangbu.kernel.errors import LoadError

SEOUL = "Asia/Seoul"


def inferred(folder: Path, columns: dict[str, list[str]], zone: str = SEOUL, **rest: Any) -> Inferred:
    file = folder / "orders.csv"
    rows = [list(columns), *zip(*columns.values(), strict=True)]
    file.write_text("\n".join(";".join(row) for row in rows) + "\n")
    return infer(open_files(file), "orders", zone, **rest)


def kinds(found: Inferred) -> dict[str, str]:
    return {each.original: each.column.type.value for each in found.columns}


def defined(found: Inferred, folder: Path) -> DataSource:
    """The data source of the rendered definitions, which have no mistake."""
    (folder / "definitions").mkdir(exist_ok=True)
    (folder / "definitions" / "orders.yml").write_text(rendering.data_source(found))
    (folder / "definitions" / "orders_measures.yml").write_text(rendering.measures(found))
    catalog = CatalogFacade(pack=None, folders=[folder / "definitions"])
    assert [str(mistake) for mistake in catalog.check()] == []
    return catalog.data_source("orders")


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("quantity", ["1", "-2", "30"], "integer"),
        ("금액", ["1,000원", "2,500원", "3만"], "integer"),
        ("price", ["1.50", "2", "3"], "decimal"),
        ("rate", ["12.5%", "3%", ""], "decimal"),
        ("weight", ["1.123456", "2.5", "3"], "double"),
        ("price", ["12345678901234567.5", "2", "3"], "decimal"),
        ("order_id", ["1", "2", "3"], "text"),
        ("branch", ["007", "012", "100"], "text"),
        ("tracking", ["123456789012345678", "123456789012345679", "1"], "text"),
        ("contact", ["010-1234-5678", "02-123-4567", "010-9876-5432"], "text"),
        ("member", ["true", "FALSE", ""], "boolean"),
        ("day", ["2024-01-31", "2024-02-01", "-"], "date"),
        ("day", ["20240131", "20240201", "20240202"], "date"),
        ("at", ["2024-01-31 08:26", "2024-02-01 09:00", "-"], "instant"),
        ("at", ["12/1/2010 8:26", "12/31/2010 23:00", "1/2/2011 0:01"], "instant"),
        ("at", ["2010. 12. 1. 오후 8:26", "2010. 12. 2. 오전 1:00", ""], "instant"),
        ("created_at", ["1291191960", "1291191961", "1291191962"], "instant"),
        ("city", ["서울", "부산", "제주"], "text"),
        ("empty", ["", "", "NA"], "text"),
    ],
)
def test_a_columns_type_is_told_by_its_name_and_values(tmp_path: Path, name: str, values: list[str], kind: str) -> None:
    found = inferred(tmp_path, {name: values, "other": ["a", "b", "c"]})
    assert kinds(found)[name] == kind
    defined(found, tmp_path)


def test_days_and_months_are_told_apart_or_the_doubt_is_told(tmp_path: Path) -> None:
    sure = inferred(tmp_path, {"at": ["13/1/2010", "2/3/2010"]})
    assert sure.columns[0].reading.formats == ("%d/%m/%Y",)
    for zone, written in ((SEOUL, "%d/%m/%Y"), ("America/New_York", "%m/%d/%Y")):
        doubtful = inferred(tmp_path, {"at": ["2/1/2010", "3/3/2010"]}, zone)
        assert doubtful.columns[0].reading.formats == (written,)
        assert "would fit too" in doubtful.columns[0].evidence


def test_what_doesnt_fit_is_told_where_most_does(tmp_path: Path) -> None:
    found = inferred(tmp_path, {"quantity": [*map(str, range(200)), "two"]})
    assert kinds(found) == {"quantity": "integer"}
    assert "1 of 201 values don't fit: their rows will be set aside" in found.columns[0].evidence


def test_missing_values_and_their_words_are_told(tmp_path: Path) -> None:
    found = inferred(
        tmp_path, {"customer_id": ["a", "", "NA", "b"], "country": ["NA", "KR", "KR", "JP"], "x": ["1", "2", "3", "4"]}
    )
    assert found.columns[0].evidence == "looks like an identifier by its name; 50.0% empty; 'NA' taken for missing"
    assert "(kept as they are)" in found.columns[1].evidence
    assert "NA" not in defined(found, tmp_path).reading.nulls_of("country")


ORDERS = {
    "주문번호": ["A1", "A1", "A2", "A3"],
    "상품명": ["사과", "배", "사과", "귤"],
    "수량": ["1", "2", "1", "5"],
    "단가": ["1,000", "2,500", "1,000", "300.5"],
    "주문일시": ["2024.01.02 10:00", "2024.01.02 10:00", "2024.01.03 11:00", "2024.01.04 12:00"],
}


def test_korean_orders_get_a_whole_definition(tmp_path: Path) -> None:
    found = inferred(tmp_path, ORDERS)
    source = defined(found, tmp_path)
    assert list(source.columns) == ["tenant", "order_no", "product_name", "quantity", "unit_price", "ordered_at"]
    assert source.default_time_field == "ordered_at"
    assert {"order_no", "product_name", "hour_of_day", "weekday"} == set(source.dimensions)
    assert {"rows", "revenue", "units", "orders", "revenue_per_order"} <= set(source.measures)
    revenue = source.measures["revenue"]
    assert revenue.argument is not None
    assert (revenue.argument.text, revenue.unit, revenue.format) == ("quantity * unit_price", "currency", "money")


def test_what_is_said_of_reading_is_what_was_found(tmp_path: Path) -> None:
    found = inferred(tmp_path, ORDERS)
    assert defined(found, tmp_path).reading == found.reading
    assert found.reading.column("ordered_at").source == "주문일시"
    assert found.reading.zone == SEOUL


def test_keys_are_what_tells_each_row_from_every_other(tmp_path: Path) -> None:
    assert inferred(tmp_path, ORDERS).keys == ("order_no", "product_name")
    assert inferred(tmp_path, {"order_id": ["1", "2"], "price": ["1.5", "2.5"]}).keys == ("order_id",)
    assert inferred(tmp_path, {"order_id": ["1", "1"], "price": ["1.5", "2.5"]}).keys == ()
    assert inferred(tmp_path, ORDERS, keys=["주문번호", "quantity"]).keys == ("order_no", "quantity")
    with pytest.raises(LoadError, match="no column '없음'"):
        inferred(tmp_path, ORDERS, keys=["없음"])


def test_typed_files_keep_their_types(tmp_path: Path) -> None:
    table = pa.table(
        {
            "customer_id": pa.array([17850.0, None]),
            "quantity": pa.array([1, 2]),
            "price": pa.array([0.5, 2.25]),
            "at": pa.array([0, 1], pa.timestamp("us", tz="UTC")),
            "on": pa.array([0, 1], pa.date32()),
            "gift": pa.array([True, None]),
        }
    )
    pq.write_table(table, tmp_path / "orders.parquet")
    found = infer(open_files(tmp_path / "orders.parquet"), "orders", SEOUL)
    expected = {"customer_id": "text", "quantity": "integer", "price": "decimal", "at": "instant", "on": "date", "gift": "boolean"}
    assert kinds(found) == expected
    defined(found, tmp_path)


@pytest.mark.parametrize(
    ("original", "name"),
    [
        ("InvoiceNo", "invoice_no"),
        ("CustomerID", "customer_id"),
        ("HTTPStatus code", "http_status_code"),
        ("주문번호", "order_no"),
        ("한글", "hangeul"),
        ("Prix (€)", "prix"),
        ("2024", "column_2024"),
        ("★", "column_3"),
        ("time", "time_value"),
        ("a" * 100, "a" * 56),
    ],
)
def test_names_become_columns(original: str, name: str) -> None:
    assert column_name(original, 3) == name
    assert column_name(original, 3, [name]) == f"{name}_2"


def test_hostile_names_and_values_stay_texts(tmp_path: Path) -> None:
    found = inferred(tmp_path, {"a: {b}": ["1: #", "2"], "'\"x\\": ["}", "- y"], "# c": ["\t", "*z"]})
    source = defined(found, tmp_path)
    assert [source.reading.column(name).source for name in list(source.columns)[1:]] == ["a: {b}", "'\"x\\", "# c"]


def test_a_file_without_rows_tells_nothing(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="has no rows"):
        inferred(tmp_path, {"a": []})
