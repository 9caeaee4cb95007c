"""Staged files into snapshots: append, and replace the rows of a tenant within a range.

A commit that meets another is planned again from the newest snapshot, a bounded number of times, and leaves no orphaned files.
"""

import random
from collections.abc import Callable, Iterable
from time import sleep
from typing import IO, Any, TypeVar, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.conversions import from_bytes
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.expressions import AlwaysTrue, And, BooleanExpression, EqualTo, GreaterThanOrEqual, LessThan
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.types import StringType
from sqlalchemy.exc import OperationalError

from jangbu.kernel.errors import Conflict, Unavailable, Unsupported
from jangbu.platform.lakehouse.tables.guard import GIVEN_UP, MARKER, AlreadyCommitted
from jangbu.platform.lakehouse.tables.layout import DAY, Layout, layout_of
from jangbu.platform.lakehouse.tables.planning import time_bounds
from jangbu.platform.lakehouse.tables.spans import Span
from jangbu.platform.lakehouse.tables.writing import FileWriter, Part, is_date, parts, remove_files, time_micros

ATTEMPTS, WAIT = 12, 0.05
"""How often a commit is planned anew, and seconds (doubled up to 64 times, with jitter) between."""

T = TypeVar("T")


def with_retries(attempt: Callable[[], T], table: str) -> T:
    """What `attempt` returns; it is called again after a conflict, and must begin from the newest snapshot each time.

    Raises:
        Unavailable: others kept committing, or hold the catalog.
    """
    for number in range(ATTEMPTS):
        try:
            return attempt()
        except (CommitFailedException, ValidationException):
            sleep(WAIT * 2 ** min(number, 6) * random.uniform(0.5, 1.5))  # noqa: S311 - jitter isn't a secret
        except OperationalError as error:
            raise Unavailable(f"The lakehouse's catalog is busy; the table {table!r} wasn't changed.", retry_after=5) from error
    raise Unavailable(f"Others keep changing the table {table!r}; this change found no moment.", retry_after=5)


def append(table: Table, files: tuple[DataFile, ...], run: str) -> Table:
    """One snapshot more, also where there are no files: the marker says that the run has ended."""
    transaction = table.transaction()
    with transaction.update_snapshot(snapshot_properties={MARKER: run}).merge_append() as producer:
        for file in files:
            producer.append_data_file(file)
    return transaction.commit_transaction()


def give_up(table: Table, attempt: str) -> Table:
    """One snapshot more, without rows; see `GuardedTable`."""
    transaction = table.transaction()
    with transaction.update_snapshot(snapshot_properties={GIVEN_UP: attempt}).fast_append():
        pass
    return transaction.commit_transaction()


def remove_unused(committed: AlreadyCommitted, files: Iterable[DataFile]) -> None:
    """Remove files that were written for a run and that its commit, which was another's, doesn't hold."""
    table = committed.table
    manifests = committed.snapshot.manifests(table.io)
    used = {entry.data_file.file_path for manifest in manifests for entry in manifest.fetch_manifest_entry(table.io)}
    remove_files(table, (file.file_path for file in files if file.file_path not in used))


def replace(table: Table, files: tuple[DataFile, ...], run: str, tenant: str | None, span: Span | None) -> Table:
    """Drop the rows of `tenant` within `span` and add the files, in one commit.

    Where rows are dropped there are two snapshots, both with the marker: the rewrite, and the append (which merges manifests).
    """
    layout = layout_of(table)
    predicate = _predicate(layout, tenant, span)
    writer = FileWriter(table)
    kept: list[DataFile] = []
    try:
        dropped, kept = _plan(table, layout, predicate, writer, tenant, span)
        transaction = table.transaction()
        with transaction.update_snapshot(snapshot_properties={MARKER: run}).overwrite() as producer:
            # The predicate makes a concurrent commit of matching rows a conflict, also where nothing is dropped yet.
            producer.delete_by_predicate(predicate)
            for file in dropped:
                producer.delete_data_file(file)
            for file in kept if dropped else files:
                producer.append_data_file(file)
        if dropped:
            with transaction.update_snapshot(snapshot_properties={MARKER: run}).merge_append() as producer:
                for file in files:
                    producer.append_data_file(file)
        return transaction.commit_transaction()
    except (CommitFailedException, ValidationException, OperationalError, Conflict):
        writer.remove()
        raise
    except AlreadyCommitted as committed:
        remove_unused(committed, kept)
        raise


def _plan(
    table: Table, layout: Layout, predicate: BooleanExpression, writer: FileWriter, tenant: str | None, span: Span | None
) -> tuple[list[DataFile], list[DataFile]]:
    """The files to drop, and those written in their place with the rows that stay."""
    dropped: list[DataFile] = []
    kept: list[DataFile] = []
    for task in table.scan(row_filter=predicate).plan_files() if table.current_snapshot() else ():
        if task.delete_files:
            raise Unsupported(f"The table {table.name()[-1]!r} has delete files, which aren't read.")
        if _wholly(task.file, layout, tenant, span):
            dropped.append(task.file)
            continue
        rows = _read(table, layout, task.file.file_path)
        staying = rows.filter(pa.array(~_matching(rows, layout, tenant, span)))
        if staying.num_rows < rows.num_rows:
            dropped.append(task.file)
            kept.extend(writer.write_part(part) for part in _parts(staying, layout))
    return dropped, kept


def _parts(rows: pa.Table, layout: Layout) -> list[Part]:
    return list(parts(rows, layout)) if rows.num_rows else []


def _wholly(file: DataFile, layout: Layout, tenant: str | None, span: Span | None) -> bool:
    """Whether the file's statistics say that every row is to go."""
    if tenant is not None and layout.tenant is not None:
        id_ = layout.field_id(layout.tenant)
        bounds = [(side or {}).get(id_) for side in (file.lower_bounds, file.upper_bounds)]
        if any(bound is None or from_bytes(StringType(), bound) != tenant for bound in bounds):
            return False
    if span is None or layout.time is None:
        return True
    times, nulls = time_bounds(file, layout), (file.null_value_counts or {}).get(layout.field_id(layout.time))
    return times is not None and nulls == 0 and span.start <= times[0] and times[1] < span.end


def _matching(
    rows: pa.Table, layout: Layout, tenant: str | None, span: Span | None
) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    matching = np.ones(rows.num_rows, bool)
    if tenant is not None and layout.tenant is not None:
        matching &= pc.equal(rows.column(layout.tenant), pa.scalar(tenant)).fill_null(False).to_numpy()
    if span is not None and layout.time is not None:
        micros = time_micros(rows.column(layout.time))
        matching &= (micros >= span.start) & (micros < span.end)
    return matching


def _read(table: Table, layout: Layout, path: str) -> pa.Table:
    with table.io.new_input(path).open() as stream:
        return pq.ParquetFile(cast("IO[Any]", stream)).read().select([column.name for column in layout.columns]).cast(layout.arrow)


def _predicate(layout: Layout, tenant: str | None, span: Span | None) -> BooleanExpression:
    predicate: BooleanExpression = AlwaysTrue()
    if tenant is not None and layout.tenant is not None:
        predicate = EqualTo(term=layout.tenant, value=tenant)
    if span is not None and layout.time is not None:
        width = DAY if is_date(layout) else 1
        within = And(
            GreaterThanOrEqual(term=layout.time, value=span.start // width), LessThan(term=layout.time, value=span.end // width)
        )
        predicate = And(predicate, within)
    return predicate
