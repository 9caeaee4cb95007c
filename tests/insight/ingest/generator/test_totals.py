"""The totals agree with the rows, added up in plain Python."""

from collections import defaultdict
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from jangbu.insight.ingest.generator.batches import products, sales
from jangbu.insight.ingest.generator.book import BLOCK, Book
from jangbu.insight.ingest.generator.plan import NEW_YORK, SEOUL, TOKYO, Market, Plan, Shop
from jangbu.insight.ingest.generator.totals import Sums, totals

PLAN = Plan(tenants=1, days=100, rows=1)


def summed(lines: list[dict[str, Any]]) -> Sums:
    def money(column: str) -> Decimal:
        return sum((line[column] for line in lines), Decimal(0))

    return Sums(
        lines=len(lines),
        orders=len({line["basket"] for line in lines}),
        units=sum(line["quantity"] for line in lines),
        revenue=money("sales_value"),
        retail_discounts=money("retail_disc"),
        coupon_discounts=money("coupon_disc"),
        coupon_match_discounts=money("coupon_match_disc"),
        customers=len({line["household"] for line in lines}),
    )


@pytest.mark.parametrize("market", [SEOUL, TOKYO, NEW_YORK], ids=lambda market: market.currency)
@pytest.mark.parametrize("rows", [1, 7, 3_000])
def test_totals_are_what_the_rows_add_up_to(market: Market, rows: int) -> None:
    check(Book(PLAN, Shop(2, market, rows)))


@pytest.mark.slow
def test_totals_add_up_over_blocks() -> None:
    check(Book(PLAN, Shop(1, NEW_YORK, BLOCK + 500)))


def check(book: Book) -> None:
    lines = [line for batch in sales(book) for line in batch.to_pylist()]
    by_month: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        by_month[f"{line['sold_at'].astimezone(ZoneInfo(book.shop.market.zone)):%Y-%m}"].append(line)
    listed = {row["product"] for batch in products(book) for row in batch.to_pylist()}
    found = totals(book)
    assert found.whole == summed(lines)
    assert found.months == {month: summed(by_month[month]) for month in ("2024-01", "2024-02", "2024-03", "2024-04")}
    assert found.unlisted == sum(line["product"] not in listed for line in lines)
