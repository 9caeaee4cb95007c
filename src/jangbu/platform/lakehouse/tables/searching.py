"""Which files in a table's place hold given rows, whether or not a snapshot knows the files."""

from collections.abc import Iterable, Sequence

import numpy as np
from pyiceberg.table import Table

from jangbu.kernel.errors import StorageError
from jangbu.platform.lakehouse.ports import RowsFound
from jangbu.platform.lakehouse.tables.dropping import Dropper, matching
from jangbu.platform.lakehouse.tables.layout import Layout, layout_of
from jangbu.platform.lakehouse.tables.listing import listed
from jangbu.platform.lakehouse.tables.pool import for_each
from jangbu.platform.lakehouse.tables.reading import read_rows

UNREADABLE = -1
"""The rows of a file that is torn, or being written."""


def find_rows(table: Table, droppers: Sequence[Dropper]) -> RowsFound:
    counts = rows_by_file(table, data_files(table), droppers)
    holding = [count for count in counts.values() if count > 0]
    return RowsFound(sum(holding), len(holding), len(counts), sum(count == UNREADABLE for count in counts.values()))


def data_files(table: Table) -> list[str]:
    """Every file of data or of deletes below the table's place. Among its metadata may be statistics in the same format."""
    metadata = f"{table.location().rstrip('/')}/metadata/"
    return [file.path for file in listed(table) if file.path.endswith(".parquet") and not file.path.startswith(metadata)]


def rows_by_file(table: Table, paths: Iterable[str], droppers: Sequence[Dropper]) -> dict[str, int]:
    """How many rows of each file match; `UNREADABLE`. Files that are gone by now are left out."""
    layout = layout_of(table)
    counts: dict[str, int] = {}

    def count(path: str) -> None:
        try:
            counts[path] = _count(table, layout, path, droppers)
        except FileNotFoundError:
            return
        except (StorageError, OSError):
            counts[path] = UNREADABLE

    for_each(paths, count)
    return counts


def _count(table: Table, layout: Layout, path: str, droppers: Sequence[Dropper]) -> int:
    columns = frozenset[str]().union(*(each.columns for each in droppers))
    return int(np.count_nonzero(matching(read_rows(table.io, layout, path, columns), droppers)))
