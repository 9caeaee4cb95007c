"""An embedded store carried over to PostgreSQL, S3 and SQS: the same answers, and nothing is done twice."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from services.plugin import GetService
from sqlalchemy import func, select
from support.carried import Servers, again, answers, filled, servers, settings_of, snapshots
from support.processes import environment
from support.stores import below
from support.two_shops import HANOK

from jangbu.entrypoints.bootstrap import Application
from jangbu.entrypoints.migrating.migration import opened
from jangbu.insight.ingest.contracts import LoadMode
from jangbu.kernel.errors import Closed, Conflict
from jangbu.platform.database import copying
from jangbu.platform.database.schema import METADATA, outbox

pytestmark = [pytest.mark.slow, pytest.mark.services("postgres", "s3", "elasticmq"), pytest.mark.timeout(480)]

KILLED = Path(__file__).parent / "killed.py"
PLACES = (
    "claim after", "close_for_writing after", "carry before", "carry after", "note_file after", "seen after", "note_verified after",
    "_go_on_after before", "note_table after", "register before", "register after", "_park before", "_park after", "release before",
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    filled(folder)
    return folder


@pytest.fixture
def target(service: GetService, tmp_path: Path) -> Iterator[Servers]:
    with servers(tmp_path / "settings", service("s3"), service("postgres"), service("elasticmq")) as made:
        yield made


def command(*arguments: str, store: Path, place: str = "- -") -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, str(KILLED), *place.split(), "migrate-store", *arguments]
    env = environment(JANGBU_FOLDER=str(store), JANGBU_QUERY_LOG="false")
    return subprocess.run(words, capture_output=True, text=True, env=env, timeout=120, cwd=store.parent)


def carried(store: Path, target: Servers) -> list[str]:
    told: list[str] = []
    with opened(target.places(store), told.append) as migration:
        migration.run()
    return told


def checked(store: Path, target: Servers, before: list[Any]) -> None:
    """The new place has what the old one had, and goes on from there."""
    settings = target.settings(store)
    assert snapshots(settings) == snapshots(settings_of(store))
    assert answers(settings) == before == answers(settings_of(store))
    with Application(settings) as application:
        with application.database.reading() as connection:
            events = {row.message for row in connection.execute(select(outbox))}
        assert events
        assert sorted(each.id for each in application.queues.parked("commands")) == ["b"]
        received = [
            each.id for _ in range(3) for each in application.queues.receive("commands", lease=timedelta(minutes=1), limit=9)
        ]
        assert sorted(received) == ["a", "c"]
        assert not again(application, LoadMode.APPEND, "appended").changed
        numbers = select(func.max(METADATA.tables["loads"].c.id))
        with application.database.reading() as connection:
            last = connection.execute(numbers).scalar_one()
        assert again(application, LoadMode.APPEND, "more").changed
        with application.database.reading() as connection:
            assert connection.execute(numbers).scalar_one() > last
        for table in application.ingest.upkeep.tables():
            application.ingest.upkeep.run(table, whole=True, remove=True)
            assert not application.ingest.upkeep.verify(table).damages
        assert application.ingest.flush_spool(application.catalog.data_source("sales"))[0].tenant == HANOK


def test_answers_are_the_same_and_loads_are_done_once(store: Path, target: Servers) -> None:
    before = answers(settings_of(store))
    planned = command("--to", str(target.file), "--dry-run", store=store)
    assert planned.returncode == 0, planned.stderr
    assert "Nothing was changed." in planned.stdout
    done = command("--to", str(target.file), store=store)
    assert done.returncode == 0, done.stderr
    assert 'database = "postgresql://' in done.stdout
    assert not any(secret in done.stdout + done.stderr for secret in (target.said["s3_secret_key"], "p%40ss", "p@ss"))
    with Application(settings_of(store)) as closed, pytest.raises(Closed, match="closed for writing"):
        again(closed, LoadMode.APPEND, "late")
    second = command("--to", str(target.file), store=store)
    assert "carried over before; nothing was changed" in second.stdout
    checked(store, target, before)


def test_killed_at_every_step_it_goes_on(store: Path, target: Servers) -> None:
    before = answers(settings_of(store))
    for place in PLACES:
        killed = command("--to", str(target.file), store=store, place=place)
        assert killed.returncode == -signal.SIGKILL, f"{place}: {killed.stdout}{killed.stderr}"
    ended = command("--to", str(target.file), store=store)
    assert ended.returncode == 0, ended.stderr
    checked(store, target, before)


def test_a_damaged_copy_is_told_and_made_again(store: Path, target: Servers) -> None:
    assert command("--to", str(target.file), store=store, place="seen before").returncode == -signal.SIGKILL
    torn, gone = sorted(below(target.bucket, ".parquet"))[:2]
    torn.write_bytes(torn.read_bytes()[:-9] + b"123456789")
    gone.unlink()
    told = carried(store, target)
    assert {line.rpartition(" ")[2] for line in told if "copied again" in line} == {str(torn), str(gone)}
    assert answers(target.settings(store)) == answers(settings_of(store))


def test_one_at_a_time(store: Path, target: Servers) -> None:
    with opened(target.places(store), print):
        other = command("--to", str(target.file), store=store)
    assert other.returncode == 1
    assert "Another process is carrying this store over" in other.stderr


def test_a_target_that_holds_data_is_refused(store: Path, target: Servers) -> None:
    with Application(target.settings(store)) as application:
        application.access.create_tenant("corner", "corner", "UTC", "KRW", None)
    with pytest.raises(Conflict, match="tenants: 1 rows"):
        carried(store, target)
    with Application(settings_of(store)) as application:
        assert again(application, LoadMode.APPEND, "still open").changed


def test_a_store_that_is_reopened_is_carried_over_as_it_is_then(store: Path, target: Servers) -> None:
    assert command("--to", str(target.file), store=store, place="register before").returncode == -signal.SIGKILL
    assert command("--reopen", "--yes", store=store).returncode == 0
    with Application(settings_of(store)) as application:
        assert again(application, LoadMode.APPEND, "between").changed
    carried(store, target)
    checked(store, target, answers(settings_of(store)))


def test_rows_that_change_in_the_target_are_found(store: Path, target: Servers) -> None:
    assert command("--to", str(target.file), store=store, place="register before").returncode == -signal.SIGKILL
    with Application(target.settings(store)) as application, application.database.transaction() as work:
        work.connection.execute(METADATA.tables["loads"].update().values(rows=1))
    with pytest.raises(Conflict, match="'loads' isn't the same"):
        carried(store, target)
    carried(store, target)
    assert answers(target.settings(store)) == answers(settings_of(store))


def test_a_load_that_goes_on_is_waited_for(store: Path, target: Servers) -> None:
    with Application(settings_of(store)) as application, application.database.transaction() as work:
        from jangbu.insight.ingest import owner

        work.connection.execute(METADATA.tables["load_intents"].update().values(owner=owner.this_process()))
    with opened(target.places(store), print) as migration:
        migration._patience = 0.1
        with pytest.raises(Conflict, match="a load of 'sales'"):
            migration.run()


@pytest.mark.services("mariadb", "iceberg_rest")
def test_to_mariadb_and_a_catalog_behind_rest(store: Path, service: GetService, tmp_path: Path) -> None:
    behind = {"mariadb": service("mariadb"), "rest": service("iceberg_rest")}
    with servers(tmp_path / "maria", service("s3"), service("postgres"), **behind) as target:
        done = command("--to", str(target.file), store=store)
        assert done.returncode == 0, done.stderr
        assert "# lake_catalog_credential: as in the target's settings" in done.stdout
        assert target.said["lake_catalog_credential"].rpartition(":")[2] not in done.stdout + done.stderr
        settings = target.settings(store)
        assert snapshots(settings) == snapshots(settings_of(store))
        assert answers(settings) == answers(settings_of(store))
        with Application(settings) as there, Application(settings_of(store)) as here:
            for table in copying.tables():
                assert copying.summed(there.database, table) == copying.summed(here.database, table)
            assert again(there, LoadMode.APPEND, "more").changed
