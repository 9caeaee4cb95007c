"""The demo at scale, whole: what one machine answers, two processes of the API over real servers answer too; what is done to one
process is seen by the others; who dies is told and comes back; nothing outlives the parent.

DEMO_REQUESTS is how many of the replayed requests are compared; 60 is all of them, and takes minutes."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

import httpx
import pyarrow as pa
import pytest
from reference.reference import assert_same
from services.cache import default_folder
from services.distributed import LOADS
from services.guard import dies_with
from services.processes import Identity
from support.markdown import ROOT
from support.processes import environment, run, running
from support.two_shops import rows
from support.world import arrow_of
from support.year import IS_THERE

from jangbu.entrypoints.bootstrap import Application
from jangbu.entrypoints.cli.demo import QUESTIONS
from jangbu.entrypoints.settings import Settings
from jangbu.insight.ingest.commands import RecoverLoads
from jangbu.insight.ingest.contracts import LoadMode
from jangbu.kernel.handlers import Job
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.queues.scheduler import Scheduler

pytestmark = [
    pytest.mark.slow,
    pytest.mark.services("postgres", "valkey", "elasticmq", "s3", "trino", own=True),
    pytest.mark.timeout(600),
]

REPLAY = ROOT.parent / "shared" / "data" / "replay" / "requests.json"
REAL = IS_THERE and REPLAY.exists()
DATA, TENANT, SHOPS = ("retailer", "demo", ["demo"]) if REAL else ("shops", "shop-0001", ["shop-0001", "shop-0002", "shop-0003"])
OF_README: dict[str, dict[str, Any]] = {
    "by department": {
        "data_source": "sales",
        "measures": ["revenue", "orders"],
        "dimensions": ["department"],
        "time": {"range": "2017-12"},
    },
    "by month": {
        "data_source": "sales",
        "measures": ["revenue"],
        "time": {"range": "2017-Q4", "compare": "previous_period"},
        "time_frequency": "month",
    },
    **{words: request for words, request, _ in QUESTIONS},
}
OF_SHOPS: dict[str, dict[str, Any]] = {
    f"{by} {frequency}": {
        "data_source": "sales",
        "measures": ["revenue", "orders", "customers"],
        "dimensions": [by],
        "time": {"range": ["2024-01-01", "2024-03-01"]},
        "time_frequency": frequency,
    }
    for by in ("tenant", "department", "product")
    for frequency in ("day", "week", "month")
}
MANY = int(os.environ.get("DEMO_REQUESTS", "10"))


def replayed() -> dict[str, dict[str, Any]]:
    """So many of them, from all over the file."""
    found = json.loads(REPLAY.read_text())["requests"]
    return {each["name"]: each["request"] for each in found[:: max(1, len(found) // MANY)]}


REQUESTS = OF_README | (replayed() if REAL else OF_SHOPS)
DEFINITION = """
version: 1
kind: measures
data_source: sales
measures:
  - name: lines_twice
    kind: derived
    formula: lines + lines
    label: {ko: 줄 두 배, en: Lines twice}
    description: {ko: 줄 수의 두 배예요., en: Twice the lines.}
    unit: count
    format: integer
"""
ARROW = "application/vnd.apache.arrow.stream"
WITHIN = 300
LOADER = '''
"""Loads one row, slowly: a load that a worker is killed in."""

import os
from time import sleep
from typing import Any

from jangbu.insight.ingest.contracts import LoadMode, TenantDataUpdated
from jangbu.kernel.handlers import Context, Handler


def load(event: TenantDataUpdated, context: Context[Any]) -> None:
    import pyarrow as pa

    if event.data_source != "campaigns" or not os.path.exists("{started}.go"):
        return
    source = context.parts.catalog.data_source("coupons")
    names = [name for name in source.columns if name != source.separation.column]

    def batches() -> Any:
        with open("{started}", "a") as started:
            started.write(f"{{os.getpid()}}\\n")
        sleep({seconds})
        yield pa.record_batch({{name: pa.array(["loaded once"], pa.string()) for name in names}})

    context.parts.ingest.load(
        source, tenant=event.tenant, batches=batches(), mode=LoadMode.APPEND, content=f"after {{event.version}}"
    )


PLUGIN = Handler(kind="event_handler", name="slow_load", summary="Loads.", handles=TenantDataUpdated, open=load)
'''


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    ends = monotonic() + seconds
    while not condition():
        assert monotonic() < ends, "It never became so."
        sleep(0.1)


@dataclass
class Demo:
    """`clients` are of the two processes of the API."""

    process: "subprocess.Popen[str]"
    folder: Path
    out: Path
    key: str = ""
    clients: list[httpx.Client] = field(default_factory=list)

    @property
    def said(self) -> str:
        return self.out.read_text()

    @property
    def temporary(self) -> list[Path]:
        return list((self.folder / "tmp").iterdir())

    def children(self) -> dict[str, Identity]:
        """Jangbu's processes and the servers, by the names of their files of state."""
        (place,) = self.temporary
        kept = {file: json.loads(file.read_text()) for file in place.glob("*/*.process")}
        return {
            file.stem if file.parent.name == "jangbu" else file.parent.name: Identity.read(state["server"])
            for file, state in kept.items()
            if "server" in state
        }

    def settings(self) -> dict[str, str]:
        """Those of its processes."""
        (place,) = self.temporary
        order = json.loads((place / "jangbu" / "api-1.order").read_text())
        given = {name: value for name, value in order["environment"].items() if name.startswith("JANGBU_")}
        return given | {"JANGBU_FOLDER": str(self.folder / "another")}

    def ask(self, request: dict[str, Any]) -> list[list[Any]]:
        """The same rows of both."""
        one, two = (client.post("/v1/query", json=request).raise_for_status().json()["rows"] for client in self.clients)
        assert one == two
        return list(one)


def free_ports() -> int:
    """The first of two."""
    while True:
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
            try:
                two.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[..., Demo]]:
    with ExitStack() as stack:

        def start(*options: str, **settings: str) -> Demo:
            folder = Path(stack.enter_context(TemporaryDirectory()))
            (folder / "tmp").mkdir()
            for each in (folder, folder / "tmp"):  # another user's PostgreSQL comes through
                each.chmod(0o711)
            out = folder / "out"
            command = [sys.executable, "-m", "services", "demo", "--port", str(free_ports()), "--data", DATA, *options]
            given = environment(TMPDIR=str(folder / "tmp"), **settings)
            if told := os.environ.get("JANGBU_SERVICES_CACHE"):
                given["JANGBU_SERVICES_CACHE"] = told
            with out.open("w") as said:
                process = subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env=given,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    text=True,
                    preexec_fn=dies_with(os.getpid()),
                )
            stack.callback(process.wait, 60)
            stack.callback(process.kill)
            return Demo(process, folder, out)

        yield start


@pytest.fixture(scope="module")
def started_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("loader") / "started"


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("definitions")


@pytest.fixture(scope="module")
def demo(start: Callable[..., Demo], started_file: Path, definitions: Path) -> Iterator[Demo]:
    (started_file.parent / "event_handlers").mkdir()
    (started_file.parent / "event_handlers" / "slow_load.py").write_text(LOADER.format(started=started_file, seconds=4))
    found = start(JANGBU_PLUGIN_FOLDERS=str(started_file.parent), JANGBU_DEFINITIONS=str(definitions), JANGBU_MESSAGE_LEASE="5")
    ends = monotonic() + WITHIN
    while "Ctrl-C ends" not in found.said:
        assert found.process.poll() is None, found.said
        assert monotonic() < ends, found.said
        sleep(0.1)
    found.key = re.findall(r"^ +key +(jb_\S+)$", found.said, re.MULTILINE)[0]
    headers = {"authorization": f"Bearer {found.key}"}
    addresses = re.findall(r"^ +address +(\S+)$", found.said, re.MULTILINE)
    found.clients = [httpx.Client(base_url=address, headers=headers, timeout=60) for address in addresses]
    assert len(found.clients) == 2
    yield found
    for client in found.clients:
        client.close()


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """One process over a folder, with the same data."""
    folder = tmp_path_factory.mktemp("embedded")
    done = run(*LOADS[DATA], folder=folder, timeout=200)
    assert done.returncode == 0, done.stderr
    key = run("keys", "create", "same", *(word for shop in SHOPS for word in ("--tenant", shop)), folder=folder).stdout.strip()
    with running("serve", "api", "--port", "0", folder=folder) as server, server.client(key) as client:
        yield client


def test_it_says_of_every_process_and_server_that_it_is_ready(demo: Demo) -> None:
    names = ("api-1", "api-2", "worker-1", "worker-2", "scheduler", "postgres", "valkey", "elasticmq", "s3", "trino")
    for name in names:
        assert re.search(rf"^health +\| {name} +ready +\S+:\d+$", demo.said, re.MULTILINE), name
    assert "\x1b" not in demo.said
    assert all(re.match(r"^[a-z0-9-]+ +\| ", line) for line in demo.said.partition("\n\n")[0].splitlines())


@pytest.mark.parametrize("name", REQUESTS)
def test_both_answer_what_one_machine_does(demo: Demo, embedded: httpx.Client, name: str) -> None:
    """One of them in JSON and the other in Arrow, in turn."""
    request, at = REQUESTS[name], list(REQUESTS).index(name) % 2
    table, by_arrow = (arrow(client, request) for client in (embedded, demo.clients[at]))
    assert by_arrow.schema.remove_metadata() == table.schema.remove_metadata()
    assert_same(*([list(row.values()) for row in each.to_pylist()] for each in (by_arrow, table)))
    answers = [client.post("/v1/query", json=request).raise_for_status() for client in (demo.clients[1 - at], embedded)]
    found, wanted = (json.loads(each.content, parse_float=Decimal) for each in answers)
    assert found["columns"] == wanted["columns"]
    assert_same(*(with_doubles(each["rows"], table.schema) for each in (found, wanted)))
    assert found["meta"]["truncated"] == wanted["meta"]["truncated"]
    assert {leg["server"] for leg in found["meta"]["legs"]} <= {"trino"}


def with_doubles(found: list[list[Any]], schema: pa.Schema) -> list[list[Any]]:
    """Doubles as such, which engines add up in another order; money stays as it is written."""
    doubles = [pa.types.is_floating(each) for each in schema.types]
    return [
        [float(value) if double and value is not None else value for value, double in zip(row, doubles, strict=True)]
        for row in found
    ]


def arrow(client: httpx.Client, request: dict[str, Any]) -> pa.Table:
    answer = client.post("/v1/query", json=request, headers={"accept": ARROW})
    assert answer.status_code == 200, answer.text
    return pa.ipc.open_stream(answer.content).read_all()


@contextmanager
def beside(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    """A process of another machine, over the same servers."""
    for variable, value in demo.settings().items():
        monkeypatch.setenv(variable, value)
    with Application(Settings()) as application:
        yield application


def load_one(demo: Demo, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with beside(demo, monkeypatch) as application:
        source = application.catalog.data_source(name)
        table = arrow_of(source, rows(source, "hanok").head(1))
        application.ingest.load(source, tenant=TenantId(TENANT), batches=table, mode=LoadMode.APPEND, content=uuid4().hex)


def counted(demo: Demo, measure: str = "lines", source: str = "sales") -> int:
    return int(demo.ask({"data_source": source, "measures": [measure]})[0][0] or 0)


def test_a_load_is_seen_by_both_at_once(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    before = counted(demo)
    load_one(demo, "sales", monkeypatch)
    assert counted(demo) == before + 1


def test_a_changed_definition_is_seen_by_both_within_seconds(demo: Demo, definitions: Path) -> None:
    asked = {"data_source": "sales", "measures": ["lines_twice"]}
    assert [client.post("/v1/query", json=asked).status_code for client in demo.clients] == [422, 422]
    (definitions / "own.yml").write_text(DEFINITION)
    until(lambda: all(client.post("/v1/query", json=asked).status_code == 200 for client in demo.clients), 10)
    assert demo.ask(asked)[0][0] == 2 * counted(demo)


def test_questions_to_either_stand_in_the_log_of_both(demo: Demo) -> None:
    logged = {
        "data_source": "query_log",
        "measures": ["queries"],
        "filter": {"field": "asked_source", "op": "equals", "values": ["households"]},
    }
    before = int(demo.ask(logged)[0][0] or 0)
    for client in (*demo.clients, *demo.clients):
        client.post("/v1/query", json={"data_source": "households", "measures": ["households_profiled"]}).raise_for_status()
    # What a process has answered last is spooled by a thread of it, a moment later.
    until(lambda: all(int(each.post("/v1/query", json=logged).json()["rows"][0][0]) == before + 4 for each in demo.clients), 20)


def test_a_revoked_key_is_refused_by_both_within_seconds(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    with beside(demo, monkeypatch) as application:
        key, secret = application.access.create_key("short-lived", [TENANT])
        header = {"authorization": f"Bearer {secret.reveal()}"}
        assert [client.get("/v1/catalog", headers=header).status_code for client in demo.clients] == [200, 200]
        application.access.revoke_key(key.id)
        until(lambda: all(client.get("/v1/catalog", headers=header).status_code == 401 for client in demo.clients), 10)


def test_a_second_scheduler_sends_no_job_again(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the demo's own database, beside the demo's own scheduler: once a period, whoever ticks."""
    sent: list[str] = []
    with beside(demo, monkeypatch) as application:
        job = Job(f"both-{uuid4().hex[:8]}", timedelta(seconds=2), RecoverLoads())
        others = [Scheduler(application.database, (job,)) for _ in range(2)]
        now = application.clock.now()
        for second in range(7):
            with ThreadPoolExecutor(2) as pool:
                for each in pool.map(lambda one, at=now + timedelta(seconds=second): one.tick(at), others):
                    sent += each or ()
        assert sent.count(job.name) == 3


def test_a_load_whose_worker_is_killed_is_done_once_by_the_other(
    demo: Demo, started_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = counted(demo, "coupons_issued", "coupons")
    Path(f"{started_file}.go").touch()
    load_one(demo, "campaigns", monkeypatch)
    until(started_file.exists, 60)
    first = int(started_file.read_text().split()[0])
    workers = {name: demo.children()[name].pid for name in ("worker-1", "worker-2")}
    (killed,) = (name for name, pid in workers.items() if pid == first)
    os.kill(first, signal.SIGKILL)
    issued = {"data_source": "coupons", "measures": ["coupons_issued"]}
    until(lambda: demo.clients[0].post("/v1/query", json=issued).json()["rows"] == [[before + 1]], 120)
    took_over = started_file.read_text().split()[1:]
    assert took_over
    assert str(first) not in took_over
    until(lambda: re.search(rf"^health +\| {killed}: ended by signal 9; starts again in \d+ s$", demo.said, re.MULTILINE), 20)
    until(lambda: demo.said.rpartition(f"{killed}: ended")[2].count(f"{killed}: ready"), 60)
    assert counted(demo, "coupons_issued", "coupons") == before + 1


@pytest.mark.parametrize("name", ["api-1", "valkey"])
def test_what_dies_is_told_and_comes_back(demo: Demo, name: str) -> None:
    demo.children()[name].send(signal.SIGKILL)
    until(lambda: f"{name}: ended by signal 9; starts again in 1 s" in demo.said, 20)
    assert demo.clients[1].post("/v1/query", json=REQUESTS["by department"]).status_code == 200
    until(lambda: demo.said.rpartition(f"{name}: ended")[2].count(f"{name}: ready"), 90)
    demo.ask(REQUESTS["by department"])


def test_a_killed_parent_leaves_nothing(demo: Demo) -> None:
    """The last test of this demo."""
    children = demo.children()
    assert len(children) == 10
    demo.process.send_signal(signal.SIGKILL)
    demo.process.wait(10)
    until(lambda: not any(each.is_alive() for each in children.values()), 60)
    until(lambda: not demo.temporary, 60)


def test_an_interrupt_while_it_starts_leaves_nothing(start: Callable[..., Demo]) -> None:
    demo = start()
    until(lambda: "valkey: ready" in demo.said, 60)
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(60) in (0, 130)
    assert "Traceback" not in demo.said
    until(lambda: not demo.temporary, 60)


def test_a_port_that_is_taken_is_said_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run([sys.executable, "-m", "services", "demo", "--port", port], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"127.0.0.1:{port} is taken" in done.stderr
    assert done.stdout == ""


def test_without_java_and_maven_it_says_what_is_missing(tmp_path: Path) -> None:
    """On a machine that has neither, and hasn't fetched these servers before."""
    (tmp_path / "pypi").symlink_to(default_folder() / "pypi")
    (tmp_path / "bin").mkdir()
    given = environment(JANGBU_SERVICES_CACHE=str(tmp_path), PATH=str(tmp_path / "bin"))
    command = [sys.executable, "-m", "services", "demo", "--port", str(free_ports())]
    done = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert all(f"{name} needs `mvn`" in done.stderr for name in ("trino", "elasticmq"))
    assert "Java and Maven" in done.stderr
    assert done.stdout == ""
