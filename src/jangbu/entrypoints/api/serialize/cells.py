"""Arrow columns as columns of text, vectorised: what JSON and CSV have in common."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute

pc: Any = pyarrow.compute
Column: TypeAlias = Any
"""An Arrow array. Both are untyped: the stubs of `compute` know neither constants among arrays nor what comes back."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROS = timedelta(microseconds=1)
_FIRST_MICRO = (datetime(1, 1, 2, tzinfo=UTC) - _EPOCH) // _MICROS
_LAST_MICRO = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // _MICROS
_BATCH = 65_536


def is_text(kind: "pa.DataType") -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)


def plain(column: Column) -> Column:
    """Numbers with all their digits (a double as its shortest round-trip, null where it isn't finite), `true` and `false`, days
    and instants in ISO 8601 (an instant with the offset of the column's zone), text as it is. Nulls stay null."""
    kind = column.type
    if pa.types.is_floating(kind):
        return pc.cast(pc.if_else(pc.is_finite(column), column, pa.scalar(None, kind)), pa.string())
    if pa.types.is_timestamp(kind):
        shown = _clock(kind.tz)
        micros = pc.cast(pc.cast(column, pa.timestamp("us", kind.tz)), pa.int64())
        return pa.array([None if value is None else shown(value) for value in micros.to_pylist()], pa.string())
    return pc.cast(column, pa.string())


def by_value(column: Column, spell: Callable[[Column], Column]) -> Column:
    """`spell` applied once to each different value: an answer has few categories and buckets, and many rows."""
    encoded: Any = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    return spell(encoded.dictionary).take(encoded.indices)


def joined(batch: "pa.RecordBatch", cells: Callable[[Column], Column], separator: str) -> bytes:
    """Cells joined by commas, rows by `separator`. (Arrow joins arrays some times faster than it weaves in constants, so brackets
    belong to the separator.)"""
    lines = pc.binary_join_element_wise(*map(cells, batch.columns), ",")
    whole = pa.ListArray.from_arrays(pa.array([0, len(lines)], pa.int32()), lines)
    together: bytes = pc.binary_join(whole, separator)[0].as_buffer().to_pybytes()
    return together


def batches(table: "pa.Table") -> Iterator["pa.RecordBatch"]:
    """The rows some thousands at a time, so that no intermediate array nears Arrow's 2 GiB; none is empty."""
    for batch in table.combine_chunks().to_batches(max_chunksize=_BATCH):
        if batch.num_rows:
            yield batch


def _clock(zone: str | None) -> Callable[[int], str | None]:
    """Micros to ISO 8601; None for a time that the calendar (years 1 to 9999) doesn't have in this zone."""
    place = ZoneInfo(zone) if zone else None

    def shown(micros: int) -> str | None:
        if not _FIRST_MICRO <= micros <= _LAST_MICRO:
            return None
        at = _EPOCH + timedelta(microseconds=micros)
        return (at.astimezone(place) if place else at.replace(tzinfo=None)).isoformat()

    return shown
