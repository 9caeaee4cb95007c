"""Small files of a partition joined into few, sorted as the table is, and small manifests joined on the way.

Files are joined with others of like size, as a log-structured merge tree does it (O'Neil and others, 1996), so that a row is
written a logarithmic number of times however many commits there are.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import pyarrow as pa
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation

from jangbu.platform.lakehouse.ports import Compaction
from jangbu.platform.lakehouse.tables.commits import Leftovers, by_manifest, with_retries
from jangbu.platform.lakehouse.tables.deleting import deleted_in, leftovers, live_rows
from jangbu.platform.lakehouse.tables.layout import Layout, layout_of
from jangbu.platform.lakehouse.tables.planning import PlannedFile, Planner
from jangbu.platform.lakehouse.tables.pool import for_each
from jangbu.platform.lakehouse.tables.producing import Edit
from jangbu.platform.lakehouse.tables.reaching import remove_unneeded
from jangbu.platform.lakehouse.tables.writing import FileWriter, parts, remove_files

UPKEEP: Final = "jangbu.upkeep"
"""In the summary of a snapshot that changed no row: which upkeep made it."""

SMALL_BYTES: Final = 32_000_000
"""A file below it is joined with others of its partition; a join holds at most 16 times as much."""

ENOUGH: Final = 4
"""So many files of like size are worth a join."""

LIKE: Final = 4
"""A file is of like size where it is at most so many times as large as all smaller ones together."""

DELETED: Final = 0.1
"""A file is written anew where other engines have deleted such a part of its rows, or by `ENOUGH` delete files."""

COMMIT_BYTES: Final = 256_000_000
"""Joined files are committed whenever so much was written, so that a conflict or a crash costs little."""

MANIFESTS: Final = 16
"""More small manifests than this are joined."""

MANIFEST_ENTRIES: Final = 2_000
"""A manifest with fewer live files is small."""


@dataclass(frozen=True, slots=True)
class Join:
    """Files of one partition, and those that were written in their place, with `rows`; `deleted` ones were left out."""

    before: tuple[PlannedFile, ...]
    after: tuple[DataFile, ...]
    rows: int
    deleted: int = 0


def compact(newest: Callable[[], Table], planner: Planner, *, whole: bool) -> Compaction:
    """`newest` reads the table anew."""
    table = newest()
    done = Compaction()
    for joins in _in_commits(_groups(table, planner, live(table, planner), whole=whole)):
        done = _added(done, *_commit(newest, planner, _written(table, planner, joins)))
    table = newest()
    if len(small_manifests(table, planner)) > MANIFESTS or any(leftovers(table, planner, layout_of(table), ())):
        done = _added(done, *_commit(newest, planner, ()))
    return done


def _added(done: Compaction, kept: Sequence[Join], deletes: int) -> Compaction:
    return Compaction(
        done.files_before + sum(len(join.before) for join in kept),
        done.files_after + sum(len(join.after) for join in kept),
        done.rows + sum(join.rows for join in kept),
        done.rows_deleted + sum(join.deleted for join in kept),
        done.delete_files + deletes,
    )


def live(table: Table, planner: Planner) -> tuple[PlannedFile, ...]:
    """The files of the current snapshot, by partition."""
    snapshot = table.current_snapshot()
    return () if snapshot is None else planner.files(table, layout_of(table), snapshot.snapshot_id, None, None)


def worth_it(table: Table, planner: Planner, files: Sequence[PlannedFile], *, whole: bool) -> tuple[PlannedFile, ...]:
    """Those of one partition's files that are worth being written anew, perhaps none: small ones, and those of which many rows are
    deleted; or all that are small or of which any is."""
    joined = joinable(files, whole=whole)
    there = {file.file.path for file in joined}
    others = (file for file in files if file.deletes and file.file.path not in there)
    return (*joined, *(file for file in others if whole or _is_riddled(table, planner, file)))


def _is_riddled(table: Table, planner: Planner, file: PlannedFile) -> bool:
    return len(file.deletes) >= ENOUGH or deleted_in(table, planner, file) >= DELETED * file.file.rows


def joinable(files: Sequence[PlannedFile], *, whole: bool) -> tuple[PlannedFile, ...]:
    """Those of one partition's files that are worth a join, perhaps none."""
    small = sorted((file for file in files if file.file.bytes < SMALL_BYTES), key=lambda file: file.file.bytes)
    if whole:
        return tuple(small) if len(small) > 1 else ()
    best, total = 0, 0
    for at, file in enumerate(small):
        if at + 1 >= ENOUGH and file.file.bytes <= LIKE * total:
            best = at + 1
        total += file.file.bytes
    return tuple(small[:best])


def small_manifests(table: Table, planner: Planner) -> set[str]:
    """The paths of manifests that hold few live files."""
    counts: dict[str, int] = {}
    for file in live(table, planner):
        counts[file.manifest] = counts.get(file.manifest, 0) + 1
    return {path for path, count in counts.items() if count < MANIFEST_ENTRIES}


def partitions(table: Table, files: Iterable[PlannedFile]) -> Iterator[tuple[PlannedFile, ...]]:
    """The files, which are in order, by partition; none of a table whose rows would lose something if they were written anew."""
    if not layout_of(table).others:
        for _, group in groupby(files, key=lambda file: (file.month, file.bucket)):
            yield tuple(group)


def _groups(table: Table, planner: Planner, files: Sequence[PlannedFile], *, whole: bool) -> Iterator[tuple[PlannedFile, ...]]:
    for partition in partitions(table, files):
        held: list[PlannedFile] = []
        for file in worth_it(table, planner, partition, whole=whole):
            if held and sum(each.file.bytes for each in held) + file.file.bytes > 16 * SMALL_BYTES:
                yield tuple(held)
                held = []
            held.append(file)
        if len(held) > 1 or any(file.deletes for file in held):
            yield tuple(held)


def _in_commits(groups: Iterable[tuple[PlannedFile, ...]]) -> Iterator[list[tuple[PlannedFile, ...]]]:
    held: list[tuple[PlannedFile, ...]] = []
    size = 0
    for group in groups:
        held.append(group)
        size += sum(file.file.bytes for file in group)
        if size > COMMIT_BYTES:
            yield held
            held, size = [], 0
    if held:
        yield held


def _written(table: Table, planner: Planner, groups: Sequence[tuple[PlannedFile, ...]]) -> tuple[Join, ...]:
    layout, done = layout_of(table), list[Join]()
    try:
        for_each(groups, lambda group: done.append(_join(table, planner, layout, group)))
    except BaseException:
        remove_files(table, (file.file_path for join in done for file in join.after))
        raise
    return tuple(done)


def _join(table: Table, planner: Planner, layout: Layout, group: Sequence[PlannedFile]) -> Join:
    writer = FileWriter(table)
    try:
        rows = pa.concat_tables([live_rows(table, planner, layout, file) for file in group])
        written = tuple(writer.write_part(part) for part in parts(rows, layout))
        return Join(tuple(group), written, rows.num_rows, sum(file.file.rows for file in group) - rows.num_rows)
    except FileNotFoundError:
        # A change took a file's place, and its last snapshot has expired since: the next upkeep looks again.
        writer.remove()
        return Join((), (), 0)
    except BaseException:
        writer.remove()
        raise


def _commit(newest: Callable[[], Table], planner: Planner, joins: Sequence[Join]) -> tuple[tuple[Join, ...], int]:
    """The joins whose files are all still there, with no more rows deleted in them, in one snapshot; and how many delete files went
    with them. What the others had written is removed."""
    tries, table = Leftovers(), newest()
    layout = layout_of(table)

    def attempt() -> tuple[tuple[Join, ...], int]:
        table = newest()
        there = {file.state: file for file in live(table, planner)}
        whole = [join for join in joins if join.before and all(file.state in there for file in join.before)]
        newer = layout_of(table)
        kept = tuple(whole) if newer == layout else ()
        gone = [there[file.state] for join in kept for file in join.before]
        unneeded = list(leftovers(table, planner, newer, gone))
        small = small_manifests(table, planner)
        regrouped = small if len(small) > MANIFESTS else set[str]()
        if kept or regrouped or unneeded:
            added = [file for join in kept for file in join.after]
            edit = Edit(Operation.REPLACE, {UPKEEP: "compaction"}, added, by_manifest([*gone, *unneeded]), regrouped)
            tries.commit(table, edit)
        return kept, len(unneeded)

    kept, deletes = tuple[Join, ...](), 0
    try:
        kept, deletes = with_retries(attempt, table.name()[-1])
    finally:
        used = {file.file_path for join in kept for file in join.after}
        written = {file.file_path for join in joins for file in join.after}
        if not tries.unsure():
            remove_unneeded(newest, planner, {*(written - used), *tries.files()})
    return kept, deletes
