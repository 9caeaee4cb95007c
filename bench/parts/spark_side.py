"""A lakehouse on S3, with a catalog in PostgreSQL, that a Spark server shares; and many small loads into it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from services.servers.spark import files_on, over_postgres

from bench.harness import note
from bench.parts.many import lines
from bench.parts.on_s3 import new_bucket
from bench.parts.sales import ASKED, CATEGORIES, CHANNELS, END, START
from bench.parts.warehouse import DEFINITIONS, TABLE
from jangbu.entrypoints.bootstrap import Application
from jangbu.platform.lakehouse.iceberg import CATALOG

if TYPE_CHECKING:
    import pyarrow as pa
    from services.run import Run

ROWS = 20


@dataclass(frozen=True, slots=True)
class Place:
    """A new bucket and database; `settings` are Jangbu's, and name the server."""

    settings: Mapping[str, str]


def place_of(run: "Run") -> Place:
    spark, bucket = run.service("spark"), new_bucket(run)
    session = over_postgres(CATALOG, bucket.warehouse, bucket.name, bucket.postgres, files_on(bucket.s3))
    engines = json.dumps({"spark": {"url": spark["url"], "session": session}})
    return Place({**bucket.settings(), "engines": engines, "definitions": str(DEFINITIONS)})


def fill(application: Application, files: int) -> Callable[[], object]:
    """Small loads without upkeep, a file each; what asks for revenue by day and category over them."""
    from jangbu.insight.dashboards.requests import request_of
    from jangbu.kernel.tenancy import Principal, TenantId

    application.open()
    application.access.create_tenant(ASKED, "Bench", "America/New_York", "USD")
    application.lakehouse.create(TABLE)
    first, step = round(START.timestamp() * 1_000_000), (END - START) // timedelta(microseconds=1) // files
    commits = min(files, 40)
    for number in range(commits):
        # Many files a commit: what is measured is the joining of files, not of snapshots.
        numbers = range(number * files // commits, (number + 1) * files // commits)
        staged = [
            application.lakehouse.stage(TABLE.name, _rows(each, first + each * step, first + (each + 1) * step), f"part-{each}")
            for each in numbers
        ]
        application.lakehouse.commit(application.lakehouse.join(staged, f"run-{number}"))
        if number % 10 == 9:
            note(f"{numbers[-1] + 1:,} files")
    question = request_of(
        {
            "data_source": "bench_sales",
            "measures": ["revenue"],
            "dimensions": ["category"],
            "time_frequency": "day",
            "limit": 100_000,
        }
    )
    principal = Principal((TenantId(ASKED),))
    return lambda: application.dashboards.query(principal, question)


def _rows(number: int, start: int, end: int) -> "pa.Table":
    import pyarrow as pa

    rows = lines(ROWS, number, start=start, end=end).drop_columns("basket")
    channels = list(CHANNELS)
    rows = rows.append_column("category", pa.array([f"category {(number + at) % CATEGORIES:02d}" for at in range(ROWS)]))
    rows = rows.append_column("channel", pa.array([channels[at % len(channels)] for at in range(ROWS)]))
    return rows.append_column("tenant", pa.array([ASKED] * ROWS))
