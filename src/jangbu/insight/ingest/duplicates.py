"""Rows that are the same as another one in every column, told by two hashes of 64 bits each."""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jangbu.insight.ingest.converting.outcome import Mask, Values

Hashes = npt.NDArray[np.uint64]

_ODD: Final = np.uint64(0x9E37_79B9_7F4A_7C15)
_MISSING: Final = np.uint64(0x5851_F42D_4C95_7F2D)
_PAIR: Final = np.dtype([("first", np.uint64), ("second", np.uint64)])


@dataclass(slots=True)
class Duplicates:
    """Counts rows as they pass: 16 bytes of memory each; where they are to be `dropped`, about 150."""

    dropped: bool = False
    _seen: set[bytes] = field(default_factory=set)
    _parts: list["npt.NDArray[np.void]"] = field(default_factory=list)

    def first(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch; without rows that have been there before, where they are dropped."""
        pairs = _pairs(batch)
        self._parts.append(pairs)
        if not self.dropped:
            return batch
        keep = np.fromiter((self._is_new(pair.tobytes()) for pair in pairs), dtype=np.bool_, count=len(pairs))
        return batch if keep.all() else batch.filter(pa.array(keep))

    def counted(self) -> tuple[int, int]:
        """How many groups of the same rows there are, and how many rows are another one again."""
        if not self._parts:
            return 0, 0
        _, counts = np.unique(np.concatenate(self._parts), return_counts=True)
        return int((counts > 1).sum()), int((counts - 1).sum())

    def _is_new(self, pair: bytes) -> bool:
        before = len(self._seen)
        self._seen.add(pair)
        return len(self._seen) > before


def _pairs(batch: pa.RecordBatch) -> "npt.NDArray[np.void]":
    pairs = np.zeros(batch.num_rows, dtype=_PAIR)
    for column in batch.columns:
        first, second = _hashes(column)
        pairs["first"] = _mixed(pairs["first"] ^ first)
        pairs["second"] = _mixed(pairs["second"] + second)
    return pairs


def _mixed(hashes: Hashes) -> Hashes:
    mixed = (hashes ^ (hashes >> np.uint64(29))) * _ODD
    return np.asarray(mixed ^ (mixed >> np.uint64(32)), dtype=np.uint64)


def _hashes(values: Values) -> tuple[Hashes, Hashes]:
    """Of each value; numbers by their bits, texts by each different one."""
    missing: Mask = np.asarray(values.is_null().to_numpy(zero_copy_only=False), dtype=np.bool_)
    if pa.types.is_string(values.type) or pa.types.is_decimal(values.type):
        encoded = values.dictionary_encode()
        texts = [str(text) for text in encoded.dictionary.to_pylist()]
        places = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)
        first, second = (_of_texts([(salt, text) for text in texts], places) for salt in (1, 2))
    else:
        bits = _bits(values)
        first, second = _mixed(bits), _mixed(bits * np.uint64(3) + _MISSING)
    return np.where(missing, _MISSING, first), np.where(missing, ~_MISSING, second)


def _of_texts(texts: list[tuple[int, str]], places: Any) -> Hashes:
    if not texts:
        return np.zeros(len(places), dtype=np.uint64)
    hashes = np.array([hash(text) for text in texts], dtype=np.int64).view(np.uint64)
    return np.asarray(hashes[places], dtype=np.uint64)


def _bits(values: Values) -> Hashes:
    if pa.types.is_floating(values.type):
        return np.asarray(values.fill_null(0.0).to_numpy(zero_copy_only=False), dtype=np.float64).view(np.uint64)
    whole = values.cast(pa.int32()) if pa.types.is_date32(values.type) else values
    return np.asarray(whole.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False), dtype=np.int64).view(np.uint64)
