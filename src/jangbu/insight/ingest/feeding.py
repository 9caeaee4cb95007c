"""Rows on their way to the lakehouse: in the table's form, checked, counted, hashed; those that don't fit refused or set aside."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from jangbu.insight.ingest import arrow
from jangbu.insight.ingest.content import ContentHash
from jangbu.insight.ingest.contracts import BadRow
from jangbu.kernel.errors import LoadError
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.lakehouse.ports import TableColumn, TableSpec, TimeRange

MOST_BAD: Final = 100_000
"""Rows of one load that can be set aside."""

SHARE_BAD, FEW_BAD = 0.1, 100
"""A load of which more than this share is bad is refused as a whole, unless the bad rows are few."""

_NAMED: Final = 5
"""Bad rows that an error names."""


Ints = npt.NDArray[np.int64]


class Converter(Protocol):
    def __call__(
        self, batch: pa.RecordBatch, columns: Sequence[TableColumn], first_row: int
    ) -> tuple[pa.RecordBatch, Sequence[BadRow]]:
        """The rows that fit, in these columns and types, and those that don't. The batch's first row has the number `first_row`."""


@dataclass(frozen=True, slots=True)
class Checks:
    """What rows are held to. `converter` None: a row that doesn't fit refuses the load."""

    data_source: str
    columns: tuple[TableColumn, ...]
    time_column: str | None
    span: TimeRange | None
    keys: tuple[str, ...] = ()
    converter: Converter | None = None


class Feed:
    """The batches, once: as the table takes them, with the tenant filled in. What was counted and set aside is known at the end."""

    def __init__(
        self,
        batches: "pa.Table | Iterable[pa.RecordBatch]",
        checks: Checks,
        spec: TableSpec,
        tenant: TenantId | None,
        told: Callable[[int], None],
        *,
        hashed: bool,
        bounded: bool = True,
    ) -> None:
        """`hashed`: `content` is wanted; `bounded`: too many bad rows are an error."""
        self._bounded = bounded
        self._batches, self._checks, self._spec, self._tenant, self._told = batches, checks, spec, tenant, told
        self._hash = ContentHash(arrow.arrow_schema(checks.columns)) if hashed else None
        self.bad: list[BadRow] = []
        self.rows = 0

    def content(self) -> str:
        """The hash of the rows that went through, and of those set aside."""
        if self._hash is None:
            raise ValueError("These rows weren't hashed.")
        aside = "".join(f"\0{row.number}\0{row.reason}\0{row.payload}" for row in self.bad)
        return self._hash.hexdigest() if not aside else f"{self._hash.hexdigest()}-{_digest(aside)}"

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        number = 1
        for given in arrow.batches_of(self._batches):
            batch = self._checked(given, number)
            number += given.num_rows
            if self._hash is not None:
                self._hash.update(batch)
            self.rows += batch.num_rows
            yield batch if self._tenant is None else arrow.with_tenant(batch, self._spec, self._tenant)
            self._told(number - 1)
        if self._bounded and len(self.bad) > max(FEW_BAD, SHARE_BAD * self._read):
            raise self._too_bad()

    @property
    def _read(self) -> int:
        """Rows so far, with those that were set aside."""
        return self.rows + len(self.bad)

    def _checked(self, given: pa.RecordBatch, first_row: int) -> pa.RecordBatch:
        checks = self._checks
        if checks.converter is None:
            batch = arrow.conform(given, checks.columns, checks.data_source)
            self._refuse(batch)
            return batch
        batch, bad = checks.converter(given, checks.columns, first_row)
        self.bad.extend(bad)
        numbers = np.arange(first_row, first_row + given.num_rows)
        # A converter whose batches fit already tells of rows that were taken out before.
        kept = numbers if batch.num_rows == given.num_rows else np.setdiff1d(numbers, [row.number for row in bad])
        batch = self._set_aside(batch, kept)
        if self._bounded and len(self.bad) > MOST_BAD:
            raise self._too_bad()
        return batch

    def _refuse(self, batch: pa.RecordBatch) -> None:
        checks = self._checks
        if checks.span is not None and checks.time_column is not None:
            arrow.check_span(batch.column(checks.time_column), checks.span, checks.time_column)
        for key in checks.keys:
            if batch.column(key).null_count:
                raise LoadError(f"A row for {checks.data_source!r} has no {key!r}, which is a key.", value=key)

    def _set_aside(self, batch: pa.RecordBatch, numbers: Ints) -> pa.RecordBatch:
        """The rows that meet every condition; `numbers` are those that the rows have."""
        for column, reason, is_good in self._conditions():
            good = is_good(batch.column(column))
            kept = good.to_numpy(zero_copy_only=False)
            if not kept.all():
                wrong = zip(numbers[~kept].tolist(), batch.filter(pc.invert(good)).to_pylist(), strict=True)
                self.bad.extend(
                    BadRow(number, column, reason, _text(row[column]), {name: plain(value) for name, value in row.items()})
                    for number, row in wrong
                )
                batch, numbers = batch.filter(good), numbers[kept]
        return batch

    def _conditions(self) -> "Iterator[tuple[str, str, Callable[[pa.Array[Any]], pa.BooleanArray]]]":
        """Column, the reason where it isn't good, and whether each of its values is."""
        checks = self._checks
        for key in checks.keys:
            yield key, "missing_value", pc.is_valid
        if (span := checks.span) is not None and checks.time_column is not None:
            yield checks.time_column, "outside_range", lambda times: arrow.within(times, span)

    def _too_bad(self) -> LoadError:
        reasons = Counter((row.column, row.reason) for row in self.bad)
        said = "; ".join(f"{column or 'row'}: {reason} {count:,} x" for (column, reason), count in reasons.most_common(_NAMED))
        first = self.bad[0]
        return LoadError(
            f"{len(self.bad):,} of {self._read:,} rows don't fit {self._checks.data_source!r} ({said}); nothing was loaded. "
            f"The first is row {first.number:,}.",
            value=first.value if first.value is not None else "",
            hint="Bring the definition or the file in line.",
        )


def plain(value: Any) -> Any:
    """A value in JSON's types, without losing digits."""
    if isinstance(value, Decimal):
        return str(value)
    return value.isoformat() if isinstance(value, date | datetime) else value


def _text(value: Any) -> str | None:
    return None if value is None else str(plain(value))


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]
