"""Staged files into snapshots, and out of them what they take the place of.

A commit that meets another is planned again from the newest snapshot, a bounded number of times. What was found out of a file that
is still there isn't found out again, and what was written for one that isn't is removed.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import sleep
from typing import TypeVar

import pyarrow as pa
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation

from jangbu.kernel.errors import Conflict, Unavailable
from jangbu.platform.lakehouse.ports import Drop, Keyed
from jangbu.platform.lakehouse.tables import failures
from jangbu.platform.lakehouse.tables.deleting import leftovers, staying
from jangbu.platform.lakehouse.tables.dropping import Dropper, dropper, matching
from jangbu.platform.lakehouse.tables.guard import GIVEN_UP, MARKER, check
from jangbu.platform.lakehouse.tables.layout import Layout, check_rewritable, layout_of
from jangbu.platform.lakehouse.tables.planning import PlannedFile, Planner
from jangbu.platform.lakehouse.tables.pool import for_each
from jangbu.platform.lakehouse.tables.positions import DeleteFile
from jangbu.platform.lakehouse.tables.producing import Edit, Producer
from jangbu.platform.lakehouse.tables.reading import read_rows
from jangbu.platform.lakehouse.tables.writing import FileWriter, parts, remove_files

ATTEMPTS, WAIT = 16, 0.05
"""How often a commit is planned anew, and seconds (doubled up to 32 times, with jitter) between."""

MISSING = 4
"""How often again where a file of the table isn't there."""

LOST = 2
"""How often again where the catalog doesn't answer, or its answer was lost: whether a change was made shows in newer metadata."""

T = TypeVar("T")


def with_retries(attempt: Callable[[], T], table: str) -> T:
    """What `attempt` returns; it is called again after a conflict, and must begin from the newest snapshot each time.

    Raises:
        Unavailable: others kept committing, or hold the catalog; or it can't be reached.
        FileNotFoundError: a file of the table isn't there, however often it is looked for.
    """
    lost = 0
    for number in range(ATTEMPTS):
        try:
            return attempt()
        except (CommitFailedException, ValidationException):
            pass
        except FileNotFoundError:
            # Most likely upkeep has taken away what the metadata that were read so far name.
            if number >= MISSING:
                raise
        except Exception as error:
            if failures.is_busy(error):
                raise Unavailable(f"The lakehouse's catalog is busy; the table {table!r} wasn't changed.", retry_after=5) from error
            if not failures.is_lost(error) or lost >= LOST:
                raise
            lost += 1
        sleep(WAIT * 2 ** min(number, 5) * random.uniform(0.5, 1.5))  # noqa: S311 - jitter isn't a secret
    raise Unavailable(f"Others keep changing the table {table!r}; this change found no moment.", retry_after=5)


@dataclass(frozen=True, slots=True)
class Try:
    """A commit that failed: its snapshot, the one that it was planned from, what was written for it. Where that isn't `certain`, it
    may have been made all the same, or may yet be: its request is under way to a catalog that stands still."""

    snapshot_id: int
    base: int | None
    files: Sequence[str]
    certain: bool

    def has_failed(self, table: Table) -> bool:
        """Whether these newer metadata say so. A commit is only made on the snapshot that it was planned from."""
        there = table.snapshot_by_id(self.snapshot_id) is not None
        return not there and (self.certain or table.metadata.current_snapshot_id != self.base)


class Leftovers:
    """What tries that failed have written. It may only go once newer metadata say that the try really failed."""

    def __init__(self) -> None:
        self._tries: list[Try] = []

    def unsure(self) -> frozenset[int | None]:
        """The snapshots on which a commit may have been made, or may yet be, though it failed."""
        return frozenset(each.base for each in self._tries if not each.certain)

    def files(self) -> list[str]:
        """What is there of tries that failed, or may have."""
        return [path for each in self._tries for path in each.files]

    def commit(self, table: Table, edit: Edit) -> Table:
        """Raises CommitFailedException where the table has changed since it was read."""
        self.clear(table)
        producer = Producer(table, edit)
        try:
            return producer.commit_to(table)
        except BaseException as error:
            certain = not producer.sent or isinstance(error, CommitFailedException | ValidationException)
            self._tries.append(Try(producer.snapshot_id, table.metadata.current_snapshot_id, producer.files(), certain))
            raise

    def clear(self, table: Table) -> None:
        for each in self._tries:
            if each.has_failed(table):
                remove_files(table, each.files)
        self._tries = [
            each for each in self._tries if table.snapshot_by_id(each.snapshot_id) is None and not each.has_failed(table)
        ]


def give_up(table: Table, run: str) -> Table:
    """One snapshot more, without rows; see `guard`."""
    check(table, run)
    return Producer(table, Edit(Operation.APPEND, {GIVEN_UP: run})).commit_to(table)


@dataclass(frozen=True, slots=True)
class Found:
    """What becomes of a file: it goes, and these files with the rows that stay come in its place; or it isn't touched."""

    goes: bool
    instead: tuple[DataFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Replaced:
    """Whole partitions, by month and bucket, whose rows were written anew, and the states of all files that they had then."""

    partitions: frozenset[tuple[int, int]]
    states: frozenset[tuple[str, tuple[str, ...]]]

    def files(self, live: Sequence[PlannedFile], table: str) -> list[PlannedFile]:
        """Those of the live files that go. Raises Conflict where the partitions have others by now, or lost rows."""
        found = [file for file in live if (file.month, file.bucket) in self.partitions]
        if {file.state for file in found} != self.states:
            raise Conflict(f"The table {table!r} was changed where rows were being put in.", hint="Do it again.")
        return found


class Change:
    """One change by one run, tried until it is committed. `attempt` is given the newest table each time."""

    def __init__(
        self, planner: Planner, files: Sequence[DataFile], run: str, drops: Sequence[Drop], replaced: Sequence[Replaced] = ()
    ) -> None:
        self._planner, self._files, self._run, self._replaced = planner, files, run, replaced
        self._drops = [drop for drop in drops if not isinstance(drop, Keyed) or drop.keys.num_rows]
        self._found: dict[tuple[str, tuple[str, ...]], Found] = {}
        """By the file's state: where others delete rows of it meanwhile, it is looked at again."""
        self._layout: Layout | None = None
        self._leftovers = Leftovers()

    def attempt(self, table: Table) -> Table:
        """Raises CommitFailedException where the table has changed since it was read, AlreadyCommitted, Conflict (see `guard`;
        or staged files are gone)."""
        check(table, self._run)
        self._check_staged(table)
        gone = self._gone(table)
        kept = [file for each in gone for file in self._found[each.state].instead]
        unneeded = leftovers(table, self._planner, self._layout, gone) if gone and self._layout is not None else ()
        dropped = by_manifest([*gone, *unneeded])
        edit = Edit(Operation.OVERWRITE if gone else Operation.APPEND, {MARKER: self._run}, [*kept, *self._files], dropped)
        committed = self._leftovers.commit(table, edit)
        self._remove_written(table, {file.file_path for file in kept})
        return committed

    def written(self) -> list[str]:
        """The files that were written in the place of others, for this try or an earlier one."""
        return [file.file_path for found in self._found.values() for file in found.instead]

    def left(self) -> list[str]:
        """All that was written, manifests too, and isn't known to be gone."""
        return [*self.written(), *self._leftovers.files()]

    def unsure(self) -> frozenset[int | None]:
        """As `Leftovers.unsure`, once it has failed."""
        return self._leftovers.unsure()

    def _gone(self, table: Table) -> list[PlannedFile]:
        layout, snapshot = layout_of(table), table.current_snapshot()
        if layout != self._layout:
            if not self.unsure():
                self._remove_written(table, set())
            self._found, self._layout = {}, layout
        live = (
            self._planner.files(table, layout, snapshot.snapshot_id, None, None) if snapshot is not None and self._replaced else ()
        )
        replaced = [file for each in self._replaced for file in each.files(live, table.name()[-1])]
        if snapshot is None:
            return []
        droppers = [dropper(drop, layout, table.name()[-1]) for drop in self._drops]
        candidates: dict[str, tuple[PlannedFile, list[Dropper]]] = {}
        for each in droppers:
            for file in self._planner.files(table, layout, snapshot.snapshot_id, each.tenants, each.span):
                candidates.setdefault(file.file.path, (file, []))[1].append(each)
        for file in replaced:
            self._found[file.state] = Found(goes=True)
            candidates[file.file.path] = (file, [])
        fresh = [pair for pair in candidates.values() if pair[0].state not in self._found]
        for_each(fresh, lambda pair: self._look(table, layout, *pair))
        return [file for file, _ in candidates.values() if self._found[file.state].goes]

    def _look(self, table: Table, layout: Layout, file: PlannedFile, droppers: Sequence[Dropper]) -> None:
        self._found[file.state] = look_at(table, self._planner, layout, file, droppers)

    def _remove_written(self, table: Table, used: set[str]) -> None:
        remove_files(table, (path for path in self.written() if path not in used))

    def _check_staged(self, table: Table) -> None:
        missing = [file for file in self._files if not table.io.new_input(file.file_path).exists()]
        if missing:
            raise Conflict(
                f"{len(missing)} of {len(self._files)} staged files of the run {self._run!r} are gone; nothing was changed.",
                value=self._run,
                hint="Load it again: it stood still for so long that upkeep took its files for nobody's.",
            )


def look_at(table: Table, planner: Planner, layout: Layout, file: PlannedFile, droppers: Sequence[Dropper]) -> Found:
    """Whether the file holds rows to drop; if so, new files with its other rows are written. Rows that others have deleted in it
    are dropped where they lie, too, as they are to be nowhere any more; and new files never hold any of them."""
    if any(each.takes_all(file) for each in droppers):
        return Found(goes=True)
    columns = frozenset[str]().union(*(each.columns for each in droppers))
    repeated = any(
        matching(read_rows(table.io, layout, each.path, columns), droppers).any() for each in file.deletes if not each.is_vectors
    )
    if not repeated and not _may_match(table, layout, file, droppers):
        return Found(goes=False)
    going = matching(read_rows(table.io, layout, file.file.path, columns), droppers)
    if not repeated and not going.any():
        return Found(goes=False)
    check_rewritable(layout)
    kept = staying(table, planner, file, len(going)) & ~going
    writer = FileWriter(table)
    try:
        rows = read_rows(table.io, layout, file.file.path).filter(pa.array(kept))
        return Found(goes=True, instead=tuple(writer.write_part(part) for part in parts(rows, layout)))
    except BaseException:
        writer.remove()
        raise


def _may_match(table: Table, layout: Layout, file: PlannedFile, droppers: Sequence[Dropper]) -> bool:
    """By one column of each: most files of a table hold none of the keys, and need not be read any further."""
    telling = {each.telling for each in droppers}
    if None in telling:
        return True
    rows = read_rows(table.io, layout, file.file.path, frozenset(filter(None, telling)))
    return any(each.may_match(rows.column(each.telling)) for each in droppers if each.telling is not None)


def by_manifest(files: Iterable[PlannedFile | DeleteFile]) -> Mapping[str, set[str]]:
    """The paths of the files by the manifest that holds them."""
    found: dict[str, set[str]] = {}
    for file in files:
        path = file.path if isinstance(file, DeleteFile) else file.file.path
        found.setdefault(file.manifest, set()).add(path)
    return found
