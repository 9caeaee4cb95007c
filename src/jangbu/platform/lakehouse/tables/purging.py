"""Rows that a commit dropped, out of every older snapshot and file at once: somebody's data are erased, not only out of sight.
That goes for files of deletes, and statistics, that other engines have written, as for files of data.

Files that no snapshot knows may be of a load that is about to commit them. So they are first moved aside; then an empty snapshot,
the fence, makes every commit that is under way begin anew, and find its files gone; only then they are removed. Where a commit was
faster than the fence, its files are moved back.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation
from pyiceberg.transforms import BucketTransform

from jangbu.kernel.errors import Conflict, StorageError, Unavailable
from jangbu.platform.lakehouse.ports import Drop, Purge
from jangbu.platform.lakehouse.tables.commits import with_retries
from jangbu.platform.lakehouse.tables.compacting import UPKEEP
from jangbu.platform.lakehouse.tables.dropping import Dropper, dropper
from jangbu.platform.lakehouse.tables.guard import MARKER, marks_of
from jangbu.platform.lakehouse.tables.layout import bucket_of, layout_of
from jangbu.platform.lakehouse.tables.listing import Listed, file_name, listed, move
from jangbu.platform.lakehouse.tables.manifests import named_by
from jangbu.platform.lakehouse.tables.planning import Planner
from jangbu.platform.lakehouse.tables.producing import Edit, Producer
from jangbu.platform.lakehouse.tables.reaching import deletes_of, reachable
from jangbu.platform.lakehouse.tables.searching import UNREADABLE, data_files, find_rows, rows_by_file
from jangbu.platform.lakehouse.tables.upkeep import forget
from jangbu.platform.lakehouse.tables.writing import remove_files

_ASIDE: Final = "purged"
_LIST: Final = "snap-"
"""How the names of lists of manifests begin; they hold bounds of partitions only."""
_WRITING: Final = timedelta(minutes=10)


def purge(
    newest: Callable[[], Table], planner: Planner, drops: Sequence[Drop], runs: Callable[[], Collection[str]], now: datetime
) -> Purge:
    table = newest()
    name = table.name()[-1]
    droppers = [dropper(drop, layout_of(table), name) for drop in drops]
    _put_back(table, planner)
    table = newest()
    counts = rows_by_file(table, data_files(table), droppers)
    _check_dropped(table, planner, counts)
    _check_runs(table, runs)
    known = set(reachable(table, planner, table.metadata.snapshots))
    strange = {path for path, rows in counts.items() if path not in known and (rows > 0 or _is_torn(table, path, rows, droppers))}
    aside = _move_aside(table, strange)
    since = _fence(newest)
    if _put_back(newest(), planner):
        raise Conflict(f"Rows came to the table {name!r} while others were purged.", hint="Drop them, too, and purge it again.")
    _check_runs(newest(), runs)  # again: one may have been committed before the fence; none that is older can be any more
    holding = {path for path, rows in counts.items() if rows > 0}
    snapshots, files = with_retries(lambda: _forget_before(newest(), planner, since, holding, now), name)
    remove_files(table, sorted({*files, *aside}))
    remove_files(table, sorted(_unneeded_manifests(newest(), planner, holding, now)))
    return Purge(snapshots, len(aside) + len(holding & files), find_rows(newest(), droppers))


def _check_dropped(table: Table, planner: Planner, counts: dict[str, int]) -> None:
    snapshot = table.current_snapshot()
    live = set(reachable(table, planner, [snapshot])) if snapshot is not None else set[str]()
    rows = sum(count for path, count in counts.items() if path in live and count > 0)
    if rows:
        raise Conflict(
            f"{rows} of the rows to purge are in the newest snapshot of {table.name()[-1]!r}; nothing was changed.",
            hint="Drop them by a commit first.",
        )


def _check_runs(table: Table, runs: Callable[[], Collection[str]]) -> None:
    """An open run's marker says that it was committed: its snapshot can't go before the run is closed."""
    open_runs = set(runs())
    held = sorted({run for snapshot in table.metadata.snapshots if (run := marks_of(snapshot).get(MARKER)) in open_runs and run})
    if held:
        raise Unavailable(f"Runs of the table {table.name()[-1]!r} are still open: {', '.join(held)}; nothing was changed.")


def _is_torn(table: Table, path: str, rows: int, droppers: Sequence[Dropper]) -> bool:
    """Whether it can't be read, and lies where the rows would."""
    if rows != UNREADABLE:
        return False
    field = next((field for field in table.spec().fields if isinstance(field.transform, BucketTransform)), None)
    if field is None or any(each.tenants is None for each in droppers):
        return True
    bucket = bucket_of(layout_of(table).buckets)
    return any(f"/{field.name}={bucket(tenant)}/" in path for each in droppers for tenant in each.tenants or ())


def _move_aside(table: Table, paths: Iterable[str]) -> set[str]:
    """Where the files are now."""
    moved = set[str]()
    for path in sorted(paths):
        to = path if _is_aside(table, path) else f"{_aside(table)}{path.removeprefix(table.location())}"
        try:
            move(table, path, to)
        except FileNotFoundError:
            continue
        moved.add(to)
    return moved


def _put_back(table: Table, planner: Planner) -> int:
    """Files that were moved aside, and are a snapshot's, are moved back: as many."""
    there = {path.removeprefix(_aside(table)): path for path in data_files(table) if _is_aside(table, path)}
    if not there:
        return 0
    needed = set(reachable(table, planner, table.metadata.snapshots))
    back = {f"{table.location()}{rest}": path for rest, path in there.items() if f"{table.location()}{rest}" in needed}
    for path, aside in back.items():
        move(table, aside, path)
    return len(back)


def _aside(table: Table) -> str:
    return f"{table.location()}/{_ASIDE}"


def _is_aside(table: Table, path: str) -> bool:
    return path.startswith(f"{_aside(table)}/")


def _fence(newest: Callable[[], Table]) -> int:
    """An empty snapshot of the newest rows; its sequence number."""

    def attempt() -> Table:
        table = newest()
        return Producer(table, Edit(Operation.APPEND, {UPKEEP: "purge"})).commit_to(table)

    snapshot = with_retries(attempt, newest().name()[-1]).current_snapshot()
    return snapshot.sequence_number or 0 if snapshot is not None else 0


def _forget_before(table: Table, planner: Planner, since: int, holding: Collection[str], now: datetime) -> tuple[int, set[str]]:
    """How many snapshots went, and the files to remove: those that hold the rows, and metadata, which hold bounds of them."""
    gone = [snapshot for snapshot in table.metadata.snapshots if (snapshot.sequence_number or 0) < since]
    if not gone:
        return 0, set()
    # What others wrote of deletes goes whole: a file of equality deletes is all values, whatever columns it has.
    going = {*holding, *deletes_of(table, planner, gone)}
    return len(gone), forget(table, planner, gone, now, lambda path: path.endswith(".parquet") and path not in going)


def _unneeded_manifests(table: Table, planner: Planner, holding: Collection[str], now: datetime) -> set[str]:
    """Manifests that no snapshot needs, and that name files which are gone or hold the rows: retired ones, and what changes that
    failed have left. They hold bounds of what was in those files. One of a commit that is under way names files that are there."""
    found = [file for file in listed(table) if file.path.endswith(".avro") and not file_name(file.path).startswith(_LIST)]
    there = {file_name(file.path) for file in listed(table)}
    needed = set(reachable(table, planner, table.metadata.snapshots))
    gone = {file_name(path) for path in holding}

    def goes(file: Listed) -> bool:
        try:
            names = {file_name(path) for path in named_by(file.path, table.io, table.name()[-1])}
        except FileNotFoundError:
            return False
        except StorageError:
            return file.modified < now - _WRITING  # torn, unless it is being written
        return not names.isdisjoint(gone) or not names <= there

    return {file.path for file in found if file.path not in needed and goes(file)}
