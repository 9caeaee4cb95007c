"""Workbooks of Excel (xlsx, xls, xlsb) and OpenDocument: one sheet, its first row with anything in it as the header.

A sheet has at most 1,048,576 rows. Numbers are taken at 15 digits, as the program shows them.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from jangbu.insight.ingest.files.ports import BATCH, Options, Rows, mended, torn_file
from jangbu.insight.ingest.files.sheets import PROGRAM
from jangbu.kernel.discovery import Plugin
from jangbu.kernel.errors import LoadError

_SUFFIXES: Final = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")


class ExcelFormat:
    def recognises(self, path: Path, head: bytes) -> bool:  # noqa: ARG002
        return path.suffix.lower() in _SUFFIXES

    def open(self, path: Path, options: Options) -> "ExcelSheet":
        with _sheet(path, options.sheet) as (sheets, rows):
            name = options.sheet if options.sheet is not None else sheets[0]
            if name not in sheets:
                raise LoadError(f"{path.name} has no sheet {name!r}.", value=name, known=sheets)
            place, header = next(((at, row) for at, row in enumerate(rows, 1) if any(cell is not None for cell in row)), (0, []))
            if not header:
                raise LoadError(f"The sheet {name!r} of {path.name} is empty.", known=sheets)
            names, notes = mended(header)
            told = f"{path.name}: the sheet {name!r}" + (f" of {len(sheets)}." if len(sheets) > 1 else ".")
            return ExcelSheet(path, names, Options(sheet=name), (told, *notes), place)


@dataclass(frozen=True, slots=True)
class ExcelSheet:
    path: Path
    names: tuple[str, ...]
    options: Options
    notes: tuple[str, ...]
    header: int
    rows: int | None = None

    def read(self) -> Iterator[Rows]:
        import pyarrow as pa

        with _sheet(self.path, self.options.sheet) as (_, rows):
            below = islice(enumerate(rows, 1 - self.header), self.header, None)
            filled = ((at, row) for at, row in below if any(cell is not None for cell in row))
            while some := list(islice(filled, BATCH)):
                columns = [[row[place] if place < len(row) else None for _, row in some] for place in range(len(self.names))]
                batch = pa.RecordBatch.from_arrays([pa.array(each, pa.string()) for each in columns], names=list(self.names))
                yield Rows(batch, [number for number, _ in some])


@contextmanager
def _sheet(path: Path, sheet: str | None) -> "Iterator[tuple[list[str], Iterator[list[str | None]]]]":
    """The names of the sheets, and the rows of one: read by a process of its own, as a small file may say of a cell so far away, or
    hold so much once unpacked, that the reader takes all memory, and ends with its process."""
    # Our own module; what it is given are plain words to it.
    command = [sys.executable, "-P", "-m", PROGRAM, str(path), *([sheet] if sheet is not None else [])]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=quiet, stdout=subprocess.PIPE, stderr=quiet) as process:  # noqa: S603  # as above
        try:
            lines = _lines(path, process)
            yield next(lines), lines
        finally:
            process.kill()


def _lines(path: Path, process: "subprocess.Popen[bytes]") -> Iterator[Any]:
    """What the process says, a JSON value a line."""
    assert process.stdout is not None  # noqa: S101  # it is a pipe
    for line in process.stdout:
        found = json.loads(line)
        if isinstance(found, dict):
            raise torn_file(path, found["error"])
        yield found
    if process.wait():
        raise LoadError(
            f"{path.name} takes too much memory or time to be read, or can't be.",
            value=path.name,
            hint="Nothing was loaded. Delete cells that lie far from the others, or save the sheet as CSV.",
        )


def open_format() -> ExcelFormat:
    return ExcelFormat()


PLUGIN = Plugin(
    kind="file_format",
    name="excel",
    summary="Workbooks of Excel and OpenDocument.",
    open=open_format,
    extra="excel",
    requires=("python_calamine",),
)
