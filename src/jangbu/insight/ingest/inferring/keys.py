"""Which columns together tell one row from every other, on a sample."""

from collections.abc import Sequence
from itertools import combinations
from typing import Final

import pyarrow as pa

from jangbu.insight.ingest.inferring import words
from jangbu.insight.ingest.inferring.columns import Guess
from jangbu.kernel.types import FieldType

_TRIED: Final = 5
"""Columns that are tried in pairs and threes: those with the most different values."""
_FIRST: Final = 50_000
"""Rows that a combination is tried on before all are."""


def natural_keys(table: pa.Table, guesses: Sequence[Guess]) -> tuple[str, ...]:
    """The names of the fewest such columns, () where there are none. `table` has the guesses' columns by their original names.
    Amounts aren't tried: that they differ is chance."""
    suited = [guess for guess in guesses if _is_suited(guess)]
    suited.sort(key=lambda guess: (not guess.identifier, -guess.distinct))
    for many in (1, 2, 3):
        for some in combinations(suited[:_TRIED] if many > 1 else suited, many):
            if _tells_apart(table, some):
                return tuple(guess.name for guess in some)
    return ()


def _is_suited(guess: Guess) -> bool:
    if words.MONEY.search(guess.name) or words.QUANTITY.search(guess.name):
        return False
    return (
        not guess.missing
        and guess.rows > 1
        and (guess.identifier or guess.column.type not in (FieldType.DECIMAL, FieldType.DOUBLE))
    )


def _tells_apart(table: pa.Table, some: Sequence[Guess]) -> bool:
    possible = 1
    for guess in some:
        possible *= guess.distinct
    if possible < table.num_rows or (len(some) == 1 and not (some[0].identifier or some[0].column.type.is_time)):
        return False
    names = [guess.original for guess in some]
    return all(rows.group_by(names).aggregate([]).num_rows == rows.num_rows for rows in (table.slice(0, _FIRST), table))
