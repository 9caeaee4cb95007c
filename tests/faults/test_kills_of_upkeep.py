"""Kill -9 at every step of upkeep: no row changes, and what was left lying about is removed in time."""

import pytest
from faults.killing import Forge, spread
from faults.scenarios import SCENARIOS

pytestmark = pytest.mark.slow

UPKEEP = [name for name, scenario in SCENARIOS.items() if not scenario.changes_versions]
MOST = 10


@pytest.mark.timeout(280)
@pytest.mark.parametrize("scenario", UPKEEP)
def test_killed_upkeep_changes_no_row(scenario: str, made: Forge) -> None:
    points = spread(made.points(scenario), MOST)
    assert len([made.kill(scenario, at=point) for point in points]) >= 4
