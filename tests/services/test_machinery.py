"""What holds for every server: shared by a run, gone with it, its own master's in a test of faults."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import valkey
from services import registry
from services.cache import Cache, RegistryFailed, Unavailable, default_folder, locked
from services.plugin import GetService
from services.processes import Identity
from services.run import Run, free_ports
from services.running import Running, ServerFailed
from services.service import Command, Place, Service

ROOT = Path(__file__).parents[2]
OF_A_RUN = ("JANGBU_SERVICES", "JANGBU_SERVICES_RUN", "JANGBU_SERVICES_OWNER", "JANGBU_SERVICES_REQUIRED", "PYTEST_XDIST_WORKER")

pytestmark = pytest.mark.services("valkey", own=True)


def until(condition: Callable[[], object], within: float = 20) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "It never became so."
        time.sleep(0.02)


class Suite:
    """A run of pytest of its own, with tests that are written here."""

    def __init__(self, folder: Path, tests: str) -> None:
        self.folder = folder
        (folder / "conftest.py").write_text('pytest_plugins = ["services.plugin"]\n')
        (folder / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
        (folder / "test_it.py").write_text(tests)
        (folder / "temporary").mkdir()
        (folder / "temporary").chmod(0o711)

    def start(self, *options: str, **environment: str) -> "subprocess.Popen[str]":
        kept = {name: value for name, value in os.environ.items() if name not in OF_A_RUN}
        environment = kept | {"PYTHONPATH": str(ROOT), "TMPDIR": str(self.folder / "temporary")} | environment
        command = [sys.executable, "-m", "pytest", "-q", "-rs", str(self.folder), *options]
        return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=-1, stderr=-2, text=True, start_new_session=True)

    def output(self, *options: str, **environment: str) -> str:
        with self.start(*options, **environment) as process:
            printed, _ = process.communicate(timeout=120)
        return printed

    def servers(self) -> list[Identity]:
        """The servers that its tests wrote down, one a file."""
        kept = [json.loads(file.read_text()) for file in sorted(self.folder.glob("*.server"))]
        return [Identity.read(each) for each in kept]

    def left(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "temporary").glob("jangbu-services-*"))


WRITE_DOWN = """
import json, os, time, pytest
from pathlib import Path
from services.processes import Identity

HERE = Path(__file__).parent

def write_down(server, name):
    (HERE / f"{name}.server").write_text(json.dumps(Identity.of(server.pid()).kept()))
"""


@pytest.fixture
def suite(tmp_path: Path) -> Callable[[str], Suite]:
    return lambda tests: Suite(tmp_path, WRITE_DOWN + tests)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Asks for monkeypatch so that it ends while the services that a test has made are still known."""
    own = Run(tmp_path / "run", Identity.of(os.getpid()), Cache(default_folder()))
    yield own
    own.end()


def test_two_workers_share_one_server_that_ends_with_the_run(suite: Callable[[str], Suite]) -> None:
    pair = suite("""
@pytest.mark.parametrize("number", range(2))
def test_it(service, number):
    write_down(service("valkey"), number)
    deadline = time.monotonic() + 60
    while not (HERE / f"{1 - number}.server").exists():  # both workers have it at the same time
        assert time.monotonic() < deadline
        time.sleep(0.02)
""")
    assert "2 passed" in (printed := pair.output("-n", "2", "--dist", "load")), printed
    first, second = pair.servers()
    assert first == second
    assert not first.is_alive()
    assert pair.left() == []


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "terminated"])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_crashes_leaves_no_server(suite: Callable[[str], Suite], workers: int, how: signal.Signals) -> None:
    crashing = suite("""
def test_it(service, own_service):
    write_down(service("valkey"), "shared")
    write_down(own_service("valkey"), "own")
    (HERE / "ready").write_text("")
    time.sleep(60)
""")
    with crashing.start("-n", str(workers)) as process:
        until((crashing.folder / "ready").exists, 60)
        shared, own = crashing.servers()
        assert shared.is_alive()
        assert own.is_alive()
        process.send_signal(how)
        process.wait(20)
        until(lambda: not shared.is_alive() and not own.is_alive())
        until(lambda: crashing.left() == [])
        os.killpg(process.pid, signal.SIGKILL) if workers else None


def test_a_worker_that_crashes_leaves_the_server_to_the_others(suite: Callable[[str], Suite]) -> None:
    crashing = suite("""
@pytest.mark.parametrize("number", range(2))
def test_it(service, number):
    write_down(service("valkey"), number)
    if number == 0:
        os._exit(1)
""")
    printed = crashing.output("-n", "1")
    assert "1 failed, 1 passed" in printed
    first, second = crashing.servers()
    assert first == second


def test_the_end_of_its_guard_is_the_end_of_a_server(run: Run) -> None:
    server = run.service("valkey")
    identity = Identity.of(server.pid())
    os.kill(json.loads((server.at.folder / "main.process").read_text())["guard"]["pid"], signal.SIGKILL)
    until(lambda: not identity.is_alive())


def test_what_a_machine_lacks_skips_a_test_by_name_or_fails_it_where_it_must_not(
    suite: Callable[[str], Suite], tmp_path: Path
) -> None:
    lacking = suite("""
from services import cache
from services.servers.valkey import Valkey

@pytest.fixture(scope="session", autouse=True)
def without_go():
    Valkey.fetch = lambda self, cache_: Path(cache.found("no-such-program", "Install it."))

def test_it(service):
    service("valkey")
""")
    reason = "valkey needs `no-such-program`, which this machine hasn't. Install it."
    skipped = lacking.output()
    assert "1 skipped" in skipped
    assert reason in skipped
    required = lacking.output(JANGBU_SERVICES_REQUIRED="1")
    assert "1 error" in required or "1 failed" in required
    assert reason in required


def test_a_fetch_does_not_count_in_a_tests_time(suite: Callable[[str], Suite]) -> None:
    slow = suite("""
from services.servers.valkey import Valkey

fetch = Valkey.fetch
Valkey.fetch = lambda self, cache: (time.sleep(3), fetch(self, cache))[1]

@pytest.mark.timeout(2)
@pytest.mark.services("valkey")
def test_it(service):
    assert service("valkey").is_ready()
""")
    assert "1 passed" in (printed := slow.output()), printed


class Talker(Service):
    """Says something and does what it is told."""

    name = "talker"
    about = "a server for tests"
    ready_within = 5.0
    script = ""

    def fetch(self, cache: Cache) -> Path:
        return cache.folder

    def commands(self, at: Place) -> dict[str, Command]:
        return {"main": Command([sys.executable, "-u", "-c", self.script, str(at.port)])}

    def is_ready(self, at: Place) -> bool:
        return (at.folder / "ready").exists()

    def addresses(self, at: Place) -> dict[str, str]:
        return {"url": f"talker://127.0.0.1:{at.port}"}


@pytest.fixture
def talker(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def make(script: str) -> None:
        service = Talker()
        service.script = script
        monkeypatch.setitem(registry.services(), "talker", service)

    return make


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("print('no room on the disk'); raise SystemExit(3)", "ended while it started"),
        ("import time; print('no room on the disk'); time.sleep(60)", "was not ready within 5 s"),
    ],
    ids=["ends", "hangs"],
)
def test_a_server_that_does_not_start_says_why(run: Run, talker: Callable[[str], None], script: str, said: str) -> None:
    talker(script)
    with pytest.raises(ServerFailed, match=said) as failed:
        run.service("talker")
    assert "no room on the disk" in str(failed.value)
    assert [path for path in run.folder.iterdir() if path.is_dir()] == []
    with pytest.raises(ServerFailed, match="no room on the disk"):
        run.service("talker")


def test_a_server_sees_nothing_of_the_tests_environment(
    run: Run, talker: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET", "hidden")
    talker("import os, time; print(sorted(os.environ)); open('ready', 'w').close(); time.sleep(60)")
    server = run.service("talker")
    assert "HOME" in server.log()
    assert "A_SECRET" not in server.log()


def test_what_a_server_has_started_goes_with_it(run: Run, talker: Callable[[str], None]) -> None:
    talker("""
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import os, time; os.setsid(); time.sleep(60)"])
open("child", "w").write(str(child.pid)); os.rename("child", "ready"); time.sleep(60)
""")
    for end in (Running.stop, Running.kill):
        server = run.service("talker")
        child = Identity.of(int((server.at.folder / "ready").read_text()))
        end(server)
        assert not child.is_alive()
        server.remove()


def test_an_own_server_is_another_than_the_shared_one_and_goes(run: Run) -> None:
    shared = run.service("valkey")
    with run.own("valkey") as own:
        assert own.pid() != shared.pid()
        assert own["url"] != shared["url"]
    assert not own.at.folder.exists()
    assert shared.is_alive()


def test_a_shared_server_that_ended_runs_again_when_asked_for(run: Run) -> None:
    server = run.service("valkey")
    server.kill()
    assert not server.is_alive()
    again = run.service("valkey")
    assert again.is_ready()
    assert again["url"] == server["url"]


def test_what_is_unknown_is_refused_with_what_is_known(run: Run) -> None:
    with pytest.raises(KeyError, match=r"no service 'oracle'; known: .*valkey"):
        run.service("oracle")
    server = run.service("valkey")
    with pytest.raises(KeyError, match="no 'dsn'; known: url"):
        server["dsn"]
    with pytest.raises(KeyError, match="no process 'node'; known: main"):
        server.kill("node")


def test_a_process_with_the_number_of_an_ended_one_is_left_alone() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        real = Identity.of(other.pid)
        earlier = Identity(other.pid, real.started - 1, real.boot)
        assert not earlier.is_alive()
        earlier.send(signal.SIGKILL)
        assert other.poll() is None
        real.send(signal.SIGKILL)
        assert other.wait(10) == -signal.SIGKILL
    assert not real.is_alive()


def test_a_fetch_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    def half(target: Path) -> None:
        (target / "first").write_text("")
        raise Unavailable("The line is dead.")

    with pytest.raises(Unavailable, match="line is dead"):
        cache.fetched("kind", "key", half)
    assert not (tmp_path / "kind" / "key").exists()
    whole = cache.fetched("kind", "key", lambda target: (target / "first").mkdir())
    assert cache.fetched("kind", "key", half) == whole


def test_a_registry_that_fails_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.cache.PAUSE", 0.0)
    asked = 0

    def fetch(target: Path) -> None:
        nonlocal asked
        (target / "first").mkdir()
        asked += 1
        if asked < 3:
            raise RegistryFailed("could not be fetched: `mvn` ended with 1.")

    assert [each.name for each in Cache(tmp_path).fetched("kind", "key", fetch).iterdir()] == ["first"]
    asked = -9
    with pytest.raises(RegistryFailed, match="could not be fetched"):
        Cache(tmp_path).fetched("kind", "other", fetch)
    assert asked == -6
    assert sorted(each.name for each in (tmp_path / "kind").iterdir()) == ["key", "key.lock", "other.lock"]


def test_a_lock_is_one_processs_at_a_time_and_ends_with_it(tmp_path: Path) -> None:
    lock = str(tmp_path / "lock")
    script = (
        "import sys; from services.cache import locked, Path\nwith locked(Path(sys.argv[1])): print('held', flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", script, lock], cwd=ROOT, stdin=-1, stdout=-1, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        began = time.monotonic()
        holder.kill()
        with locked(Path(lock)):
            assert time.monotonic() - began < 10


def test_ports_are_free_and_different() -> None:
    chosen = free_ports(tuple(map(str, range(50))))
    assert len(set(chosen.values())) == 50


@pytest.mark.parametrize("name", registry.services())
def test_every_server_says_what_it_is(name: str) -> None:
    service = registry.service_named(name)
    assert re.fullmatch(r"\S.*: .+", service.about)
    assert service.ports
    assert set(service.uses) <= set(registry.services())


def test_a_frozen_server_answers_nothing_until_it_is_thawed(own_service: GetService) -> None:
    server = own_service("valkey")
    client = valkey.Valkey.from_url(server["url"], socket_timeout=0.5)
    server.freeze()
    with pytest.raises(valkey.exceptions.TimeoutError):
        client.ping()
    assert server.is_alive()
    server.thaw()
    assert client.ping()
    client.close()
