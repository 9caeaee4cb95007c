"""The question of `cold_request` after 2,000 small loads more, with upkeep when it was due.

20 lines of one of the 400 merchants at a time, days going on, into the same 10 million; made once, then kept. All sides read the
same files.
"""

from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa

from bench.cold_request import measured
from bench.harness import BUILD, Entry, note
from bench.parts.jangbu_side import prepare
from bench.parts.many import lines
from bench.parts.sales import ASKED, CATEGORIES, CHANNELS, END, MERCHANTS, START, _micros
from bench.parts.warehouse import TABLE, files_of
from jangbu.entrypoints.bootstrap import Application
from jangbu.insight.ingest.contracts import LoadMode
from jangbu.kernel.tenancy import TenantId

FOLDER = BUILD / "after-commits"
COMMITS, ROWS = 2_000, 20


def run() -> list[Entry]:
    beside: dict[str, int] = {}

    def commit(application: Application) -> list[str]:
        _commit(application)
        state = application.ingest.upkeep.state(TABLE.name)
        asked = files_of(application.lakehouse, (TenantId(ASKED),))
        beside.update({"snapshots": state.snapshots, "manifests": state.manifests, "files": state.files, "files read": len(asked)})
        return asked

    def told() -> Iterator[Entry]:
        first, *others = measured(prepare(FOLDER, commit), "cold_after_commits")
        yield replace(first, beside={**first.beside, **beside})
        yield from others

    return list(told())


def _commit(application: Application) -> None:
    """What was committed by an earlier run is skipped."""
    source, ingest = application.catalog.data_source(TABLE.name), application.ingest
    first, step = _micros(START), (_micros(END) - _micros(START)) // COMMITS
    for number in range(COMMITS):
        tenant, at = TenantId(f"merchant-{number % MERCHANTS:03d}"), first + number * step
        ingest.load(source, tenant=tenant, batches=_rows(number, at, at + step), mode=LoadMode.APPEND, content=f"small {number}")
        if number % 10 == 9 and ingest.upkeep.is_due(TABLE.name):
            ingest.upkeep.run(TABLE.name)
        if (number + 1) % 250 == 0:
            note(f"{number + 1:,} commits")


def _rows(number: int, start: int, end: int) -> pa.Table:
    rows = lines(ROWS, number, start=start, end=end).drop_columns("basket")
    channels = list(CHANNELS)
    rows = rows.append_column("category", pa.array([f"category {(number + at) % CATEGORIES:02d}" for at in range(ROWS)]))
    return rows.append_column("channel", pa.array([channels[at % len(channels)] for at in range(ROWS)]))
