"""Toxiproxy: connections that are slow, cut or reset. Tests make proxies by its own API, on loopback ports that it chooses."""

from collections.abc import Mapping
from pathlib import Path

from services.cache import Cache
from services.service import HOST, Command, Place, Service, answers


class Toxiproxy(Service):
    name = "toxiproxy"
    about = "Toxiproxy 2.5: slow, cut and reset connections to other servers"

    def fetch(self, cache: Cache) -> Path:
        return cache.go("github.com/Shopify/toxiproxy/v2/cmd/server", "v2.5.0")

    def commands(self, at: Place) -> Mapping[str, Command]:
        return {"main": Command([str(at.software / "server"), "-host", HOST, "-port", str(at.port)])}

    def is_ready(self, at: Place) -> bool:
        return answers(f"http://{HOST}:{at.port}/version")

    def addresses(self, at: Place) -> Mapping[str, str]:
        return {"url": f"http://{HOST}:{at.port}"}


SERVICE = Toxiproxy()
