"""A merchant's own files as the rows of a data source, and the real ones of a retailer."""

from pathlib import Path

import duckdb
import pytest

from jangbu.insight.catalog.facade import CatalogFacade
from jangbu.insight.ingest.files.opening import open_files
from jangbu.insight.ingest.inference import infer
from jangbu.insight.ingest.inferring import adding, rendering
from jangbu.insight.ingest.own_files import Match, Tally, batches, matched
from jangbu.kernel.errors import LoadError

FIRST = "주문번호,수량\nA,1\nB,2\n"
RETAIL = Path(__file__).parents[4] / "shared" / "data" / "online_retail" / "online_retail.csv.gz"


def defined(folder: Path, text: str = FIRST) -> Path:
    (folder / "first.csv").write_text(text)
    (folder / "definitions").mkdir()
    document = folder / "definitions" / "orders.yml"
    document.write_text(rendering.data_source(infer(open_files(folder / "first.csv"), "orders", "Asia/Seoul")))
    return document


def source_of(folder: Path):
    catalog = CatalogFacade(pack=None, folders=[folder / "definitions"])
    assert [str(mistake) for mistake in catalog.check()] == []
    return catalog.data_source("orders")


def test_a_second_file_is_met_by_the_names_in_the_first(tmp_path: Path) -> None:
    defined(tmp_path)
    (tmp_path / "second.csv").write_text("쿠폰,주문번호\nx,C\n")
    opened = open_files(tmp_path / "second.csv")
    assert matched(opened, source_of(tmp_path)) == Match(new=("쿠폰",), missing=("quantity",))
    (tmp_path / "other.csv").write_text("x,y\n1,2\n")
    with pytest.raises(LoadError, match=r"No column of other\.csv"):
        matched(open_files(tmp_path / "other.csv"), source_of(tmp_path))


def test_new_columns_are_put_into_the_definition_as_it_is_written(tmp_path: Path) -> None:
    document = defined(tmp_path)
    before = document.read_text().replace("separation:", "# Mine.\nseparation:")
    (tmp_path / "second.csv").write_text("쿠폰,주문번호,plain\nx,C,1\n")
    found = infer(open_files(tmp_path / "second.csv"), "orders", "Asia/Seoul")
    document.write_text(adding.with_columns(before, [each for each in found.columns if each.name != "order_no"]))
    assert set(before.splitlines()) < set(document.read_text().splitlines())
    source = source_of(tmp_path)
    assert list(source.columns) == ["tenant", "order_no", "quantity", "kupon", "plain"]
    assert source.reading.column("kupon").source == "쿠폰"


def test_a_definition_that_cant_be_added_to_is_left_alone(tmp_path: Path) -> None:
    defined(tmp_path)
    guesses = infer(open_files(tmp_path / "first.csv"), "orders", "Asia/Seoul").columns
    with pytest.raises(LoadError, match="isn't written in blocks"):
        adding.with_columns("columns: {a: {type: text}}\n", guesses)


def test_rows_are_counted_by_what_became_of_them(tmp_path: Path) -> None:
    defined(tmp_path)
    source, tally, aside = source_of(tmp_path), Tally(), []
    (tmp_path / "second.csv").write_text("주문번호,수량\nA,1\nB,two\nC\n,4\nA,1\n")
    opened = open_files(tmp_path / "second.csv")
    loaded = [
        row
        for each in batches(opened, source, source.reading, tally, required=["order_no"], aside=aside.extend)
        for row in each.to_pylist()
    ]
    assert loaded == [{"order_no": "A", "quantity": 1}] * 2
    assert (tally.read, tally.loaded) == (5, 2)
    assert tally.aside == {"not_a_number": 1, "torn_line": 1, "missing_value": 1}
    assert sorted(row.number for row in aside) == [2, 3, 4]
    assert tally.duplicates.counted() == (1, 1)


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.skipif(not RETAIL.exists(), reason=f"{RETAIL.name} isn't there")
def test_every_line_of_a_real_retailer_is_read_and_counted(tmp_path: Path) -> None:
    opened = open_files(RETAIL)
    found = infer(opened, "orders", "Europe/London")
    (tmp_path / "definitions").mkdir()
    (tmp_path / "definitions" / "orders.yml").write_text(rendering.data_source(found))
    source, tally = source_of(tmp_path), Tally()
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE raw AS FROM read_csv(?, all_varchar = true, header = true)", [str(RETAIL)])
        connection.execute(
            "CREATE TABLE own (invoice_no VARCHAR, quantity BIGINT, unit_price DECIMAL(18, 4), customer_id VARCHAR,"
            " sold_at TIMESTAMPTZ)"
        )
        for batch in batches(opened, source, source.reading, tally):
            connection.register("part", batch)
            connection.execute("INSERT INTO own SELECT invoice_no, quantity, unit_price, customer_id, invoice_date FROM part")
        own = connection.execute(COUNTED.format("invoice_no", "customer_id", "unit_price", "quantity", "sold_at", "own")).fetchone()
        clock = "CAST(InvoiceDate AS TIMESTAMP) AT TIME ZONE 'Europe/London'"
        raw = connection.execute(
            COUNTED.format("InvoiceNo", "CustomerID", "CAST(UnitPrice AS DECIMAL(18, 4))", "CAST(Quantity AS BIGINT)", clock, "raw")
        ).fetchone()
        again = connection.execute(REPEATED).fetchone()
    assert own == raw
    assert (tally.read, tally.loaded, dict(tally.aside)) == (541_909, 541_909, {})
    assert tally.duplicates.counted() == again
    assert tally.duplicates.counted()[0] == 4_879


COUNTED = """
SELECT count(*), count(*) FILTER (starts_with({0}, 'C')), count(*) FILTER ({1} IS NULL), count(*) FILTER ({2} = 0),
    sum({3} * {2}), epoch_us(min({4})), epoch_us(max({4})), sum(epoch_us({4})::HUGEINT) FROM {5}
"""
REPEATED = """
SELECT count(*), CAST(sum(n - 1) AS BIGINT) FROM (
    SELECT count(*) AS n FROM raw
    GROUP BY InvoiceNo, StockCode, Description, Quantity, InvoiceDate, UnitPrice, CustomerID, Country HAVING n > 1
)
"""
