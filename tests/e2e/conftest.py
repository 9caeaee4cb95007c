"""One server over two shops, for the tests that only ask."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import httpx
import pytest
from support import two_shops
from support.processes import Running, running


@dataclass
class Shops:
    """`keys` are those of `hanok`, `namu` and `both`."""

    server: Running
    keys: Mapping[str, str]
    clients: Mapping[str, httpx.Client]

    def statements(self) -> float:
        """How many statements the engine has run since it was started."""
        lines = httpx.get(f"{self.server.address}/metrics").text.splitlines()
        counts = [line.rpartition(" ")[2] for line in lines if line.startswith("jangbu_engine_statements_total{")]
        return sum(map(float, counts))


@pytest.fixture(scope="session")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shops]:
    folder = tmp_path_factory.mktemp("shops")
    keys = two_shops.set_up(folder / ".jangbu")
    with running("serve", "--port", "0", folder=folder, env={"JANGBU_LOG_LEVEL": "debug"}) as server:
        clients = {name: server.client(key) for name, key in keys.items()}
        yield Shops(server, keys, clients)
        for client in clients.values():
            client.close()
