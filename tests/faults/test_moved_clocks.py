"""A process whose clock was put forward or back by days is killed in a load or in upkeep; others go by the right time."""

from itertools import cycle

import pytest
from faults.killing import Forge, spread
from faults.scenarios import SCENARIOS

pytestmark = pytest.mark.slow

DAYS = 86_400.0
MOST = 4


@pytest.mark.timeout(280)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_clock_that_jumps_loses_nothing(scenario: str, made: Forge) -> None:
    points = spread(made.points(scenario), MOST)
    moved = zip(points, cycle((3 * DAYS, -3 * DAYS)), strict=False)
    assert len([made.kill(scenario, at=point, ahead_s=ahead_s) for point, ahead_s in moved]) == len(points) > 1
