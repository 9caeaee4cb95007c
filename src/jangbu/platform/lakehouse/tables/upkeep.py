"""What keeps a table light without changing its rows: old snapshots forgotten, files that nobody needs removed.

A snapshot is forgotten at once, its files aren't: a question that began before may be reading them. They are noted as retired, in a
file `retired/<micros>-<id>.json` of the table, and removed when they have been so for long enough.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final
from uuid import uuid4

from pydantic import Field
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.table.update import (
    AssertTableUUID,
    RemovePartitionStatisticsUpdate,
    RemovePropertiesUpdate,
    RemoveSnapshotsUpdate,
    SetPropertiesUpdate,
    TableUpdate,
)

from jangbu.platform.lakehouse.ports import TableState
from jangbu.platform.lakehouse.tables.compacting import live, partitions, worth_it
from jangbu.platform.lakehouse.tables.deleting import deleted_in
from jangbu.platform.lakehouse.tables.guard import GIVEN_UP, MARKER, given_up_mark, marks_of
from jangbu.platform.lakehouse.tables.layout import layout_of
from jangbu.platform.lakehouse.tables.listing import Listed, listed
from jangbu.platform.lakehouse.tables.manifests import manifests_of
from jangbu.platform.lakehouse.tables.planning import Planner
from jangbu.platform.lakehouse.tables.producing import commit_updates
from jangbu.platform.lakehouse.tables.reaching import reachable
from jangbu.platform.lakehouse.tables.writing import remove_files

GIVEN_UP_FOR: Final = timedelta(days=30)
"""How long it is remembered that a run was given up: its process may wake as late as that."""

_RETIRED: Final = "retired"


def state(table: Table, planner: Planner, *, on_disk: bool) -> TableState:
    files = live(table, planner)
    own = list(listed(table)) if on_disk else []
    return TableState(
        table=table.name()[-1],
        snapshots=len(table.metadata.snapshots),
        manifests=len(manifests_of(table, table.current_snapshot())),
        files=len(files),
        small_files=sum(len(worth_it(table, planner, partition, whole=True)) for partition in partitions(table, files)),
        joinable_files=sum(len(worth_it(table, planner, partition, whole=False)) for partition in partitions(table, files)),
        rows=sum(file.file.rows - deleted_in(table, planner, file) for file in files),
        data_bytes=sum(file.file.bytes for file in files),
        metadata_bytes=sum(file.size for file in own if "/metadata/" in file.path),
        retired_files=sum(len(_paths(table, note.path)) for note in own if _is_note(note)),
        delete_files=len(planner.delete_files(table, layout_of(table))),
    )


def expire(table: Table, planner: Planner, keep: int, runs: Callable[[], Collection[str]], now: datetime) -> int:
    """Raises CommitFailedException where others have forgotten snapshots since the table was read."""
    gone = outdated(table, keep, runs)
    if not gone:
        return 0
    forget(table, planner, gone, now)
    return len(gone)


def forget(
    table: Table, planner: Planner, gone: Collection[Snapshot], now: datetime, keeps: Callable[[str], bool] = bool
) -> set[str]:
    """Remove the snapshots, and note as retired the files that only they need, but for those that `keeps` doesn't keep: these are
    returned.

    Raises:
        CommitFailedException: others have forgotten some of them since the table was read.
    """
    going = frozenset(snapshot.snapshot_id for snapshot in gone)
    needed = set(reachable(table, planner, [each for each in table.metadata.snapshots if each.snapshot_id not in going]))
    unneeded = set(reachable(table, planner, gone)) - needed
    retired = sorted(filter(keeps, unneeded))
    note = _note(table, retired, now) if retired else None
    try:
        removals = [RemoveSnapshotsUpdate(snapshot_ids=sorted(going)), *_partition_statistics(table, going)]
        commit_updates(
            table, [*removals, *given_up(table, gone, now)], [_StillThere(uuid=table.metadata.table_uuid, snapshots=going)]
        )
    except CommitFailedException:
        # After any other error the snapshots may have gone all the same. (What a note names and is needed is never removed.)
        remove_files(table, [note] if note is not None else [])
        raise
    return unneeded.difference(retired)


def _partition_statistics(table: Table, going: Collection[int]) -> Iterator[TableUpdate]:
    """PyIceberg takes those of the table along with a snapshot, not those of its partitions."""
    for each in table.metadata.partition_statistics:
        if each.snapshot_id in going:
            yield RemovePartitionStatisticsUpdate(snapshot_id=each.snapshot_id)


class _StillThere(AssertTableUUID):
    """The table has the snapshots yet; that they are gone PyIceberg would else take for a mistake of the caller's."""

    snapshots: Annotated[frozenset[int], Field(exclude=True)]
    """Looked at here; a catalog behind REST is told the rest."""

    def validate(self, base_metadata: TableMetadata | None) -> None:  # type: ignore[override]  # as the class it comes from does
        super().validate(base_metadata)
        there = {snapshot.snapshot_id for snapshot in base_metadata.snapshots} if base_metadata is not None else set[int]()
        if not self.snapshots <= there:
            raise CommitFailedException("Some of the snapshots are gone already.")


def given_up(table: Table, gone: Iterable[Snapshot], now: datetime) -> Iterator[TableUpdate]:
    """That a run was given up is remembered without the snapshot, whose files would be kept for it."""
    runs = (marks_of(snapshot).get(GIVEN_UP) for snapshot in gone)
    if marks := {given_up_mark(run): now.isoformat() for run in runs if run is not None}:
        yield SetPropertiesUpdate(updates=marks)
    prefix, since = given_up_mark(""), (now - GIVEN_UP_FOR).isoformat()
    if old := [name for name, at in table.properties.items() if name.startswith(prefix) and at < since]:
        yield RemovePropertiesUpdate(removals=old)


def collect(
    table: Table,
    planner: Planner,
    retired: timedelta,
    orphaned: timedelta,
    now: datetime,
    orphans: Collection[str] | None = None,
) -> int:
    """What is listed is older than the metadata that are read after it, so a file that these don't name is nobody's, unless a load
    has staged it and not committed it yet. The notes are listed after the metadata: what these don't name any more is noted.
    `orphans` are what another's listing, before this, took for nobody's; without them the table's place is listed here."""
    found = None if orphans is not None else list(listed(table))
    fresh = table.catalog.load_table(table.name())
    needed = {*reachable(fresh, planner, fresh.metadata.snapshots), fresh.metadata_location}
    needed.update(entry.metadata_file for entry in fresh.metadata.metadata_log)
    notes = [file for file in listed(table, _RETIRED) if _is_note(file)]
    due = [note for note in notes if _noted_at(note) <= now - retired]
    waiting = {path for note in notes if note not in due for path in _paths(table, note.path)}
    going = {path for note in due for path in _paths(table, note.path)}
    if found is None:
        going |= {path for path in orphans or () if not _is_noted(path)}
    else:
        going |= {file.path for file in found if not _is_note(file) and file.modified <= now - orphaned}
    going -= needed | waiting
    there = {file.path for file in found} if found is not None else going
    remove_files(table, sorted(going))
    remove_files(table, [note.path for note in due])
    return len(going & there)


def outdated(table: Table, keep: int, runs: Callable[[], Collection[str]]) -> list[Snapshot]:
    """The snapshots that go. The open runs are asked for after the table was read: one that has ended by then needs its marker no
    more."""
    snapshots = sorted(table.metadata.snapshots, key=lambda snapshot: snapshot.sequence_number or 0)
    staying = {snapshot.snapshot_id for snapshot in snapshots[-max(keep, 1) :]}
    staying |= {ref.snapshot_id for ref in table.metadata.refs.values()}
    if len(staying) < len(snapshots):
        open_runs = set(runs())
        staying |= {each.snapshot_id for each in snapshots if marks_of(each).get(MARKER) in open_runs}
    return [snapshot for snapshot in snapshots if snapshot.snapshot_id not in staying]


def _note(table: Table, paths: list[str], now: datetime) -> str:
    path = f"{table.location()}/{_RETIRED}/{round(now.timestamp() * 1_000_000)}-{uuid4().hex}.json"
    with table.io.new_output(path).create() as stream:
        stream.write(json.dumps(paths).encode())
    return path


def _paths(table: Table, note: str) -> list[str]:
    """What a note says; nothing where it is torn: its files are orphans then, and go as such."""
    try:
        with table.io.new_input(note).open() as stream:
            return [str(path) for path in json.loads(stream.read())]
    except (ValueError, FileNotFoundError):
        return []


def _is_note(file: Listed) -> bool:
    return _is_noted(file.path)


def _is_noted(path: str) -> bool:
    """Whether a note lies there."""
    return f"/{_RETIRED}/" in path and path.endswith(".json")


def _noted_at(note: Listed) -> datetime:
    micros = note.path.rpartition("/")[2].partition("-")[0]
    return datetime.fromtimestamp(int(micros) / 1_000_000, UTC) if micros.isdigit() else note.modified
