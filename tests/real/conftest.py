"""One load of the real year for all tests of this folder that a worker runs."""

from collections.abc import Iterator

import pytest
from support.year import Year, year_at


@pytest.fixture(scope="session")
def year(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Year]:
    with year_at(tmp_path_factory.mktemp("year")) as loaded:
        yield loaded
