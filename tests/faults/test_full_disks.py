"""A disk that is full, at any moment of a load or of upkeep: a clear error, nothing lost, and done when there is room again."""

from collections.abc import Iterator

import pytest
from faults.killing import Forge, can_have_small_disks, forge
from faults.scenarios import SCENARIOS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not can_have_small_disks(), reason="no unprivileged mounts here (unshare)"),
]

DISK = 64_000_000
ROOM = (0, 4_096, 12_288, 24_576, 49_152, 98_304, 8_000_000)
"""Bytes that are free: for nothing, for some of the files, for all."""

NEED_NONE = {"collect"}
"""What makes room must not need any."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    with forge(tmp_path_factory.mktemp("disk"), disk=DISK) as found:
        yield found


@pytest.mark.timeout(280)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_full_disk_is_said_and_loses_nothing(scenario: str, small: Forge) -> None:
    told = [small.fill_disk(scenario, room) for room in ROOM]
    assert told[0] == ("done" if scenario in NEED_NONE else "full")
    assert told[-1] == "done"
    assert told == sorted(told, reverse=True), "more room never does harm"
