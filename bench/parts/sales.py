"""The bench's data: 10 million sale lines of 2017 by 400 merchants, one of whom has half. Seeded: the same bytes every time."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

ASKED = "merchant-000"
MERCHANTS, ASKED_ROWS, OTHER_ROWS = 400, 5_000_000, 5_000_000
CATEGORIES, PRODUCTS, STORES = 40, 20_000, 200
CHANNELS = {"store": 0.55, "online": 0.25, "app": 0.10, "phone": 0.05, "market": 0.05}
START, END = datetime(2017, 1, 1, 5, tzinfo=UTC), datetime(2018, 1, 1, tzinfo=UTC)
"""2017 in New York, as far as it lies in 2017 in UTC: months of partitions are UTC's, and there shall be twelve."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Numbers only, texts as indices: (rows,) each, sorted by time."""

    merchant: "np.ndarray[tuple[int], np.dtype[np.int32]]"
    sold_at: "np.ndarray[tuple[int], np.dtype[np.int64]]"
    product: "np.ndarray[tuple[int], np.dtype[np.int32]]"
    store: "np.ndarray[tuple[int], np.dtype[np.int32]]"
    channel: "np.ndarray[tuple[int], np.dtype[np.int32]]"
    quantity: "np.ndarray[tuple[int], np.dtype[np.int64]]"
    cents: "np.ndarray[tuple[int], np.dtype[np.int64]]"


def months(seed: int = 2017) -> "Iterator[pa.Table]":
    """Twelve tables, one a month (UTC), of columns tenant, sold_at, category, product, store, channel, quantity, sales_value."""
    lines = _lines(np.random.default_rng(seed))
    edges = np.arange("2017-01", "2018-02", dtype="datetime64[M]").astype("datetime64[us]").astype(np.int64)
    cuts = np.searchsorted(lines.sold_at, edges)
    for first, last in pairwise(cuts.tolist()):
        yield _table(lines, slice(first, last))


def months_of_one(rows: int, seed: int = 2017) -> "Iterator[pa.Table]":
    """As `months`, of the asked merchant alone and so many in all; one month is made at a time."""
    edges = [START, *(datetime(2017, month, 1, tzinfo=UTC) for month in range(2, 13)), END]
    for number, (start, end) in enumerate(pairwise(edges)):
        share = rows * (number + 1) // 12 - rows * number // 12
        yield _table(_lines(np.random.default_rng([seed, number]), share, 0, start, end), slice(None))


def _lines(
    rng: np.random.Generator, asked: int = ASKED_ROWS, others: int = OTHER_ROWS, start: datetime = START, end: datetime = END
) -> Lines:
    rows = asked + others
    merchant = np.zeros(rows, np.int32)
    merchant[asked:] = rng.integers(1, MERCHANTS, others)
    rng.shuffle(merchant)
    quantity = rng.integers(1, 9, rows)
    return Lines(
        merchant=merchant,
        sold_at=np.sort(rng.integers(_micros(start), _micros(end), rows)),
        product=rng.integers(0, PRODUCTS, rows, np.int32),
        store=rng.integers(0, STORES, rows, np.int32),
        channel=rng.choice(len(CHANNELS), rows, p=list(CHANNELS.values())).astype(np.int32),
        quantity=quantity,
        cents=rng.integers(50, 20_000, rows) * quantity,
    )


def _micros(instant: datetime) -> int:
    return int(instant.timestamp()) * 1_000_000


def _table(lines: Lines, part: slice) -> "pa.Table":
    import pyarrow as pa

    product = lines.product[part]
    return pa.table(
        {
            "tenant": _texts(lines.merchant[part], [f"merchant-{number:03d}" for number in range(MERCHANTS)]),
            "sold_at": pa.array(lines.sold_at[part], pa.timestamp("us", "UTC")),
            "category": _texts(product % CATEGORIES, [f"category {number:02d}" for number in range(CATEGORIES)]),
            "product": _texts(product, [str(1_000_000 + 7 * number) for number in range(PRODUCTS)]),
            "store": _texts(lines.store[part], [str(300 + number) for number in range(STORES)]),
            "channel": _texts(lines.channel[part], list(CHANNELS)),
            "quantity": pa.array(lines.quantity[part]),
            "sales_value": _money(lines.cents[part]),
        }
    )


def _texts(indices: "np.ndarray[tuple[int], np.dtype[np.int32]]", values: list[str]) -> "pa.Array[Any]":
    import pyarrow as pa

    return pa.array(values).take(pa.array(indices, pa.int32()))


def _money(cents: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> "pa.Array[Any]":
    """Cents as decimal(18,4): its bytes are 128-bit integers of ten-thousandths."""
    import pyarrow as pa

    words = np.zeros((len(cents), 2), np.int64)
    words[:, 0] = cents * 100
    return pa.Array.from_buffers(pa.decimal128(18, 4), len(cents), [None, pa.py_buffer(words.tobytes())])
