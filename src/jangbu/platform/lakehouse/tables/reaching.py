"""Which files the snapshots of a table need."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import structlog
from pyiceberg.manifest import ManifestContent
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot
from sqlalchemy.exc import SQLAlchemyError

from jangbu.kernel.errors import JangbuError
from jangbu.platform.lakehouse.tables.layout import layout_of
from jangbu.platform.lakehouse.tables.manifests import manifests_of
from jangbu.platform.lakehouse.tables.planning import Planner
from jangbu.platform.lakehouse.tables.writing import remove_files

if TYPE_CHECKING:
    from pyiceberg.manifest import ManifestFile

_log = structlog.get_logger(__name__)


def reachable(table: Table, planner: Planner, snapshots: Iterable[Snapshot]) -> Iterator[str]:
    """Every file that the snapshots need: manifest lists, manifests, data and delete files, and statistics that other engines keep
    of them."""
    manifests: dict[str, ManifestFile] = {}
    statistics = {each.snapshot_id: each.statistics_path for each in table.metadata.statistics}
    by_partition = {each.snapshot_id: each.statistics_path for each in table.metadata.partition_statistics}
    for snapshot in snapshots:
        yield from (kept[snapshot.snapshot_id] for kept in (statistics, by_partition) if snapshot.snapshot_id in kept)
        yield snapshot.manifest_list
        manifests.update((manifest.manifest_path, manifest) for manifest in manifests_of(table, snapshot))
    yield from manifests
    layout = layout_of(table)
    for manifest in manifests.values():
        yield from planner.paths(table, layout, manifest)


def deletes_of(table: Table, planner: Planner, snapshots: Iterable[Snapshot]) -> Iterator[str]:
    """The delete files of the snapshots."""
    layout = layout_of(table)
    manifests = {each.manifest_path: each for snapshot in snapshots for each in manifests_of(table, snapshot)}
    for manifest in manifests.values():
        if manifest.content != ManifestContent.DATA:
            yield from planner.paths(table, layout, manifest)


def remove_unneeded(newest: Callable[[], Table], planner: Planner, paths: Iterable[str]) -> None:
    """Remove those of the files that no snapshot needs; for changes that failed, as a failed one may have been committed and only
    its answer lost. Where that can't be found out, all stay, and upkeep takes them as orphans."""
    unsure = set(paths)
    if not unsure:
        return
    try:
        table = newest()
        remove_files(table, sorted(unsure.difference(reachable(table, planner, table.metadata.snapshots))))
    except (SQLAlchemyError, OSError, JangbuError) as error:
        _log.warning("files of a failed change kept", files=len(unsure), reason=type(error).__name__)
