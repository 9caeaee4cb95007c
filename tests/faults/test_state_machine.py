"""Real processes that load, keep up, die and stand still at random, beside a plain model; asked all the time."""

from pathlib import Path

import pytest
from faults.machine import SETTINGS, machines
from hypothesis.stateful import run_state_machine_as_test

pytestmark = pytest.mark.slow


@pytest.mark.timeout(280)
def test_whatever_processes_do_the_data_are_whole(tmp_path: Path) -> None:
    with machines(tmp_path) as machine:
        run_state_machine_as_test(machine, settings=SETTINGS)
    counts = machine.counts
    for outcome, least in (("ended", 40), ("killed", 5), ("stood still", 5)):
        assert sum(count for (_, what), count in counts.items() if what == outcome) >= least, counts
    assert counts["reader", "answers"] > 20
