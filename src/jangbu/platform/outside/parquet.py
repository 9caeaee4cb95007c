"""Parquet files that others write: a file, a folder or a glob.

What a file is goes by its path, inode, size and times. A question compares them after it has read, so that a file which was
replaced or rewritten meanwhile is noticed, whatever it holds.
"""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TypeGuard

import pyarrow as pa
import pyarrow.parquet as pq

from jangbu.kernel.errors import CatalogError, JangbuError, Unavailable
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.lakehouse.ports import DataFile, Foreign, Snapshot, TableFiles, TimeRange
from jangbu.platform.lakehouse.tables.layout import DAY, arrow_type
from jangbu.platform.outside import columns
from jangbu.platform.outside.bounds import with_bounds
from jangbu.platform.outside.folders import MAGIC, Folders
from jangbu.platform.outside.ports import Look, Shape

_TICK: Final = 0.02
"""Seconds within which a file system may give two changes the same time."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _File:
    """`path` is without links. `state` is what changes whenever the file does: inode, bytes, modified and changed (nanoseconds)."""

    path: str
    state: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class _Footer:
    """`schema` is one object for all files that have it. `times` are the first and last micros of the time column, None where the
    file doesn't say."""

    schema: pa.Schema
    rows: int
    times: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class _Seen:
    files: tuple[_File, ...]
    footers: tuple[_Footer, ...]


class ParquetFiles:
    """See `OutsideTable`. `pattern` is absolute. Footers are kept as long as their files stay."""

    def __init__(self, name: str, pattern: str, folders: Folders, shape: Shape) -> None:
        self._name, self._pattern, self._folders, self._shape = name, pattern, folders, shape
        self._footers: dict[_File, _Footer] = {}
        self._schemas: dict[bytes, pa.Schema] = {}
        self._read: tuple[Look, Foreign] | None = None

    def look(self) -> Look:
        files = self._settled()
        if not files:
            raise self._unavailable("There are no files", self._pattern)
        known = self._footers
        # Several may look at once, each at its own files.
        self._footers = footers = {file: known.get(file) or self._footer(file) for file in files}
        modified = max(file.state[2] for file in files)
        fingerprint = sha256(repr(files).encode()).hexdigest()
        seen = _Seen(files, tuple(footers.values()))
        return Look(fingerprint, datetime.fromtimestamp(modified // 1_000 / 1_000_000, UTC), seen)

    def stored(self, look: Look) -> pa.Schema:
        seen = _seen(look)
        found = {field.name.casefold(): field for schema in reversed(_schemas(seen)) for field in schema}
        paths = [pa.field(name, pa.string()) for name in _in_paths(seen.files) if name.casefold() not in found]
        return pa.schema([*found.values(), *paths])

    def mistakes(self, look: Look) -> Iterator[tuple[str, CatalogError]]:
        return columns.mistakes(self._name, self.stored(look), self._shape.columns, self._asked_of_paths(_seen(look)))

    def files(self, look: Look, _tenants: tuple[TenantId, ...] | None, span: TimeRange | None) -> TableFiles:
        seen = _seen(look)
        read = self._read
        if read is None or read[0] is not look:
            self._read = read = look, self._foreign(look)
        wanted = [
            DataFile(file.path, footer.rows, file.state[1], *(footer.times or (None, None)))
            for file, footer in zip(seen.files, seen.footers, strict=True)
            if _may_hold(footer, span)
        ]
        schema = pa.schema([pa.field(column.name, arrow_type(column)) for column in self._shape.columns])
        return TableFiles(Snapshot(self._name, "", None), with_bounds(wanted), schema, foreign=read[1])

    def stands(self, look: Look) -> bool:
        seen = _seen(look)
        return all(_state(file.path) == file.state for file in seen.files)

    # What there is

    def _settled(self) -> tuple[_File, ...]:
        """The files, once none is so new that a further change could have the same time."""
        files = self._found()
        if any(time.time_ns() - max(file.state[2:]) < _TICK * 1e9 for file in files):
            time.sleep(_TICK)
            files = self._found()
        return files

    def _found(self) -> tuple[_File, ...]:
        self._folders.inside(self._name, _base(self._pattern))
        paths = {self._folders.data_file(self._name, path) for path in _listed(self._pattern)}
        found = ((path, _state(path)) for path in sorted(paths))
        return tuple(_File(path, state) for path, state in found if state is not None)

    def _footer(self, file: _File) -> _Footer:
        try:
            with pq.ParquetFile(file.path, memory_map=False) as opened:
                metadata, schema = opened.metadata, opened.schema_arrow
            schema = self._schemas.setdefault(schema.serialize().to_pybytes(), schema)
            footer = _Footer(schema, metadata.num_rows, _times(metadata, self._shape.time))
        except (OSError, pa.ArrowException) as error:
            raise self._unavailable("A file is being written, or is broken", file.path) from error
        if _state(file.path) != file.state:
            raise self._unavailable("A file is being written", file.path)
        return footer

    def _asked_of_paths(self, seen: _Seen) -> tuple[str, ...]:
        stored = {field.name.casefold() for schema in _schemas(seen) for field in schema}
        keys = _in_paths(seen.files)
        return tuple(column.name for column in self._shape.columns if column.name in keys and column.name not in stored)

    def _foreign(self, look: Look) -> Foreign:
        """How the files are read; found out once for a look."""
        seen, stored = _seen(look), self.stored(look)
        columns.check(self.mistakes(look))
        in_paths = self._asked_of_paths(seen)
        return Foreign(columns.casts(stored, self._shape.columns), in_paths, self._are_alike(seen, in_paths))

    def _are_alike(self, seen: _Seen, in_paths: Sequence[str]) -> bool:
        """Whether each file has every column of the shape; raises CatalogError where one is stored as things that don't mix."""
        alike, schemas = True, [columns.by_name(schema) for schema in _schemas(seen)]
        for column in self._shape.columns:
            if column.name in in_paths:
                continue
            found = [schema.get(column.name.casefold()) for schema in schemas]
            types = {columns.plain(field.type) for field in found if field is not None}
            if len({_family(type_) for type_ in types}) > 1:
                said = sorted(map(str, types))
                raise CatalogError(f"Files of {self._name!r} store {column.name!r} as {' and '.join(said)}.", value=column.name)
            alike = alike and len(types) == 1 and all(field is not None for field in found)
        return alike

    def _unavailable(self, what: str, path: str) -> JangbuError:
        error = Unavailable(f"{self._name!r} can't be read now. {what}.", retry_after=5)
        error.add_note(path)
        return error


def _seen(look: Look) -> _Seen:
    if not isinstance(look.handle, _Seen):
        raise TypeError("This is a look at another kind of table.")
    return look.handle


def _schemas(seen: _Seen) -> list[pa.Schema]:
    """Each that occurs, in the files' order."""
    return list({id(footer.schema): footer.schema for footer in seen.footers}.values())


def _base(pattern: str) -> str:
    """The part of a pattern that has no wildcard."""
    parts = pattern.split("/")
    plain = next((at for at, part in enumerate(parts) if MAGIC & set(part)), len(parts))
    return "/".join(parts[:plain]) or "/"


def _listed(pattern: str) -> Iterator[str]:
    base, given = _base(pattern), Path(pattern)
    if given.is_file():
        yield pattern
    elif given.is_dir():
        yield from _below(pattern)
    elif base != pattern:
        yield from (str(path) for path in Path(base).glob(pattern[len(base) :].lstrip("/")) if path.is_file())


def _below(folder: str) -> Iterator[str]:
    """Every `*.parquet` below a folder; what begins with . or _ is somebody's work in progress."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "_"))]
        yield from (f"{parent}/{name}" for name in names if name.endswith(".parquet") and not name.startswith((".", "_")))


def _state(path: str) -> tuple[int, int, int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _in_paths(files: Sequence[_File]) -> tuple[str, ...]:
    """The names of `name=value` folders that every file is in."""
    keys = [[part.partition("=")[0] for part in file.path.split("/")[:-1] if "=" in part] for file in files]
    return tuple(key for key in keys[0] if all(key in others for others in keys)) if keys else ()


def _family(type_: pa.DataType) -> str:
    """What types of one column may be, that are joined without a loss."""
    if pa.types.is_integer(type_):
        return "integer"
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return "text"
    return str(type_)


def _times(metadata: pq.FileMetaData, column: str | None) -> tuple[int, int] | None:
    """The first and last micros of the column, by the row groups' statistics."""
    at = next((at for at in range(metadata.num_columns) if metadata.schema.column(at).path.casefold() == column), None)
    if at is None:
        return None
    edges = [edge for group in range(metadata.num_row_groups) for edge in _edges(metadata.row_group(group).column(at).statistics)]
    return None if None in edges or not edges else (min(filter(_is_known, edges)), max(filter(_is_known, edges)))


def _edges(statistics: "pq.Statistics | None") -> tuple[int | None, int | None]:
    try:
        known = statistics is not None and statistics.has_min_max
        return (_micros(statistics.min), _micros(statistics.max)) if statistics is not None and known else (None, None)
    except ValueError:  # nanoseconds that a datetime can't tell
        return None, None


def _is_known(edge: int | None) -> TypeGuard[int]:
    return edge is not None


def _micros(value: Any) -> int | None:
    if isinstance(value, datetime):
        passed = (value if value.tzinfo is not None else value.replace(tzinfo=UTC)) - _EPOCH
        return passed.days * DAY + passed.seconds * 1_000_000 + passed.microseconds
    return (value - _EPOCH.date()).days * DAY if isinstance(value, date) else None


def _may_hold(footer: _Footer, span: TimeRange | None) -> bool:
    if span is None or footer.times is None:
        return True
    start, end = _micros(span.start), _micros(span.end)
    return start is None or end is None or (footer.times[1] >= start - DAY and footer.times[0] < end)
