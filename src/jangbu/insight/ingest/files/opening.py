"""A file, or a folder of files of one format, as one table: its names, what was found out, its rows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Final

from jangbu.insight.catalog.contracts import Reading
from jangbu.insight.ingest.files.packed import head_of
from jangbu.insight.ingest.files.ports import Options, Rows, TableFile, Torn
from jangbu.kernel.discovery import Plugin, discover, find
from jangbu.kernel.errors import LoadError

_HEAD: Final = 4_096


@dataclass(frozen=True, slots=True)
class OpenFiles:
    """Files of one format, in the order of their names. `names` are the union of their columns, `bytes` their size together."""

    format: str
    paths: tuple[Path, ...]
    files: tuple[TableFile, ...]
    names: tuple[str, ...]
    notes: tuple[str, ...]
    stamps: tuple[tuple[int, int, int], ...]
    """What the files were when they were opened."""

    @property
    def options(self) -> Options:
        """The first file's."""
        return self.files[0].options

    @property
    def bytes(self) -> int:
        return sum(path.stat().st_size for path in self.paths)

    @property
    def rows(self) -> int | None:
        counted = [file.rows for file in self.files]
        return None if None in counted else sum(rows for rows in counted if rows is not None)

    def read(self) -> Iterator[Rows]:
        """Every row. Rows are numbered through all files.

        Raises:
            LoadError: a file is torn, or isn't any more what it was when it was opened.
        """
        before = 0
        for file in self.files:
            last = 0
            for rows in file.read():
                last = max([last, *rows.numbers[-1:], *(torn.number for torn in rows.torn)])
                yield _later(rows, before)
            before += last
        for path, stamp in zip(self.paths, self.stamps, strict=True):
            if _stamp(path) != stamp:
                raise LoadError(
                    f"{path.name} was changed while it was read.",
                    value=path.name,
                    hint="Nothing was loaded. Load it when it is whole.",
                )

    def content(self, reading: Reading) -> str:
        """What these rows are: the bytes of the files, and how they are read."""
        whole = sha256(repr((self.format, reading)).encode())
        for path in self.paths:
            with path.open("rb") as opened:
                whole.update(file_digest(opened, "sha256").digest())
        return f"files {whole.hexdigest()}"


def formats(folders: "tuple[Path, ...]" = ()) -> Mapping[str, Plugin]:
    """The file formats that ship with Jangbu and those of plug-in folders, by name."""
    return discover("file_format", "jangbu.insight.ingest.files", folders)


def open_files(path: Path, reading: Reading = Reading(), folders: "tuple[Path, ...]" = ()) -> OpenFiles:  # noqa: B008 - frozen
    """A file, or all the files of a folder (hidden ones and folders in it left out).

    Raises:
        LoadError: there is nothing, it has several formats or none that is known, or it can't be read.
        MissingExtra: the format's dependency isn't installed.
    """
    paths = paths_of(path)
    known = formats(folders)
    named = {each: reading.format or _format_of(each, known) for each in paths}
    if len(set(named.values())) > 1:
        shown = ", ".join(f"{each.name}: {name}" for each, name in list(named.items())[:10])
        raise LoadError(
            f"{path.name} holds files of several formats ({shown}).", value=path.name, hint="Put one format in a folder."
        )
    stamps = tuple(_stamp(each) for each in paths)
    opened = find("file_format", named[paths[0]], known).open()
    options = Options(reading.encoding, reading.delimiter, reading.sheet)
    files = tuple(opened.open(each, options) for each in paths)
    names = tuple(dict.fromkeys(name for file in files for name in file.names))
    notes = [note for file in files for note in file.notes]
    for each, file in zip(paths, files, strict=True):
        if missing := [name for name in names if name not in file.names]:
            notes.append(f"{each.name} has no {', '.join(map(repr, missing))}; it is missing in its rows.")
    return OpenFiles(named[paths[0]], paths, files, names, tuple(notes), stamps)


def paths_of(path: Path) -> tuple[Path, ...]:
    """The file, or those of a folder.

    Raises:
        LoadError: there are none.
    """
    try:
        if path.is_file():
            return (path,)
        if not path.exists():
            raise LoadError(f"There is no file or folder {str(path)!r}.", value=str(path))
        if not path.is_dir():
            raise LoadError(f"{str(path)!r} is neither a file nor a folder.", value=str(path))
        found = tuple(sorted(each for each in path.iterdir() if each.is_file() and not each.name.startswith(".")))
    except OSError as error:
        raise LoadError(f"{str(path)[:80]!r} can't be looked at: {error.strerror}.", value=str(path)) from error
    if not found:
        raise LoadError(f"The folder {str(path)!r} has no files in it.", value=str(path))
    return found


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise LoadError(f"{path.name} can't be read: {error.strerror}.", value=path.name) from error
    return found.st_ino, found.st_size, found.st_mtime_ns


def _format_of(path: Path, known: Mapping[str, Plugin]) -> str:
    head = head_of(path, _HEAD)
    # What is told by its first bytes goes before what is told by its name.
    for name in sorted(known, key=lambda name: name == "csv"):
        if known[name].open().recognises(path, head):
            return name
    raise LoadError(
        f"What {path.name} is can't be told.",
        value=path.name,
        known=sorted(known),
        hint="Name it e.g. orders.csv or orders.parquet.",
    )


def _later(rows: Rows, before: int) -> Rows:
    if not before:
        return rows
    numbers = rows.numbers
    moved = range(numbers.start + before, numbers.stop + before) if isinstance(numbers, range) else [n + before for n in numbers]
    return Rows(rows.batch, moved, tuple(Torn(torn.number + before, torn.text) for torn in rows.torn))
