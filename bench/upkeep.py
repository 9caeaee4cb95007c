"""2,000 small files of one merchant joined by this process and by a Spark server, and a request's time before and after.

20 lines at a time into twelve months on S3, no upkeep between, so that no file is joined. Both sides join their own copy of the
same commits, in one run. The servers are those of `services`, started for the bench; BENCH_FILES takes another number of files.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from bench.harness import Entry, interleaved, note, rounds
from bench.parts.on_s3 import servers
from bench.parts.spark_side import Place, fill, place_of
from jangbu.entrypoints.bootstrap import Application
from jangbu.entrypoints.settings import load

if TYPE_CHECKING:
    from jangbu.insight.ingest.contracts import Upkept

FILES = 2_000
EMBEDDED, SPARK = "embedded", "spark"


def run() -> list[Entry]:
    files = int(os.environ.get("BENCH_FILES", FILES))
    with servers() as (started, folder):
        return _measured({side: place_of(started) for side in (EMBEDDED, SPARK)}, folder, files)


def _measured(places: dict[str, Place], folder: Path, files: int) -> list[Entry]:
    open_ = {side: Application(load(folder=folder / side, **place.settings)) for side, place in places.items()}
    try:
        asks = {side: fill(application, files) for side, application in open_.items()}
        before = _asked(asks)
        seconds, done = {}, {}
        for side, application in open_.items():
            seconds[side], done[side] = _joined(application, side)
            note(f"{side}: {done[side].files_before:,} files to {done[side].files_after:,} in {seconds[side]:.1f} s")
        after = _asked(asks)
    finally:
        for application in open_.values():
            application.close()
    beside = {
        **{f"{side} (s)": seconds[side] for side in seconds},
        "files": done[SPARK].files_before,
        **{f"files after, {side}": done[side].files_after for side in done},
    }
    return [
        Entry("upkeep", seconds[SPARK] / seconds[EMBEDDED], "x", beside=beside),
        *(
            Entry(
                f"request_after_{side}",
                after[side] / before[side],
                "x",
                beside={"before (ms)": before[side], "after (ms)": after[side]},
            )
            for side in open_
        ),
    ]


def _joined(application: Application, side: str) -> "tuple[float, Upkept]":
    """Seconds of the whole upkeep, removal of files included. Spark's first session is opened before."""
    from bench.parts.warehouse import TABLE

    by = "here" if side == EMBEDDED else application.engines.maintainer("spark")
    start = perf_counter()
    done = application.ingest.upkeep.run(TABLE.name, whole=True, remove=True, by=by)
    return perf_counter() - start, done


def _asked(asks: dict[str, Callable[[], object]]) -> dict[str, float]:
    return interleaved({side: partial(ask) for side, ask in asks.items()}, rounds(9))
