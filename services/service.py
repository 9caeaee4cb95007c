"""What a server declares of itself, and the place where one of it runs."""

import http.client
import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from services.cache import Cache

HOST = "127.0.0.1"
NOBODY = 65534
"""Whose processes the servers are that refuse to run as root, when root runs the tests."""


class Addresses(Protocol):
    """A server's, by their names."""

    def __getitem__(self, name: str) -> str: ...


@dataclass(frozen=True)
class Command:
    """One process of a server."""

    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where one server runs: a folder of its own, its ports, what it is made of, and the servers that it uses."""

    folder: Path
    ports: Mapping[str, int]
    software: Path
    cache: Cache
    user: int | None = None
    uses: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Addresses of the servers that it uses, by their names."""

    @property
    def port(self) -> int:
        return next(iter(self.ports.values()))

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def environment(self) -> dict[str, str]:
        """What a server's process sees: nothing of the one that started it but where programs are."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder / "tmp"),
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
        }

    def run(self, argv: Sequence[str], within: float = 60, environment: Mapping[str, str] | None = None) -> str:
        """Do one step of the preparation as the server's user, with `environment` added; returns what it printed.

        Raises CalledProcessError, TimeoutExpired.
        """
        return subprocess.run(
            argv,
            env=self.environment() | dict(environment or {}),
            cwd=self.folder,
            user=self.user,
            group=self.user,
            extra_groups=None if self.user is None else [],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=within,
            check=True,
        ).stdout


class Service:
    """A server. Its file says all about it; what it leaves out is as here."""

    name: str
    about: str
    """One line for `make services`."""

    ports: tuple[str, ...] = ("main",)
    """Names of its listeners; each gets a free port, with the one 10,000 higher free too."""

    uses: tuple[str, ...] = ()
    """Servers that have to run before it."""

    refuses_root = False
    stop_signal = signal.SIGTERM
    grace = 10.0
    """Seconds that it has to end by itself."""

    ready_within = 60.0
    """Seconds from its start until it answers, on a busy machine."""

    def fetch(self, cache: Cache) -> Path:
        """The folder of its software. Raises Unavailable."""
        raise NotImplementedError

    def prepare(self, at: Place) -> None:
        """Make its data and settings, once, before the first start."""

    def commands(self, at: Place) -> Mapping[str, Command]:
        """Its processes by name, in the order of their start."""
        raise NotImplementedError

    def is_ready(self, at: Place) -> bool:
        """Whether it does its work. OSError means no, too."""
        raise NotImplementedError

    def form(self, at: Place) -> None:
        """What makes one server of its processes, once, when they run for the first time."""

    def addresses(self, at: Place) -> Mapping[str, str]:
        """What its users need: URLs, names, passwords."""
        raise NotImplementedError

    def leftovers(self, at: Place) -> Sequence[Path]:  # noqa: ARG002
        """Files that it makes outside its folder and leaves there; they are deleted when it has ended."""
        return ()


def read(url: str) -> bytes | None:
    """What a URL on this machine answers with a status below 400, None with another one. Raises OSError when nobody is there."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        error.close()
        return None
    except http.client.HTTPException as error:
        raise ConnectionError(f"{url}: {error!r}") from error


def answers(url: str) -> bool:
    return read(url) is not None


def takes_connections(port: int) -> bool:
    """Raises OSError when it doesn't."""
    with socket.create_connection((HOST, port), timeout=2):
        return True


def asked(port: int, message: bytes, size: int = 4096) -> bytes:
    """The first bytes that a server answers to a message. Raises OSError."""
    with socket.create_connection((HOST, port), timeout=2) as connection:
        connection.sendall(message)
        return connection.recv(size)
