"""Orders to the forge, and what came of them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent.parent


@dataclass
class Forge:
    process: "subprocess.Popen[str]"

    def order(self, **order: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def points(self, scenario: str) -> int:
        found = self.order(do="count", scenario=scenario)
        assert "points" in found, found.get("error")
        return int(found["points"])

    def kill(self, scenario: str, **how: Any) -> str:
        """Whether the crash left what was before or what is after. Raises AssertionError where it left anything else."""
        answer = self.order(do="kill", scenario=scenario, **how)
        assert "outcome" in answer, f"{scenario} killed {how}: {answer.get('error')}"
        return str(answer["outcome"])

    def fill_disk(self, scenario: str, free: int) -> str:
        """Whether it was done, or the disk said to be full. Raises AssertionError where anything else came of it."""
        answer = self.order(do="fill", scenario=scenario, free=free)
        assert "told" in answer, f"{scenario} with {free:,} bytes free: {answer.get('error')}"
        return str(answer["told"])


SMALL_DISK = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
"""A mount of its own needs no rights, only a kernel that lets users have name spaces."""


def can_have_small_disks() -> bool:
    return shutil.which("unshare") is not None and subprocess.run([*SMALL_DISK, "true"], capture_output=True).returncode == 0


@contextmanager
def forge(folder: Path, *, disk: int | None = None) -> Iterator[Forge]:
    """With `disk`, the folder is one of so many bytes."""
    environment = os.environ | {"PYTHONPATH": str(TESTS), "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "faults.forge", str(folder)]
    if disk is not None:
        command = [*SMALL_DISK, f'mount -t tmpfs -o size={disk} none "$0" && exec "$@"', str(folder), *command]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
        yield Forge(process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)


def spread(points: int, most: int) -> list[int]:
    """All points where there are not too many, else some from the first to the last, equally far apart."""
    return sorted({1 + round(at * (points - 1) / (most - 1)) for at in range(most)})
