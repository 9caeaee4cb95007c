"""The folder that an engine spills to: its own while the process lives, gone soon after."""

import subprocess
import sys
from pathlib import Path

from jangbu.platform.engines.spill import SpillFolder, abandoned, sweep

MAKE = (
    "import sys, time; from pathlib import Path; from jangbu.platform.engines.spill import SpillFolder\n"
    "made = SpillFolder.below(Path(sys.argv[1]), 'engine-'); print(made.path, flush=True); time.sleep(60)"
)


def elsewhere(folder: Path) -> "tuple[subprocess.Popen[str], Path]":
    """A process that has a folder of its own."""
    process = subprocess.Popen([sys.executable, "-c", MAKE, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    process, left = elsewhere(tmp_path)
    (left / "spilled.tmp").write_bytes(b"x" * 1000)
    process.kill()
    process.communicate()
    assert left.exists()
    own = SpillFolder.below(tmp_path, "engine-")
    assert list(tmp_path.iterdir()) == [own.path]
    own.remove()
    assert list(tmp_path.iterdir()) == []


def test_what_a_living_process_uses_is_left_alone(tmp_path: Path) -> None:
    process, used = elsewhere(tmp_path)
    other = SpillFolder.below(tmp_path, "engine-")
    own = SpillFolder.below(tmp_path, "engine-")
    assert {path.name for path in tmp_path.iterdir()} == {used.name, other.path.name, own.path.name}
    process.kill()
    process.communicate()


def test_what_isnt_its_own_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    SpillFolder.below(tmp_path, "engine-").remove()
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


def test_only_what_ended_processes_left_is_swept(tmp_path: Path) -> None:
    assert abandoned(tmp_path / "nowhere") == []
    process, left = elsewhere(tmp_path)
    assert abandoned(tmp_path) == []
    process.kill()
    process.communicate()
    own = SpillFolder.below(tmp_path / "other", "engine-")
    assert abandoned(tmp_path / "other") == []
    sweep(tmp_path / "other")
    assert own.path.exists()
    assert left in abandoned(tmp_path)
    sweep(tmp_path)
    assert not left.exists()
