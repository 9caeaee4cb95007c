"""What a shop sells: its products, their prices, and how often each is bought."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from jangbu.insight.ingest.generator.chance import Bits, Integers, Purpose, Shares, bits, drawn, shuffled, wide, zipf
from jangbu.insight.ingest.generator.plan import Plan, Shop

_FEWEST, _MOST = 20, 50_000
_LINES_EACH: Final = 40
_FIRST_NUMBER: Final = 100_001
_UNLISTED: Final = 97
"""Of as many products one isn't listed, the 48th first: some thousandths of a larger shop's lines have a product that isn't among
its products, as the real retailer's have."""

_CATEGORIES: Final[dict[str, tuple[str | None, ...]]] = {
    "GROCERY": ("SOFT DRINKS", "BREAD", "COOKIES", "NOODLES", "FROZEN MEALS"),
    "DRUG GM": ("VITAMINS", "CANDY", "GREETING CARDS", "HAIR CARE"),
    "PRODUCE": ("APPLES", "BERRIES", "SALADS", "POTATOES"),
    "MEAT": ("BEEF", "PORK", "CHICKEN"),
    "DELI": ("CHEESE", "SALADS", "SANDWICHES"),
    "PASTRY": ("CAKES", "ROLLS"),
    "COSMETICS": ("MAKEUP", "SKIN CARE"),
    "FLORAL": ("BOUQUETS", "PLANTS"),
    "MISCELLANEOUS": (None,),
}
_DEPARTMENTS: Final = [
    *[("GROCERY", 42), ("DRUG GM", 24), ("PRODUCE", 9), ("MEAT", 7), ("DELI", 6), ("PASTRY", 5)],
    *[("COSMETICS", 4), ("FLORAL", 2), ("MISCELLANEOUS", 1)],
]
_KINDS: Final = [("PLAIN", 5), ("SPECIAL", 3), ("FAMILY", 2)]
_BRANDS: Final = [("National", 80), ("Private", 20)]
_SIZES: Final = [(None, 30), ("12 OZ", 20), ("16 OZ", 20), ("1 LB", 12), ("32 OZ", 10), ("6 PK", 8)]
_OWN: Final = "69"


@dataclass(frozen=True, slots=True)
class Assortment:
    """By rank, the most bought first: `numbers` their ids, `prices` in cents (before the market's step), `listed` whether they are
    among `products`. `chance` is what else is drawn from."""

    shares: Shares
    numbers: Integers
    prices: Integers
    listed: np.ndarray[tuple[int], np.dtype[np.bool_]]
    chance: Bits

    def table(self) -> pa.RecordBatch:
        """A row of `products` for each that is listed."""
        listed = np.flatnonzero(self.listed)
        chance = self.chance[:, listed]
        departments, brands = drawn(_DEPARTMENTS, chance[3]), drawn(_BRANDS, chance[5])
        categories = [_one(_CATEGORIES[name], number) for name, number in zip(departments, chance[4].tolist(), strict=True)]
        kinds = drawn(_KINDS, chance[6])
        makers = (100 + (chance[7].astype(np.int64) ** 2 >> 22)).tolist()
        columns = {
            "product": self.numbers[listed].astype(str).tolist(),
            "manufacturer": [_OWN if brand == "Private" else str(maker) for brand, maker in zip(brands, makers, strict=True)],
            "department": departments,
            "brand": brands,
            "product_category": categories,
            "product_type": [f"{name} {kind}" if name else None for name, kind in zip(categories, kinds, strict=True)],
            "package_size": drawn(_SIZES, chance[8]),
        }
        return pa.RecordBatch.from_pydict({name: pa.array(values, pa.string()) for name, values in columns.items()})


def assortment(plan: Plan, shop: Shop) -> Assortment:
    """About one product for forty lines. Shops number theirs alike, so the same number is another product in each."""
    count = min(_MOST, max(_FEWEST, shop.rows // _LINES_EACH))
    chance = bits(plan.seed, shop.number, Purpose.PRODUCTS, count, 9)
    return Assortment(
        shares=zipf(count, 2),
        numbers=_FIRST_NUMBER + shuffled(wide(chance[0], chance[1])),
        prices=_prices(chance[2]),
        listed=np.arange(1, count + 1) % _UNLISTED != _UNLISTED // 2,
        chance=chance,
    )


def _prices(chance: Bits) -> Integers:
    """From 2.49 on with a long tail (Pareto, exponent 2), half of them below 3.40; they end in 9."""
    cents = np.floor(49 + 200 / np.sqrt((chance + 1.0) / 65_536)).astype(np.int64)
    return cents - cents % 10 + 9


def _one(values: tuple[str | None, ...], chance: int) -> str | None:
    return values[chance * len(values) >> 16]
