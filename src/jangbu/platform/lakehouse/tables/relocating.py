"""A lakehouse carried over to another place, exactly: the same snapshots with the same ids, summaries, tags and data files.

Iceberg's metadata name every file by its whole location. Data files are copied byte by byte, and what names them is written anew,
with the new locations and nothing else changed: manifests, lists of manifests, and the newest metadata. What an Avro file says in
its header (schemas, specs) and in columns that we don't know stays as it is.

Left behind is what no snapshot needs: retired files and the notes of them, files that belong to nothing, older metadata.
"""

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any, Final

from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.io import FileIO, InputStream, load_file_io
from pyiceberg.manifest import ManifestFile
from pyiceberg.table import Table

from jangbu.kernel import storage
from jangbu.kernel.errors import Conflict, MissingExtra, StorageError, Unsupported
from jangbu.platform.lakehouse.iceberg import NAMESPACE, IcebergLakehouse
from jangbu.platform.lakehouse.tables.failures import are_said
from jangbu.platform.lakehouse.tables.manifests import manifests_of

_PIECE: Final = 4 << 20
_DELETED: Final = 2
"""The status of an entry of which a manifest tells that it went."""
_OURS: Final = ("avro.codec", "avro.schema")
_UNCHANGED: Final = "the lakehouse was not carried over further"


@dataclass(frozen=True, slots=True)
class Written:
    """What a file is seen to hold."""

    size: int
    checksum: str


@dataclass(frozen=True, slots=True)
class Item:
    """A file of a table to be carried over, in the order in which that is done. `size` is known of data files."""

    table: str
    kind: str
    source: str
    target: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class TablePlan:
    """`pointer` is where the table's newest metadata were when it was planned."""

    name: str
    pointer: str
    target: str
    snapshots: int
    rows: int
    items: tuple[Item, ...]

    @property
    def size(self) -> int:
        return sum(item.size for item in self.items)


class Relocation:
    """From one lakehouse to another, whose tables lie below `root`; `open_target` opens it when something is done there. `lengths`
    tells how long a manifest that was written is, by its new location."""

    def __init__(
        self, source: IcebergLakehouse, root: str, open_target: Callable[[], IcebergLakehouse], lengths: Callable[[str], int]
    ) -> None:
        self._source, self._root, self._lengths = source, root.rstrip("/"), lengths
        self._open_target = open_target
        self._tables: dict[str, Table] = {}

    def plan(self) -> tuple[TablePlan, ...]:
        """Every table.

        Raises:
            Unsupported: a table lies elsewhere, or has files of deletes, which name others inside.
        """
        with are_said(_UNCHANGED):
            return tuple(self.table(name) for name in self._source.tables())

    def table(self, name: str) -> TablePlan:
        table = self._tables[name] = self._source.catalog.load_table((NAMESPACE, name))
        manifests: dict[str, ManifestFile] = {}
        lists: list[str] = []
        for snapshot in table.metadata.snapshots:
            lists.append(snapshot.manifest_list)
            manifests.update((each.manifest_path, each) for each in manifests_of(table, snapshot))
        data = dict(entry for manifest in manifests.values() for entry in _data_files(table, manifest))
        items = [
            *(self._item(table, "data", path, size) for path, size in sorted(data.items())),
            *(self._item(table, "manifest", path) for path in sorted(manifests)),
            *(self._item(table, "list", path) for path in lists),
            self._item(table, "metadata", table.metadata_location),
        ]
        current = table.current_snapshot()
        counted = current.summary["total-records"] if current is not None and current.summary is not None else None
        pointer = table.metadata_location
        return TablePlan(name, pointer, self._moved(pointer), len(lists), int(counted or 0), tuple(items))

    def carry(self, item: Item) -> Written:
        """Write the file in its new place.

        Raises:
            StorageError: it isn't what was written, or has another size than the metadata say. Missing: it is gone.
        """
        with are_said(_UNCHANGED):
            if item.kind == "data":
                return self._copied(item)
            content = self._rewritten(item)
            with self._to.new_output(item.target).create(overwrite=True) as stream:
                stream.write(content)
            return Written(len(content), sha256(content).hexdigest())

    def seen(self, item: Item) -> Written | None:
        """What is in the new place, read back; None: nothing."""
        with are_said(_UNCHANGED):
            try:
                with self._to.new_input(item.target).open() as stream:
                    return _drained(lambda: stream.read(_PIECE))
            except FileNotFoundError:
                return None
            except OSError as error:
                if storage.is_not_there(error):
                    return None
                raise

    def is_current(self, plan: TablePlan) -> bool:
        """Whether the table is still as it was planned: upkeep may have changed its files since."""
        with are_said(_UNCHANGED):
            return self._source.catalog.load_table((NAMESPACE, plan.name)).metadata_location == plan.pointer

    def register(self, plan: TablePlan) -> None:
        """Let the new catalog have the table."""
        name = (NAMESPACE, plan.name)
        catalog = self._target.catalog
        with are_said(_UNCHANGED):
            try:
                if catalog.load_table(name).metadata_location == plan.target:
                    return
                catalog.drop_table(name)  # its files stay; it was registered before upkeep changed it
            except NoSuchTableError:
                pass
            catalog.register_table(name, plan.target)

    def held(self) -> Mapping[str, int]:
        """The tables that the new place has, with their rows."""
        return {name: self._target.state(name).rows for name in self._target.tables()}

    def remove(self, location: str) -> None:
        """Remove a file from the new place, which came there of a state that has changed since."""
        with are_said(_UNCHANGED), suppress(FileNotFoundError):
            self._to.delete(location)

    @cached_property
    def _target(self) -> IcebergLakehouse:
        return self._open_target()

    @cached_property
    def _to(self) -> FileIO:
        return load_file_io(self._target.catalog.properties, self._root)

    def _item(self, table: Table, kind: str, path: str, size: int = 0) -> Item:
        return Item(table.name()[-1], kind, path, self._moved(path), size)

    def _moved(self, path: str) -> str:
        for root in (self._source.root(), f"file://{self._source.root()}"):
            if path.startswith(f"{root}/"):
                return f"{self._root}{path.removeprefix(root)}"
        raise Unsupported(
            f"The lakehouse names the file {path!r}, which isn't below {self._source.root()!r}.",
            value=path,
            hint="Put the lakehouse's folder back to where it was made.",
        )

    def _copied(self, item: Item) -> Written:
        with self._opened(item) as stream, self._to.new_output(item.target).create(overwrite=True) as out:
            copied = _drained(lambda: self._piece(item, stream), out.write)
        if copied.size != item.size:
            raise StorageError(
                f"The file {item.source!r} has {copied.size:,} bytes; {item.size:,} were written.",
                value=item.source,
                hint="Put it back from a copy; `jangbu tables verify` finds all that are damaged.",
            )
        return copied

    def _rewritten(self, item: Item) -> bytes:
        with self._opened(item) as stream, storage.reading(item.source, item.table):
            content = stream.read()
        if item.kind == "metadata":
            return self._metadata(content)
        with storage.reading(item.source, item.table):
            found = _Avro.read(content)
        for record in found.records:
            (self._manifest if item.kind == "manifest" else self._list)(record)
        return found.written()

    def _opened(self, item: Item) -> InputStream:
        with storage.reading(item.source, item.table):
            return self._tables[item.table].io.new_input(item.source).open()

    def _piece(self, item: Item, stream: InputStream) -> bytes:
        with storage.reading(item.source, item.table):
            return stream.read(_PIECE)

    def _metadata(self, content: bytes) -> bytes:
        """Older metadata stay behind, so the log of them does."""
        found = json.loads(content)
        found["metadata-log"] = []
        if any(found.get(name) for name in ("statistics", "partition-statistics")):
            raise Unsupported("Another engine keeps statistics of the table in files of its own; they can't be carried over.")
        found["location"] = self._moved(f"{found['location']}/")[:-1]
        for snapshot in found.get("snapshots", ()):
            snapshot["manifest-list"] = self._moved(snapshot["manifest-list"])
        return json.dumps(found).encode()

    def _manifest(self, entry: dict[str, Any]) -> None:
        entry["data_file"]["file_path"] = self._moved(entry["data_file"]["file_path"])

    def _list(self, manifest: dict[str, Any]) -> None:
        manifest["manifest_path"] = path = self._moved(manifest["manifest_path"])
        manifest["manifest_length"] = self._lengths(path)


def check_empty(found: Mapping[str, int]) -> None:
    """Raises Conflict where the new place has tables."""
    if found:
        shown = ", ".join(f"{name}: {rows:,} rows" for name, rows in found.items())
        raise Conflict(f"That lakehouse holds tables already ({shown}).", hint="Name another warehouse and catalog.")


def _data_files(table: Table, manifest: ManifestFile) -> Iterator[tuple[str, int]]:
    with storage.reading(manifest.manifest_path, table.name()[-1]):
        entries: Sequence[Any] = manifest.fetch_manifest_entry(table.io, discard_deleted=False)
    for entry in entries:
        if int(entry.data_file.content) != 0:
            raise Unsupported(
                f"The table {table.name()[-1]!r} has files of deletes, which name other files inside.",
                hint=f"Join them first: jangbu tables upkeep {table.name()[-1]} --whole.",
            )
        if int(entry.status) != _DELETED:
            yield entry.data_file.file_path, entry.data_file.file_size_in_bytes


@dataclass(frozen=True, slots=True)
class _Avro:
    """An Avro file, to be written again with its records changed and all else as it is."""

    content: bytes
    header: Mapping[str, str]
    records: list[dict[str, Any]]

    @classmethod
    def read(cls, content: bytes) -> "_Avro":
        reader = _fastavro().reader(io.BytesIO(content))
        return cls(content, reader.metadata, list(reader))

    def written(self) -> bytes:
        about = {name: value for name, value in self.header.items() if name not in _OURS}
        out = io.BytesIO()
        _fastavro().writer(
            out,
            json.loads(self.header["avro.schema"]),
            self.records,
            codec=self.header.get("avro.codec", "null"),
            metadata=about,
            # Between blocks; made of the content, so that what is written twice is the same.
            sync_marker=sha256(self.content).digest()[:16],
        )
        return out.getvalue()


def _fastavro() -> Any:
    try:
        import fastavro
    except ImportError as error:
        raise MissingExtra("Carrying a lakehouse over", extra="migrate") from error
    return fastavro


def _drained(next_piece: Callable[[], bytes], give: Callable[[bytes], object] = len) -> Written:
    """What the pieces hold, each given on, until one is empty."""
    digest, size = sha256(), 0
    while piece := next_piece():
        digest.update(piece)
        size += len(piece)
        give(piece)
    return Written(size, digest.hexdigest())
