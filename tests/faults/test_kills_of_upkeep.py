"""Kill -9 at every step of upkeep: no row changes, and what was left lying about is removed in time."""

from pathlib import Path

import pytest
from faults.killing import forge, spread
from faults.scenarios import SCENARIOS

pytestmark = pytest.mark.slow

UPKEEP = [name for name, scenario in SCENARIOS.items() if not scenario.changes_versions]
MOST = 12


@pytest.mark.timeout(280)
@pytest.mark.parametrize("scenario", UPKEEP)
def test_killed_upkeep_changes_no_row(scenario: str, tmp_path: Path) -> None:
    with forge(tmp_path) as killing:
        for point in spread(killing.points(scenario), MOST, seed=7):
            killing.kill(scenario, at=point)
    assert sum(killing.outcomes.values()) >= 4
