"""A first definition as the YAML documents that a person reads and edits, with remarks where a look is worth while."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from jangbu.insight.catalog.contracts import ColumnReading, Text
from jangbu.insight.ingest.inferring.columns import Guess
from jangbu.insight.ingest.inferring.measures import DimensionGuess, MeasureGuess
from jangbu.kernel.types import FieldType

if TYPE_CHECKING:
    from jangbu.insight.ingest.inference import Inferred

_PLAIN: Final = ColumnReading()


def data_source(inferred: "Inferred") -> str:
    """The data source's document."""
    return "\n".join(_data_source(inferred)) + "\n"


def measures(inferred: "Inferred") -> str:
    """Its measures' document."""
    head = [
        "# First measures, made from the columns' names: keep what makes sense, and add your own.",
        "version: 1",
        "kind: measures",
    ]
    lines = [*head, f"data_source: {inferred.name}", "measures:"]
    for measure in inferred.measures:
        lines += _measure(measure)
    return "\n".join(lines) + "\n"


def column_line(guess: Guess) -> str:
    """A column as the document has it."""
    column = guess.column
    size = f", precision: {column.precision}" if column.type is FieldType.DECIMAL and column.precision != 18 else ""
    return f"  {column.name}: {{type: {column.type.value}{size}}}  # {_remark(guess.evidence)}"


def reading_lines(name: str, reading: ColumnReading) -> Iterator[str]:
    """A column's reading, if there is anything to say."""
    parts = []
    if reading.source is not None:
        parts.append(f"source: {_quoted(reading.source)}")
    if reading.formats != _PLAIN.formats:
        written = [_quoted(each) for each in reading.formats]
        parts.append(f"format: {written[0] if len(written) == 1 else '[' + ', '.join(written) + ']'}")
    if reading.decimal_sign != ".":
        parts.append(f"decimal_sign: {_quoted(reading.decimal_sign)}")
    if reading.nulls is not None:
        parts.append(f"nulls: [{', '.join(map(_quoted, reading.nulls))}]")
    if parts:
        yield f"    {name}: {{{', '.join(parts)}}}"


def _data_source(inferred: "Inferred") -> Iterator[str]:
    name = inferred.name
    yield "# Made from a file. The types, the times and the labels are guesses: look at each, and edit it."
    yield from ("version: 1", "kind: data_source", f"name: {name}", f"label: {_text(Text(name, name))}")
    yield f"description: {_text(Text(f'‘{name}’ 파일에서 불러온 행이에요.', f'Rows loaded from files as ‘{name}’.'))}"
    yield from (f"binding: {{table: {name}}}", "separation: {kind: column, column: tenant}", "columns:", "  tenant: {type: text}")
    yield from map(column_line, inferred.columns)
    yield from _time_fields(inferred)
    if inferred.dimensions:
        yield "dimensions:"
    for dimension in inferred.dimensions:
        yield from _dimension(dimension)
    yield from _reading(inferred)


def _time_fields(inferred: "Inferred") -> Iterator[str]:
    times = [guess for guess in inferred.columns if guess.column.type.is_time]
    if not times:
        return
    yield "time_fields:"
    for guess in times:
        grain = ", grain: day" if guess.column.type is FieldType.DATE else ""
        yield f"  {guess.name}: {{column: {guess.name}, label: {_text(guess.label)}{grain}}}"
    yield f"default_time_field: {inferred.time}"


def _dimension(dimension: DimensionGuess) -> Iterator[str]:
    yield f"  {dimension.name}:"
    yield f"    column: {dimension.column}" if dimension.column else f"    formula: {dimension.formula}"
    yield f"    label: {_text(dimension.label)}"
    yield f"    description: {_text(dimension.description)}"


def _reading(inferred: "Inferred") -> Iterator[str]:
    reading = inferred.reading
    yield "# How `jangbu load` reads the next file. The zone is that of times without an offset."
    yield from ("reading:", f"  format: {reading.format}", f"  zone: {reading.zone}")
    if reading.sheet is not None:
        yield f"  sheet: {_quoted(reading.sheet)}"
    yield f"  keys: [{', '.join(reading.keys)}]  # for --mode merge"
    if reading.columns:
        yield "  columns:"
    for name, column in reading.columns.items():
        yield from reading_lines(name, column)


def _measure(measure: MeasureGuess) -> Iterator[str]:
    yield f"  - name: {measure.name}"
    yield f"    kind: {measure.kind}"
    yield from (f"    {key}: {value}" for key, value in measure.fields)
    yield f"    label: {_text(measure.label)}"
    yield f"    description: {_text(measure.description)}"
    if measure.unit:
        yield f"    unit: {measure.unit}"
    yield f"    format: {measure.format}"


def _text(text: Text) -> str:
    return f"{{ko: {_quoted(text.ko)}, en: {_quoted(text.en)}}}"


def _quoted(text: str) -> str:
    """A JSON string, which is one of YAML too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\x7f")


def _remark(text: str) -> str:
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
