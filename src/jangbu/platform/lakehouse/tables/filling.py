"""A backfill that another engine writes: the files of others read as a table, whole partitions written anew with their rows in
them, and what comes of it as staged files of ours."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import IO, Any, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from jangbu.kernel import storage
from jangbu.kernel.errors import LoadError
from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.maintenance import Alike, Area, Backfill, Filling, Maintainer, Question, Seen, Staying
from jangbu.platform.lakehouse.ports import TableColumn, Within
from jangbu.platform.lakehouse.tables.commits import Replaced
from jangbu.platform.lakehouse.tables.delegating import files_of, name_of, pinned, remove_filled, source_table, staging_table
from jangbu.platform.lakehouse.tables.dropping import dropper
from jangbu.platform.lakehouse.tables.handles import Filled
from jangbu.platform.lakehouse.tables.layout import DAY, Layout, arrow_type, bucket_of, check_rewritable, layout_of, stored_as
from jangbu.platform.lakehouse.tables.listing import file_name
from jangbu.platform.lakehouse.tables.planning import UNKNOWN, PlannedFile, Planner
from jangbu.platform.lakehouse.tables.spans import Span, span_of
from jangbu.platform.lakehouse.tables.writing import NO_TIME

_INTEGERS: Final = (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32())


def fill(catalog: Catalog, newest: Callable[[], Table], planner: Planner, by: Maintainer, what: Backfill) -> tuple[Filled, int]:
    """What was written, for so many new rows. Raises LoadError where the files don't fit the table; nothing is left behind."""
    table = newest()
    layout, snapshot = layout_of(table), table.current_snapshot()
    schema = _schema(table, layout, what)
    keys = what.drop.keys if isinstance(what.drop, Alike) else ()
    times = [column for column in layout.columns if column.name == layout.time and column.name in schema.names]
    with source_table(catalog, table, schema, what.files) as source:
        seen = by.look(Question(source, times[0] if times else None, keys))
        _check(seen, layout, what)
        live = planner.files(table, layout, snapshot.snapshot_id, None, None) if snapshot is not None else ()
        touched = _touched(live, layout, what, seen)
        replaced = Replaced(touched, frozenset(file.state for file in live if (file.month, file.bucket) in touched))
        staying = None
        if snapshot is not None and what.drop is not None and replaced.states:
            check_rewritable(layout)
            renamed = _renamed(table, layout, snapshot.snapshot_id) if layout.evolved else None
            staying = Staying(name_of(table), snapshot.snapshot_id, _area(layout, touched), what.drop, renamed)
        constants = {layout.tenant: str(what.tenant)} if layout.tenant is not None else {}
        pin = pinned(newest, staying.snapshot_id) if staying is not None else nullcontext()
        with pin, staging_table(catalog, table) as into:
            try:
                by.fill(Filling(into, layout.columns, source, constants, staying))
                written = files_of(catalog.load_table(into))
                return Filled(written, (replaced,) if staying is not None else ()), seen.rows
            except BaseException:
                remove_filled(catalog, into)
                raise


def _renamed(table: Table, layout: Layout, snapshot_id: int) -> dict[str, str | None]:
    before = stored_as(table, snapshot_id).columns
    return {column.name: before.get(id_) for column, id_ in zip(layout.columns, layout.field_ids, strict=True)}


def _schema(table: Table, layout: Layout, what: Backfill) -> pa.Schema:
    """What all the files have. Raises LoadError: they differ, or don't fit the table."""
    if not what.files:
        raise LoadError(f"A backfill of {layout.table!r} needs a file at least.")
    schemas = [_read_schema(table, path, layout.table) for path in what.files]
    first = schemas[0]
    for path, schema in zip(what.files, schemas, strict=True):
        if not schema.equals(first):
            raise LoadError(f"The files of a backfill have the same columns; {file_name(path)!r} differs.", value=file_name(path))
    wanted = {column.name: column for column in layout.columns if column.name != layout.tenant}
    for field in first:
        if field.name not in wanted:
            raise LoadError(f"{layout.table!r} has no column {field.name!r}.", value=field.name, known=sorted(wanted))
        if not _fits(field.type, wanted[field.name]):
            known = [str(arrow_type(wanted[field.name]))]
            raise LoadError(f"{field.name!r} is {field.type} in the files.", value=str(field.type), known=known)
    if missing := [name for name in wanted if name not in first.names]:
        raise LoadError(f"The files lack {', '.join(map(repr, missing))}.", value=missing[0], known=first.names)
    return first


def _read_schema(table: Table, path: str, name: str) -> pa.Schema:
    try:
        with table.io.new_input(path).open() as stream:
            schema = pq.read_schema(cast("IO[Any]", stream))
    except FileNotFoundError as error:
        raise LoadError(f"There is no file {file_name(path)!r} for the backfill of {name!r}.", value=file_name(path)) from error
    except pa.ArrowInvalid as error:
        raise LoadError(f"{file_name(path)!r} is no Parquet file.", value=file_name(path)) from error
    except OSError as error:
        if storage.is_not_there(error):
            raise LoadError(f"There is no file {file_name(path)!r} for the backfill of {name!r}.", value=file_name(path)) from error
        raise
    if any(b"PARQUET:field_id" in (field.metadata or {}) for field in schema):
        hint = "Write it by an engine that knows nothing of Iceberg."
        raise LoadError(f"{file_name(path)!r} is a file of another Iceberg table.", value=file_name(path), hint=hint)
    return schema.remove_metadata()


def _fits(type_: pa.DataType, column: TableColumn) -> bool:
    """Whether every value of the type is one of the column's."""
    match column.type:
        case FieldType.TEXT:
            return pt.is_string(type_) or pt.is_large_string(type_)
        case FieldType.INTEGER:
            return type_ in _INTEGERS
        case FieldType.DECIMAL:
            if not pt.is_decimal(type_):
                return False
            return bool(type_.scale <= column.scale and type_.precision - type_.scale <= column.precision - column.scale)
        case FieldType.DOUBLE:
            return pt.is_float32(type_) or pt.is_float64(type_)
        case FieldType.INSTANT | FieldType.LOCAL:
            return pt.is_timestamp(type_) and type_.unit == "us" and (type_.tz is not None) == (column.type is FieldType.INSTANT)
    return bool(type_ == arrow_type(column))


def _check(seen: Seen, layout: Layout, what: Backfill) -> None:
    if seen.keyless:
        raise LoadError(f"{seen.keyless:,} rows of the backfill of {layout.table!r} lack a key.", value=seen.keyless)
    if seen.repeated:
        hint = "Files have no order, so none of them counts as the last; keep one row of each key."
        raise LoadError(f"{seen.repeated:,} keys of the backfill of {layout.table!r} come more than once.", hint=hint)
    if what.span is None:
        return
    if seen.timeless:
        raise LoadError(f"{seen.timeless:,} rows have no {layout.time!r}; a backfill of a time range needs it in every row.")
    span = span_of(what.span, layout, layout.table)
    if seen.first is not None and seen.last is not None and not (span.start <= seen.first and seen.last < span.end):
        hint = "Give the whole range that the rows cover; its end isn't part of it."
        start, end = what.span.start.isoformat(), what.span.end.isoformat()
        raise LoadError(f"Rows of the backfill of {layout.table!r} lie outside {start} to {end}.", hint=hint)


def _touched(live: Sequence[PlannedFile], layout: Layout, what: Backfill, seen: Seen) -> frozenset[tuple[int, int]]:
    """The partitions that may hold rows to drop."""
    match what.drop:
        case None:
            return frozenset()
        case Within():
            found = dropper(what.drop, layout, layout.table)
            tenants, span = found.tenants, found.span
        case Alike(tenant, keys):
            tenants, span = (frozenset({str(tenant)}) if tenant is not None else None), _span_of_keys(layout, keys, seen)
    buckets = None
    if tenants is not None and layout.tenant is not None:
        buckets = {bucket_of(layout.buckets)(tenant) for tenant in tenants} | {int(UNKNOWN)}
    return frozenset(
        (file.month, file.bucket) for file in live if (buckets is None or file.bucket in buckets) and _meets(file, span)
    )


def _meets(file: PlannedFile, span: Span | None) -> bool:
    first, last = file.file.time_min, file.file.time_max
    return span is None or first is None or last is None or (first < span.end and last >= span.start)


def _span_of_keys(layout: Layout, keys: Sequence[str], seen: Seen) -> Span | None:
    """A key that holds the time says when: a row that agrees with it is then."""
    if layout.time not in keys or seen.first is None or seen.last is None:
        return None
    return Span(seen.first, seen.last + (DAY if layout.time_type is FieldType.DATE else 1))


def _area(layout: Layout, partitions: frozenset[tuple[int, int]]) -> Area:
    months = sorted({month for month, _ in partitions})
    buckets = sorted({bucket for _, bucket in partitions})
    time = next((column for column in layout.columns if column.name == layout.time), None)
    return Area(
        layout.tenant,
        time,
        layout.buckets,
        None if layout.tenant is None or int(UNKNOWN) in buckets else tuple(buckets),
        None if time is None or int(UNKNOWN) in months else tuple(_month(month) for month in months if month != NO_TIME),
        int(NO_TIME) in months,
    )


def _month(number: int) -> tuple[int, int]:
    """The micros of a month counted from 1970-01, its end not included."""
    first, end = np.array([number, number + 1]).astype("datetime64[M]").astype("datetime64[us]").astype(np.int64)
    return int(first), int(end)
