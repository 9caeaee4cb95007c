"""A shop's sale lines as numbers, a block after the other."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from jangbu.insight.ingest.generator.assortment import Assortment, assortment
from jangbu.insight.ingest.generator.calendar import Calendar, calendar
from jangbu.insight.ingest.generator.chance import Bits, Integers, Purpose, bits, numbers_drawn, places, ranks
from jangbu.insight.ingest.generator.people import People, people
from jangbu.insight.ingest.generator.plan import Plan, Shop

BLOCK: Final = 65_536
"""Lines that are made together. A basket doesn't reach into the next block; another size would make other lines."""

_COLUMNS: Final = 13
_A_BASKET: Final = 65_536 // 5
"""A line begins a basket in one case of five."""

_ELSEWHERE: Final = 6_554
"""One basket of ten is bought in another store than the household's own."""

_QUANTITIES: Final = [(1, 200), (2, 36), (3, 8), (4, 5), (5, 2), (6, 2), (10, 1), (12, 1), (24, 1)]
_PERCENT_OFF: Final = [(0, 130), (5, 12), (10, 24), (15, 10), (20, 12), (25, 6), (30, 4), (50, 2)]
_COUPONS: Final = [(0, 984), (50, 10), (100, 6)]
_MATCHES: Final = [(0, 3), (25, 1)]
"""Hundredths of a price unit, and how often."""

_RETURNED: Final = 262
"""Four lines of a thousand are returns."""


@dataclass(frozen=True, slots=True)
class Lines:
    """A block of lines. What is given back has negative quantities and money.

    For each basket: `first` (the number of its first line, from 0), `household` (a rank), `store`, `day` (from 0) and `sold_at`
    (seconds since 1970, UTC). For each line: `basket` (a place in those), `product` (a rank), `quantity`, and money in hundredths
    of the currency."""

    first: Integers
    household: Integers
    store: Integers
    day: Integers
    sold_at: Integers
    basket: Integers
    product: Integers
    quantity: Integers
    sales_value: Integers
    retail_disc: Integers
    coupon_disc: Integers
    coupon_match_disc: Integers


class Book:
    """All that a shop has: made of its own random numbers, so of nobody else's rows."""

    def __init__(self, plan: Plan, shop: Shop) -> None:
        self.plan, self.shop = plan, shop
        self.calendar: Calendar = calendar(plan, shop)
        self.people: People = people(plan, shop)
        self.assortment: Assortment = assortment(plan, shop)

    def blocks(self) -> Iterator[Lines]:
        """The lines, in the order of their local time."""
        for number in range(-(-self.shop.rows // BLOCK)):
            yield self._block(number)

    def _block(self, number: int) -> Lines:
        begin = number * BLOCK
        count = min(BLOCK, self.shop.rows - begin)
        chance = bits(self.plan.seed, self.shop.number, Purpose.LINES, count, _COLUMNS, block=number)
        begins = chance[0] < _A_BASKET
        begins[0] = True
        basket = np.cumsum(begins) - 1
        first = np.flatnonzero(begins)
        household = ranks(self.people.shares, chance[2, first], chance[3, first])
        day, sold_at = self.calendar.moments(begin + first, chance[1, first])
        product = ranks(self.assortment.shares, chance[4], chance[5])
        quantity, money = self._paid(product, chance)
        return Lines(
            begin + first, household, self._stores(household, chance[10:12, first]), day, sold_at, basket, product, quantity, *money
        )

    def _stores(self, household: Integers, chance: Bits) -> Integers:
        own = self.people.stores[household]
        return np.where(chance[0] < _ELSEWHERE, places(chance[1], self.people.stores_count), own)

    def _paid(self, product: Integers, chance: Bits) -> tuple[Integers, tuple[Integers, Integers, Integers, Integers]]:
        """Quantities, and money: what was paid, and what the card, coupons and their match took off. A coupon takes no more than
        was to be paid."""
        quantity = numbers_drawn(_QUANTITIES, chance[6])
        price = self.assortment.prices[product] * quantity
        by_card = price * numbers_drawn(_PERCENT_OFF, chance[7]) // 100
        coupon = np.minimum(numbers_drawn(_COUPONS, chance[8]), price - by_card)
        match = np.where(coupon > 0, numbers_drawn(_MATCHES, chance[9]), 0)
        sign = np.where(chance[12] < _RETURNED, -1, 1)
        worth = sign * self.shop.market.step
        return sign * quantity, ((price - by_card - match) * worth, by_card * worth, coupon * worth, match * worth)
