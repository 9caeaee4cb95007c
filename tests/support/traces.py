"""Every file below a folder, as one who looks for a text would read it: raw, and decoded where it is compressed."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
from pyiceberg.avro.file import AvroFile
from pyiceberg.io.pyarrow import PyArrowFileIO


def traces(folder: Path, *texts: str) -> list[tuple[str, str]]:
    """Which file, relative to the folder, holds which of the texts: as it lies there, or decoded."""
    found = []
    for file in sorted(each for each in folder.rglob("*") if each.is_file()):
        read = list(_readings(file))
        found += [(str(file.relative_to(folder)), text) for text in texts if any(text.encode() in each for each in read)]
    return found


def _readings(file: Path) -> Iterator[bytes]:
    yield file.read_bytes()
    if file.suffix == ".parquet":
        with pq.ParquetFile(file) as opened:
            yield repr(opened.read().to_pylist()).encode()
            yield repr([opened.metadata.row_group(at).to_dict() for at in range(opened.metadata.num_row_groups)]).encode()
    if file.suffix == ".avro":
        with AvroFile(PyArrowFileIO().new_input(str(file))) as reader:
            yield b"\n".join(_bytes(record) for record in reader)


def _bytes(value: object) -> bytes:
    """All that a record holds, its bounds too, which are bytes."""
    if isinstance(value, bytes):
        return value + b"\n"
    if isinstance(value, dict):
        return b"".join(_bytes(part) for pair in value.items() for part in pair)
    if isinstance(value, list | tuple):
        return b"".join(_bytes(part) for part in value)
    if hasattr(value, "_data"):
        return _bytes(value._data)
    return str(value).encode() + b"\n"
