"""From a file to a first definition of its data source: every guess with its evidence, to be read and edited by a person."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from jangbu.insight.catalog.contracts import Reading
from jangbu.insight.ingest.converting.outcome import nothing
from jangbu.insight.ingest.files.opening import OpenFiles
from jangbu.insight.ingest.inferring.columns import Guess, guess
from jangbu.insight.ingest.inferring.keys import natural_keys
from jangbu.insight.ingest.inferring.measures import DimensionGuess, MeasureGuess, dimensions, measures
from jangbu.insight.ingest.inferring.profiles import profile
from jangbu.insight.ingest.inferring.words import column_name
from jangbu.kernel.errors import LoadError
from jangbu.kernel.types import FieldType

__all__ = ["Inferred", "infer"]

_WHOLE: Final = 64 << 20
"""Bytes of a file up to which all of it is looked at."""
_WIDEST: Final = 1_000
"""Columns."""
_FIRST: Final = 4
"""Batches at the beginning of a larger one that are; then every so many."""


@dataclass(frozen=True, slots=True)
class Inferred:
    """What a data source of these files could be. `sampled` rows were looked at; `whole`: these are all."""

    name: str
    columns: tuple[Guess, ...]
    time: str | None
    keys: tuple[str, ...]
    dimensions: tuple[DimensionGuess, ...]
    measures: tuple[MeasureGuess, ...]
    reading: Reading
    notes: tuple[str, ...]
    sampled: int
    whole: bool

    def report(self) -> tuple[str, ...]:
        """What was found and why, a line each."""
        looked = f"Looked at {'all ' if self.whole else ''}{self.sampled:,} rows{'' if self.whole else ', spread over the file'}."
        columns = [f"{each.name}: {each.column.type.value}, {each.evidence}" for each in self.columns]
        time = f"Time: {self.time}." if self.time else "No column is a time: nothing can be asked over time."
        keys = f"Each row differs by {', '.join(self.keys)}." if self.keys else "No few columns tell each row from every other."
        return (*self.notes, looked, *columns, time, keys)


def infer(opened: OpenFiles, name: str, zone: str, *, keys: Sequence[str] = ()) -> Inferred:
    """A first definition of a data source called `name`; `zone` is the IANA zone of times without an offset. `keys`, by their names
    in the file or their own, go before what is found.

    Raises:
        LoadError: there are no rows, or a key that isn't there.
    """
    if len(opened.names) > _WIDEST:
        name, many = opened.paths[0].name, len(opened.names)
        raise LoadError(
            f"{name} has {many:,} columns; a definition that is made from a file has {_WIDEST:,} at most.",
            value=name,
            hint="Leave out those that nobody asks for.",
        )
    table, whole = _sample(opened)
    if not table.num_rows:
        raise LoadError(
            f"{opened.paths[0].name} has no rows.", value=opened.paths[0].name, hint="There is nothing to tell types by."
        )
    guesses: list[Guess] = []
    for place, original in enumerate(opened.names, 1):
        own = column_name(original, place, [other.name for other in guesses])
        guesses.append(guess(own, original, profile(table.column(original).chunks), zone))
    time = _default_time(guesses)
    chosen = _given(keys, guesses) or natural_keys(table, guesses)
    found = dimensions(guesses, time)
    taken = ["time", "tenant", *(each.name for each in found), *(each.name for each in guesses if each.column.type.is_time)]
    return Inferred(
        name=name,
        columns=tuple(guesses),
        time=time.name if time else None,
        keys=chosen,
        dimensions=found,
        measures=measures(guesses, taken),
        reading=_reading(opened, guesses, zone, chosen),
        notes=opened.notes,
        sampled=table.num_rows,
        whole=whole,
    )


def _reading(opened: OpenFiles, guesses: Sequence[Guess], zone: str, keys: tuple[str, ...]) -> Reading:
    plain = Reading().column("")
    # The encoding and the delimiter aren't kept: each file's own bytes tell them.
    columns = {each.name: each.reading for each in guesses if each.reading != plain}
    return Reading(format=opened.format, sheet=opened.options.sheet, zone=zone, columns=columns, keys=keys)


def _sample(opened: OpenFiles) -> tuple[pa.Table, bool]:
    """Rows by the files' names, all where the files are small, else the first and some of every part; and whether these are all."""
    step = max(1, -(-opened.bytes // _WHOLE))
    batches = [rows.batch for at, rows in enumerate(opened.read()) if at < _FIRST or at % step == 0]
    columns: dict[str, Any] = {}
    for name in opened.names:
        kind = next((batch.schema.field(name).type for batch in batches if name in batch.schema.names), pa.string())
        arrays = [batch.column(name) if name in batch.schema.names else nothing(batch.num_rows, kind) for batch in batches]
        if any(array.type != kind for array in arrays):
            arrays = [array.cast(pa.string()) for array in arrays]
            kind = pa.string()
        columns[name] = pa.chunked_array(arrays or [nothing(0, kind)], kind)
    return pa.table(columns), step == 1


def _default_time(guesses: Sequence[Guess]) -> Guess | None:
    """The time with the fewest missing; of several, an order's or invoice's, an instant, the first."""
    times = [each for each in guesses if each.column.type.is_time]
    first = ("order", "invoice", "paid", "sold", "created", "date")
    return min(
        times,
        key=lambda each: (
            each.missing,
            next((place for place, word in enumerate(first) if each.name.startswith(word)), len(first)),
            each.column.type is FieldType.DATE,
        ),
        default=None,
    )


def _given(keys: Sequence[str], guesses: Sequence[Guess]) -> tuple[str, ...]:
    names = {each.original: each.name for each in guesses} | {each.name: each.name for each in guesses}
    for key in keys:
        if key not in names:
            raise LoadError(f"There is no column {key!r} to tell rows apart by.", value=key, known=sorted(names))
    return tuple(names[key] for key in keys)
