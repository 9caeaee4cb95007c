"""What a file format is: a plug-in of kind `file_format` whose `open()` gives a `Format`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from jangbu.kernel.errors import LoadError

if TYPE_CHECKING:
    import pyarrow as pa

BATCH: Final = 65_536
"""Rows of a batch, about."""
LONGEST: Final = 8 << 20
"""Bytes of a row of text at most."""
_LONGEST_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class Options:
    """What is known of a file before it is looked at; None is found out."""

    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None


@dataclass(frozen=True, slots=True)
class Torn:
    """A row that can't be told apart into the file's columns. `number` counts the file's rows from 1."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a file in its order, by its mended names, each with its number, and those that are torn."""

    batch: "pa.RecordBatch"
    numbers: Sequence[int]
    torn: tuple[Torn, ...] = ()


class TableFile(Protocol):
    """An open file with a table in it. `notes` are sentences on what was found out and mended."""

    @property
    def names(self) -> tuple[str, ...]:
        """Its columns' names, none empty, none twice."""

    @property
    def options(self) -> Options: ...

    @property
    def notes(self) -> tuple[str, ...]: ...

    @property
    def rows(self) -> int | None:
        """How many there are, None where only reading them tells."""

    def read(self) -> Iterator[Rows]:
        """Every row, with bounded memory.

        Raises:
            LoadError: the file is torn.
        """


class Format(Protocol):
    def recognises(self, path: Path, head: bytes) -> bool:
        """Whether a file is of this format, by its name and first bytes (of what is unpacked, where it is gzipped)."""

    def open(self, path: Path, options: Options) -> TableFile:
        """Raises LoadError where it can't be read."""


def torn_file(path: Path, error: object) -> LoadError:
    return LoadError(
        f"{path.name} is torn or isn't what its name says: {error}",
        value=path.name,
        hint="Nothing was loaded. Get the file again, whole.",
    )


def too_long(path: Path) -> LoadError:
    return LoadError(
        f"{path.name} has a row that is longer than {LONGEST:,} bytes.",
        value=path.name,
        hint="Nothing was loaded. Is a quote missing, or are its rows not told apart by line ends?",
    )


def mended(names: Iterable[str | None]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of letters that print, without blanks around them, none empty, none twice, none endless; and sentences on what was
    changed."""
    taken: dict[str, None] = {}
    notes: list[str] = []
    for place, given in enumerate(names, 1):
        plain = " ".join("".join(sign if sign.isprintable() else " " for sign in given or "").split())
        name = wanted = plain[:_LONGEST_NAME].rstrip() or f"column {place}"
        turn = 2
        while name in taken:
            name, turn = f"{wanted} {turn}", turn + 1
        if len(plain) > _LONGEST_NAME:
            notes.append(f"The name of column {place} is cut to {_LONGEST_NAME} characters: {name!r}.")
        if not plain:
            notes.append(f"Column {place} has no name; it is called {name!r}.")
        elif name != wanted:
            notes.append(f"Two columns are called {wanted!r}; column {place} is called {name!r}.")
        taken[name] = None
    return tuple(taken), tuple(notes)
