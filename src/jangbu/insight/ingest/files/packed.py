"""Files as streams of bytes, gzipped ones unpacked."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, cast

from jangbu.insight.ingest.files.ports import torn_file
from jangbu.kernel.errors import LoadError

_GZIP: Final = b"\x1f\x8b"


def is_packed(path: Path) -> bool:
    with path.open("rb") as opened:
        return opened.read(2) == _GZIP


@contextmanager
def unpacked(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes.

    Raises:
        LoadError: it can't be read, or it is packed, and torn.
    """
    try:
        with gzip.open(path) if is_packed(path) else path.open("rb") as opened:
            yield cast("BinaryIO", opened)
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, OSError) and error.strerror:
            raise LoadError(f"{path.name} can't be read: {error.strerror}.", value=path.name) from error
        raise torn_file(path, error) from error


def head_of(path: Path, size: int) -> bytes:
    with unpacked(path) as opened:
        return opened.read(size)
