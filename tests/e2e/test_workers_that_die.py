"""Workers are killed over and over while loads are committed: every event reaches each of its handlers, and takes effect once."""

import random
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from time import monotonic, sleep

import pyarrow as pa
import pytest
from support.processes import Running, running

from jangbu.entrypoints.bootstrap import Application
from jangbu.entrypoints.settings import Settings
from jangbu.insight.ingest.contracts import LoadMode
from jangbu.kernel.tenancy import TenantId

pytestmark = pytest.mark.slow

LOADS, KILLS = 24, 8
HANDLER = '''
"""Notes that it heard of a version, then counts it in a unit of work, then takes its time."""

from time import sleep
from typing import Any

from jangbu.insight.ingest.contracts import TenantDataUpdated
from jangbu.kernel.handlers import Context, Handler


def count(event: TenantDataUpdated, context: Context[Any]) -> None:
    from sqlalchemy import text

    with (context.parts.folder / "heard-{name}").open("a") as heard:
        heard.write(f"{{event.version}}\\n")
    sleep(0.02)
    with context.parts.database.transaction() as work:
        if work.first_time(context):
            effect = {{"handler": "{name}", "version": event.version}}
            work.connection.execute(text("INSERT INTO effects VALUES (:handler, :version)"), effect)
    sleep(0.02)


PLUGIN = Handler(kind="event_handler", name="{name}", summary="Counts.", handles=TenantDataUpdated, open=count)
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A place with two handlers and a table for their effects."""
    (tmp_path / "plugins" / "event_handlers").mkdir(parents=True)
    for name in ("one", "two"):
        (tmp_path / "plugins" / "event_handlers" / f"{name}.py").write_text(HANDLER.format(name=name))
    with Application(Settings(folder=tmp_path / ".jangbu")) as application:
        application.access.create_tenant("shop", "Shop", "UTC", "USD")
    with closing(sqlite3.connect(tmp_path / ".jangbu" / "jangbu.db")) as connection:
        connection.execute("CREATE TABLE effects (handler TEXT, version INTEGER)")
    return tmp_path


@contextmanager
def worker(folder: Path, number: int) -> Iterator[Running]:
    settings = {
        "JANGBU_PLUGIN_FOLDERS": str(folder / "plugins"),
        "JANGBU_MESSAGE_LEASE": "1",
        "JANGBU_MESSAGE_PAUSE": "0.1",
        "JANGBU_MESSAGE_TRIES": "1000",
    }
    with running("worker", folder=folder, name=f"worker-{number}", ready=False, env=settings) as started:
        yield started


def heard(folder: Path, name: str) -> list[int]:
    file = folder / ".jangbu" / f"heard-{name}"
    return [int(line) for line in file.read_text().splitlines()] if file.exists() else []


def effects(folder: Path) -> Counter[tuple[str, int]]:
    with closing(sqlite3.connect(folder / ".jangbu" / "jangbu.db")) as connection:
        return Counter(connection.execute("SELECT handler, version FROM effects").fetchall())


def test_every_event_takes_effect_once_in_each_handler(folder: Path) -> None:
    chance = random.Random(7)
    with Application(Settings(folder=folder / ".jangbu")) as application, ExitStack() as workers:
        source = application.catalog.data_source("coupons")
        alive = [workers.enter_context(worker(folder, number)) for number in range(2)]
        for number in range(LOADS):
            row = {name: [f"{name} {number}"] for name in ("coupon_upc", "product", "campaign")}
            application.ingest.load(source, tenant=TenantId("shop"), batches=pa.table(row), mode=LoadMode.APPEND)
            if number % (LOADS // KILLS) == 0:
                # Not before it has begun to work, or it would be killed while it starts.
                await_words(folder, number)
                sleep(chance.uniform(0, 0.2))
                kill(alive.pop(0))
                alive.append(workers.enter_context(worker(folder, 2 + number)))
        expected = {(name, version) for name in ("one", "two") for version in range(1, LOADS + 1)}
        until_settled(application, 60)
        assert effects(folder) == Counter(dict.fromkeys(expected, 1))
        assert {version for name in ("one", "two") for version in heard(folder, name)} == set(range(1, LOADS + 1))
        assert application.queues.parked() == ()


def await_words(folder: Path, least: int) -> None:
    """Until a handler has heard of about as many versions as there are."""
    ends = monotonic() + 30
    while len(heard(folder, "one")) < max(1, least - 2):
        assert monotonic() < ends, "no worker works"
        sleep(0.01)


def kill(victim: Running) -> None:
    process: subprocess.Popen[str] = victim.process
    assert process.poll() is None, victim.said
    process.kill()
    process.wait(10)


def until_settled(application: Application, seconds: float) -> None:
    ends = monotonic() + seconds
    while application.relay.lag(application.clock.now())[0] or application.queues.depths():
        assert monotonic() < ends, f"left: {application.queues.depths()}"
        sleep(0.1)
