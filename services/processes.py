"""Processes told apart by more than their number, and signals to all that a process has started."""

import os
import signal
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

PROC = Path("/proc")


def boot() -> str:
    """Tells this boot of the machine from others: process numbers and start times begin again with each."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def _fields(pid: int) -> list[str]:
    """What the kernel says of a process from its state on; empty when there is none."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


@dataclass(frozen=True)
class Identity:
    """One process, never another one that got its number later."""

    pid: int
    started: int
    """Clock ticks since boot."""
    boot: str

    @classmethod
    def of(cls, pid: int) -> Self:
        """Raises ProcessLookupError."""
        if not (fields := _fields(pid)):
            raise ProcessLookupError(f"There is no process {pid}.")
        return cls(pid, int(fields[19]), boot())

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> Self:
        return cls(kept["pid"], kept["started"], kept["boot"])

    def kept(self) -> dict[str, Any]:
        return asdict(self)

    def is_alive(self) -> bool:
        fields = _fields(self.pid)
        return bool(fields) and fields[0] not in "ZX" and int(fields[19]) == self.started and boot() == self.boot

    def send(self, number: signal.Signals) -> None:
        """Signal this process, if it still is."""
        if self.is_alive():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def tree(self) -> list["Identity"]:
        """It and all that it has started which still runs, parents first."""
        return [self, *descendants(self.pid)] if self.is_alive() else []


def descendants(pid: int) -> list[Identity]:
    children: dict[int, list[int]] = defaultdict(list)
    for entry in PROC.iterdir():
        if entry.name.isdecimal() and (fields := _fields(int(entry.name))) and fields[0] not in "ZX":
            children[int(fields[1])].append(int(entry.name))
    found: list[Identity] = []
    waiting = list(children[pid])
    while waiting:
        each = waiting.pop(0)
        with suppress(ProcessLookupError):
            found.append(Identity.of(each))
        waiting += children[each]
    return found


def stop_all(root: Identity) -> set[Identity]:
    """Halt a process and all that it has started, what they start meanwhile too."""
    halted: set[Identity] = set()
    while new := [each for each in root.tree() if each not in halted]:
        for each in new:
            each.send(signal.SIGSTOP)
            halted.add(each)
    return halted


def continue_all(root: Identity) -> None:
    for each in root.tree():
        each.send(signal.SIGCONT)


def kill_all(root: Identity) -> None:
    """Kill a process and all that it has started at once, as a machine that loses its power does."""
    for each in stop_all(root):
        each.send(signal.SIGKILL)


def resident(root: Identity) -> int:
    """Bytes of memory that a process and all that it has started keep to themselves, their share of what they share included."""
    total = 0
    for each in root.tree():
        with suppress(OSError):
            lines = (PROC / str(each.pid) / "smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
    return total


def listeners(root: Identity) -> set[tuple[str, int]]:
    """Where a process, or one that it has started, takes TCP connections: addresses as the kernel writes them, and ports."""
    sockets = set()
    for each in root.tree():
        with suppress(OSError):
            for file in (PROC / str(each.pid) / "fd").iterdir():
                with suppress(OSError):
                    sockets.add(str(file.readlink()))
    return {address for name in ("tcp", "tcp6") for inode, address in _listening(name) if f"socket:[{inode}]" in sockets}


def _listening(table: str) -> list[tuple[str, tuple[str, int]]]:
    rows = [line.split() for line in (PROC / "net" / table).read_text().splitlines()[1:]]
    split = [(row[9], row[1].split(":")) for row in rows if row[3] == "0A"]
    return [(inode, (address, int(port, 16))) for inode, (address, port) in split]


LOOPBACK = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}
"""127.0.0.1, ::1 and ::ffff:127.0.0.1 as the kernel writes them."""
