"""The folders below which outside tables may lie. Links and `..` are followed first, so that none leads out of them."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from jangbu.kernel.errors import ConfigurationError, Unsupported

MAGIC: Final = frozenset("*?[")
"""What makes a path a pattern."""


class Folders:
    """`real` are the folders' own paths, without links."""

    def __init__(self, folders: Iterable[Path] = ()) -> None:
        self.real = tuple(os.path.realpath(folder.expanduser()) for folder in folders)

    def inside(self, name: str, path: str) -> str:
        """The path without links; `name` is the data source's.

        Raises:
            ConfigurationError: it isn't below one of the folders.
        """
        real = os.path.realpath(path)
        if any(real == folder or real.startswith(folder.rstrip("/") + "/") for folder in self.real):
            return real
        error = ConfigurationError(
            f"{name!r} is bound to what isn't below a folder of JANGBU_OUTSIDE_FOLDERS.",
            value=name,
            hint="Add its folder to the setting, or bind it to one that is there.",
        )
        error.add_note(path)
        raise error

    def data_file(self, name: str, location: str) -> str:
        """A file that an engine is told to read: as `local`.

        Raises:
            Unsupported: also where an engine would take its path for a pattern.
        """
        path = self.local(name, location)
        if MAGIC & set(path):
            error = Unsupported(f"A file of {name!r} has *, ? or [ in its path.", value=name)
            error.add_note(path)
            raise error
        return path

    def local(self, name: str, location: str) -> str:
        """The path that a location in a table's metadata means: a path, or a `file:` URI.

        Raises:
            Unsupported: it isn't on this machine.
            ConfigurationError: as `inside`.
        """
        if location.startswith("/"):
            return self.inside(name, location)
        parts = urlsplit(location)
        if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
            error = Unsupported(f"{name!r} is bound to a table whose files aren't in a folder of this machine.", value=name)
            error.add_note(location)
            raise error
        return self.inside(name, parts.path if Path(parts.path).exists() else unquote(parts.path))
