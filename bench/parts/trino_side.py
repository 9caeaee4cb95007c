"""Jangbu over a Trino server: the lakehouse lies on S3 with a catalog in PostgreSQL, which Trino shares; only the merchant that is
asked has rows."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from services.servers.trino import execute, over_postgres

from bench.harness import note
from bench.parts.jangbu_side import QUESTION, Prepared
from bench.parts.on_s3 import new_bucket
from bench.parts.sales import ASKED, months
from bench.parts.warehouse import DEFINITIONS, TABLE
from jangbu.entrypoints.bootstrap import Application
from jangbu.entrypoints.settings import load
from jangbu.platform.lakehouse.iceberg import CATALOG

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import pyarrow as pa
    from services.run import Run


@dataclass(frozen=True, slots=True)
class Place:
    """A new bucket and database; `settings` are Jangbu's, `catalog` makes them known to the server at `trino`."""

    settings: "Mapping[str, str]"
    trino: str
    catalog: str


def place_of(run: "Run") -> Place:
    trino, bucket = run.service("trino"), new_bucket(run)
    engines = json.dumps({"trino": {"url": trino["url"], "catalog": bucket.name}})
    catalog = over_postgres(bucket.name, CATALOG, bucket.warehouse, bucket.name, bucket.postgres, bucket.s3)
    return Place({**bucket.settings(), "engine": "trino", "engines": engines}, trino["url"], catalog)


def merchants_own() -> "Iterator[pa.Table]":
    """The asked merchant's five million lines of the bench's data, month by month."""
    import pyarrow.compute as pc

    return (lines.filter(pc.equal(lines["tenant"], ASKED)) for lines in months())


def fill(place: Place, folder: Path, lines: "Iterable[pa.Table] | None" = None) -> tuple[Prepared, str]:
    """Load the merchant's lines, by default five million; returns how Jangbu is asked, and the SQL that the question is sent as."""
    from jangbu.insight.dashboards.requests import request_of
    from jangbu.kernel.tenancy import Principal, TenantId

    application = Application(load(folder=folder, definitions=(DEFINITIONS,), **place.settings))
    try:
        application.open()
        application.lakehouse.create(TABLE)  # and with it PyIceberg's own tables, which Trino expects
        execute(place.trino, place.catalog)
        for number, own in enumerate(lines if lines is not None else merchants_own()):
            note(f"loading {own.num_rows:,} lines (month {number + 1})")
            application.lakehouse.commit(application.lakehouse.stage(TABLE.name, own, f"month-{number + 1:02d}"))
        application.access.create_tenant(ASKED, "Bench", "America/New_York", "USD")
        _, secret = application.access.create_key("bench", [ASKED])
        explained = application.dashboards.explain(Principal((TenantId(ASKED),)), request_of(dict(QUESTION)))
        return Prepared(folder, [], secret.reveal(), place.settings), explained.legs[0]["sql"]
    finally:
        application.close()
