"""Valkey Cluster: three masters with a replica each."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from services.cache import Cache
from services.servers.valkey import fetch, server
from services.service import HOST, Command, Place, Service, asked

NODES = tuple(f"node-{number}" for number in range(1, 7))
MASTERS, REPLICAS = NODES[:3], NODES[3:]
SLOTS = {"node-1": (0, 5460), "node-2": (5461, 10922), "node-3": (10923, 16383)}
FORMED_WITHIN = 30


class ValkeyCluster(Service):
    name = "valkey-cluster"
    about = "Valkey 9: a cluster of three masters and three replicas"
    ports = NODES

    def fetch(self, cache: Cache) -> Path:
        return fetch(cache)

    def prepare(self, at: Place) -> None:
        for node in NODES:
            (at.data / node).mkdir(parents=True)

    def commands(self, at: Place) -> Mapping[str, Command]:
        options = [
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            "1500",
            "--repl-diskless-sync-delay",
            "0",
            "--appendonly",
            "yes",
            "--save",
            "",
        ]
        return {node: server(at, node, *options) for node in NODES}

    def is_ready(self, at: Place) -> bool:
        """All nodes answer and, once it is formed, agree that every slot is served."""
        if (at.folder / "formed").exists():
            return all(is_whole(at, node) for node in NODES)
        return all(asked(at.ports[node], b"PING\r\n").startswith(b"+PONG") for node in NODES)

    def form(self, at: Place) -> None:
        for epoch, node in enumerate(NODES, 1):
            told(at, node, f"CLUSTER SET-CONFIG-EPOCH {epoch}")
        for node, (first, last) in SLOTS.items():
            told(at, node, f"CLUSTER ADDSLOTSRANGE {first} {last}")
        for node in NODES[1:]:
            told(at, node, f"CLUSTER MEET {HOST} {at.port}")
        until(lambda: all(known(at, node) == len(NODES) for node in NODES))
        for replica, master in zip(REPLICAS, MASTERS, strict=True):
            identity = asked(at.ports[master], b"CLUSTER MYID\r\n").split(b"\r\n")[1].decode()
            told(at, replica, f"CLUSTER REPLICATE {identity}")
        until(lambda: all(is_whole(at, node) for node in NODES))
        until(lambda: all(b"master_link_status:up" in asked(at.ports[node], b"INFO replication\r\n") for node in REPLICAS))
        (at.folder / "formed").touch()

    def addresses(self, at: Place) -> Mapping[str, str]:
        nodes = {node: f"redis://{HOST}:{at.ports[node]}" for node in NODES}
        return {"url": f"{nodes['node-1']}/0", "nodes": ",".join(f"{HOST}:{port}" for port in at.ports.values()), **nodes}


def told(at: Place, node: str, command: str) -> None:
    if not (answer := asked(at.ports[node], f"{command}\r\n".encode())).startswith(b"+OK"):
        raise OSError(f"{node} answered {answer!r} to {command}.")


def known(at: Place, node: str) -> int:
    return asked(at.ports[node], b"CLUSTER NODES\r\n", 65536).count(b" connected")


def is_whole(at: Place, node: str) -> bool:
    return b"cluster_state:ok" in asked(at.ports[node], b"CLUSTER INFO\r\n")


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + FORMED_WITHIN
    while not condition():
        if time.monotonic() > deadline:
            raise OSError(f"The cluster was not formed within {FORMED_WITHIN} s.")
        time.sleep(0.05)


SERVICE = ValkeyCluster()
