"""Who is dead: this machine's processes that have ended, and nobody else."""

import subprocess
import sys

import pytest

from jangbu.insight.ingest.owner import is_dead, this_process

SHOW = "from jangbu.insight.ingest.owner import this_process; print(this_process(), flush=True); input()"


def test_this_process_lives() -> None:
    assert not is_dead(this_process())


def test_a_process_is_dead_once_it_has_ended() -> None:
    process = subprocess.Popen([sys.executable, "-c", SHOW], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    owner = process.stdout.readline().strip()
    assert not is_dead(owner)
    process.communicate("\n", timeout=30)
    assert is_dead(owner)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux says when a process began")
def test_a_later_process_with_the_same_number_is_another() -> None:
    place, pid, start = this_process().split("|")
    assert is_dead(f"{place}|{pid}|{int(start) - 1}")


@pytest.mark.parametrize("owner", ["elsewhere/|1|1", "", "no sense", "|||"])
def test_of_others_nothing_is_known(owner: str) -> None:
    assert not is_dead(owner)
