"""Another engine that deletes rows by their positions, as Trino and Spark do it, without a server: PyIceberg tells which files
there are, the delete files are written here and committed in a manifest of deletes. And PyIceberg's own reading of the rest."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat, ManifestEntry, ManifestEntryStatus
from pyiceberg.table import FileScanTask, Table
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update.snapshot import _FastAppendFiles
from support.stores import at, rows_at

from jangbu.platform.lakehouse.tables.producing import DeleteManifestWriter

PATH, POSITION, ROW = 2_147_483_546, 2_147_483_545, 2_147_483_544
WRITTEN_ALIKE = pa.schema(
    [
        pa.field("file_path", pa.string(), nullable=False, metadata={"PARQUET:field_id": str(PATH)}),
        pa.field("pos", pa.int64(), nullable=False, metadata={"PARQUET:field_id": str(POSITION)}),
    ]
)
Rows = list[dict[str, Any]]
Says = Callable[[dict[str, Any]], bool]


@dataclass
class Deleter:
    """`by_partition`: one delete file for all data files of a partition, else one for each. `repeats`: with the rows."""

    table: Table
    by_partition: bool = False
    repeats: bool = False
    form: FileFormat = FileFormat.PARQUET
    content: DataFileContent = DataFileContent.POSITION_DELETES
    written: list[str] = field(default_factory=list)

    def delete(self, says: Says) -> int:
        """The rows of which that is true; how many they were. Raises CommitFailedException where others were faster."""
        tasks = sorted(self.table.scan().plan_files(), key=_partition)
        found = {task.file.file_path: positions for task in tasks if (positions := self._positions(task, says))}
        self.commit(tasks, found)
        return sum(map(len, found.values()))

    def commit(self, tasks: Sequence[FileScanTask], found: Mapping[str, Sequence[int]]) -> None:
        """Rows by their positions, whichever they are."""
        groups = groupby(tasks, key=_partition if self.by_partition else lambda task: task.file.file_path)
        files = [file for _, group in groups if (file := self._written(list(group), found)) is not None]
        if files:
            with self.table.transaction() as change:
                _Deletes(change, files, self.table).commit()

    def _positions(self, task: FileScanTask, says: Says) -> list[int]:
        gone = {position for file in task.delete_files for position in positions_in(file.file_path, task.file.file_path)}
        names = _names(self.table)
        rows = _named(rows_at(task.file.file_path), names).to_pylist()
        return [position for position, row in enumerate(rows) if position not in gone and says(row)]

    def _written(self, tasks: Sequence[FileScanTask], found: Mapping[str, Sequence[int]]) -> DataFile | None:
        pairs = sorted((task.file.file_path, position) for task in tasks for position in found.get(task.file.file_path, ()))
        if not pairs:
            return None
        rows = pa.table([[path for path, _ in pairs], [position for _, position in pairs]], schema=WRITTEN_ALIKE)
        if self.repeats:
            rows = rows.append_column(*_repeated(self.table, pairs))
        path = f"{tasks[0].file.file_path.rpartition('/')[0]}/deletes-{uuid4()}.parquet"
        sink = pa.BufferOutputStream()
        pq.write_table(rows, sink)
        data = sink.getvalue().to_pybytes()
        at(path).write_bytes(data)
        self.written.append(path)
        file = DataFile.from_args(
            content=self.content,
            file_path=path,
            file_format=self.form,
            partition=tasks[0].file.partition,
            record_count=len(pairs),
            file_size_in_bytes=len(data),
            lower_bounds={PATH: pairs[0][0].encode()},
            upper_bounds={PATH: pairs[-1][0].encode()},
            equality_ids=[1] if self.content is DataFileContent.EQUALITY_DELETES else None,
        )
        file.spec_id = tasks[0].file.spec_id
        return file


def positions_in(path: str, of: str) -> list[int]:
    """What a delete file says of a data file."""
    return [row["pos"] for row in rows_at(path).to_pylist() if row["file_path"] == of]


def seen_by_pyiceberg(table: Table) -> Rows:
    """The rows that a reader which isn't ours finds."""
    rows: Rows = table.scan().to_arrow().to_pylist()
    return rows


def _partition(task: FileScanTask) -> str:
    return str(task.file.partition)


def _names(table: Table) -> dict[int, str]:
    return {column.field_id: column.name for column in table.schema().fields}


def _named(rows: pa.Table, names: Mapping[int, str]) -> pa.Table:
    """As the table calls the columns today."""
    ids = [int((column.metadata or {}).get(b"PARQUET:field_id", -1)) for column in rows.schema]
    return rows.rename_columns([names.get(id_, f"gone {id_}") for id_ in ids])


def _repeated(table: Table, pairs: Sequence[tuple[str, int]]) -> tuple["pa.Field[Any]", "pa.Array[Any]"]:
    rows = pa.concat_tables([rows_at(path).slice(position, 1) for path, position in pairs])
    struct = pa.StructArray.from_arrays([column.combine_chunks() for column in rows.columns], fields=list(rows.schema))
    return pa.field("row", struct.type, metadata={"PARQUET:field_id": str(ROW)}), struct


class _Deletes(_FastAppendFiles):
    def __init__(self, change: Any, files: Sequence[DataFile], table: Table) -> None:
        super().__init__(Operation.APPEND, change, table.io)
        self._files = files

    def _validate_concurrency(self) -> None:
        """The catalog's requirement is all there is."""

    def _summary(self, snapshot_properties: Mapping[str, str] = {}) -> Any:
        summary = super()._summary(dict(snapshot_properties))
        return type(summary)(Operation.DELETE, **summary.additional_properties)

    def _existing_manifests(self) -> list[Any]:
        return [*super()._existing_manifests(), *self._of_deletes()]

    def _of_deletes(self) -> Iterator[Any]:
        for spec_id in sorted({file.spec_id for file in self._files}):
            out = self.new_manifest_output()
            with DeleteManifestWriter(self.spec(spec_id), self.schema(), out, self._snapshot_id, self._compression) as writer:
                for file in self._files:
                    if file.spec_id == spec_id:
                        added = ManifestEntryStatus.ADDED
                        writer.add_entry(ManifestEntry.from_args(status=added, snapshot_id=self._snapshot_id, data_file=file))
            yield writer.to_manifest_file()
