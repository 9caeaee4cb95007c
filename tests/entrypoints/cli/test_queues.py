"""`jangbu queues`: what waits, what was given up, and how it comes back."""

import json
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from services.plugin import GetService
from support import commands

from jangbu.entrypoints.bootstrap import Application
from jangbu.entrypoints.settings import Settings, load
from jangbu.insight.ingest.commands import FlushSpool, RecoverLoads
from jangbu.kernel.errors import NotFound, UnknownName
from jangbu.platform.queues.ports import Outgoing


@pytest.fixture
def application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    """Two commands are parked, one waits, one is in the outbox."""
    monkeypatch.setenv("JANGBU_FOLDER", str(tmp_path / "data"))
    with Application(Settings(folder=tmp_path / "data")) as application:
        with application.database.transaction() as work:
            work.send(RecoverLoads(), RecoverLoads())
        application.relay.run()
        application.queues.send("commands", [Outgoing("odd", "no message")])
        for message in application.queues.receive("commands", lease=timedelta(minutes=1), limit=3)[1:]:
            application.queues.park(message, "The till is busy.")
        with application.database.transaction() as work:
            work.send(FlushSpool("query_log"))
        yield application


run, told = partial(commands.run, "queues"), partial(commands.told, "queues")


def test_queues_are_listed_with_the_outbox_and_the_empty_ones(application: Application) -> None:
    counts = [(row["queue"], row["waiting"], row["held"], row["parked"]) for row in told("list")["queues"]]
    assert counts == [("outbox", 1, 0, 0), ("events", 0, 0, 0), ("deliveries", 0, 0, 0), ("commands", 0, 1, 2)]
    assert "commands" in run("list").stdout


def test_parked_messages_are_listed_with_their_reason(application: Application) -> None:
    known, odd = told("parked")["parked"]
    assert (known["queue"], known["message"], known["tries"], known["reason"]) == (
        "commands",
        "RecoverLoads",
        1,
        "The till is busy.",
    )
    assert json.loads(known["body"])["name"] == "RecoverLoads"
    assert (odd["id"], odd["message"]) == ("odd", "")
    assert told("parked", "events") == {"parked": []}
    assert [row["id"] for row in told("parked", "commands", "--offset", "1")["parked"]] == ["odd"]
    assert "The till is busy." in run("parked").stdout


def test_one_or_all_are_put_back(application: Application) -> None:
    assert told("retry", "odd") == {"retried": 1}
    with pytest.raises(NotFound, match="no parked message 'odd'"):
        run("retry", "odd")
    assert run("retry", "--all").stdout == "Retried 1.\n"
    assert told("parked") == {"parked": []}


@pytest.mark.parametrize("arguments", [(), ("odd", "--all")])
def test_one_or_all_must_be_said(application: Application, arguments: tuple[str, ...]) -> None:
    result = run("retry", *arguments)
    assert result.exit_code == 2
    assert len(application.queues.parked()) == 2


def test_parked_messages_are_purged_where_it_is_meant(application: Application) -> None:
    assert run("purge", "--all").exit_code == 2
    assert run("purge", "commands", "--all", "--yes").exit_code == 2
    assert run("purge", "--yes").exit_code == 2
    with pytest.raises(UnknownName, match="no queue 'nowhere'"):
        run("purge", "nowhere", "--yes")
    assert told("purge", "events", "--yes") == {"purged": 0}
    assert len(told("parked")["parked"]) == 2
    assert told("purge", "commands", "--yes") == {"purged": 2}
    assert told("parked") == {"parked": []}
    assert [row["held"] for row in told("list")["queues"]] == [0, 0, 0, 1]


def test_a_page_beyond_all_is_refused(application: Application) -> None:
    assert run("parked", "--offset", str(10**20)).exit_code == 2


@pytest.mark.services("elasticmq")
def test_queues_on_sqs_are_listed_retried_and_purged(service: GetService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = service("elasticmq")
    for name, value in {
        "FOLDER": str(tmp_path / "data"),
        "QUEUES": "sqs",
        "SQS_PREFIX": f"{uuid4().hex[:12]}-",
        "SQS_ENDPOINT": server["url"],
        "SQS_REGION": server["region"],
        "SQS_ACCESS_KEY": server["access_key"],
        "SQS_SECRET_KEY": server["secret_key"],
    }.items():
        monkeypatch.setenv(f"JANGBU_{name}", value)
    with Application(load()) as application:
        application.queues.send("commands", [Outgoing(each, "{}") for each in "abc"])
        for message in application.queues.receive("commands", lease=timedelta(minutes=1), limit=2):
            application.queues.park(message, "The till is busy.")
    assert told("list")["queues"][-1] == {"queue": "commands", "waiting": 1, "held": 0, "parked": 2, "oldest_seconds": None}
    assert "commands" in run("list").stdout
    parked = told("parked")["parked"]
    assert [each["reason"] for each in parked] == ["The till is busy."] * 2
    assert told("retry", parked[0]["id"]) == {"retried": 1}
    assert told("purge", "--all", "--yes") == {"purged": 1}
    assert told("list")["queues"][-1]["waiting"] == 2
