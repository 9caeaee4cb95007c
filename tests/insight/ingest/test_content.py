"""The hash of a content is of its values, not of how they lie."""

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from jangbu.insight.ingest.content import ContentHash

SCHEMA = pa.schema(
    {
        "text": pa.string(),
        "money": pa.decimal128(18, 4),
        "number": pa.int64(),
        "yes": pa.bool_(),
        "ratio": pa.float64(),
        "at": pa.timestamp("us", tz="UTC"),
        "day": pa.date32(),
    }
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "text": st.none() | st.text("a한\0", max_size=3),
            "money": st.none() | st.integers(-9999, 9999).map(lambda cents: Decimal(cents) / 100),
            "number": st.none() | st.integers(-3, 3),
            "yes": st.none() | st.booleans(),
            "ratio": st.none() | st.sampled_from([0.0, 0.5, -1.5]),
            "at": st.none() | st.integers(0, 3),
            "day": st.none() | st.integers(0, 3),
        }
    ),
    max_size=12,
)


def batch(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMA)


def digest(*batches: pa.RecordBatch) -> str:
    content = ContentHash(SCHEMA)
    for each in batches:
        content.update(each)
    return content.hexdigest()


@given(ROWS, st.lists(st.integers(0, 12), max_size=4))
def test_cutting_elsewhere_changes_nothing(rows: list[dict[str, Any]], cuts: list[int]) -> None:
    whole = batch(rows)
    edges = sorted({0, len(rows), *(cut for cut in cuts if cut <= len(rows))})
    slices = [whole.slice(start, end - start) for start, end in pairwise(edges)]
    copies = [batch(rows[start:end]) for start, end in pairwise(edges)]
    assert digest(whole) == digest(*slices) == digest(*copies)


@settings(max_examples=300)
@given(ROWS, ROWS)
def test_only_equal_rows_have_equal_hashes(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    assert (digest(batch(one)) == digest(batch(other))) == (batch(one).to_pylist() == batch(other).to_pylist())


def test_where_a_text_ends_matters() -> None:
    assert digest(batch([{"text": "ab"}, {"text": "c"}])) != digest(batch([{"text": "a"}, {"text": "bc"}]))


def test_null_is_neither_empty_nor_zero() -> None:
    assert len({digest(batch([row])) for row in ({}, {"text": ""}, {"number": 0}, {"yes": False})}) == 4


def test_what_a_null_slot_holds_in_memory_does_not_matter() -> None:
    valid = pa.py_buffer(bytes([0b101]))
    hidden = pa.Array.from_buffers(pa.int64(), 3, [valid, pa.array([1, 99, 3], pa.int64()).buffers()[1]])
    plain = pa.array([1, None, 3], pa.int64())
    hashes = []
    for array in (hidden, plain):
        content = ContentHash(pa.schema({"number": pa.int64()}))
        content.update(pa.RecordBatch.from_arrays([array], names=["number"]))
        hashes.append(content.hexdigest())
    assert hashes[0] == hashes[1]


def test_names_and_types_are_part_of_it() -> None:
    empty = [
        ContentHash(pa.schema({name: type_})).hexdigest()
        for name, type_ in (("a", pa.string()), ("b", pa.string()), ("a", pa.int64()))
    ]
    assert len(set(empty)) == 3
