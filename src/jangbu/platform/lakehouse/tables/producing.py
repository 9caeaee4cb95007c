"""One snapshot of ours: named files dropped, new ones added, every other manifest kept as it is.

PyIceberg's own producers plan from predicates and merge manifests at each commit; ours knows which manifest holds a file, so it
reads and writes only those. It uses PyIceberg's private base class, which is why the release is pinned.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from pyiceberg.manifest import (
    DataFile,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    ManifestWriter,
    ManifestWriterV2,
)
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.table import Table, Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Operation, Summary
from pyiceberg.table.update import AddSnapshotUpdate, AssertTableUUID, TableRequirement, TableUpdate
from pyiceberg.table.update.snapshot import _SnapshotProducer
from pyiceberg.typedef import EMPTY_DICT

from jangbu.kernel.errors import Unsupported
from jangbu.platform.lakehouse.tables.manifests import entries_of, manifests_of

_FORMAT: Final = 2


@dataclass(frozen=True, slots=True)
class Edit:
    """What a snapshot changes: `dropped` are the paths to drop, of data and of delete files, by the manifest that holds them,
    `added` new files, `regrouped` manifests whose entries are written anew, together, though nothing of them is dropped."""

    operation: Operation
    properties: Mapping[str, str]
    added: Sequence[DataFile] = ()
    dropped: Mapping[str, Collection[str]] | None = None
    regrouped: Collection[str] = ()


class _Still(Transaction):
    """A transaction of one snapshot. PyIceberg's copies all metadata whenever they are asked for, a dozen times a commit."""

    @property
    def table_metadata(self) -> TableMetadata:
        return self._table.metadata


class DeleteManifestWriter(ManifestWriterV2):
    """PyIceberg writes manifests of data files only."""

    def content(self) -> ManifestContent:
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "deletes"}


class Producer(_SnapshotProducer["Producer"]):
    def __init__(self, table: Table, edit: Edit) -> None:
        """Raises Unsupported where another engine has put the table into a format that isn't written here."""
        _check_format(table)
        # PyIceberg sums up no replacement; it is an overwrite of another name.
        operation = Operation.OVERWRITE if edit.operation is Operation.REPLACE else edit.operation
        super().__init__(operation, _Still(table), table.io, snapshot_properties=dict(edit.properties))
        self._named, self._of = edit.operation, table.name()[-1]
        self.sent = False
        """Whether the catalog was asked: from then on a failure may be an answer that was lost."""
        self._gone: list[ManifestEntry] = []
        self._staying: list[ManifestEntry] = []
        self._deletes: list[ManifestEntry] = []
        """Those of manifests of deletes that are written anew, staying or gone."""
        self._untouched: list[ManifestFile] = []
        for file in edit.added:
            self.append_data_file(file)
        for manifest in manifests_of(table, table.current_snapshot()):
            if manifest.has_added_files() or manifest.has_existing_files():
                self._take(manifest, (edit.dropped or {}).get(manifest.manifest_path), edit.regrouped)

    def files(self) -> list[str]:
        """What was written for the snapshot."""
        return [*self._written_manifests, *self._written_manifest_lists]

    def commit_to(self, table: Table) -> Table:
        """Raises CommitFailedException where the table has changed since it was read."""
        updates, requirements = self._commit()
        self.sent = True
        return commit_updates(table, [_not_before(table, update) for update in updates], requirements)

    def _take(self, manifest: ManifestFile, dropped: Collection[str] | None, regrouped: Collection[str]) -> None:
        if not dropped and manifest.manifest_path not in regrouped:
            self._untouched.append(manifest)
            return
        is_data = manifest.content == ManifestContent.DATA
        for entry in entries_of(manifest, self._io, self._of):
            if dropped and entry.data_file.file_path in dropped:
                gone = self._as(ManifestEntryStatus.DELETED, entry, self.snapshot_id)
                (self._gone if is_data else self._deletes).append(gone)
                self.delete_data_file(entry.data_file)
            else:
                staying = self._as(ManifestEntryStatus.EXISTING, entry, entry.snapshot_id)
                (self._staying if is_data else self._deletes).append(staying)

    @staticmethod
    def _as(status: ManifestEntryStatus, entry: ManifestEntry, snapshot_id: int | None) -> ManifestEntry:
        return ManifestEntry.from_args(
            status=status,
            snapshot_id=snapshot_id,
            sequence_number=entry.sequence_number,
            file_sequence_number=entry.file_sequence_number,
            data_file=entry.data_file,
        )

    def _summary(self, snapshot_properties: dict[str, str] = EMPTY_DICT) -> Summary:
        made = super()._summary(snapshot_properties)
        return Summary(self._named, **made.additional_properties)

    def _existing_manifests(self) -> list[ManifestFile]:
        return [
            *self._written(self._staying, self.new_manifest_writer),
            *self._written(self._deletes, self._new_delete_manifest_writer),
            *self._untouched,
        ]

    def _deleted_entries(self) -> list[ManifestEntry]:
        return self._gone

    def _build_delete_files_partition_predicate(self) -> None:
        """Not needed: which manifests hold the dropped files is known."""

    def _new_delete_manifest_writer(self, spec: PartitionSpec) -> ManifestWriter:
        return DeleteManifestWriter(spec, self.schema(), self.new_manifest_output(), self._snapshot_id, self._compression)

    def _written(
        self, entries: Sequence[ManifestEntry], new_writer: Callable[[PartitionSpec], ManifestWriter]
    ) -> Iterator[ManifestFile]:
        def spec_id(entry: ManifestEntry) -> int:
            return entry.data_file.spec_id

        for each, group in groupby(sorted(entries, key=spec_id), key=spec_id):
            with new_writer(self.spec(each)) as writer:
                for entry in group:
                    writer.add_entry(entry)
            yield writer.to_manifest_file()


def _check_format(table: Table) -> None:
    if table.metadata.format_version > _FORMAT:
        raise Unsupported(
            f"The table {table.name()[-1]!r} has Iceberg's format {table.metadata.format_version}, which isn't written here; "
            "nothing was changed.",
            value=str(table.metadata.format_version),
            hint=f"It can't go back: copy its rows into a new table of format {_FORMAT}.",
        )


def _not_before(table: Table, update: TableUpdate) -> TableUpdate:
    """Other engines refuse a table whose snapshots go back in time, as they would where a clock was put back."""
    if not isinstance(update, AddSnapshotUpdate):
        return update
    moment = max(update.snapshot.timestamp_ms, table.metadata.last_updated_ms)
    return update.model_copy(update={"snapshot": update.snapshot.model_copy(update={"timestamp_ms": moment})})


def commit_updates(table: Table, updates: Sequence[TableUpdate], requirements: Sequence[TableRequirement] = ()) -> Table:
    """The table after them; metadata files that are too many go.

    Raises:
        CommitFailedException: a requirement isn't met by what the table has become.
    """
    same = AssertTableUUID(uuid=table.metadata.table_uuid)
    done = table.catalog.commit_table(table, (*requirements, same), tuple(updates))
    table.catalog._delete_old_metadata(table.io, table.metadata, done.metadata)
    return Table(table.name(), done.metadata, done.metadata_location, table.io, table.catalog)
