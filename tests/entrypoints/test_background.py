"""The worker and the scheduler beside an application."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event
from time import monotonic, sleep
from typing import Any

import pytest

from jangbu.entrypoints.background import Background
from jangbu.entrypoints.bootstrap import Application
from jangbu.entrypoints.settings import Settings
from jangbu.insight.ingest.commands import FlushSpool, RecoverLoads
from jangbu.insight.ingest.events import TenantDataUpdated
from jangbu.kernel.errors import Unavailable
from jangbu.kernel.handlers import Handler, Job
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.queues.bus import Handlers


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    ends = monotonic() + seconds
    while not condition():
        assert monotonic() < ends, "it didn't come to be"
        sleep(0.01)


def handlers(open_: Callable[..., Any], **more: Any) -> Handlers:
    handler = Handler(kind="command_handler", name="recover", summary="A test's.", handles=RecoverLoads, open=open_, **more)
    messages = {kind.__name__: kind for kind in (RecoverLoads, TenantDataUpdated)}
    return Handlers({}, {"recover": handler}, messages)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Application]]:
    made: list[Application] = []

    def make_(kind: type[Application] = Application, **given: Any) -> Application:
        settings = Settings(folder=tmp_path / "data", shutdown_seconds=given.pop("shutdown_seconds", 5))
        made.append(kind(settings, dashboards="not needed", **given))
        made[-1].open()
        return made[-1]

    yield make_
    for application in made:
        application.close()


def send(application: Application, *commands: Any) -> None:
    with application.database.transaction() as work:
        work.send(*commands)


def test_a_worker_does_what_is_sent_and_a_scheduler_sends(make: Callable[..., Application]) -> None:
    done: list[int] = []
    job = Job("recover", timedelta(seconds=0.5), RecoverLoads())
    application = make(handlers=handlers(lambda *_: done.append(1), jobs=(job,)))
    Background(application, worker=True, scheduler=True).start()
    until(lambda: len(done) >= 2)


def test_a_worker_whose_servers_are_away_at_its_start_begins_when_they_are_back(
    make: Callable[..., Application], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jangbu.entrypoints.background._AGAIN", 0.05)
    tries: list[int] = []

    class Late(Application):
        def start(self) -> None:
            tries.append(1)
            if len(tries) < 3:
                raise Unavailable("The catalog can't be reached.") if len(tries) == 1 else RuntimeError("It is odd.")
            super().start()

    done: list[int] = []
    application = make(Late, handlers=handlers(lambda *_: done.append(1)))
    Background(application, worker=True, scheduler=False).start()
    send(application, RecoverLoads())
    until(lambda: len(done) == 1)
    assert len(tries) == 3


def test_a_worker_that_cant_begin_stops(make: Callable[..., Application]) -> None:
    class Never(Application):
        def start(self) -> None:
            raise Unavailable("The catalog can't be reached.")

    background = Background(make(Never, handlers=handlers(lambda *_: None)), worker=True, scheduler=True)
    background.start()
    sleep(0.1)
    background.stop()


def test_a_worker_alone_sends_nothing_by_itself(make: Callable[..., Application]) -> None:
    done: list[int] = []
    job = Job("recover", timedelta(seconds=0.01), RecoverLoads())
    application = make(handlers=handlers(lambda *_: done.append(1), jobs=(job,)))
    Background(application, scheduler=False).start()
    send(application, RecoverLoads())
    until(lambda: done == [1])
    sleep(1.2)
    assert done == [1]


def test_a_close_waits_for_what_runs_before_it_takes_the_parts_away(make: Callable[..., Application]) -> None:
    began, found = Event(), []

    def handle(_: Any, context: Any) -> None:
        began.set()
        sleep(0.5)
        found.append(context.parts.ingest.recover())

    application = make(handlers=handlers(handle))
    Background(application).start()
    send(application, RecoverLoads())
    assert began.wait(20)
    application.close()
    assert found == [()]


def test_a_background_that_was_never_started_stops(make: Callable[..., Application]) -> None:
    background = Background(make())
    background.ask_to_stop()
    background.stop()


def test_a_command_of_ours_is_done(make: Callable[..., Application]) -> None:
    application = make()
    source = application.catalog.data_source("query_log")
    application.access.create_tenant("shop", "Shop", "Asia/Seoul", "KRW")
    row = {column.name: None for column in source.columns.values()} | {"tenant": TenantId("shop"), "query_id": "q1"}
    application.ingest.spool(source, [row | {"asked_at": application.clock.now()}])
    Background(application).start()
    send(application, FlushSpool("query_log"), RecoverLoads())
    until(lambda: [load.rows for load in application.ingest.loads([TenantId("shop")])] == [1])
    until(lambda: application.relay.lag(application.clock.now())[0] == 0 and not application.queues.depths())


def test_the_metrics_tell_how_full_queues_and_outbox_are(make: Callable[..., Application]) -> None:
    application = make()
    send(application, RecoverLoads(), RecoverLoads())
    application.relay.run()
    send(application, RecoverLoads())
    lines = application.metrics.exposition().decode().splitlines()
    assert 'jangbu_queue_messages{queue="commands",state="waiting"} 2.0' in lines
    assert "jangbu_outbox_messages 1.0" in lines
    assert 'jangbu_queue_messages{queue="events",state="parked"} 0.0' in lines
    application.queues.receive("commands", lease=timedelta(minutes=1))
    lines = application.metrics.exposition().decode().splitlines()
    assert 'jangbu_queue_messages{queue="commands",state="held"} 1.0' in lines


def test_metrics_of_an_application_that_isnt_open_make_nothing(tmp_path: Path) -> None:
    Application(Settings(folder=tmp_path / "data")).metrics.exposition()
    assert not (tmp_path / "data").exists()
