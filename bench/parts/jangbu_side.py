"""Jangbu as its users meet it: `jangbu serve` over the bench's data folder, asked over HTTP with a key."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from bench.parts.handwritten import Row
from bench.parts.sales import ASKED
from bench.parts.servers import free_port, serving
from bench.parts.warehouse import DEFINITIONS, FOLDER, as_laid_out, fill
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
    """A data folder, its files that a hand-written query reads, and the asked merchant's key; settings of Jangbu's besides."""

    folder: Path
    files: list[str]
    key: str
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Jangbu:
    client: httpx.Client

    process: int

    def ask(self, form: str, question: Mapping[str, object] = QUESTION) -> bytes:
        """`form`: a media type."""
        return self.client.post("/v1/query", headers={"Accept": form}, json=question).raise_for_status().content

    def rows(self, question: Mapping[str, object] = QUESTION) -> "pa.Table":
        import pyarrow as pa

        return pa.ipc.open_stream(self.ask(ARROW, question)).read_all()

    def json_rows(self) -> list[Row]:
        rows = json.loads(self.ask(JSON), parse_float=Decimal, parse_int=Decimal)["rows"]
        return [(date.fromisoformat(day), category, revenue) for day, category, revenue in rows]


def _asked_files(application: Application) -> list[str]:
    return as_laid_out(application.lakehouse)


def prepare(folder: Path = FOLDER, then: Callable[[Application], list[str]] = _asked_files) -> Prepared:
    """Load what isn't loaded yet, and make a key. `then` does what else is to be done, and tells the asked merchant's files."""
    application = Application(load(folder=folder, definitions=(DEFINITIONS,), query_log=False))
    try:
        application.database.migrate()
        fill(application.lakehouse)
        application.access.create_tenant(ASKED, "Bench", "America/New_York", "USD")
        _, secret = application.access.create_key("bench", [ASKED])
        return Prepared(folder, then(application), secret.reveal())
    finally:
        application.close()


@contextmanager
def jangbu(prepared: Prepared, patience: float = 60) -> Iterator[Jangbu]:
    """Served as a process of its own; `patience`: seconds for which an answer is waited."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JANGBU_") and name != "PORT"}
    environment |= {f"JANGBU_{name.upper()}": value for name, value in prepared.settings.items()}
    environment |= {"JANGBU_FOLDER": str(prepared.folder), "JANGBU_DEFINITIONS": str(DEFINITIONS), "JANGBU_PORT": str(port)}
    address, program = f"http://127.0.0.1:{port}", Path(sys.executable).parent / "jangbu"
    with (
        serving([program, "serve"], f"{address}/health/ready", prepared.folder / f"serve-{port}.log", environment) as served,
        httpx.Client(
            base_url=address, headers={"Authorization": f"Bearer {prepared.key}"}, timeout=patience, trust_env=False
        ) as client,
    ):
        yield Jangbu(client, served.process)
