"""Valkey with three sentinels over one primary and two replicas; they choose another primary when it is gone."""

from collections.abc import Mapping
from pathlib import Path

from services.cache import Cache
from services.servers.valkey import fetch
from services.service import HOST, Command, Place, Service, asked

SERVERS = ("server-1", "server-2", "server-3")
SENTINELS = ("sentinel-1", "sentinel-2", "sentinel-3")
GROUP = "jangbu"


class ValkeySentinel(Service):
    name = "valkey-sentinel"
    about = "Valkey 9: a primary with two replicas and three sentinels"
    ports = (*SERVERS, *SENTINELS)

    def fetch(self, cache: Cache) -> Path:
        return fetch(cache)

    def prepare(self, at: Place) -> None:
        """Settings are in files: the sentinels rewrite their own and the servers' when they choose a primary."""
        for process in self.ports:
            folder = at.data / process
            folder.mkdir(parents=True)
            lines = [f"port {at.ports[process]}", f"bind {HOST}", f"dir {folder}"]
            if process in SENTINELS:
                lines += [f"sentinel monitor {GROUP} {HOST} {at.port} 2", f"sentinel down-after-milliseconds {GROUP} 1000"]
                lines += [f"sentinel failover-timeout {GROUP} 3000"]
            else:
                lines += ["appendonly yes", 'save ""', "repl-diskless-sync-delay 0"]
                lines += [f"replicaof {HOST} {at.port}"] if process != SERVERS[0] else []
            (folder / "valkey.conf").write_text("\n".join(lines) + "\n")

    def commands(self, at: Place) -> Mapping[str, Command]:
        program = str(at.software / "valkey-server")
        settings = {process: str(at.data / process / "valkey.conf") for process in self.ports}
        return {name: Command([program, file, *(["--sentinel"] if name in SENTINELS else [])]) for name, file in settings.items()}

    def is_ready(self, at: Place) -> bool:
        """All sentinels name one primary, which has both replicas, and are enough to choose another."""
        named = {asked(at.ports[each], f"SENTINEL GET-MASTER-ADDR-BY-NAME {GROUP}\r\n".encode()) for each in SENTINELS}
        enough = all(
            asked(at.ports[each], f"SENTINEL CKQUORUM {GROUP}\r\n".encode()).startswith(b"+OK 3 usable") for each in SENTINELS
        )
        if not enough or len(named) > 1:
            return False
        parts = named.pop().split(b"\r\n")
        told = asked(int(parts[4]), b"INFO replication\r\n")
        return b"role:master" in told and told.count(b"state=online") == len(SERVERS) - 1

    def addresses(self, at: Place) -> Mapping[str, str]:
        sentinels = ",".join(f"{HOST}:{at.ports[name]}" for name in SENTINELS)
        return {"url": f"redis://{HOST}:{at.port}/0", "group": GROUP, "sentinels": sentinels} | {
            name: f"redis://{HOST}:{at.ports[name]}" for name in SERVERS
        }


SERVICE = ValkeySentinel()
