"""A question over HTTP, answered by a Trino server, beside the same SQL sent by Trino's own client alone.

Revenue by day in New York and category with one filter: 5M rows on S3, 14,600 rows in the answer. The servers are those of
`services`, started for the bench.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.harness import Entry, interleaved, rounds
from bench.parts.jangbu_side import ARROW, JSON, jangbu
from bench.parts.on_s3 import servers
from bench.parts.trino_side import Place, fill, place_of

CLIENT, LEGACY = "client (ms)", "client, plain types (ms)"


def run() -> list[Entry]:
    with servers() as (started, folder):
        return _measured(place_of(started), folder / "data")


def _measured(place: Place, folder: Path) -> list[Entry]:
    prepared, sql = fill(place, folder)
    with jangbu(prepared) as ours:
        cases: dict[str, Callable[[], object]] = {
            CLIENT: partial(_by_client, place.trino, sql, plain=False),
            LEGACY: partial(_by_client, place.trino, sql, plain=True),
            "arrow": partial(ours.ask, ARROW),
            "json": partial(ours.ask, JSON),
        }
        found = interleaved(cases, rounds(15), warm_up=4)
        count = _by_client(place.trino, sql, plain=True)
    beside = {"arrow (ms)": found["arrow"], **{name: found[name] for name in (CLIENT, LEGACY)}, "rows": count}
    return [
        Entry("trino_overhead", found["arrow"] / found[CLIENT], "x", 1.15, beside=beside),
        Entry("trino_overhead_plain", found["arrow"] / found[LEGACY], "x", None, beside=beside),
        Entry("trino_overhead_json", found["json"] / found[CLIENT], "x", None, beside={"json (ms)": found["json"]}),
    ]


def _by_client(url: str, sql: str, *, plain: bool) -> int:
    """`plain`: the client leaves decimals and dates the texts they come as."""
    import trino

    there = urlsplit(url)
    account: dict[str, Any] = {"host": there.hostname, "port": there.port, "user": "bench", "legacy_primitive_types": plain}
    with trino.dbapi.connect(**account, timezone="UTC") as connection:
        return len(connection.cursor().execute(sql).fetchall())
