"""A shop's rows as Arrow batches of its data sources' columns, without the tenant's."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa

from jangbu.insight.ingest.generator.book import Book, Lines
from jangbu.insight.ingest.generator.chance import Integers
from jangbu.kernel.money import PRECISION, SCALE

_FIRST_BASKET: Final = 10_000_000_000
"""Numbers of baskets that a shop has to itself: no two shops have one of the same number."""

_MONEY: Final = pa.decimal128(PRECISION, SCALE)
_HUNDREDTH: Final = 10 ** (SCALE - 2)


def sales(book: Book, rows_a_batch: int | None = None) -> Iterator[pa.RecordBatch]:
    """The lines of `sales` in the order of their local time, in batches of `rows_a_batch` (None: as they are made)."""
    products, households = _texts(book.assortment.numbers), _texts(book.people.numbers)
    stores = _texts(np.arange(1, book.people.stores_count + 1))
    made = (_batch(book, lines, products, households, stores) for lines in book.blocks())
    return made if rows_a_batch is None else recut(made, rows_a_batch)


def products(book: Book) -> Iterator[pa.RecordBatch]:
    """The shop's `products`, some of those that it sells missing."""
    yield book.assortment.table()


def households(book: Book) -> Iterator[pa.RecordBatch]:
    """The shop's `households`: those that answered a survey."""
    yield book.people.table()


def recut(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of this many; the last may be shorter."""
    kept: list[pa.RecordBatch] = []
    for batch in batches:
        kept.append(batch)
        while sum(part.num_rows for part in kept) >= rows:
            whole = _joined(kept)
            yield whole.slice(0, rows)
            kept = [whole.slice(rows)]
    if any(part.num_rows for part in kept):
        yield _joined(kept)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]


def _batch(
    book: Book, lines: Lines, products: "pa.Array[Any]", households: "pa.Array[Any]", stores: "pa.Array[Any]"
) -> pa.RecordBatch:
    columns = {
        "household": households.take(lines.household[lines.basket]),
        "store": stores.take(lines.store[lines.basket]),
        "basket": _texts(book.shop.number * _FIRST_BASKET + 1 + lines.first).take(lines.basket),
        "product": products.take(lines.product),
        "quantity": pa.array(lines.quantity),
        "sales_value": _money(lines.sales_value),
        "retail_disc": _money(lines.retail_disc),
        "coupon_disc": _money(lines.coupon_disc),
        "coupon_match_disc": _money(lines.coupon_match_disc),
        "week": pa.array((lines.day // 7 % 53 + 1)[lines.basket]),
        "sold_at": pa.array((lines.sold_at * 1_000_000)[lines.basket]).cast(pa.timestamp("us", tz="UTC")),
    }
    return pa.RecordBatch.from_pydict(columns)


def _texts(numbers: Integers) -> "pa.Array[Any]":
    return pa.array(numbers).cast(pa.string())


def _money(hundredths: Integers) -> "pa.Array[Any]":
    """Decimals whose 16 bytes are written here, which is many times faster than a conversion."""
    halves = np.empty((len(hundredths), 2), dtype="<i8")
    halves[:, 0] = hundredths * _HUNDREDTH
    halves[:, 1] = hundredths >> 63
    return pa.Array.from_buffers(_MONEY, len(hundredths), [None, pa.py_buffer(halves.tobytes())])
