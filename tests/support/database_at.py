"""The database that was prepared for a folder; for scripts that tests start, too."""

from pathlib import Path
from typing import Any

from jangbu.platform.database.opening import open_database
from jangbu.platform.database.ports import Database


def database_at(folder: Path, **options: Any) -> Database:
    """The server's that `support.databases.prepared` wrote down, else SQLite's."""
    file = folder / "database.uri"
    given = {"connections": 8, "patience": 20.0} | options
    return open_database(file.read_text() if file.exists() else None, folder, **given)
