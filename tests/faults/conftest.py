"""What the tests of faults share: it takes seconds to make."""

from collections.abc import Iterator

import pytest
from faults.killing import Forge, forge


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    with forge(tmp_path_factory.mktemp("forge")) as found:
        yield found
