"""Manifests and their entries, read so that a torn or damaged one is named."""

from pyiceberg.avro.file import AvroFile
from pyiceberg.io import FileIO
from pyiceberg.manifest import DEFAULT_READ_VERSION, MANIFEST_ENTRY_SCHEMAS, DataFile, ManifestEntry, ManifestFile
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from jangbu.kernel import storage


def manifests_of(table: Table, snapshot: Snapshot | None) -> list[ManifestFile]:
    """Raises FileNotFoundError, StorageError: the snapshot's list can't be read."""
    if snapshot is None:
        return []
    with storage.reading(snapshot.manifest_list, table.name()[-1]):
        return snapshot.manifests(table.io)


def entries_of(manifest: ManifestFile, io: FileIO, table: str) -> list[ManifestEntry]:
    """The live entries. Raises FileNotFoundError, StorageError: the manifest can't be read."""
    with storage.reading(manifest.manifest_path, table):
        return manifest.fetch_manifest_entry(io, discard_deleted=True)


def named_by(path: str, io: FileIO, table: str) -> list[str]:
    """The files that a manifest names, those too of which it tells that they went; no snapshot need know it. Raises
    FileNotFoundError, StorageError: it can't be read."""
    schema = MANIFEST_ENTRY_SCHEMAS[DEFAULT_READ_VERSION]
    file = AvroFile[ManifestEntry](io.new_input(path), schema, read_types={-1: ManifestEntry, 2: DataFile})
    with storage.reading(path, table), file as reader:
        return [entry.data_file.file_path for entry in reader]
