"""A database on a real server, which each file names in its fixture `server`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from services.running import Running
from support.database_at import database_at
from support.databases import prepared

from jangbu.platform.database.ports import Database


@pytest.fixture
def folder(server: Running, tmp_path: Path) -> Iterator[Path]:
    with prepared(server.service.name, server, tmp_path) as made:
        yield made


@pytest.fixture
def database(folder: Path) -> Iterator[Database]:
    opened = database_at(folder, patience=2.0)
    opened.migrate()
    yield opened
    opened.close()
