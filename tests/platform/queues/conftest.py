"""The helpers beside this file are modules of their own, which scripts that the tests start import too."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from queues_place import Place


@pytest.fixture
def place(database_folder: Path) -> Iterator[Place]:
    made = Place(database_folder)
    yield made
    made.close()
