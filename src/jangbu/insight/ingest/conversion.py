"""From rows as a file has them to rows of a table's types; a row with a value that can't be converted without loss is set aside.

Where everything fits, a column costs one cast of Arrow. Else a closer look is taken at the values that don't, each different one
once. The result of a row never depends on the rows around it.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pyarrow as pa

from jangbu.insight.catalog.contracts import DataSource, Reading
from jangbu.insight.ingest import arrow
from jangbu.insight.ingest.arrow import arrow_schema, arrow_type
from jangbu.insight.ingest.contracts import BadRow
from jangbu.insight.ingest.converting import numbers, plain, times
from jangbu.insight.ingest.converting.outcome import Outcome, Reason, Rule, Values, flags, nothing, without
from jangbu.insight.ingest.feeding import Converter
from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.ports import TableColumn, TimeRange

__all__ = ["BadRow", "Converted", "Reason", "convert", "converter_of", "payload_of"]


_READING: Final = Reading()


@dataclass(frozen=True, slots=True)
class Converted:
    """The rows that fit, in their order, and those that don't. `kept` are the fitting rows' places in the given batch,
    None for all."""

    batch: pa.RecordBatch
    bad: tuple[BadRow, ...] = ()
    kept: "Values | None" = None


def convert(
    batch: pa.RecordBatch,
    columns: Sequence[TableColumn],
    reading: Reading = _READING,
    *,
    first_row: int = 1,
    numbers: Sequence[int] | None = None,
    required: Collection[str] = (),
    within: tuple[str, TimeRange] | None = None,
) -> Converted:
    """The batch in the columns' types and order. A column is found by its name in the file (`reading`), else by its own; one that
    isn't there is null throughout, others are left out. Texts and every type of Arrow are taken.

    Rows are numbered from `first_row`, or by `numbers` where they have gaps. A `required` column may not be null;
    `within` is a column of times, and the range that each has to lie in.

    Raises:
        LoadError: times without an offset where `reading` has no zone; a format of times that there isn't.
    """
    outcomes = [_outcome(batch, column, reading, column.name in required) for column in columns]
    if within is not None:
        outcomes = [_held_to(within[1], out) if col.name == within[0] else out for col, out in zip(columns, outcomes, strict=True)]
    whole = pa.RecordBatch.from_arrays([outcome.values for outcome in outcomes], schema=arrow_schema(columns))
    found: dict[int, tuple[TableColumn, Reason]] = {}
    for column, outcome in reversed(list(zip(columns, outcomes, strict=True))):
        found |= {row: (column, reason) for row, reason in outcome.bad.items()}
    if not found:
        return Converted(whole)
    rows = sorted(found)
    keep = np.ones(batch.num_rows, dtype=np.bool_)
    keep[rows] = False
    payloads = payloads_of(batch.take(pa.array(rows, pa.int64())))
    bad = tuple(
        _bad_row(numbers[row] if numbers is not None else first_row + row, *found[row], reading, payload)
        for row, payload in zip(rows, payloads, strict=True)
    )
    return Converted(whole.filter(pa.array(keep)), bad, pa.array(np.flatnonzero(keep)))


def converter_of(source: DataSource) -> Converter:
    """What makes rows as the source's files have them into rows of its table, by its `reading`."""
    reading = source.reading

    def converter(batch: pa.RecordBatch, columns: Sequence[TableColumn], first_row: int) -> tuple[pa.RecordBatch, Sequence[BadRow]]:
        converted = convert(batch, columns, reading, first_row=first_row)
        return converted.batch, converted.bad

    return converter


def source_of(batch: pa.RecordBatch, column: str, reading: Reading) -> str | None:
    """The name under which a batch has a column, None where it hasn't."""
    return next((name for name in (reading.column(column).source, column) if name and name in batch.schema.names), None)


def payloads_of(batch: pa.RecordBatch) -> list[Mapping[str, Any]]:
    """The rows as JSON has them."""
    return [payload_of(row) for row in batch.to_pylist()]


def payload_of(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType({name: _plain(value) for name, value in row.items()})


def _outcome(batch: pa.RecordBatch, column: TableColumn, reading: Reading, required: bool) -> Outcome:
    name = source_of(batch, column.name, reading)
    if name is None:
        return Outcome(
            nothing(batch.num_rows, arrow_type(column)),
            dict.fromkeys(range(batch.num_rows), Reason.MISSING_COLUMN) if required else {},
        )
    outcome = _converted(batch.column(name), column, Rule(reading.column(column.name), reading.nulls_of(column.name), reading.zone))
    if not required or not outcome.values.null_count:
        return outcome
    missing = np.flatnonzero(outcome.values.is_null().to_numpy(zero_copy_only=False))
    return Outcome(outcome.values, dict.fromkeys(map(int, missing), Reason.MISSING_VALUE) | dict(outcome.bad))


def _held_to(span: TimeRange, outcome: Outcome) -> Outcome:
    outside = np.flatnonzero(~flags(arrow.within(outcome.values, span)))
    return Outcome(outcome.values, dict.fromkeys(map(int, outside), Reason.OUTSIDE_RANGE) | dict(outcome.bad))


def _converted(given: Values, column: TableColumn, rule: Rule) -> Outcome:
    values, wanted = plain.plain(given), column.type
    if pa.types.is_null(values.type):
        return Outcome(nothing(len(values), arrow_type(column)))
    if wanted.is_number and _is_number(values.type):
        return numbers.from_numbers(values, column)
    if wanted.is_time and (pa.types.is_timestamp(values.type) or pa.types.is_date(values.type)):
        return times.from_times(values, column, rule)
    if wanted is FieldType.BOOLEAN and pa.types.is_boolean(values.type):
        return Outcome(values)
    if pa.types.is_binary(values.type):
        texts = plain.decoded(values)
        outcome = _from_texts(texts.values, column, rule)
        return Outcome(outcome.values, dict(outcome.bad) | dict(texts.bad))
    return _from_texts(values if pa.types.is_string(values.type) else plain.as_texts(values), column, rule)


def _is_number(given: pa.DataType) -> bool:
    return pa.types.is_integer(given) or pa.types.is_floating(given) or pa.types.is_decimal(given)


def _from_texts(given: Values, column: TableColumn, rule: Rule) -> Outcome:
    texts = without(given, rule.nulls)
    match column.type:
        case FieldType.TEXT:
            return Outcome(texts)
        case FieldType.BOOLEAN:
            return plain.booleans(texts, rule)
        case FieldType.DATE | FieldType.INSTANT | FieldType.LOCAL:
            return times.from_texts(texts, column, rule)
        case _:
            return numbers.from_texts(texts, column, rule)


def _bad_row(number: int, column: TableColumn, reason: Reason, reading: Reading, payload: Mapping[str, Any]) -> BadRow:
    source = reading.column(column.name).source
    value = payload.get(source, payload.get(column.name)) if source else payload.get(column.name)
    return BadRow(number, column.name, reason, None if value is None else str(value), payload)


def _plain(value: Any) -> Any:
    """A value as JSON has it: numbers that JSON can't hold exactly and times as texts."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Decimal():
            return format(value, "f")
        case datetime() | date() | time():
            return value.isoformat()
        case bytes():
            return value.decode(errors="replace")
        case Mapping():
            return {str(name): _plain(part) for name, part in value.items()}
        case list() | tuple():
            return [_plain(part) for part in value]
    return str(value)
