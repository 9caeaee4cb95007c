"""What a shop's rows add up to: known without loading them, to hold answers against."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray

from jangbu.insight.ingest.generator.book import Book, Lines
from jangbu.insight.ingest.generator.chance import Integers
from jangbu.insight.ingest.generator.plan import Shop

_MONEY: Final = ("sales_value", "retail_disc", "coupon_disc", "coupon_match_disc")


@dataclass(frozen=True, slots=True)
class Sums:
    """Named as the measures of `sales` are. Money has two decimals of the shop's currency."""

    lines: int
    orders: int
    units: int
    revenue: Decimal
    retail_discounts: Decimal
    coupon_discounts: Decimal
    coupon_match_discounts: Decimal
    customers: int


@dataclass(frozen=True, slots=True)
class Totals:
    """A shop's sums: of all its days, and of each month (such as 2024-01) of its zone. `unlisted` counts the lines whose product
    isn't among `products`."""

    shop: Shop
    whole: Sums
    months: Mapping[str, Sums]
    unlisted: int


def totals(book: Book) -> Totals:
    """The sums of a shop's lines, added up as whole numbers."""
    months = book.calendar.months
    counts = np.zeros((len(months), 3 + len(_MONEY)), dtype=np.int64)
    seen = np.zeros((len(months), len(book.people.numbers)), dtype=np.bool_)
    unlisted = 0
    for lines in book.blocks():
        _add(counts, seen, lines, book.calendar.month_of_day[lines.day])
        unlisted += int(np.count_nonzero(~book.assortment.listed[lines.product]))
    by_month = {month: _sums(row, met) for month, row, met in zip(months, counts, seen, strict=True)}
    return Totals(book.shop, _sums(counts.sum(axis=0), np.logical_or.reduce(seen)), by_month, unlisted)


def _add(counts: Integers, seen: NDArray[np.bool_], lines: Lines, month_of_basket: Integers) -> None:
    """Add a block's lines to the rows of their months. Months don't go back within a block, so each is one part of it."""
    month = month_of_basket[lines.basket]
    for number in range(int(month[0]), int(month[-1]) + 1):
        first, after = np.searchsorted(month, [number, number + 1])
        part = slice(int(first), int(after))
        counts[number, 0] += after - first
        counts[number, 1] += np.count_nonzero(month_of_basket == number)
        for column, name in enumerate(("quantity", *_MONEY), 2):
            counts[number, column] += getattr(lines, name)[part].sum()
    seen[month_of_basket, lines.household] = True


def _sums(counts: Integers, seen: NDArray[np.bool_]) -> Sums:
    rows, baskets, units, *money = counts.tolist()
    revenue, retail, coupon, match = (Decimal(hundredths).scaleb(-2) for hundredths in money)
    return Sums(rows, baskets, units, revenue, retail, coupon, match, int(np.count_nonzero(seen)))
