"""A question over HTTP, nothing cached, beside the fastest hand-written DuckDB SQL.

Revenue by day in New York and category with one filter: 5M of 10M rows, 12 of 192 files, 14,600 rows in the answer. All sides read
the same files and must give the same rows.
"""

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from bench.harness import Entry, interleaved, note, rounds
from bench.parts import handwritten
from bench.parts.jangbu_side import ARROW, JSON, Jangbu, Prepared, jangbu, prepare
from bench.parts.peer import Sidemantic, sidemantic
from bench.parts.servers import NeverReady

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

NAIVE, FAST = "plain SQL (ms)", "fastest SQL (ms)"


def run() -> list[Entry]:
    return list(measured(prepare(), "cold_request", peer=True))


def measured(prepared: Prepared, name: str, *, peer: bool = False) -> Iterator[Entry]:
    """The entry `name` and those beside it, whose names begin as it does."""
    with ExitStack() as stack:
        connection = stack.enter_context(handwritten.connect(os.cpu_count() or 1))
        queries = {**handwritten.fast(prepared.files), NAIVE: handwritten.naive(prepared.files)}
        cases: dict[str, Callable[[], object]] = {each: partial(_rows, connection, query) for each, query in queries.items()}
        wanted = handwritten.sorted_rows(_rows(connection, queries[NAIVE]))
        for each, query in queries.items():
            _same(each, wanted, handwritten.sorted_rows(_rows(connection, query)))
        ours = stack.enter_context(jangbu(prepared))
        cases |= _ours(ours, wanted)
        if peer and (found := _peer(stack, prepared.files)) is not None:
            cases |= _theirs(found, wanted)
        milliseconds = interleaved(cases, rounds(21))
    yield from _entries(milliseconds, len(wanted), name)


def _rows(connection: "duckdb.DuckDBPyConnection", query: str) -> "pa.Table":
    return connection.execute(query).to_arrow_table()


def _ours(side: Jangbu, wanted: list[handwritten.Row]) -> dict[str, Callable[[], object]]:
    _same("Jangbu, Arrow", wanted, handwritten.sorted_rows(side.rows()))
    _same("Jangbu, JSON", wanted, sorted(side.json_rows()))
    return {"arrow": partial(side.ask, ARROW), "json": partial(side.ask, JSON)}


def _theirs(peer: Sidemantic, wanted: list[handwritten.Row]) -> dict[str, Callable[[], object]]:
    _same("sidemantic", wanted, handwritten.sorted_rows(peer.rows()))
    return {"sidemantic arrow": partial(peer.ask, "arrow"), "sidemantic json": partial(peer.ask, "json")}


def _peer(stack: ExitStack, files: list[str]) -> Sidemantic | None:
    """sidemantic, or None where it can't be installed; the bench goes on without it."""
    try:
        return stack.enter_context(sidemantic(files))
    except (subprocess.CalledProcessError, OSError, NeverReady) as error:
        note(f"without sidemantic: {error}")
        return None


def _same(side: str, wanted: list[handwritten.Row], found: list[handwritten.Row]) -> None:
    if found != wanted:
        first = next((pair for pair in zip(wanted, found, strict=False) if pair[0] != pair[1]), (len(wanted), len(found)))
        raise ValueError(f"{side} answers otherwise than plain SQL: {first[1]} for {first[0]}")


def _entries(milliseconds: Mapping[str, float], rows: int, name: str) -> Iterator[Entry]:
    candidates = {name: value for name, value in milliseconds.items() if name in handwritten.BUCKETS}
    winner = min(candidates, key=lambda name: candidates[name])
    fast, plain = candidates[winner], milliseconds[NAIVE]

    def entry(kind: str, case: str, goal: float | None, beside: str = FAST, than: float = fast) -> Entry:
        return Entry(
            f"{name}{kind}", milliseconds[case] / than, "x", goal, beside={f"{case} (ms)": milliseconds[case], beside: than}
        )

    yield entry("", "arrow", 1.3)
    yield entry("_json", "json", 1.6)
    yield entry("_naive", "arrow", 0.5, NAIVE, plain)
    if "sidemantic arrow" in milliseconds:
        yield entry("_sidemantic", "sidemantic arrow", None)
        yield entry("_sidemantic_json", "sidemantic json", None)
    others = {f"{name} (ms)": value for name, value in candidates.items()}
    yield Entry(f"{name}_sql", fast, "ms", beside={"rows": rows, "fastest": winner, **others, NAIVE: plain})
