"""Which process an intent belongs to, and whether that process is dead for certain."""

import os
import socket
import sys
from functools import cache
from pathlib import Path


def this_process() -> str:
    """`host/namespace|pid|start`. The namespace tells containers that share a host's name apart, the start tells a process from a
    later one that got its number."""
    return f"{_place()}|{os.getpid()}|{_start(os.getpid())}"


def is_dead(owner: str) -> bool:
    """Whether the owner ran here and has ended. False where we can't tell: its lease will."""
    place, _, rest = owner.partition("|")
    pid, _, start = rest.partition("|")
    if place != _place() or not pid.isdigit() or sys.platform == "win32":
        return False
    return not _exists(int(pid)) or _start(int(pid)) != start


@cache
def _place() -> str:
    namespace = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()}/{namespace.readlink() if namespace.is_symlink() else ''}".replace("|", "_")


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _start(pid: int) -> str:
    """When the process began, in ticks since the machine did; '' where the system doesn't say."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
