"""The files that lie in a table's place, whether or not its metadata know them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType
from pyiceberg.io import FileIO, load_file_io
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.table import Table
from pyiceberg.typedef import Properties

from jangbu.kernel.errors import NotFound, Unsupported
from jangbu.kernel.storage import is_not_there


@dataclass(frozen=True, slots=True)
class Listed:
    """A file: its location as the metadata write it, its bytes, and when it was written (UTC)."""

    path: str
    size: int
    modified: datetime


def listed(table: Table, folder: str = "") -> Iterator[Listed]:
    """Every file below the table's location, or below that folder of it."""
    location = f"{table.location().rstrip('/')}/{folder}".rstrip("/")
    system, root = _system(table, location)
    for info in system.get_file_info(FileSelector(root, allow_not_found=True, recursive=True)):
        if info.type is FileType.File:
            yield Listed(location + info.path[len(root) :], info.size or 0, _written_at(info, datetime.now(UTC)))


def told_of(properties: Properties, location: str) -> tuple[str, int, datetime]:
    """A file's location, bytes, and when it was written. Raises NotFound."""
    io = load_file_io(properties, location)
    system, path = _system_of(io, location)
    info = system.get_file_info(path)
    if info.type is not FileType.File:
        raise NotFound(f"There is no file {file_name(location)!r}.", value=file_name(location))
    return location, info.size or 0, _written_at(info, datetime.fromtimestamp(0, UTC))


def file_name(location: str) -> str:
    """Engines write one location in several ways; the names of files are unique in a table."""
    return location.rpartition("/")[2]


def _written_at(info: FileInfo, unknown: datetime) -> datetime:
    modified = info.mtime or unknown
    return modified if modified.tzinfo else modified.replace(tzinfo=UTC)


def move(table: Table, path: str, to: str) -> None:
    """Raises FileNotFoundError where it is gone."""
    system, source = _system(table, path)
    _, target = _system(table, to)
    try:
        if system.type_name == "local":  # an object store has no folders
            system.create_dir(target.rpartition("/")[0])
        system.move(source, target)
    except OSError as error:
        if is_not_there(error):
            raise FileNotFoundError(error.errno, "There is no such file", path) from error
        raise


def _system(table: Table, location: str) -> tuple[FileSystem, str]:
    return _system_of(table.io, location)


def _system_of(io: FileIO, location: str) -> tuple[FileSystem, str]:
    if not isinstance(io, PyArrowFileIO):
        raise Unsupported(f"Files at {location!r} can't be listed by {type(io).__name__}.")
    scheme, netloc, path = io.parse_location(location, io.properties)
    return io.fs_by_scheme(scheme, netloc), path.rstrip("/")
