"""Pins: one request sees one version of each table, whatever is loaded meanwhile."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from time import sleep
from typing import Final

import pyarrow as pa

from jangbu.insight.catalog.contracts import DataSource, SeparationKind, TimeField
from jangbu.insight.dashboards.data_layer.arrow import arrow_type
from jangbu.insight.dashboards.data_layer.outside import OutsideTables, Seen
from jangbu.insight.dashboards.query_layer.leg import Span
from jangbu.insight.dashboards.query_layer.zones import ANY_TIME, instant_at, wall_at, wall_micros
from jangbu.insight.ingest.contracts import DataVersion
from jangbu.insight.ingest.facade import Ingest, lost_table
from jangbu.kernel.errors import CatalogError, NotFound, Unavailable, Unsupported
from jangbu.kernel.tenancy import TenantId
from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.ports import Lakehouse, Snapshot, TableFiles, TimeRange

_ATTEMPTS, _PAUSE = 5, 0.02
"""How often, and after how many seconds, the data are pinned again: a commit takes tens of milliseconds."""

Versions = Mapping[tuple[TenantId | None, str], DataVersion]


@dataclass(frozen=True, slots=True)
class Pins:
    """The snapshot of each data source's table (None: nothing was ever loaded into it), and the versions that it holds; what was
    seen of each that lies outside the lakehouse."""

    tenants: tuple[TenantId, ...]
    snapshots: Mapping[str, Snapshot | None]
    versions: Versions
    outside: Mapping[str, Seen] = field(default_factory=dict)

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(f"{name!r} has no data yet." for name, snapshot in self.snapshots.items() if snapshot is None)


@dataclass(frozen=True, slots=True)
class Pinning:
    lakehouse: Lakehouse
    ingest: Ingest
    outside: OutsideTables

    def pin(self, sources: Iterable[DataSource], tenants: tuple[TenantId, ...]) -> Pins:
        """Snapshots between two readings of the versions that agree, with no commit under way, so that both tell of the same data.
        An intent that stays open (its process died; recovery will settle it) isn't waited for: then the rows may be one version
        ahead of what is told.

        Raises:
            Unavailable: loads kept finishing in between, or what lies outside can't be read now.
            ConfigurationError: what lies outside may not be read.
        """
        several = list(sources)
        wanted = {source.name: source for source in several if source.binding.outside is None}
        found = self._settled(wanted, tenants)
        seen = {source.name: self.outside.see(source) for source in several if source.binding.outside is not None}
        versions = {key: seen[source.name].version for source in several if source.name in seen for key in _keys(source, tenants)}
        return replace(found, versions={**found.versions, **versions}, outside=seen)

    def _settled(self, wanted: Mapping[str, DataSource], tenants: tuple[TenantId, ...]) -> Pins:
        if not wanted:
            return Pins(tenants, {}, {})
        settled: Pins | None = None
        for _ in range(_ATTEMPTS):
            before = self._versions(wanted, tenants)
            snapshots = {name: self._current(source) for name, source in wanted.items()}
            # Asked before the versions: a commit that the snapshots hold is open still, or its version is among those read next.
            is_open = self.ingest.has_open_intent(tenants, tuple(wanted))
            if self._versions(wanted, tenants) == before:
                settled = Pins(tenants, snapshots, before)
                if not is_open:
                    break
            sleep(_PAUSE)
        if settled is None:
            raise Unavailable("The data are being changed too fast to be read at one version.")
        _check_there(settled, wanted)
        return settled

    def has_moved(self, pins: Pins, sources: Iterable[DataSource], *, failed: bool = False) -> bool:
        """Whether what lies outside isn't, or, where reading it has `failed`, isn't any more, what was pinned."""
        seen = {source.name: source for source in sources if source.name in pins.outside}
        moved = [self.outside.has_moved(pins.outside[name], source, failed=failed) for name, source in seen.items()]
        return any(moved)

    def _versions(self, wanted: Mapping[str, DataSource], tenants: tuple[TenantId, ...]) -> Versions:
        found: Versions = self.ingest.versions(tenants, tuple(wanted))
        return found

    def _current(self, source: DataSource) -> Snapshot | None:
        try:
            return self.lakehouse.current(source.binding.table)
        except NotFound:
            return None

    def files(self, pins: Pins, source: DataSource, field: TimeField | None, span: Span | None) -> TableFiles:
        """The files of the pinned snapshot that may hold the tenants' rows within the span.

        Raises:
            CatalogError: the table keeps tenants apart by another column than the data source says, or the source by none.
            Unsupported: each tenant has a server of its own, and the lakehouse is one for all.
        """
        if source.separation.kind is SeparationKind.CONNECTION:
            raise Unsupported(
                f"{source.name!r} is on a server of the tenant's own; the lakehouse is one for all.", value=source.name
            )
        tenants = None if source.separation.kind is SeparationKind.SHARED else pins.tenants
        timed = field is not None and field.name == source.default_time_field
        found = _time_range(span, field.type) if timed and field is not None and span is not None else None
        if source.name in pins.outside:
            return self.outside.files(pins.outside[source.name], source, tenants, found)
        snapshot = pins.snapshots[source.name]
        if snapshot is None:
            return TableFiles(Snapshot(source.binding.table, "", None), (), schema_of(source))
        files = self.lakehouse.files(snapshot, tenants, found)
        if files.tenant_column not in (None, source.separation.column):
            raise CatalogError(
                f"{source.name!r} doesn't separate tenants by {files.tenant_column!r}, as its table {source.binding.table!r} does.",
                value=source.name,
            )
        return as_defined(files, source)

    def bounds(self, pins: Pins, source: DataSource, field: TimeField, span: Span | None) -> tuple[int, int] | None:
        """The first and last micros (UTC or wall clock) that the rows may hold on the field, by the files' bounds and the span."""
        found = self.files(pins, source, field, span).files
        lows = [file.time_min for file in found if file.time_min is not None]
        highs = [file.time_max for file in found if file.time_max is not None]
        known = field.name == source.default_time_field and bool(lows) and bool(highs)
        low, high = (min(lows), max(highs)) if known else (None, None)
        return _clipped(low, high, span) if found else None


def _check_there(pins: Pins, wanted: Mapping[str, DataSource]) -> None:
    """What was loaded must be there, or a lost catalog would be taken for no data."""
    if lost := next((source for _, source in pins.versions if pins.snapshots[source] is None), None):
        raise lost_table(lost, wanted[lost].binding.table)


def _keys(source: DataSource, tenants: tuple[TenantId, ...]) -> tuple[tuple[TenantId | None, str], ...]:
    """Whose a version is. What lies outside has one for all tenants."""
    whose: tuple[TenantId | None, ...] = (None,) if source.separation.kind is SeparationKind.SHARED else tenants
    return tuple((tenant, source.name) for tenant in whose)


_MISSING_FIELD: Final = 1_000_000
"""The field id of the first column that a table lacks; no file has it, so the column is read as null."""


def as_defined(files: TableFiles, source: DataSource) -> TableFiles:
    """The files with the columns that the data source has, though the table, which follows at the next load, doesn't have them yet
    or has them by an older name or a narrower type."""
    there = {field.name: field for field in files.schema}
    wanted = {field.name: field for field in schema_of(source)}
    if all(name in there and there[name].type == field.type for name, field in wanted.items()):
        return files
    ids = dict(zip(files.schema.names, files.ids, strict=True))
    for at, column in enumerate(source.columns.values()):
        before = column.renamed_from if column.renamed_from in there and column.name not in there else column.name
        ids[column.name] = ids.get(before, _MISSING_FIELD + at)
    tenant = [there[name] for name in (files.tenant_column,) if name is not None and name not in wanted]
    fields = [*wanted.values(), *tenant]
    return replace(files, schema=pa.schema(fields), ids=tuple(ids[field.name] for field in fields), evolved=True)


def schema_of(source: DataSource) -> pa.Schema:
    """The Arrow schema of a data source's columns."""
    decimals = {column.name: pa.decimal128(column.precision, column.scale) for column in source.columns.values()}
    return pa.schema(
        [
            (column.name, decimals[column.name] if column.type is FieldType.DECIMAL else arrow_type(column.type))
            for column in source.columns.values()
        ]
    )


def _clipped(low: int | None, high: int | None, span: Span | None) -> tuple[int, int] | None:
    """Bounds within the span; where neither says an end, `ANY_TIME`'s."""
    start, end = (_micros(span.start), _micros(span.end)) if span is not None else (None, None)
    first = max((value for value in (low, start) if value is not None), default=ANY_TIME[0])
    last = min((value for value in (high, None if end is None else end - 1) if value is not None), default=ANY_TIME[1])
    return (first, last) if first <= last else None


def _micros(value: int | date | None) -> int | None:
    return wall_micros(value) if isinstance(value, date) else value


def _time_range(span: Span, type_: FieldType) -> TimeRange:
    if type_ is FieldType.DATE:
        start, end = (datetime.combine(each, time()) if isinstance(each, date) else None for each in (span.start, span.end))
        return TimeRange(start or datetime.min, end or datetime.max)  # noqa: DTZ901 - a day's wall clock has no zone
    at = instant_at if type_ is FieldType.INSTANT else wall_at
    lowest, highest = -(2**62), 2**62
    return TimeRange(
        at(span.start if isinstance(span.start, int) else lowest), at(span.end if isinstance(span.end, int) else highest)
    )
