"""Files by which other engines delete rows (Iceberg's position deletes, and deletion vectors): which data files they may name, and
which rows.

They count for a data file as the format says: it lies in their partition, or is the one file that they are about, and isn't younger
than they are. PyIceberg's index of a scan tells that.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from threading import Lock
from typing import IO, Any, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFile as IcebergFile
from pyiceberg.manifest import DataFileContent, FileFormat, ManifestEntry
from pyiceberg.table.delete_file_index import DeleteFileIndex
from pyiceberg.typedef import Record

from jangbu.kernel import storage
from jangbu.kernel.errors import Unsupported
from jangbu.platform.lakehouse.tables.writing import Ints

POSITIONS_BYTES: Final = 128_000_000
"""How much of what was read of delete files is kept, the least recently used leave."""

NONE: Final[Ints] = np.empty(0, np.int64)

_READ: Final = (FileFormat.PARQUET, FileFormat.PUFFIN)
_HINT: Final = (
    "Rewrite its data files: in Trino by ALTER TABLE … EXECUTE optimize, in Spark by CALL …system.rewrite_data_files with the "
    "option 'rewrite-all'."
)


@dataclass(frozen=True, slots=True)
class DeleteFile:
    """It names so many `rows`; the manifest at the path `manifest` holds it."""

    path: str
    manifest: str
    rows: int
    is_vectors: bool


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a data file lies, by which is told what deletes may be about it."""

    sequence: int
    spec_id: int
    partition: Record


class DeleteIndex:
    """The delete files of one snapshot."""

    def __init__(self, table: str, entries: Iterable[tuple[str, ManifestEntry]]) -> None:
        """Of `entries`, each with its manifest's path. Raises Unsupported where one isn't read here."""
        self._index = DeleteFileIndex()
        self._files: dict[str, DeleteFile] = {}
        for manifest, entry in entries:
            file = entry.data_file
            _check(table, file)
            self._index.add_delete_file(entry, file.partition)
            vectors = file.file_format is FileFormat.PUFFIN
            self._files[file.file_path] = DeleteFile(file.file_path, manifest, file.record_count, vectors)

    @property
    def files(self) -> tuple[DeleteFile, ...]:
        return tuple(self._files.values())

    def of(self, path: str, placed: Placed) -> tuple[DeleteFile, ...]:
        """Those that may name rows of the data file, by path."""
        file = IcebergFile.from_args(file_path=path, partition=placed.partition)
        file.spec_id = placed.spec_id
        found = self._index.for_data_file(placed.sequence, file, placed.partition)
        return tuple(self._files[path] for path in sorted(each.file_path for each in found))


def _check(table: str, file: IcebergFile) -> None:
    if file.content is DataFileContent.EQUALITY_DELETES:
        raise Unsupported(f"The table {table!r} has equality delete files, which aren't read.", value=table, hint=_HINT)
    if file.file_format not in _READ:
        form = file.file_format.value
        raise Unsupported(f"The table {table!r} has delete files of the format {form}, which aren't read.", value=table, hint=_HINT)


class Positions:
    """What delete files name, read once: they never change. Safe between threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, ...], Mapping[str, Ints]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def named(self, io: FileIO, table: str, file: DeleteFile) -> Mapping[str, Ints]:
        """The positions of the rows that it deletes, in order, by the data file's path. Raises Missing, StorageError."""
        return self._keep((file.path,), lambda: read_positions(io, table, file))

    def of(self, io: FileIO, table: str, path: str, files: Sequence[DeleteFile]) -> Ints:
        """The positions that these name in the data file, in order, each once."""

        def merged() -> Mapping[str, Ints]:
            found = [named for each in files if (named := self.named(io, table, each).get(path)) is not None]
            return {path: np.unique(np.concatenate(found))} if found else {}

        return self._keep((path, *(each.path for each in files)), merged).get(path, NONE)

    def _keep(self, key: tuple[str, ...], make: Callable[[], Mapping[str, Ints]]) -> Mapping[str, Ints]:
        with self._lock:
            if (kept := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                return kept
        made = make()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made
                self._bytes += _size(made)
            while self._bytes > POSITIONS_BYTES:
                _, gone = self._kept.popitem(last=False)
                self._bytes -= _size(gone)
        return made


def read_positions(io: FileIO, table: str, file: DeleteFile) -> Mapping[str, Ints]:
    """As `Positions.named`, always read anew."""
    with storage.reading(file.path, table):
        return _vectors(io, file.path) if file.is_vectors else _pairs(io, file.path)


def _pairs(io: FileIO, path: str) -> Mapping[str, Ints]:
    with (
        io.new_input(path).open() as stream,
        pq.ParquetFile(cast("IO[Any]", stream), read_dictionary=["file_path"], page_checksum_verification=True) as file,
    ):
        rows = file.read(columns=["file_path", "pos"]).unify_dictionaries().combine_chunks()
    if not rows.num_rows:
        return {}
    paths = cast("pa.DictionaryArray[Any, Any]", rows.column("file_path").chunk(0))
    codes, positions = paths.indices.to_numpy(), rows.column("pos").cast(pa.int64()).to_numpy()
    order = np.lexsort((positions, codes))
    codes, positions = codes[order], positions[order]
    starts = [0, *(np.flatnonzero(codes[1:] != codes[:-1]) + 1).tolist(), len(codes)]
    names = paths.dictionary.to_pylist()
    return {str(names[codes[start]]): positions[start:end] for start, end in pairwise(starts)}


def _vectors(io: FileIO, path: str) -> Mapping[str, Ints]:
    from pyiceberg.table.deletion_vector import deletion_vectors_from_puffin_file
    from pyiceberg.table.puffin import PuffinFile

    with io.new_input(path).open() as stream:
        vectors = deletion_vectors_from_puffin_file(PuffinFile(stream.read()))
    return {each.referenced_data_file: np.sort(each.to_vector().to_numpy().astype(np.int64)) for each in vectors}


def _size(named: Mapping[str, Ints]) -> int:
    return 1_000 + sum(1_000 + positions.nbytes for positions in named.values())
