"""Jangbu as a process of its own: it starts, answers, and ends cleanly."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import httpx
import pytest
from sqlalchemy import select

from jangbu.entrypoints.bootstrap import Application
from jangbu.entrypoints.settings import Settings
from jangbu.insight.ingest.commands import RecoverLoads
from jangbu.platform.database.schema import schedule

JANGBU = str(Path(sys.executable).with_name("jangbu"))


@contextmanager
def running(folder: Path, *arguments: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    # Without the last of them, modules are compiled once, not at each start.
    unwanted = ("JANGBU_", "PYTHONDONTWRITEBYTECODE")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)} | settings
    process = subprocess.Popen(
        [JANGBU, *arguments], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], text: str) -> list[str]:
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if text in line:
            return lines
    raise AssertionError(f"It ended before {text!r}: {lines} {process.stderr.read() if process.stderr else ''}")


def curled(line: str) -> bytes:
    """What the line prints; where there is no curl, its request is sent all the same."""
    words = shlex.split(line)
    if shutil.which("curl"):
        return subprocess.run(words, capture_output=True, check=True).stdout
    values = {flag: words[at + 1] for at, flag in enumerate(words[:-1]) if flag == "-d"}
    headers = dict(words[at + 1].split(": ", 1) for at, flag in enumerate(words[:-1]) if flag == "-H")
    return httpx.post(next(word for word in words if word.startswith("http")), content=values["-d"], headers=headers).content


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_says_when_it_is_ready_and_ends_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path, "serve", "--port", "0") as server:
        (line,) = read_until(server, "ready")
        address = line.rsplit(" ", 1)[1]
        assert httpx.get(f"{address}/health/ready").status_code == 200
        assert httpx.get(f"{address}/v1/catalog").status_code == 401
        server.send_signal(number)
        _, errors = server.communicate(timeout=20)
    assert server.returncode == 0
    assert "Traceback" not in errors
    assert any(json.loads(line)["route"] == "/v1/catalog" for line in errors.splitlines())


def counted(address: str, name: str) -> float:
    """A metric's value, by its name with labels; 0 where it isn't shown yet."""
    lines = httpx.get(f"{address}/metrics").text.splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == name), 0)


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    ends = monotonic() + seconds
    while not condition():
        assert monotonic() < ends, "it didn't come to be"
        sleep(0.05)


HANDLED = 'jangbu_messages_total{handler="recover_loads",outcome="handled"}'


def send_one(folder: Path) -> None:
    with Application(Settings(folder=folder / ".jangbu")) as application, application.database.transaction() as work:
        work.send(RecoverLoads())


@pytest.mark.slow
def test_a_server_does_commands_too_unless_it_serves_the_api_alone(tmp_path: Path) -> None:
    with running(tmp_path, "serve", "api", "--port", "0") as api:
        address = read_until(api, "ready")[-1].rsplit(" ", 1)[1]
        send_one(tmp_path)
        sleep(2)
        assert counted(address, "jangbu_outbox_messages") == 1
        with running(tmp_path, "serve", "--port", "0") as server:
            worker = read_until(server, "ready")[-1].rsplit(" ", 1)[1]
            until(lambda: counted(worker, HANDLED) == 1)
        assert counted(address, "jangbu_outbox_messages") == 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("what", ["worker", "scheduler"])
def test_a_worker_or_a_scheduler_runs_alone_and_ends_cleanly(tmp_path: Path, what: str, number: signal.Signals) -> None:
    with running(tmp_path, what, JANGBU_METRICS_PORT="0") as process:
        address = read_until(process, f"{what} is running")[-1].rpartition(" ")[2].removesuffix("/metrics.")
        send_one(tmp_path)
        if what == "worker":
            until(lambda: counted(address, HANDLED) == 1)
        else:
            until(lambda: planned(tmp_path) >= {"recover_loads", "flush_query_log"})
            assert counted(address, "jangbu_outbox_messages") == 1
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in errors


def planned(folder: Path) -> set[str]:
    with Application(Settings(folder=folder / ".jangbu")) as application, application.database.reading() as connection:
        return set(connection.execute(select(schedule.c.job)).scalars())


@pytest.mark.slow
def test_a_mistake_in_a_handler_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "event_handlers").mkdir()
    (tmp_path / "event_handlers" / "broken.py").write_text("PLUGIN = 1")
    with running(tmp_path, "serve", "--port", "0", JANGBU_PLUGIN_FOLDERS=str(tmp_path)) as server:
        _, errors = server.communicate(timeout=20)
    assert server.returncode == 1
    assert "declares no PLUGIN of kind 'event_handler'" in errors


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.timeout(600)
def test_the_demo_answers_what_it_prints_and_the_second_start_changes_nothing(tmp_path: Path) -> None:
    key = r"jb_[A-Za-z0-9_-]+"
    with running(tmp_path, "demo", "--port", "0") as demo:
        lines = read_until(demo, "Ctrl-C ends the demo")
        keys = {found for line in lines for found in re.findall(key, line)}
        assert len(keys) == 1
        curls = [line for line in lines if line.startswith("curl ")]
        queries = [line for line in lines if " query " in line]
        assert len(curls) == len(queries) == 3
        for curl, query in zip(curls, queries, strict=True):
            by_curl = json.loads(curled(curl))
            by_jangbu = subprocess.run([*shlex.split(query), "--json"], cwd=tmp_path, capture_output=True, check=True).stdout
            assert by_curl["rows"]
            assert by_curl["rows"] == json.loads(by_jangbu)["rows"]
        demo.send_signal(signal.SIGINT)
        _, errors = demo.communicate(timeout=20)
    assert demo.returncode in (0, 130)
    assert errors == ""

    loads = subprocess.run([JANGBU, "loads", "list", "--json"], cwd=tmp_path, capture_output=True, check=True).stdout
    with running(tmp_path, "demo", "--no-serve") as again:
        again.communicate(timeout=60)
    assert again.returncode == 0
    after = subprocess.run([JANGBU, "loads", "list", "--json"], cwd=tmp_path, capture_output=True, check=True).stdout
    of_demo = [[load for load in json.loads(text)["loads"] if load["data_source"] != "query_log"] for text in (loads, after)]
    assert of_demo[0] == of_demo[1]
    local = subprocess.run(
        [JANGBU, "query", "-s", "sales", "-m", "revenue", "--json"], cwd=tmp_path, capture_output=True, check=True
    ).stdout
    assert b'"rows":[[4596039.5800]]' in local


@pytest.mark.slow
@pytest.mark.real
def test_a_demo_that_is_interrupted_while_it_loads_ends_cleanly(tmp_path: Path) -> None:
    with running(tmp_path, "demo", "--port", "0") as demo:
        read_until(demo, "Loading sales")
        demo.send_signal(signal.SIGINT)
        _, errors = demo.communicate(timeout=30)
    assert demo.returncode == 130
    assert "Traceback" not in errors
