"""Start a server as its users would, wait until it is ready, and end it."""

import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import httpx


class NeverReady(Exception):
    """A server ended, or wasn't ready in time; the message ends with its log's last lines."""


@dataclass(frozen=True, slots=True)
class Served:
    """`seconds` from its start until it was ready; `process`: its id."""

    seconds: float
    process: int


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(
    command: Sequence[str | Path], ready: str, log: Path, env: Mapping[str, str] | None = None, patience: float = 60
) -> Iterator[Served]:
    """Run `command` until the end of the block, which begins when the URL `ready` answers 200."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        start = monotonic()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=env)
        try:
            _wait(process, ready, log, start + patience)
            yield Served(monotonic() - start, process.pid)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: "subprocess.Popen[bytes]", ready: str, log: Path, deadline: float) -> None:
    with httpx.Client(timeout=2, trust_env=False) as client:
        while monotonic() < deadline:
            if process.poll() is not None:
                raise NeverReady(f"{process.args!r} ended with {process.returncode}:\n{_tail(log)}")
            if _answers(client, ready):
                return
            sleep(0.005)
    raise NeverReady(f"{ready} did not answer 200 in time:\n{_tail(log)}")


def _answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(url).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])
