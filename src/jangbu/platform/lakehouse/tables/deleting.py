"""The rows of a table without those that other engines have deleted in its files; delete files that are of no use any more."""

from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np
import pyarrow as pa
from pyiceberg.table import Table

from jangbu.platform.lakehouse.ports import Deleted
from jangbu.platform.lakehouse.tables.dropping import Mask
from jangbu.platform.lakehouse.tables.layout import Layout
from jangbu.platform.lakehouse.tables.planning import PlannedFile, Planner
from jangbu.platform.lakehouse.tables.positions import DeleteFile
from jangbu.platform.lakehouse.tables.reading import read_rows


def staying(table: Table, planner: Planner, file: PlannedFile, count: int) -> Mask:
    """Which of the `count` rows that lie in the file are the snapshot's."""
    mask = np.ones(count, bool)
    if file.deletes:
        positions = planner.positions(table, file)
        mask[positions[positions < count]] = False
    return mask


def live_rows(table: Table, planner: Planner, layout: Layout, file: PlannedFile, names: Collection[str] | None = None) -> pa.Table:
    """As `read_rows`, without those that are deleted."""
    rows = read_rows(table.io, layout, file.file.path, names)
    return rows.filter(pa.array(staying(table, planner, file, rows.num_rows))) if file.deletes else rows


def deleted_in(table: Table, planner: Planner, file: PlannedFile) -> int:
    """How many of its rows are."""
    return file.file.rows - int(np.count_nonzero(staying(table, planner, file, file.file.rows))) if file.deletes else 0


def deleted(table: Table, planner: Planner, files: Sequence[PlannedFile], placed: Callable[[str], str] = str) -> Deleted | None:
    """What is deleted in these files, which the reader finds at `placed(path)`; None: nothing is."""
    having = [file for file in files if file.deletes]
    if not having:
        return None
    by = {each.path for file in having for each in file.deletes}
    return Deleted(frozenset(placed(file.file.path) for file in having), len(by), lambda: _named(table, planner, having, placed))


def _named(table: Table, planner: Planner, files: Sequence[PlannedFile], placed: Callable[[str], str]) -> pa.Table:
    found = [planner.positions(table, file) for file in files]
    at = np.repeat(np.arange(len(files), dtype=np.int32), [len(positions) for positions in found])
    paths = pa.array([placed(file.file.path) for file in files], pa.string())
    return pa.table({"path": pa.DictionaryArray.from_arrays(at, paths), "position": pa.array(np.concatenate(found))})


def leftovers(table: Table, planner: Planner, layout: Layout, gone: Collection[PlannedFile]) -> Iterator[DeleteFile]:
    """The delete files of the newest snapshot that name no row of it once those of `gone` aren't there."""
    newest, deletes = table.metadata.current_snapshot_id, planner.delete_files(table, layout)
    if newest is None or not deletes:
        return
    going = {file.file.path for file in gone}
    naming: dict[DeleteFile, set[str]] = {}
    for file in planner.files(table, layout, newest, None, None):
        for each in file.deletes:
            naming.setdefault(each, set()).add(file.file.path)
    for each in deletes:
        paths = naming.get(each, set())
        if paths <= going or (paths & going and not (paths - going) & planner.named(table, each).keys()):
            yield each
