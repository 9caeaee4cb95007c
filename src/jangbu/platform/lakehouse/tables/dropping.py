"""Which rows a change takes away: those of a tenant within a span, and those that agree with one of many keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.table import Table

from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.ports import Drop, Within
from jangbu.platform.lakehouse.tables.layout import Layout, layout_of
from jangbu.platform.lakehouse.tables.planning import PlannedFile
from jangbu.platform.lakehouse.tables.spans import Span, span_of
from jangbu.platform.lakehouse.tables.writing import time_micros

Mask = npt.NDArray[np.bool_]


class Dropper(Protocol):
    @property
    def tenants(self) -> frozenset[str] | None:
        """Whose rows may be dropped; None: anyone's."""

    @property
    def span(self) -> Span | None:
        """When the rows that may be dropped are; None: at any time."""

    @property
    def columns(self) -> frozenset[str]:
        """What has to be read of a row to tell."""

    @property
    def telling(self) -> str | None:
        """The one column that tells most: a row that `may_match` denies by it alone isn't dropped. None: there is no such
        column."""

    def takes_all(self, file: PlannedFile) -> bool:
        """Whether what is known of the file says that every row is to go."""

    def may_match(self, values: "pa.ChunkedArray[Any]") -> bool:
        """Whether a row with one of these values of the telling column may be dropped."""

    def matching(self, rows: pa.Table) -> Mask: ...


def dropper(drop: Drop, layout: Layout, table: str) -> Dropper:
    """Raises ValueError where the drop doesn't fit the table: no tenant, a span of the other kind of time, an unknown key,
    a key with a null."""
    if isinstance(drop, Within):
        if (drop.tenant is None) != (layout.tenant is None):
            raise ValueError(f"The table {table!r} is {'shared' if layout.tenant is None else 'of tenants'}: {drop.tenant!r}.")
        span = span_of(drop.span, layout, table) if drop.span is not None else None
        return WithinSpan(layout, drop.tenant, span)
    names = drop.keys.schema.names
    unknown = [name for name in names if name not in layout.arrow.names]
    if unknown or not names or (layout.tenant is not None and layout.tenant not in names):
        raise ValueError(f"The columns {names} can't be keys of the table {table!r} of {layout.tenant or 'nobody'}.")
    empty = [name for name in names if drop.keys.column(name).null_count]
    if empty:
        raise ValueError(f"A key of the table {table!r} holds a value in each column; these hold nulls: {', '.join(empty)}.")
    return ByKeys(layout, drop.keys.cast(pa.schema([layout.arrow.field(name) for name in names])))


def check_drops(drops: Sequence[Drop], table: Table) -> None:
    """Raises what `dropper` does, where one of them doesn't fit the table."""
    layout = layout_of(table)
    for drop in drops:
        dropper(drop, layout, table.name()[-1])


def matching(rows: pa.Table, droppers: Sequence[Dropper]) -> Mask:
    """The rows that one of them drops."""
    found = np.zeros(rows.num_rows, bool)
    for each in droppers:
        found |= each.matching(rows)
    return found


@dataclass(frozen=True)
class WithinSpan:
    layout: Layout
    tenant: str | None
    span: Span | None

    @property
    def tenants(self) -> frozenset[str] | None:
        return None if self.tenant is None else frozenset({self.tenant})

    @property
    def columns(self) -> frozenset[str]:
        return frozenset(name for name in (self.layout.tenant, self.layout.time if self.span else None) if name)

    telling = None

    def may_match(self, values: "pa.ChunkedArray[Any]") -> bool:  # noqa: ARG002
        return True

    def takes_all(self, file: PlannedFile) -> bool:
        if self.tenant is not None and file.tenant != self.tenant:
            return False
        first, last = file.file.time_min, file.file.time_max
        if self.span is None:
            return True
        return first is not None and last is not None and file.timed and self.span.start <= first and last < self.span.end

    def matching(self, rows: pa.Table) -> Mask:
        found = np.ones(rows.num_rows, bool)
        if self.tenant is not None and self.layout.tenant is not None:
            found &= pc.equal(rows.column(self.layout.tenant), pa.scalar(self.tenant)).fill_null(False).to_numpy()
        if self.span is not None and self.layout.time is not None:
            micros = time_micros(rows.column(self.layout.time))
            found &= (micros >= self.span.start) & (micros < self.span.end)
        return found


@dataclass(frozen=True)
class ByKeys:
    """`keys` has the table's types."""

    layout: Layout
    keys: pa.Table

    @cached_property
    def tenants(self) -> frozenset[str] | None:
        return frozenset(map(str, pc.unique(self.keys.column(self.layout.tenant)).to_pylist())) if self.layout.tenant else None

    @cached_property
    def span(self) -> Span | None:
        """A key that holds the time says when: a row that agrees with it is then."""
        if self.layout.time not in self.keys.schema.names:
            return None
        micros = time_micros(self.keys.column(self.layout.time))
        width = 86_400_000_000 if self.layout.time_type is FieldType.DATE else 1
        return Span(int(micros.min()), int(micros.max()) + width)

    @property
    def columns(self) -> frozenset[str]:
        return frozenset(self.keys.schema.names)

    @cached_property
    def telling(self) -> str | None:
        counts = {name: len(values) for values, name, _ in self._codes}
        return max(counts, key=lambda name: counts[name], default=None)

    def may_match(self, values: "pa.ChunkedArray[Any]") -> bool:
        known = next(known for known, name, _ in self._codes if name == self.telling)
        return bool(pc.any(pc.is_in(values, value_set=known)).as_py())

    def takes_all(self, file: PlannedFile) -> bool:  # noqa: ARG002 - bounds never tell
        return False

    def matching(self, rows: pa.Table) -> Mask:
        codes, known = np.zeros(rows.num_rows, np.int64), np.ones(rows.num_rows, bool)
        for values, name, combined in self._codes:
            found = pc.index_in(rows.column(name), value_set=values)
            known &= found.is_valid().to_numpy()
            pairs = codes * len(values) + found.fill_null(0).to_numpy()
            at = np.searchsorted(combined, pairs)
            at[at == len(combined)] = 0
            known &= combined[at] == pairs
            codes = at
        return known & bool(len(self.keys))

    @cached_property
    def _codes(self) -> Sequence[tuple["pa.Array[Any]", str, npt.NDArray[Any]]]:
        """For each column its distinct values, its name, and which pairs of (the columns before, this one) the keys hold: with them
        a row's columns become one number, and a number that isn't there is no key's."""
        steps = []
        codes = np.zeros(self.keys.num_rows, np.int64)
        for name in self.keys.schema.names if len(self.keys) else ():
            column = self.keys.column(name)
            values = column.combine_chunks().unique()
            pairs = codes * len(values) + pc.index_in(column, value_set=values).to_numpy()
            combined, codes = np.unique(pairs, return_inverse=True)
            steps.append((values, name, combined))
        return steps
