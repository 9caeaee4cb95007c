"""A small load after 2,000 others beside the 10th, with upkeep when it is due.

20 lines of one of 400 merchants at a time, days going on. What upkeep takes is told apart: it runs in the background.
"""

from statistics import median
from time import perf_counter

from bench.harness import Entry, note, rounds
from bench.parts.many import Shop, lines, merchants, shop, source
from bench.parts.sales import END, START, _micros
from jangbu.insight.ingest.contracts import LoadMode

ROWS = 20
WINDOW = 5
"""Commits on either side of the one that is told, of which it is the median."""


def run() -> list[Entry]:
    commits = rounds(2_000)
    with shop() as place:
        seconds, upkeeps = _commit(place, commits)
        state = place.lakehouse.state("many_sales", on_disk=True)
    early, late = (median(seconds[at - WINDOW : at + WINDOW + 1]) * 1000 for at in (10, commits - WINDOW - 1))
    beside = {
        "the 10th (ms)": early,
        f"the {commits:,}th (ms)": late,
        "the slowest (ms)": max(seconds) * 1000,
        "upkeeps": len(upkeeps),
        "upkeep in all (s)": sum(upkeeps),
        "loads in all (s)": sum(seconds),
        "snapshots": state.snapshots,
        "manifests": state.manifests,
        "files": state.files,
        "metadata (KB)": state.metadata_bytes / 1000,
        "retired files": state.retired_files,
    }
    return [Entry("commits", late / early, "x", 2.0, beside=beside)]


def _commit(place: Shop, commits: int) -> tuple[list[float], list[float]]:
    """Seconds of each load, and of each upkeep."""
    kind, tenants = source(), merchants(400)
    first, step = _micros(START), (_micros(END) - _micros(START)) // commits
    seconds, upkeeps = [], []
    for number in range(commits):
        at = first + number * step
        rows = lines(ROWS, number, start=at, end=at + step)
        start = perf_counter()
        place.ingest.load(kind, tenant=tenants[number % 400], batches=rows, mode=LoadMode.APPEND)
        seconds.append(perf_counter() - start)
        start = perf_counter()
        if place.ingest.upkeep.is_due("many_sales"):
            place.ingest.upkeep.run("many_sales")
            upkeeps.append(perf_counter() - start)
        if (number + 1) % 250 == 0:
            note(f"{number + 1:,} commits, the last {seconds[-1] * 1000:.0f} ms")
    return seconds, upkeeps
