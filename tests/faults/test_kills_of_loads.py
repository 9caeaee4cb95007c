"""Kill -9 at every step of every kind of load: the table is as before or complete, and done again nothing is doubled."""

import pytest
from faults.killing import Forge, spread
from faults.scenarios import SCENARIOS, SHOP, TWIN

pytestmark = pytest.mark.slow

LOADS = [name for name, scenario in SCENARIOS.items() if scenario.changes_versions]
MOST = 10
"""Kills of one kind of load; `make soak` has no such bound."""


def test_two_of_the_tenants_share_their_files() -> None:
    from jangbu.platform.lakehouse.tables.layout import bucket_of

    bucket = bucket_of(16)
    assert bucket(SHOP) == bucket(TWIN)


@pytest.mark.timeout(280)
@pytest.mark.parametrize("scenario", LOADS)
def test_a_killed_load_is_whole_or_not_there(scenario: str, made: Forge) -> None:
    outcomes = [made.kill(scenario, at=point) for point in spread(made.points(scenario), MOST)]
    possible = {"after"} if scenario == "recover_what_happened" else {"before", "after"}
    assert set(outcomes) == possible, "some kills come before the commit, some after it"
    assert outcomes == sorted(outcomes, reverse=True), "and never the other way round"
