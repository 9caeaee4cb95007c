"""A shop's households: how often each comes, where, and what is known of those that answered a survey."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from jangbu.insight.ingest.generator.chance import Bits, Integers, Purpose, Shares, bits, drawn, shuffled, wide, zipf
from jangbu.insight.ingest.generator.plan import Plan, Shop

_LINES_EACH: Final = 60
_MOST: Final = 900_000
_NUMBERS: Final = 1_000_000
"""Numbers of households that a shop has to itself."""

_LINES_A_STORE, _MOST_STORES = 25_000, 500
_AGES: Final = [("45-54", 36), ("35-44", 24), ("25-34", 18), ("65+", 9), ("55-64", 7), ("19-24", 6)]
_INCOMES: Final = [
    *[("50-74K", 24), ("35-49K", 21), ("75-99K", 12), ("25-34K", 10), ("15-24K", 9), ("Under 15K", 8), ("125-149K", 5)],
    *[("100-124K", 4), ("150-174K", 4), ("175-199K", 1), ("200-249K", 1), ("250K+", 1)],
]
_HOMES: Final = [("Homeowner", 63), (None, 29), ("Renter", 5), ("Probable Renter", 2), ("Probable Homeowner", 1)]
_MARRIAGES: Final = [("Married", 42), ("Unmarried", 41), (None, 17)]
_FAMILIES: Final = [
    (("1", "1 Adult No Kids", "0"), 32),
    (("2", "2 Adults No Kids", "0"), 32),
    (("2", "1 Adult Kids", "1"), 8),
    (("3", "2 Adults Kids", "1"), 12),
    (("4", "2 Adults Kids", "2"), 7),
    (("5+", "2 Adults Kids", "3+"), 9),
]


@dataclass(frozen=True, slots=True)
class People:
    """By rank, those who buy most first: `numbers` their ids, `stores` the one that each goes to (from 0). `stores_count` is how
    many the shop has, `chance` what their answers are drawn from."""

    shares: Shares
    numbers: Integers
    stores: Integers
    stores_count: int
    chance: Bits

    def table(self) -> pa.RecordBatch:
        """A row of `households` for each third one: the others weren't asked."""
        asked = np.flatnonzero(self.chance[2] % 3 == 0)
        answers = self.chance[:, asked]
        families = drawn(_FAMILIES, answers[7])
        columns = {
            "household": self.numbers[asked].astype(str).tolist(),
            "age": drawn(_AGES, answers[3]),
            "income": drawn(_INCOMES, answers[4]),
            "home_ownership": drawn(_HOMES, answers[5]),
            "marital_status": drawn(_MARRIAGES, answers[6]),
            "household_size": [family[0] for family in families],
            "household_comp": [family[1] for family in families],
            "kids_count": [family[2] for family in families],
        }
        return pa.RecordBatch.from_pydict({name: pa.array(values, pa.string()) for name, values in columns.items()})


def people(plan: Plan, shop: Shop) -> People:
    """About one household for sixty lines. No two shops have a household of the same number."""
    count = min(_MOST, 1 + shop.rows // _LINES_EACH)
    chance = bits(plan.seed, shop.number, Purpose.HOUSEHOLDS, count, 9)
    stores = min(_MOST_STORES, 1 + shop.rows // _LINES_A_STORE)
    home = chance[8].astype(np.int64)
    return People(
        shares=zipf(count, 10),
        numbers=shop.number * _NUMBERS + 1 + shuffled(wide(chance[0], chance[1])),
        stores=((home * home >> 16) * stores) >> 16,
        stores_count=stores,
        chance=chance,
    )
