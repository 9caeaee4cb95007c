"""Whoever asks while others load, keep up and die is answered of one whole version, never of an older one than before."""

from pathlib import Path

import pytest
from faults.crowd import Crowd
from faults.driving import smithy
from faults.machine import new_template

SECONDS = 12


@pytest.mark.slow
def test_each_answer_is_one_whole_version(tmp_path: Path) -> None:
    with smithy() as made:
        crowd = Crowd(tmp_path / "place", new_template(tmp_path / "template"), made, seed=7)
        try:
            counts = crowd.run(SECONDS)
        finally:
            crowd.close()
    assert min(counts["answers"], counts["loads"]) > 10, counts
    assert counts["kills"] >= 4
    assert counts["unavailable"] < counts["answers"] / 10, counts
