"""Processes are looked after, and what many of them say is shown in one terminal."""

import io
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from time import monotonic, sleep

import pytest
from services.cache import Cache
from services.processes import Identity
from services.run import make_folder
from services.running import Running
from services.service import Command, Place, Service
from services.supervising import LONGEST, State, Supervisor, Watched
from services.terminal import Follower, Terminal


class Sleeper(Service):
    """Ready while a file is there; ends with 3 when told to."""

    name = "sleeper"

    def commands(self, at: Place) -> Mapping[str, Command]:
        end = "signal.signal(signal.SIGUSR1, lambda *_: sys.exit(3))"
        script = f"import signal, sys, time; {end}; print('up', flush=True); time.sleep(600)"
        return {"main": Command([sys.executable, "-c", script])}

    def is_ready(self, at: Place) -> bool:
        return (at.folder / "ready").exists()


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Running]:
    running = Running(Sleeper(), Place(tmp_path / "sleeper", {}, tmp_path, Cache(tmp_path)), Identity.of(os.getpid()))
    make_folder(running.at)
    running.launch(["main"])
    yield running
    running.remove()


def until(condition: Callable[[], object]) -> None:
    ends = monotonic() + 20
    while not condition():
        assert monotonic() < ends, "It never became so."
        sleep(0.02)


def test_a_change_is_said_once_and_an_ended_process_starts_again(sleeper: Running) -> None:
    said: list[str] = []
    watched = Watched("one", sleeper, "main", "here", sleeper.is_ready)
    supervisor = Supervisor([watched], said.append)
    supervisor.look()
    assert (said, supervisor.all_ready()) == ([], False)
    (sleeper.at.folder / "ready").touch()
    supervisor.look()
    supervisor.look()
    assert (said, supervisor.all_ready()) == (["one: ready"], True)
    assert supervisor.table() == "one  ready      here"
    (sleeper.at.folder / "ready").unlink()
    supervisor.look()
    assert said[1:] == ["one: not ready"]

    until(lambda: "up" in sleeper.log())
    os.kill(sleeper.pid(), signal.SIGUSR1)
    until(lambda: sleeper.is_over("main"))
    supervisor.look()
    assert said[2:] == ["one: ended with exit code 3; starts again in 1 s"]
    (sleeper.at.folder / "ready").touch()
    until(lambda: supervisor.look() or supervisor.all_ready())
    assert said[3:] == ["one: starting", "one: ready"]
    supervisor.stop()


def test_an_end_is_told_with_its_reason_however_soon_it_is_noticed(sleeper: Running) -> None:
    """The guard writes the reason down after the end, over what was there; a process started before that would be forgotten."""
    said: list[str] = []
    supervisor = Supervisor([Watched("one", sleeper, "main", "here", sleeper.is_ready)], said.append)
    guard = Identity.read(json.loads((sleeper.at.folder / "main.process").read_text())["guard"])
    guard.send(signal.SIGSTOP)
    os.kill(sleeper.pid(), signal.SIGKILL)
    until(lambda: not sleeper.is_alive())
    supervisor.look()
    assert said == []
    guard.send(signal.SIGCONT)
    until(lambda: supervisor.look() or said)
    assert said == ["one: ended by signal 9; starts again in 1 s"]
    supervisor.stop()


def test_pauses_double_up_to_the_longest(sleeper: Running) -> None:
    watched = Watched("one", sleeper, "main", "here", sleeper.is_ready)
    sleeper.kill()
    pauses = []
    for _ in range(7):
        pauses.append(str(watched.step(State.ENDED)))
        watched.state = State.STARTING
    assert [text.rpartition(" in ")[2] for text in pauses] == [
        "1 s",
        "2 s",
        "4 s",
        "8 s",
        "16 s",
        f"{LONGEST:g} s",
        f"{LONGEST:g} s",
    ]
    assert "by signal 9" in pauses[0]


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_each_line_has_its_name_and_only_a_terminal_has_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    pipe, screen = io.StringIO(), Screen()
    for out in (pipe, screen):
        Terminal(out, ["api-1", "db"]).say("db", "one\ntwo")
    assert pipe.getvalue() == "db    | one\ndb    | two\n"
    assert screen.getvalue() == "\x1b[32mdb    |\x1b[0m one\n\x1b[32mdb    |\x1b[0m two\n"
    monkeypatch.setenv("NO_COLOR", "1")
    plain = Screen()
    Terminal(plain, ["db"]).say("db", "one")
    assert plain.getvalue() == "db | one\n"


def test_lines_are_said_when_they_are_whole_and_the_rest_at_the_end(tmp_path: Path) -> None:
    out, file = io.StringIO(), tmp_path / "a.log"
    follower = Follower(Terminal(out, ["a"]), {"a": file})
    follower.look()
    file.write_text("one\ntw")
    follower.look()
    assert out.getvalue() == "a | one\n"
    with file.open("a") as log:
        log.write("o\nthree")
    follower.look()
    assert out.getvalue() == "a | one\na | two\n"
    follower.stop()
    assert out.getvalue() == "a | one\na | two\na | three\n"
