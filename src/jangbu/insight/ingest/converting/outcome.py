"""What becomes of a column's values, and what the ways of converting share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from jangbu.insight.catalog.contracts import ColumnReading

if TYPE_CHECKING:
    Values: TypeAlias = pa.Array[Any]
else:
    Values = pa.Array
Mask: TypeAlias = npt.NDArray[np.bool_]
Whole: TypeAlias = npt.NDArray[np.int64]


class Reason(StrEnum):
    """Why a row was set aside; stable codes."""

    NOT_A_NUMBER = "not_a_number"
    NOT_A_TIME = "not_a_time"
    NOT_A_DATE = "not_a_date"
    """A time of day where a day is wanted."""
    NOT_A_BOOLEAN = "not_a_boolean"
    OUT_OF_RANGE = "out_of_range"
    TOO_PRECISE = "too_precise"
    """More digits after the point than the column keeps."""
    BAD_ENCODING = "bad_encoding"
    OUTSIDE_RANGE = "outside_range"
    """A time outside the range that the load replaces."""
    MISSING_COLUMN = "missing_column"
    MISSING_VALUE = "missing_value"
    TORN_LINE = "torn_line"


@dataclass(frozen=True, slots=True)
class Rule:
    """How a column's values are read: its reading, its words for a missing value, and the zone of times without an offset."""

    reading: ColumnReading
    nulls: tuple[str, ...]
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The converted values, null where `bad` has the row's index and reason."""

    values: Values
    bad: Mapping[int, Reason] = field(default_factory=lambda: MappingProxyType({}))


def each(values: Values, wanted: pa.DataType, convert: Callable[[Any], Any]) -> Outcome:
    """Every different value converted once, in Python; a `Reason` as its result sets the rows with it aside."""
    encoded = values.dictionary_encode()
    results = [None if value is None else convert(value) for value in encoded.dictionary.to_pylist()]
    fitting = pa.array([None if isinstance(result, Reason) else result for result in results], type=wanted)
    if not any(isinstance(result, Reason) for result in results):
        return Outcome(fitting.take(encoded.indices))
    places = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    reasons = np.array([result if isinstance(result, Reason) else None for result in (*results, None)], dtype=object)[places]
    return Outcome(fitting.take(encoded.indices), {int(row): reasons[row] for row in np.flatnonzero(reasons != np.array(None))})


def replaced(values: Values, mask: Values, outcome: Outcome) -> Outcome:
    """`values` with those of an outcome where `mask` holds, in order."""
    rows = np.flatnonzero(mask.to_numpy(zero_copy_only=False))
    merged = pc.replace_with_mask(values, mask, outcome.values)
    return Outcome(merged, {int(rows[place]): reason for place, reason in outcome.bad.items()})


def nothing(rows: int, wanted: pa.DataType) -> Values:
    """Nulls of a type."""
    return pa.array([None] * rows, type=wanted)


def without(texts: Values, words: tuple[str, ...]) -> Values:
    """The texts, null where they are one of the words for a missing value."""
    mask = pc.is_in(texts, value_set=pa.array(words, pa.string()))
    return pc.if_else(mask, pa.scalar(None, pa.string()), texts) if pc.any(mask).as_py() else texts


def flags(values: Values, *, missing: bool = False) -> Mask:
    """A boolean array in numpy, `missing` where it is null."""
    return np.asarray(values.fill_null(missing).to_numpy(zero_copy_only=False), dtype=np.bool_)
