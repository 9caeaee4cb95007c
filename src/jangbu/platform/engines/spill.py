"""Where an engine inside this process spills: a folder of its own, which does not outlive the process for long.

Each folder is locked while its process lives; the kernel lets go of the lock however it ends, so the next one finds what a killed
process left (perhaps gigabytes) and removes it.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Self


@dataclass(slots=True)
class SpillFolder:
    """`lock` is an open file descriptor of the folder, None once it is removed."""

    path: Path
    lock: int | None

    @classmethod
    def below(cls, parent: Path, prefix: str) -> Self:
        """A new one, after those of dead processes are gone."""
        parent.mkdir(parents=True, exist_ok=True)
        with _held(parent):  # or another process might take one that is made but not yet locked for abandoned
            for left in parent.glob(f"{prefix}*"):
                _remove_abandoned(left)
            own = Path(mkdtemp(prefix=prefix, dir=parent))
            lock = os.open(own, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
        return cls(own, lock)

    def remove(self) -> None:
        """A second call does nothing."""
        if self.lock is not None:
            rmtree(self.path, ignore_errors=True)
            os.close(self.lock)
            self.lock = None


def abandoned(parent: Path) -> list[Path]:
    """The folders below `parent` whose processes have ended."""
    return [folder for folder in parent.iterdir() if folder.is_dir() and _is_abandoned(folder)] if parent.is_dir() else []


def sweep(parent: Path) -> None:
    """Remove them."""
    if parent.is_dir():
        with _held(parent):
            for left in abandoned(parent):
                _remove_abandoned(left)


def _is_abandoned(folder: Path) -> bool:
    try:
        lock = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _remove_abandoned(folder: Path) -> None:
    try:
        lock = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:  # its process has just ended in order
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    else:
        rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
