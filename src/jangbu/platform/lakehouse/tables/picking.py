"""The rows of a snapshot that a drop would take away, read instead of dropped."""

from collections.abc import Iterator

import pyarrow as pa
from pyiceberg.table import Table

from jangbu.platform.lakehouse.ports import Drop
from jangbu.platform.lakehouse.tables.deleting import live_rows
from jangbu.platform.lakehouse.tables.dropping import dropper
from jangbu.platform.lakehouse.tables.layout import layout_of
from jangbu.platform.lakehouse.tables.planning import Planner


def rows(table: Table, planner: Planner, snapshot_id: int, drop: Drop) -> Iterator[pa.Table]:
    """File by file, in the table's columns of today; nothing of files without any.

    Raises:
        NotFound: the snapshot has expired.
    """
    layout = layout_of(table)
    wanted = dropper(drop, layout, table.name()[-1])
    for file in planner.files(table, layout, snapshot_id, wanted.tenants, wanted.span):
        found = live_rows(table, planner, layout, file)
        if len(mine := found.filter(pa.array(wanted.matching(found)))):
            yield mine
