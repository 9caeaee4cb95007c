"""Whether a table's files are still what was written."""

from collections.abc import Callable

from pyiceberg.table import Table

from jangbu.kernel.errors import StorageError
from jangbu.kernel.storage import Missing, gone
from jangbu.platform.lakehouse.ports import Damage, Verified
from jangbu.platform.lakehouse.tables.compacting import live
from jangbu.platform.lakehouse.tables.layout import Layout, layout_of
from jangbu.platform.lakehouse.tables.planning import PlannedFile, Planner
from jangbu.platform.lakehouse.tables.pool import for_each
from jangbu.platform.lakehouse.tables.positions import DeleteFile, read_positions
from jangbu.platform.lakehouse.tables.reading import read_rows


def verify(table: Table, planner: Planner) -> Verified:
    """Every page of every live file is read, and its checksum looked at."""
    layout, files = layout_of(table), live(table, planner)
    deletes = planner.delete_files(table, layout)
    found = [
        *for_each(files, lambda file: _damage(layout, file.file.path, file.file.rows, lambda: _rows(table, layout, file))),
        *for_each(deletes, lambda file: _damage(layout, file.path, file.rows, lambda: _named(table, layout, file))),
    ]
    return Verified(layout.table, len(files) + len(deletes), tuple(damage for damage in found if damage is not None))


def _rows(table: Table, layout: Layout, file: PlannedFile) -> int:
    return read_rows(table.io, layout, file.file.path, anew=True).num_rows


def _named(table: Table, layout: Layout, file: DeleteFile) -> int:
    """How many rows it deletes. A file of vectors may hold others beside the one that its entry counts."""
    named = sum(map(len, read_positions(table.io, layout.table, file).values()))
    return min(named, file.rows) if file.is_vectors else named


def _damage(layout: Layout, path: str, rows: int, read: Callable[[], int]) -> Damage | None:
    try:
        found = read()
    except Missing as missing:
        return Damage(path, rows, str(gone(missing.filename, layout.table)))
    except StorageError as error:
        return Damage(path, rows, str(error))
    return Damage(path, rows, f"It holds {found:,} rows; {rows:,} were written.") if found != rows else None
