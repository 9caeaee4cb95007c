"""A merchant's own files as the rows of a data source: which columns they have, and the rows that fit, counted."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from jangbu.insight.catalog.contracts import DataSource, Reading
from jangbu.insight.ingest.arrow import table_spec
from jangbu.insight.ingest.conversion import BadRow, Reason, convert
from jangbu.insight.ingest.duplicates import Duplicates
from jangbu.insight.ingest.files.opening import OpenFiles
from jangbu.insight.ingest.files.ports import Torn
from jangbu.kernel.errors import LoadError
from jangbu.platform.lakehouse.ports import TableColumn, TimeRange

_SHOWN: Final = 5
"""Rows set aside that a tally shows."""


@dataclass(frozen=True, slots=True)
class Match:
    """How a file's columns meet a data source's: `new` are the file's that the data source doesn't have, `missing` its own that the
    file doesn't have."""

    new: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(slots=True)
class Tally:
    """What became of the rows so far. `repeated`: of a merge, those that a later row with the same key took the place of."""

    read: int = 0
    loaded: int = 0
    repeated: int = 0
    aside: Counter[str] = field(default_factory=Counter)
    examples: list[BadRow] = field(default_factory=list)
    duplicates: Duplicates = field(default_factory=Duplicates)

    def set_aside(self, rows: Sequence[BadRow]) -> None:
        self.aside.update(str(row.reason) for row in rows)
        self.examples += rows[: _SHOWN - len(self.examples)]


class Aside:
    """Rows that were set aside while a file was read, handed on with the batch that follows them."""

    def __init__(self) -> None:
        self._rows: list[BadRow] = []

    def add(self, rows: Sequence[BadRow]) -> None:
        self._rows.extend(rows)

    def converter(
        self,
        batch: pa.RecordBatch,
        columns: Sequence[TableColumn],  # noqa: ARG002 - the batches of the load fit already
        first_row: int,  # noqa: ARG002
    ) -> tuple[pa.RecordBatch, Sequence[BadRow]]:
        """See `Converter`."""
        rows, self._rows = self._rows, []
        return batch, rows


def columns_of(source: DataSource) -> tuple[TableColumn, ...]:
    """The columns that rows are loaded with: all but the tenant's."""
    spec = table_spec(source)
    return tuple(column for column in spec.columns if column.name != spec.tenant_column)


def matched(opened: OpenFiles, source: DataSource) -> Match:
    """Which columns meet.

    Raises:
        LoadError: none does.
    """
    own = columns_of(source)
    known = {name for column in own for name in (source.reading.column(column.name).source, column.name) if name}
    found = [column.name for column in own if {source.reading.column(column.name).source, column.name} & set(opened.names)]
    if not found:
        raise LoadError(
            f"No column of {opened.paths[0].name} is one of {source.name!r}.",
            value=opened.names[0],
            known=sorted(known),
            hint="Is it another data source's file? Give it another name: --as NAME.",
        )
    missing = tuple(column.name for column in own if column.name not in found)
    return Match(tuple(name for name in opened.names if name not in known), missing)


def keys_of(source: DataSource, wanted: Sequence[str]) -> tuple[str, ...]:
    """The columns' names, each once, where they are called as in the file."""
    own = {source.reading.column(column.name).source or column.name: column.name for column in columns_of(source)}
    return tuple(dict.fromkeys(own.get(key, key) for key in wanted))


def batches(
    opened: OpenFiles,
    source: DataSource,
    reading: Reading,
    tally: Tally,
    *,
    required: Sequence[str] = (),
    span: TimeRange | None = None,
    aside: Callable[[Sequence[BadRow]], None] | None = None,
) -> Iterator[pa.RecordBatch]:
    """The rows that fit, as the data source's table has them; `aside` gets those that don't, as they come. `reading` is the data
    source's, with a zone; `required` columns may not be null, and the source's time lies in `span`.

    Raises:
        LoadError: a torn file; times without an offset or a zone.
    """
    columns, time = columns_of(source), table_spec(source).time_column
    within = (time, span) if time is not None and span is not None else None
    for rows in opened.read():
        done = convert(rows.batch, columns, reading, numbers=rows.numbers, required=required, within=within)
        bad = [*done.bad, *(_torn(torn) for torn in rows.torn)]
        tally.read += rows.batch.num_rows + len(rows.torn)
        if bad:
            tally.set_aside(bad)
            if aside is not None:
                aside(bad)
        batch = tally.duplicates.first(done.batch)
        tally.loaded += batch.num_rows
        yield batch


def _torn(torn: Torn) -> BadRow:
    return BadRow(torn.number, None, Reason.TORN_LINE, torn.text, {"line": torn.text})
