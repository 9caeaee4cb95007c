"""What a process can do is found: ours and a user's, with their mistakes told."""

from pathlib import Path

import pytest

from jangbu.entrypoints.handlers import declared_messages, find_handlers, jobs
from jangbu.insight.ingest.commands import FlushSpool, RecoverLoads
from jangbu.insight.ingest.events import TenantDataUpdated
from jangbu.kernel.errors import ConfigurationError

COMMAND = """
from dataclasses import dataclass
from datetime import timedelta

from jangbu.insight.ingest.commands import RecoverLoads
from jangbu.kernel.handlers import Handler, Job
from jangbu.kernel.messages import Command


@dataclass(frozen=True, slots=True)
class {message}(Command):
    pass


PLUGIN = Handler(
    kind="command_handler", name="mine", summary="A test's.", handles={handles}, open=print,
    jobs=(Job("{job}", timedelta(hours=1), {message}()),),
)
"""


def drop(folder: Path, **given: str) -> Path:
    (folder / "command_handlers").mkdir()
    words = {"message": "RingBell", "job": "ring_bell"} | given
    (folder / "command_handlers" / "mine.py").write_text(COMMAND.format(**{"handles": words["message"], **words}))
    return folder


def test_ours_are_found() -> None:
    handlers = find_handlers()
    assert {"flush_spool", "recover_loads"} <= set(handlers.commands)
    assert handlers.for_command(RecoverLoads()).name == "recover_loads"
    assert handlers.for_command(FlushSpool("query_log")).name == "flush_spool"
    assert {job.name: job.command for job in jobs(handlers)}["flush_query_log"] == FlushSpool("query_log")


def test_an_event_is_known_though_nobody_hears_it() -> None:
    assert declared_messages()["TenantDataUpdated"] is TenantDataUpdated


def test_a_users_command_its_handler_and_its_job_are_found(tmp_path: Path) -> None:
    handlers = find_handlers([drop(tmp_path)])
    assert handlers.commands["mine"].handles is handlers.messages["RingBell"]
    assert "ring_bell" in {job.name for job in jobs(handlers)}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"handles": "RecoverLoads"}, "RecoverLoads has two handlers"),
        ({"message": "FlushSpool"}, "Two messages are called 'FlushSpool'"),
        ({"job": "recover_loads"}, "Two jobs are called 'recover_loads'"),
    ],
)
def test_what_is_there_twice_is_refused(tmp_path: Path, given: dict[str, str], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        jobs(find_handlers([drop(tmp_path, **given)]))


def test_a_plain_plug_in_is_no_handler(tmp_path: Path) -> None:
    file = drop(tmp_path) / "command_handlers" / "mine.py"
    file.write_text(
        "from jangbu.kernel.discovery import Plugin\nPLUGIN = Plugin(kind='command_handler', name='x', summary='X.', open=print)\n"
    )
    with pytest.raises(ConfigurationError, match="Declare a Handler"):
        find_handlers([tmp_path])
