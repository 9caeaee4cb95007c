"""Rows that repeat another one in every column are counted, and left out where that is asked."""

from collections import Counter
from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as some

from jangbu.insight.ingest.duplicates import Duplicates

SCHEMA = pa.schema([("a", pa.string()), ("b", pa.int64()), ("c", pa.decimal128(18, 4)), ("d", pa.float64()), ("e", pa.date32())])
ROWS = some.lists(
    some.tuples(
        some.sampled_from(["", "a", None]),
        some.sampled_from([-2, -1, 0, None]),
        some.sampled_from([Decimal(-1), Decimal(-2), None]),
        some.sampled_from([0.5, -1.0, None]),
        some.sampled_from([0, 1, None]),
    ),
    max_size=40,
)


def batch(rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    columns = [pa.array([row[place] for row in rows], field.type) for place, field in enumerate(SCHEMA)]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


@given(ROWS, some.integers(min_value=0, max_value=40))
@settings(max_examples=80, deadline=None)
def test_they_are_counted_over_all_batches(rows: list[tuple[Any, ...]], cut: int) -> None:
    counting, dropping = Duplicates(), Duplicates(dropped=True)
    for part in (rows[:cut], rows[cut:]):
        assert counting.first(batch(part)).num_rows == len(part)
    kept = [row for part in (rows[:cut], rows[cut:]) for row in dropping.first(batch(part)).to_pylist()]
    counts = Counter(rows).values()
    expected = (sum(count > 1 for count in counts), sum(count - 1 for count in counts))
    assert counting.counted() == dropping.counted() == expected
    assert len(kept) == len(counts)
    assert kept == batch(list(dict.fromkeys(rows))).to_pylist()
