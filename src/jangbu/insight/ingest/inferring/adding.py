"""New columns put into a data source's document as its owner has written it, remarks and all."""

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from jangbu.insight.ingest.inferring.columns import Guess
from jangbu.insight.ingest.inferring.rendering import column_line, reading_lines
from jangbu.insight.ingest.inferring.words import column_name
from jangbu.kernel.errors import LoadError


def apart(guesses: Sequence[Guess], taken: Collection[str]) -> list[Guess]:
    """The guesses under names that none of `taken` has."""
    free = [guess for guess in guesses if guess.name not in taken]
    for place, guess in enumerate([guess for guess in guesses if guess.name in taken], 1):
        name = column_name(guess.original, place, [*taken, *(other.name for other in (*free, *guesses))])
        renamed = replace(guess.column, name=name), replace(guess.reading, source=guess.original)
        free.append(replace(guess, name=name, column=renamed[0], reading=renamed[1]))
    return free


def with_columns(document: str, guesses: Sequence[Guess]) -> str:
    """The document (YAML, in blocks) with these columns at the end of its own.

    Raises:
        LoadError: its columns don't stand in a block.
    """
    lines = _inserted(document.splitlines(), ["columns:"], [column_line(guess) for guess in guesses])
    readings = [line for guess in guesses for line in reading_lines(guess.name, guess.reading)]
    if readings:
        if not any(line.startswith("reading:") for line in lines):
            lines.append("reading:")
        if not _has(lines, ["reading:", "  columns:"]):
            lines = _inserted(lines, ["reading:"], ["  columns:"])
        lines = _inserted(lines, ["reading:", "  columns:"], readings)
    return "\n".join(lines) + "\n"


def _has(lines: Sequence[str], path: Sequence[str]) -> bool:
    return _end_of(lines, path) is not None


def _inserted(lines: Sequence[str], path: Sequence[str], new: Sequence[str]) -> list[str]:
    end = _end_of(lines, path)
    if end is None:
        hint = f"Add them to it: {'; '.join(line.strip() for line in new)}"
        raise LoadError("New columns can't be put into the definition: it isn't written in blocks.", value=path[-1], hint=hint)
    return [*lines[:end], *new, *lines[end:]]


def _end_of(lines: Sequence[str], path: Sequence[str]) -> int | None:
    """The line behind the block below these headings, each within the one before it."""
    start, end = 0, len(lines)
    for heading in path:
        found = next((at for at in range(start, end) if re.fullmatch(re.escape(heading) + r"\s*(#.*)?", lines[at])), None)
        if found is None:
            return None
        depth = len(heading) - len(heading.lstrip())
        start = found + 1
        end = next((at for at in range(start, end) if lines[at].strip() and len(lines[at]) - len(lines[at].lstrip()) <= depth), end)
    return end
