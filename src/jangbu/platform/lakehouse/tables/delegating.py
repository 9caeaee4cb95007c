"""Upkeep and fillings that an engine on servers of its own does for us: what it is told, and what is made of its work."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final
from uuid import uuid4

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError
from pyiceberg.manifest import DataFile, ManifestContent
from pyiceberg.serializers import ToOutputFile
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation, Snapshot
from pyiceberg.table.update import RemoveSnapshotRefUpdate, SetSnapshotRefUpdate

from jangbu.platform.lakehouse.maintenance import Joining, Maintainer, Name
from jangbu.platform.lakehouse.ports import Compaction
from jangbu.platform.lakehouse.tables.commits import with_retries
from jangbu.platform.lakehouse.tables.compacting import ENOUGH, MANIFESTS, SMALL_BYTES
from jangbu.platform.lakehouse.tables.guard import marks_of
from jangbu.platform.lakehouse.tables.listing import listed
from jangbu.platform.lakehouse.tables.manifests import entries_of, manifests_of
from jangbu.platform.lakehouse.tables.producing import commit_updates
from jangbu.platform.lakehouse.tables.upkeep import given_up, outdated
from jangbu.platform.lakehouse.tables.writing import remove_files

STAGING: Final = "jangbu_staging"
"""The namespace of the tables that are filled for us."""
ABANDONED: Final = timedelta(hours=24)
"""So old a table of the staging namespace belongs to a process that died."""
PIN: Final = "jangbu-filling-"
"""How the tags begin that keep a snapshot while a table is filled from it."""
_SKEW: Final = timedelta(minutes=1)
"""What the server's clock may be behind ours."""
_OF_STAGING: Final = {"gc.enabled": "false", "write.parquet.row-group-size-bytes": str(16 << 20)}
"""Row groups are about as large as ours: engines read them side by side, and leave some unread."""
_FOLDER: Final = "staging"


def compact(newest: Callable[[], Table], by: Maintainer, *, whole: bool) -> Compaction:
    """As `compacting.compact`, and rows that others have deleted by files of deletes are gone from the data files afterwards."""
    before = newest()
    manifests = manifests_of(before, before.current_snapshot())
    how = Joining(
        small_bytes=SMALL_BYTES,
        enough=2 if whole else ENOUGH,
        target_bytes=16 * SMALL_BYTES,
        is_sorted=not before.sort_order().is_unsorted,
        deletes=any(manifest.content is ManifestContent.DELETES for manifest in manifests),
        manifests=len(manifests) > MANIFESTS,
    )
    if before.current_snapshot() is None:
        return Compaction()
    done = by.join(name_of(before), how)
    return Compaction(done.before, done.after, _rewritten(before, newest()) if done.after else 0)


def expire(
    newest: Callable[[], Table], by: Maintainer, keep: int, runs: Callable[[], Collection[str]], retired: timedelta, now: datetime
) -> int:
    """Snapshots that go, and that others had taken the place of so long ago that no question reads their files: these are removed
    with them, at once. The younger ones are left to `upkeep.expire`."""
    table = newest()
    ended = _ends(table)
    gone = [each for each in outdated(table, keep, runs) if ended.get(each.snapshot_id, now) <= now - retired - _SKEW]
    if not gone:
        return 0

    def remember() -> None:
        fresh = newest()
        if updates := tuple(given_up(fresh, gone, now)):
            commit_updates(fresh, updates)

    with_retries(remember, table.name()[-1])
    by.forget(name_of(table), [each.snapshot_id for each in gone])
    there = {each.snapshot_id for each in newest().metadata.snapshots}
    return sum(each.snapshot_id not in there for each in gone)


def orphans(catalog: Catalog, table: Table, by: Maintainer, orphaned: timedelta, now: datetime) -> frozenset[str]:
    """As the table's own locations are written. What processes that died have left in the catalog goes before."""
    with_retries(lambda: _unpin(catalog.load_table(table.name()), now), table.name()[-1])
    _sweep(catalog, now)
    root = table.location().rstrip("/")
    found = by.orphans(name_of(table), now - orphaned - _SKEW)
    return frozenset(f"{root}{_below(path, root)}" for path in found if _below(path, root))


def name_of(table: Table) -> Name:
    *namespace, name = table.name()
    return ".".join(namespace), name


@contextmanager
def staging_table(catalog: Catalog, table: Table) -> Iterator[Name]:
    """An empty table of the catalog with the schema, ids, partitions and order of this one, whose files will lie among its own. It
    is gone afterwards; its data files stay."""
    name = (STAGING, f"{table.name()[-1]}_{_stamp()}")
    catalog.create_namespace_if_not_exists(STAGING)
    location = f"{table.location()}/{_FOLDER}/{name[1]}"
    metadata = table.metadata.model_copy(
        update={
            "table_uuid": uuid4(),
            "location": location,
            "last_sequence_number": 0,
            "snapshots": [],
            "refs": {},
            "current_snapshot_id": None,
            "snapshot_log": [],
            "metadata_log": [],
            "statistics": [],
            "partition_statistics": [],
            "properties": {**table.properties, **_OF_STAGING, "write.data.path": f"{table.location()}/data"},
        }
    )
    first = f"{location}/metadata/00000-{uuid4()}.metadata.json"
    ToOutputFile.table_metadata(metadata, table.io.new_output(first), overwrite=False)
    catalog.register_table(name, first)
    try:
        yield name
    finally:
        _drop(catalog, name, table)


@contextmanager
def source_table(catalog: Catalog, table: Table, schema: Any, files: Sequence[str]) -> Iterator[Name]:
    """A table of the catalog over Parquet files that others wrote; it is gone afterwards, the files stay."""
    name = (STAGING, f"{table.name()[-1]}_source_{_stamp()}")
    catalog.create_namespace_if_not_exists(STAGING)
    location = f"{table.location()}/{_FOLDER}/{name[1]}"
    try:
        made = catalog.create_table(name, schema, location=location, properties={"gc.enabled": "false"})
        made.add_files(list(files))
        yield name
    finally:
        _drop(catalog, name, table)


@contextmanager
def pinned(newest: Callable[[], Table], snapshot_id: int) -> Iterator[None]:
    """Within the block the snapshot isn't forgotten: a tag names it."""
    tag = f"{PIN}{_stamp()}"
    name = newest().name()[-1]
    keep = SetSnapshotRefUpdate(
        ref_name=tag, type="tag", snapshot_id=snapshot_id, max_ref_age_ms=None, max_snapshot_age_ms=None, min_snapshots_to_keep=None
    )
    with_retries(lambda: commit_updates(newest(), [keep]), name)
    try:
        yield
    finally:
        with_retries(lambda: commit_updates(newest(), [RemoveSnapshotRefUpdate(ref_name=tag)]), name)


def _unpin(table: Table, now: datetime) -> None:
    old = [name for name in table.metadata.refs if name.startswith(PIN) and _stamped(name) <= now - ABANDONED]
    if old:
        commit_updates(table, [RemoveSnapshotRefUpdate(ref_name=name) for name in old])


def _sweep(catalog: Catalog, now: datetime) -> None:
    try:
        names = catalog.list_tables(STAGING)
    except NoSuchNamespaceError:
        return
    for identifier in names:
        if _stamped(identifier[-1]) <= now - ABANDONED:
            _drop(catalog, (".".join(identifier[:-1]), identifier[-1]))


def _stamp() -> str:
    """The end of a name: when it was given, in micros since 1970, and what makes it the only one."""
    return f"{round(datetime.now(UTC).timestamp() * 1_000_000)}x{uuid4().hex}"


def _stamped(name: str) -> datetime:
    """When a name was given that ends with a stamp; long ago where it doesn't."""
    micros = re.search(r"(\d+)x[0-9a-f]{32}$", name)
    return datetime.fromtimestamp(int(micros[1]) / 1_000_000 if micros is not None else 0, UTC)


def files_of(table: Table) -> tuple[DataFile, ...]:
    """The live data files of the newest snapshot, with all that the manifests say of them."""
    manifests = manifests_of(table, table.current_snapshot())
    return tuple(entry.data_file for manifest in manifests for entry in entries_of(manifest, table.io, table.name()[-1]))


def remove_filled(catalog: Catalog, name: Name) -> None:
    """Remove the data files of a staging table, of which nothing will become."""
    try:
        table = catalog.load_table(name)
    except NoSuchTableError:
        return
    remove_files(table, [file.file_path for file in files_of(table)])


def _drop(catalog: Catalog, name: Name, of: Table | None = None) -> None:
    """The entry, and its metadata, which hold bounds of the rows; what isn't found goes as an orphan."""
    with suppress(NoSuchTableError):
        catalog.drop_table(name)
    if of is not None:
        remove_files(of, [file.path for file in listed(of, f"{_FOLDER}/{name[1]}")])


def _rewritten(before: Table, after: Table) -> int:
    """The rows that the replacements since then wrote."""
    known = {each.snapshot_id for each in before.metadata.snapshots}
    ours = [each for each in after.metadata.snapshots if each.snapshot_id not in known and _is_theirs(each)]
    return sum(int(marks_of(each).get("added-records", 0)) for each in ours)


def _is_theirs(snapshot: Snapshot) -> bool:
    return (
        snapshot.summary is not None
        and snapshot.summary.operation is Operation.REPLACE
        and not marks_of(snapshot).get("jangbu.upkeep")
    )


def _ends(table: Table) -> dict[int, datetime]:
    """When each snapshot was followed by the next one."""
    ordered = sorted(table.metadata.snapshots, key=lambda snapshot: snapshot.sequence_number or 0)
    return {first.snapshot_id: datetime.fromtimestamp(then.timestamp_ms / 1000, UTC) for first, then in pairwise(ordered)}


def _below(path: str, root: str) -> str | None:
    """What follows the table's location; engines write the scheme of one location in several ways."""
    place = root.partition("://")[2] or root
    _, found, rest = path.partition(place)
    return rest if found and rest.startswith("/") else None
