"""The most memory that processes took while something was done."""

from collections.abc import Sequence
from pathlib import Path


class Peak:
    """Of the processes with these ids, each at its highest, from here on. They may share pages, which count for each."""

    def __init__(self, processes: Sequence[int]) -> None:
        self._processes = processes
        for process in processes:
            Path(f"/proc/{process}/clear_refs").write_text("5")

    def megabytes(self) -> float:
        return sum(_highest(process) for process in self._processes) / 1024


def _highest(process: int) -> int:
    """Kilobytes."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
