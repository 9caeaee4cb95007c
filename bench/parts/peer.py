"""sidemantic, the peer that stands beside: in an environment of its own, served over HTTP the way its guide says.

It gets the same pruned files as a view (kinder than its own glob over all 192), a naive UTC timestamp by arithmetic (its `timezone`
takes no other kind of column) and room for all rows; its result cache stays off, as it is by default.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from bench.harness import BUILD, ROOT
from bench.parts.sales import ASKED
from bench.parts.servers import free_port, serving

if TYPE_CHECKING:
    import pyarrow as pa

HOME = BUILD / "sidemantic"
MODEL = {
    "name": "sales",
    "table": "sales",
    "primary_key": "line",
    "dimensions": [
        *({"name": name, "type": "categorical", "sql": name} for name in ("tenant", "category", "channel")),
        {"name": "sold_at", "type": "time", "granularity": "hour", "sql": "make_timestamp(epoch_us(sold_at))"},
    ],
    "metrics": [{"name": "revenue", "agg": "sum", "sql": "sales_value"}],
}
QUESTION = {
    "metrics": ["sales.revenue"],
    "dimensions": ["sales.sold_at__day", "sales.category"],
    "filters": [f"sales.tenant = '{ASKED}'", "sales.channel = 'store'"],
    "timezone": "America/New_York",
}


@dataclass(frozen=True, slots=True)
class Sidemantic:
    client: httpx.Client

    def ask(self, form: str) -> bytes:
        """`form`: arrow or json."""
        return self.client.post("/query", params={"format": form}, json=QUESTION).raise_for_status().content

    def rows(self) -> "pa.Table":
        import pyarrow as pa

        answer = pa.ipc.open_stream(self.ask("arrow")).read_all()
        return answer.rename_columns({"sold_at__day": "time"})


@contextmanager
def sidemantic(files: Sequence[str]) -> Iterator[Sidemantic]:
    program = _install()
    models, database = _define(files)
    port = free_port()
    command = [
        str(program),
        "server",
        "api",
        str(models),
        "--db",
        str(database),
        "--port",
        str(port),
        "--max-result-rows",
        "100000",
    ]
    with (
        serving(command, f"http://127.0.0.1:{port}/readyz", HOME / "server.log"),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client,
    ):
        yield Sidemantic(client)


def _install() -> Path:
    """The `bench` dependency group, as locked, in build/bench/sidemantic/env."""
    uv = shutil.which("uv") or shutil.which("uv", path=str(ROOT / "build" / "tools" / "bin"))
    if uv is None:
        raise FileNotFoundError("uv is not on the PATH; `make bench` sees to that")
    others = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    subprocess.run(
        [uv, "sync", "--quiet", "--frozen", "--only-group", "bench", "--no-install-project", "--inexact"],
        cwd=ROOT,
        env=others | {"UV_PROJECT_ENVIRONMENT": str(HOME / "env")},
        check=True,
    )
    return HOME / "env" / "bin" / "sidemantic"


def _define(files: Sequence[str]) -> tuple[Path, Path]:
    """Its model (JSON is YAML) and a DuckDB file with the files as the view `sales`."""
    import duckdb

    models, database = HOME / "models", HOME / "sales.duckdb"
    models.mkdir(parents=True, exist_ok=True)
    (models / "sales.yml").write_text(json.dumps({"models": [MODEL]}))
    database.unlink(missing_ok=True)
    listed = ", ".join(f"'{path}'" for path in files)
    with duckdb.connect(str(database)) as connection:
        connection.execute(f"CREATE VIEW sales AS SELECT * FROM read_parquet([{listed}])")
    return models, database
