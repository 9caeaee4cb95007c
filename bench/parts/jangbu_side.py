"""Jangbu as its users meet it: `jangbu serve` over the bench's data folder, asked over HTTP with a key."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from bench.parts.handwritten import Row
from bench.parts.sales import ASKED
from bench.parts.servers import free_port, serving
from bench.parts.warehouse import DEFINITIONS, FOLDER, asked_files, fill
from jangbu.entrypoints.bootstrap import Application
from jangbu.entrypoints.settings import load

if TYPE_CHECKING:
    import pyarrow as pa

ARROW, JSON = "application/vnd.apache.arrow.stream", "application/json"
QUESTION = {
    "data_source": "bench_sales",
    "measures": ["revenue"],
    "dimensions": ["category"],
    "filter": {"field": "channel", "op": "equals", "values": ["store"]},
    "time": {"range": ["2017-01-01", "2017-12-31"]},
    "time_frequency": "day",
    "limit": 100_000,
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """The files that a hand-written query reads, and the asked merchant's key."""

    files: list[str]
    key: str


@dataclass(frozen=True, slots=True)
class Jangbu:
    client: httpx.Client

    def ask(self, form: str) -> bytes:
        """`form`: a media type."""
        return self.client.post("/v1/query", headers={"Accept": form}, json=QUESTION).raise_for_status().content

    def rows(self) -> "pa.Table":
        import pyarrow as pa

        return pa.ipc.open_stream(self.ask(ARROW)).read_all()

    def json_rows(self) -> list[Row]:
        rows = json.loads(self.ask(JSON), parse_float=Decimal, parse_int=Decimal)["rows"]
        return [(date.fromisoformat(day), category, revenue) for day, category, revenue in rows]


def prepare() -> Prepared:
    """Load what isn't loaded yet, and make a key."""
    application = Application(load(folder=FOLDER, definitions=(DEFINITIONS,), query_log=False))
    try:
        application.database.migrate()
        fill(application.lakehouse)
        application.access.create_tenant(ASKED, "Bench", "America/New_York", "USD")
        _, secret = application.access.create_key("bench", [ASKED])
        return Prepared(asked_files(application.lakehouse), secret.reveal())
    finally:
        application.close()


@contextmanager
def jangbu(key: str) -> Iterator[Jangbu]:
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JANGBU_") and name != "PORT"}
    environment |= {"JANGBU_FOLDER": str(FOLDER), "JANGBU_DEFINITIONS": str(DEFINITIONS), "JANGBU_PORT": str(port)}
    address, program = f"http://127.0.0.1:{port}", Path(sys.executable).parent / "jangbu"
    with (
        serving([program, "serve"], f"{address}/health/ready", FOLDER / "serve.log", environment),
        httpx.Client(base_url=address, headers={"Authorization": f"Bearer {key}"}, timeout=60, trust_env=False) as client,
    ):
        yield Jangbu(client)
