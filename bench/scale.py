"""Ten questions over more and more rows, answered by DuckDB in the process and by a Trino server; no answer is kept.

Both read the same tables: one merchant's sale lines on S3 (5, 20 and 50 million; `ROWS=1M,3M` says other sizes), asked over HTTP,
one at a time, in interleaved rounds. Their answers must be the same. The servers are those of `services`, started for the bench.
"""

import os
import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

from services.run import Run

from bench.harness import Entry, interleaved, note, rounds
from bench.parts.jangbu_side import ARROW, Jangbu, Prepared, jangbu
from bench.parts.memory import Peak
from bench.parts.on_s3 import servers
from bench.parts.questions import QUESTIONS, is_same
from bench.parts.sales import months_of_one
from bench.parts.trino_side import fill, place_of

ROWS = "5M,20M,50M"
PATIENCE = 600
"""Seconds for an answer."""
DUCKDB, TRINO = "duckdb", "trino"
ENGINES = (DUCKDB, TRINO)


@dataclass(frozen=True, slots=True)
class Point:
    """What was measured at one size: milliseconds of each question by engine, and each engine's highest megabytes."""

    rows: int
    milliseconds: Mapping[str, Mapping[str, float]]
    megabytes: Mapping[str, float]

    def seconds(self, engine: str) -> float:
        """Of all questions."""
        return sum(self.milliseconds[engine].values()) / 1000

    @property
    def ratio(self) -> float:
        return self.seconds(TRINO) / self.seconds(DUCKDB)


def run() -> list[Entry]:
    sizes = sizes_of(os.environ.get("ROWS") or ROWS)
    with servers() as (started, folder):
        points = [_measured(started, folder / f"rows-{rows}", rows) for rows in sizes]
    return entries(points)


def sizes_of(text: str) -> list[int]:
    """`1M,500k,2000` in ascending order.

    Raises:
        ValueError: something else.
    """
    found = [re.fullmatch(r"(\d+)([kKM]?)", part.strip()) for part in text.split(",")]
    if None in found:
        raise ValueError(f"ROWS={text!r}: sizes are written as 1M,500k,2000")
    factors = {"": 1, "k": 1_000, "K": 1_000, "M": 1_000_000}
    return sorted(int(each[1]) * factors[each[2]] for each in found if each is not None)


def _measured(started: Run, folder: Path, rows: int) -> Point:
    place = place_of(started)
    prepared, _ = fill(place, folder, months_of_one(rows))
    note(f"asking {len(QUESTIONS)} questions over {rows:,} rows")
    with ExitStack() as stack:
        sides = {engine: stack.enter_context(jangbu(_by(engine, prepared), PATIENCE)) for engine in ENGINES}
        for name, question in QUESTIONS.items():
            if not is_same(*(side.rows(question) for side in sides.values())):
                raise ValueError(f"DuckDB and Trino differ over {rows:,} rows in {name!r}")
        peaks = {DUCKDB: Peak([sides[DUCKDB].process]), TRINO: Peak([sides[TRINO].process, started.service("trino").pid()])}
        found = interleaved(
            {f"{engine} {name}": case for engine in ENGINES for name, case in _cases(sides[engine]).items()}, rounds(3), 1
        )
        megabytes = {engine: peak.megabytes() for engine, peak in peaks.items()}
    return Point(rows, {engine: {name: found[f"{engine} {name}"] for name in QUESTIONS} for engine in ENGINES}, megabytes)


def _by(engine: str, prepared: Prepared) -> Prepared:
    return replace(prepared, settings={**prepared.settings, "engine": engine, "query_timeout": str(PATIENCE)})


def _cases(side: Jangbu) -> dict[str, Callable[[], object]]:
    return {name: partial(side.ask, ARROW, question) for name, question in QUESTIONS.items()}


def entries(points: list[Point]) -> list[Entry]:
    """From which size Trino wins, the ratio at each size, and what both took there."""
    winning = next((point.rows for point in points if point.ratio <= 1), None)
    beside: dict[str, float | int | str] = {
        "trino ÷ duckdb": ", ".join(f"{point.rows / 1e6:g}M: {point.ratio:.2f}" for point in points)
    }
    if winning is None:
        crossing = meeting(points)
        beside["by straight lines"] = "the lines don't meet" if crossing is None else f"from {crossing / 1e6:.0f}M rows"
    first = Entry("scale", None if winning is None else winning / 1e6, "M rows", beside=beside)
    return [first, *(_entry(point) for point in points)]


def meeting(points: list[Point]) -> float | None:
    """The rows at which Trino's time meets DuckDB's, if the last two sizes lie on straight lines; None: they don't meet."""
    for one, other in list(pairwise(points))[-1:]:
        slopes = {engine: (other.seconds(engine) - one.seconds(engine)) / (other.rows - one.rows) for engine in ENGINES}
        if slopes[DUCKDB] > slopes[TRINO]:
            return other.rows + (other.seconds(TRINO) - other.seconds(DUCKDB)) / (slopes[DUCKDB] - slopes[TRINO])
    return None


def _entry(point: Point) -> Entry:
    beside: dict[str, float | int | str] = {f"{engine}, all (ms)": point.seconds(engine) * 1000 for engine in ENGINES}
    beside |= {f"{engine}, highest (MB)": point.megabytes[engine] for engine in ENGINES}
    for name in QUESTIONS:
        beside[f"{name} (ms, ms)"] = ", ".join(f"{point.milliseconds[engine][name]:.0f}" for engine in ENGINES)
    return Entry(f"scale_{point.rows / 1e6:g}M", point.ratio, "x", beside=beside)
