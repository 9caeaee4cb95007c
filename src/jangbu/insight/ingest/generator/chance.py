"""Random numbers that are the same on every machine and in every release of NumPy.

They come from the bits of PCG64, which NumPy keeps as they are, not from the distributions, which it may change; what is made of
them is whole numbers, sums, quotients and square roots, which every machine computes alike.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Integers: TypeAlias = NDArray[np.int64]
Bits: TypeAlias = NDArray[np.uint16]
Shares: TypeAlias = NDArray[np.int32]

_PARTS: Final = 1 << 16


class Purpose(IntEnum):
    """What random numbers are for: those for one thing never change those for another."""

    DAYS = 0
    PRODUCTS = 1
    HOUSEHOLDS = 2
    LINES = 3


def bits(seed: int, shop: int, purpose: Purpose, count: int, columns: int, *, block: int = 0) -> Bits:
    """`columns` rows of `count` random numbers from 0 to 65,535."""
    source = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(shop, purpose, block)))
    words = source.random_raw(-(-count * columns // 4))
    return np.asarray(words, dtype="<u8").view("<u2")[: count * columns].reshape(columns, count)


def wide(high: Bits, low: Bits) -> NDArray[np.uint32]:
    """Numbers of 32 bits out of two of 16."""
    return (high.astype(np.uint32) << np.uint32(16)) | low


def zipf(size: int, offset: int) -> Shares:
    """How ranks 0 to `size` - 1 share by the law of Zipf and Mandelbrot, 1 / (rank + 1 + offset): the rank at which each 65,536th
    part begins, and `size`."""
    ends = np.cumsum(1 / np.arange(1 + offset, size + 1 + offset))
    first_parts = np.ceil(ends[:-1] / ends[-1] * _PARTS).astype(np.int64)
    begins = np.cumsum(np.bincount(first_parts, minlength=_PARTS + 1))
    begins[_PARTS] = size
    return begins.astype(np.int32)


def ranks(shares: Shares, part: Bits, within: Bits) -> Integers:
    """The ranks that random numbers fall on. Those within one part are as likely: a search through all would take five times as
    long."""
    first = shares[part]
    return first + ((shares[part.astype(np.int32) + 1] - first) * within.astype(np.int64) >> 16)


def shuffled(chance: NDArray[np.uint32]) -> Integers:
    """The numbers from 0, in a random order."""
    return np.argsort(chance, kind="stable")


def places(chance: Bits, size: int) -> Integers:
    """Places in a table of `size` entries, each as likely."""
    return (chance.astype(np.int64) * size) >> 16


def drawn(weights: Sequence[tuple[Any, int]], chance: Bits) -> list[Any]:
    """One of the values for each random number, as often as its weight says."""
    table = [value for value, weight in weights for _ in range(weight)]
    return [table[place] for place in places(chance, len(table)).tolist()]


def numbers_drawn(weights: Sequence[tuple[int, int]], chance: Bits) -> Integers:
    """`drawn` of whole numbers, as an array."""
    table = np.repeat(np.array([value for value, _ in weights]), [weight for _, weight in weights])
    return table[places(chance, len(table))]
