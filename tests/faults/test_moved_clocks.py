"""A process whose clock was put forward or back by days is killed in a load or in upkeep; others go by the right time."""

from itertools import cycle
from pathlib import Path

import pytest
from faults.killing import forge, spread
from faults.scenarios import SCENARIOS

pytestmark = pytest.mark.slow

DAYS = 86_400.0
MOST = 4


@pytest.mark.timeout(280)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_clock_that_jumps_loses_nothing(scenario: str, tmp_path: Path) -> None:
    with forge(tmp_path) as smithy:
        points = spread(smithy.points(scenario), MOST, seed=11)
        for point, ahead_s in zip(points, cycle((3 * DAYS, -3 * DAYS)), strict=False):
            smithy.kill(scenario, at=point, ahead_s=ahead_s)
    assert sum(smithy.outcomes.values()) == len(points) > 1
