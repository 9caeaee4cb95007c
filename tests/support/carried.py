"""A store of two tenants with all that may stand in one, and servers to carry it over to."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from services.running import Running
from sqlalchemy import insert
from support.databases import own_mariadb, own_postgres
from support.servers import own_database
from support.stores import bucket_of
from support.two_shops import HANOK, NAMU, rows, set_up
from support.world import arrow_of, rows_of

from jangbu.entrypoints.bootstrap import Application
from jangbu.entrypoints.migrating.places import Places, places
from jangbu.entrypoints.settings import Settings, load
from jangbu.insight.dashboards.requests import request_of
from jangbu.insight.ingest.contracts import LoadMode, LoadResult, Person
from jangbu.kernel.tenancy import Principal, TenantId
from jangbu.platform.database.schema import METADATA
from jangbu.platform.lakehouse.ports import TimeRange
from jangbu.platform.queues.ports import Outgoing

QUESTIONS = (
    {"data_source": "sales", "measures": ["revenue", "orders"], "dimensions": ["department"]},
    {"data_source": "sales", "measures": ["revenue"], "time": {"range": "2017"}, "time_frequency": "day"},
    {"data_source": "coupons", "measures": ["coupons_issued"]},
)


def settings_of(folder: Path, **given: Any) -> Settings:
    return load(folder=folder, query_log=False, **given)


def filled(folder: Path) -> None:
    """Appends, a merge, a replaced range, a customer erased, bad rows, spooled rows, an intent of a dead process, and messages that
    wait, that a worker holds, that are parked, that are in the outbox."""
    set_up(folder)
    with Application(settings_of(folder)) as application:
        sale = application.catalog.data_source("sales")
        again(application, LoadMode.MERGE, "merged")
        again(application, LoadMode.REPLACE, "replaced")
        application.erase_customer(TenantId(NAMU), Person("household", "household 1"), "the test", lambda _: None)
        application.ingest.spool(sale, [{**arrow_of(sale, rows(sale, HANOK)).to_pylist()[0], "tenant": HANOK}])
        while application.relay.run():
            pass
        again(application, LoadMode.APPEND, "appended")
        queues = application.queues
        queues.send("commands", [Outgoing(each, "{}") for each in "abc"])
        held, parked = queues.receive("commands", lease=timedelta(minutes=9), limit=2)
        assert queues.park(parked, "The till is busy.")
        assert held.id == "a"
        _leave_intent(application)


def again(application: Application, mode: LoadMode, content: str) -> LoadResult:
    """The same each time: the second one changes nothing."""
    source = application.catalog.data_source("sales")
    table = arrow_of(source, rows(source, HANOK))
    more: dict[str, Any] = {}
    if mode is LoadMode.MERGE:
        more["keys"] = ("basket_id", "product_id") if "product_id" in source.columns else (next(iter(table.column_names)),)
        table = table.slice(0, 1)
    if mode is LoadMode.REPLACE:
        more["span"] = TimeRange(datetime(2017, 3, 1, tzinfo=UTC), datetime(2017, 3, 2, tzinfo=UTC))
        table = table.slice(0, 1)
    return application.ingest.load(source, tenant=TenantId(HANOK), batches=table, mode=mode, content=content, **more)


def _leave_intent(application: Application) -> None:
    now = application.clock.now()
    with subprocess.Popen(["true"]) as dead:
        dead.wait()
    from jangbu.insight.ingest import owner

    texts = {"data_source": "sales", "tenant": NAMU, "attempt": "gone", "run": "gone", "lakehouse_table": "sales", "mode": "append"}
    numbers = {"rows": 1, "bad": 0, "repeated": 0, "keys": [], "content": "gone"}
    times = {"as_of": now, "lease_ends_at": now + timedelta(hours=1), "started_at": now}
    mine = owner.this_process().split("|")
    with application.database.transaction() as work:
        row = {**texts, **numbers, **times, "owner": f"{mine[0]}|{dead.pid}|1"}
        work.connection.execute(insert(METADATA.tables["load_intents"]).values(row))


def answers(settings: Settings) -> list[Any]:
    """What is asked and answered, with the versions that the answers tell."""
    application = Application(settings)
    try:
        application.start()
        found = []
        for names in ((HANOK,), (NAMU,)):
            for question in QUESTIONS:
                answer = application.dashboards.query(Principal(tuple(map(TenantId, names))), request_of(dict(question)))
                found.append((sorted(map(str, rows_of(answer.table))), dict(answer.meta.data_versions), dict(answer.meta.as_of)))
        return found
    finally:
        application.close()


def snapshots(settings: Settings) -> dict[str, Any]:
    """What must survive of each table: ids, summaries, tags, properties."""
    application = Application(settings)
    try:
        lakehouse: Any = application.lakehouse
        tables = {name: lakehouse.catalog.load_table(("jangbu", name)).metadata for name in lakehouse.tables()}
        return {
            name: (
                found.table_uuid,
                [(each.snapshot_id, each.parent_snapshot_id, each.sequence_number, each.summary) for each in found.snapshots],
                found.refs,
                found.properties,
                found.current_snapshot_id,
            )
            for name, found in tables.items()
        }
    finally:
        application.close()


@dataclass(frozen=True)
class Servers:
    """A settings file of the target, and what it says."""

    file: Path
    said: Mapping[str, Any]

    def places(self, folder: Path) -> Places:
        return places(settings_of(folder), self.file, {})

    def settings(self, folder: Path) -> Settings:
        return self.places(folder).target

    @property
    def bucket(self) -> str:
        return str(self.said["warehouse"])


@contextmanager
def servers(
    folder: Path,
    s3: Running,
    postgres: Running,
    sqs: Running | None = None,
    mariadb: Running | None = None,
    rest: Running | None = None,
) -> Iterator[Servers]:
    """Empty places on real servers, gone afterwards. The catalog is in `postgres` where there is no `rest`."""
    database = own_mariadb(mariadb) if mariadb is not None else own_postgres(postgres)
    with ExitStack() as stack:
        said: dict[str, Any] = {
            "database": stack.enter_context(database),
            "lake_catalog": stack.enter_context(own_database(postgres)) if rest is None else rest["url"],
            "warehouse": f"s3://{stack.enter_context(bucket_of(s3))}/lake",
            "s3_endpoint": s3["url"],
            "s3_region": s3["region"],
            "s3_access_key": s3["access_key"],
            "s3_secret_key": s3["secret_key"],
        }
        if rest is not None:
            said |= {"lake_catalog_credential": rest["credential"]}
        if sqs is not None:
            said |= {"queues": "sqs", "sqs_prefix": f"{uuid4().hex[:12]}-", "sqs_endpoint": sqs["url"], "sqs_region": sqs["region"]}
            said |= {"sqs_access_key": sqs["access_key"], "sqs_secret_key": sqs["secret_key"]}
        file = folder / "target.toml"
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in said.items()) + "query_log = false\n")
        yield Servers(file, said)
