"""Comma-separated text and its kin: `,` `;` tab `|`, line ends in quoted fields, UTF-8, CP949 or UTF-16, gzipped or not."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal, cast

from jangbu.insight.ingest.files.encodings import SIGN, Recoded, as_utf8, encoding_of
from jangbu.insight.ingest.files.packed import unpacked
from jangbu.insight.ingest.files.ports import LONGEST, Options, Rows, Torn, mended, too_long, torn_file
from jangbu.kernel.discovery import Plugin
from jangbu.kernel.errors import LoadError

if TYPE_CHECKING:
    import pyarrow as pa

_SUFFIXES: Final = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
_DELIMITERS: Final = ",;\t|"
_LOOK: Final = 256 * 1024
_NAMED: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


class CsvFormat:
    def recognises(self, path: Path, head: bytes) -> bool:
        return path.name.lower().endswith(_SUFFIXES) and not head.startswith((b"PK\x03\x04", b"PAR1"))

    def open(self, path: Path, options: Options) -> "CsvFile":
        encoding = options.encoding or encoding_of(path)
        text = _beginning(path, encoding)
        if not text.strip():
            raise LoadError(f"{path.name} is empty.", value=path.name)
        delimiter = options.delimiter or _delimiter(text)
        blank, header = next(((at, row) for at, row in enumerate(_fields(text, delimiter)) if row), (0, []))
        if not header:
            raise LoadError(f"The first row of {path.name} is too long to hold names.", value=path.name)
        names, notes = mended(header)
        told = f"{path.name}: text in {encoding}, fields between {_NAMED.get(delimiter, delimiter)}."
        return CsvFile(path, names, Options(encoding, delimiter), (told, *notes), blank)


@dataclass(frozen=True, slots=True)
class CsvFile:
    path: Path
    names: tuple[str, ...]
    options: Options
    notes: tuple[str, ...]
    blank: int
    """Lines before the names that have nothing in them."""
    rows: int | None = None

    def read(self) -> Iterator[Rows]:
        import pyarrow as pa

        try:
            with unpacked(self.path) as packed:
                text = as_utf8(packed, self.options.encoding or "utf-8")
                yield from self._whole(_read(text, self.names, self.options.delimiter or ",", self.blank), text)
        except pa.ArrowInvalid as error:
            raise (too_long(self.path) if "straddling" in str(error) else torn_file(self.path, error)) from error

    def _whole(self, parts: Iterator[Rows], text: Recoded) -> Iterator[Rows]:
        """The rows. A quote that is never closed would take all that follows for one value."""
        last, swallowed = b"", False
        for rows in parts:
            yield rows
            if rows.batch.num_rows:
                last = rows.batch.column(len(self.names) - 1)[-1].as_py() or b""
            swallowed = bool(rows.torn) and rows.torn[-1].text.count('"') % 2 == 1
        if text.quotes % 2 and (b"\n" in last or swallowed):
            raise torn_file(self.path, "a quote is opened and never closed, so that all behind it is one value.")


def _read(text: Recoded, names: tuple[str, ...], delimiter: str, blank: int) -> Iterator[Rows]:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    counted = _Numbers(blank)
    try:
        reader = arrow_csv.open_csv(
            cast("BinaryIO", text),
            # One thread, so that torn rows come with their numbers.
            read_options=arrow_csv.ReadOptions(
                use_threads=False, block_size=LONGEST, column_names=list(names), skip_rows_after_names=blank + 1
            ),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=counted.torn),
            convert_options=arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.binary()), strings_can_be_null=False),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            return
        raise
    for batch in reader:
        numbers = counted.next(batch.num_rows)
        yield Rows(_told_broken(batch) if text.broken else batch, numbers, counted.drain())
    if left := counted.drain():
        yield Rows(_empty(names), (), left)


def _told_broken(batch: "pa.RecordBatch") -> "pa.RecordBatch":
    """With a byte that isn't of UTF-8 for each that wasn't of the file's encoding."""
    import pyarrow.compute as pc

    columns = [pc.replace_substring(column, SIGN.encode(), b"\xff") for column in batch.columns]
    return batch.from_arrays(columns, schema=batch.schema)


def _empty(names: tuple[str, ...]) -> "pa.RecordBatch":
    import pyarrow as pa

    return pa.RecordBatch.from_pylist([], schema=pa.schema([(name, pa.binary()) for name in names]))


@dataclass(slots=True)
class _Numbers:
    """The numbers of whole rows: those that no torn one has."""

    blank: int
    last: int = 0
    waiting: list[Torn] = field(default_factory=list)
    skipped: set[int] = field(default_factory=set)

    def torn(self, row: Any) -> Literal["skip"]:
        # The header is a row of Arrow's, too.
        number = row.number - 1 - self.blank
        self.waiting.append(Torn(number, row.text.replace(SIGN, "�")))
        self.skipped.add(number)
        return "skip"

    def next(self, rows: int) -> range | list[int]:
        numbers = range(self.last + 1, self.last + 1 + rows)
        if not self.skipped:
            self.last += rows
            return numbers
        found: list[int] = []
        while len(found) < rows:
            self.last += 1
            if self.last in self.skipped:
                self.skipped.discard(self.last)
            else:
                found.append(self.last)
        return found

    def drain(self) -> tuple[Torn, ...]:
        torn, self.waiting = tuple(self.waiting), []
        return torn


def _beginning(path: Path, encoding: str) -> str:
    with unpacked(path) as packed:
        return as_utf8(packed, encoding).read(_LOOK).decode("utf-8", errors="replace").removeprefix("\ufeff")


def _fields(text: str, delimiter: str) -> Iterator[list[str]]:
    """The fields of the first rows, up to one of which a field is too long for names."""
    try:
        yield from csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    except csv.Error:
        return


def _delimiter(text: str) -> str:
    """The one by which most rows have as many fields as the first; with none, a comma."""

    def score(delimiter: str) -> tuple[float, int]:
        widths = [len(row) for row in islice(_fields(text, delimiter), 50) if row]
        if not widths or widths[0] < 2:
            return 0.0, 0
        return sum(width == widths[0] for width in widths) / len(widths), widths[0]

    return max(_DELIMITERS, key=score)


def open_format() -> CsvFormat:
    return CsvFormat()


PLUGIN = Plugin(kind="file_format", name="csv", summary="Text in rows of fields: CSV, TSV.", open=open_format)
