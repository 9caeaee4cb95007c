"""Parquet files, by batches."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jangbu.insight.ingest.files.ports import BATCH, Options, Rows, mended, torn_file
from jangbu.kernel.discovery import Plugin

_MAGIC: Final = b"PAR1"


class ParquetFormat:
    def recognises(self, path: Path, head: bytes) -> bool:
        return head.startswith(_MAGIC) or path.suffix.lower() in (".parquet", ".pq")

    def open(self, path: Path, options: Options) -> "ParquetTable":  # noqa: ARG002
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(path) as opened:
                names, notes = mended(opened.schema_arrow.names)
                return ParquetTable(path, names, Options(), (f"{path.name}: Parquet.", *notes), opened.metadata.num_rows)
        except (pa.ArrowInvalid, OSError) as error:
            raise torn_file(path, error) from error


@dataclass(frozen=True, slots=True)
class ParquetTable:
    path: Path
    names: tuple[str, ...]
    options: Options
    notes: tuple[str, ...]
    rows: int | None

    def read(self) -> Iterator[Rows]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        number = 1
        try:
            with pq.ParquetFile(self.path) as opened:
                for batch in opened.iter_batches(BATCH):
                    named = pa.RecordBatch.from_arrays(batch.columns, names=list(self.names))
                    yield Rows(named, range(number, number + batch.num_rows))
                    number += batch.num_rows
        except (pa.ArrowInvalid, OSError) as error:
            raise torn_file(self.path, error) from error


def open_format() -> ParquetFormat:
    return ParquetFormat()


PLUGIN = Plugin(kind="file_format", name="parquet", summary="Parquet.", open=open_format)
