"""What a sample says of a column: its values, how often each is there, and what they can be."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jangbu.insight.catalog.contracts import NULL_WORDS, ColumnReading, Reading
from jangbu.insight.ingest.conversion import convert
from jangbu.insight.ingest.converting.outcome import Values
from jangbu.insight.ingest.converting.plain import as_texts, decoded, plain
from jangbu.platform.lakehouse.ports import TableColumn

_FEW: Final = 200
"""Different values that tell whether trying the others is worth while."""


@dataclass(frozen=True, slots=True)
class Profile:
    """`values` are the different ones that aren't missing, as texts, `counts` how often each is there; `given` is the type in the
    file. `rows` counts all, `missing` those without a value, `words` are the words for it that were found."""

    values: Values
    counts: "np.typing.NDArray[np.int64]"
    given: pa.DataType
    rows: int
    missing: int
    words: tuple[str, ...]

    @property
    def filled(self) -> int:
        return self.rows - self.missing

    @property
    def distinct(self) -> int:
        return len(self.values)

    def misfits(self, column: TableColumn, reading: ColumnReading, zone: str) -> int:
        """How many of the filled rows wouldn't fit; a few different values are tried first."""
        for some in (self.values[:_FEW], self.values) if len(self.values) > _FEW else (self.values,):
            batch = pa.record_batch({column.name: some})
            done = convert(batch, [column], Reading(zone=zone, columns={column.name: reading}))
            lost = int(self.counts[[bad.number - 1 for bad in done.bad]].sum()) if done.bad else 0
            if len(done.bad) * 2 > len(some):
                return self.filled
        return lost

    def examples(self, many: int = 3) -> list[Any]:
        return self.values[:many].to_pylist()


def profile(arrays: Sequence[Values]) -> Profile:
    """The profile of a column's arrays, whatever their types."""
    given = arrays[0].type
    texts = pa.chunked_array([_texts(array) for array in arrays], pa.string())
    counted = pc.value_counts(texts)
    values, counts = counted.field("values"), counted.field("counts").to_numpy(zero_copy_only=False)
    null = np.asarray(pc.is_in(values, value_set=pa.array([*NULL_WORDS, None], pa.string())).to_numpy(zero_copy_only=False))
    words = tuple(word for word in values.filter(pa.array(null)).to_pylist() if word)
    keep = pa.array(~null)
    return Profile(values.filter(keep), counts[~null], given, len(texts), int(counts[null].sum()), words)


def is_text(given: pa.DataType) -> bool:
    return pa.types.is_string(given) or pa.types.is_binary(given) or pa.types.is_large_string(given) or pa.types.is_null(given)


def _texts(array: Values) -> Values:
    array = plain(array)
    if pa.types.is_binary(array.type):
        return decoded(array).values
    return array if pa.types.is_string(array.type) else as_texts(array)
