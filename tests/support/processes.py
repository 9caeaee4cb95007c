"""`jangbu` as its users run it: a process of its own, on a port that is free."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import httpx

JANGBU = Path(sys.executable).parent / "jangbu"
READY = re.compile(r"(?:ready at|address) +(http://\S+)")


def environment(**more: str) -> dict[str, str]:
    """This process' without any setting of Jangbu, and `more`. Modules are compiled once, not at each start."""
    unwanted = ("JANGBU_", "PORT", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    return kept | more


def run(*arguments: str, folder: Path, timeout: float = 60, **env: str) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    settings = environment(JANGBU_FOLDER=str(folder / ".jangbu"), **env)
    return subprocess.run([JANGBU, *arguments], cwd=folder, env=settings, capture_output=True, text=True, timeout=timeout)


@dataclass
class Running:
    """`out` and `log` are the files that hold its stdout and stderr."""

    process: "subprocess.Popen[str]"
    out: Path
    log: Path
    address: str = ""

    def wait_ready(self, seconds: float = 60) -> None:
        ends = monotonic() + seconds
        while monotonic() < ends:
            if self.process.poll() is not None:
                raise AssertionError(f"it ended with {self.process.returncode}: {self.said}")
            if found := READY.search(self.out.read_text()):
                self.address = found[1]
                return
            sleep(0.02)
        raise AssertionError(f"not ready within {seconds} s: {self.said}")

    @property
    def said(self) -> str:
        return self.out.read_text() + self.log.read_text()

    def client(self, key: str | None = None, **more: float) -> httpx.Client:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=self.address, headers=headers, timeout=more.get("timeout", 60))

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = 30) -> int:
        """Its exit code."""
        self.process.send_signal(number)
        return self.process.wait(seconds)


@contextmanager
def running(
    *arguments: str, folder: Path, name: str = "server", ready: bool = True, env: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """A command that serves, killed at the end if it still runs. `ready`: once it answers."""
    out, log = folder / f"{name}.out", folder / f"{name}.log"
    settings = environment(JANGBU_FOLDER=str(folder / ".jangbu"), **(env or {}))
    with out.open("w") as stdout, log.open("w") as stderr:
        process = subprocess.Popen([JANGBU, *arguments], cwd=folder, env=settings, stdout=stdout, stderr=stderr, text=True)
    found = Running(process, out, log)
    try:
        if ready:
            found.wait_ready()
        yield found
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
