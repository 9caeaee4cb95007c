"""Workers, as a test sees them: it tells them what to do, kills them, lets them stand still and go on."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import IO, Any

from faults.killing import TESTS

LONGEST = 90.0
"""Seconds that one action may take."""


class Dead(Exception):
    """The worker has died."""


@dataclass
class Smithy:
    """Makes workers of one process that has imported everything."""

    process: "subprocess.Popen[str]"

    def worker(self, folder: Path) -> "Worker":
        assert self.process.stdin is not None
        path = folder / "line"
        with socket(AF_UNIX, SOCK_STREAM) as listening:
            listening.bind(str(path))
            listening.listen(1)
            listening.settimeout(LONGEST)
            self.process.stdin.write(f"{path}\n")
            self.process.stdin.flush()
            line, _ = listening.accept()
        path.unlink()
        made = Worker(line)
        made.pid = made.heard()["pid"]
        return made


@contextmanager
def smithy() -> Iterator[Smithy]:
    environment = os.environ | {"PYTHONPATH": str(TESTS), "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "faults.workers", folder]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield Smithy(process)
            process.stdin.close()
            process.wait(30)


@dataclass(eq=False)
class Worker:
    line: socket
    pid: int = 0
    lines: "IO[bytes]" = field(init=False)

    def __post_init__(self) -> None:
        self.line.settimeout(LONGEST)
        self.lines = self.line.makefile("rb")

    def begin(self, do: str, **more: Any) -> None:
        self.line.sendall(json.dumps({"do": do} | more).encode() + b"\n")

    def heard(self) -> dict[str, Any]:
        """What it says next. Raises Dead."""
        try:
            line = self.lines.readline()
        except ConnectionResetError:
            line = b""
        if not line:
            self._wait_gone()
            raise Dead
        said: dict[str, Any] = json.loads(line)
        if "stopped" in said:
            self._wait(lambda: self.state() == "T", "stands still")
        return said

    def does(self, do: str, **more: Any) -> dict[str, Any]:
        self.begin(do, **more)
        return self.heard()

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)
        self._wait(lambda: self.state() == "T", "stands still")

    def wake(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def has_said(self) -> bool:
        """Whether it has said something that nobody has heard."""
        self.line.settimeout(0)
        try:
            return bool(self.lines.peek(1))  # type: ignore[attr-defined]
        except (BlockingIOError, ConnectionResetError):
            return False
        finally:
            self.line.settimeout(LONGEST)

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._wait_gone()

    def close(self) -> None:
        if self.pid:
            self.kill()
        self.lines.close()
        self.line.close()

    def state(self) -> str:
        """The letter that the system gives it; '' once it is gone."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return ""

    def _wait_gone(self) -> None:
        self._wait(lambda: self.state() == "", "is gone")

    def _wait(self, is_so: Any, what: str) -> None:
        ends = monotonic() + LONGEST
        while not is_so():
            if monotonic() > ends:
                raise AssertionError(f"The worker {self.pid} isn't so after {LONGEST} s: {what}.")
            sleep(0.001)


def is_locked(folder: Path) -> bool:
    """Whether somebody is in the midst of a change of the database or the catalog."""
    for file in (folder / "jangbu.db", folder / "lakehouse" / "catalog.db"):
        with closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
            except sqlite3.OperationalError:
                return True
    return False
