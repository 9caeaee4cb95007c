"""The documents are run: each block of README and the guide does what it says, on the demo."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from services.plugin import GetService
from services.servers.trino import execute, over_postgres
from support.markdown import ROOT, Block, blocks
from support.servers import aws

pytestmark = [pytest.mark.slow, pytest.mark.real, pytest.mark.xdist_group("docs"), pytest.mark.timeout(180)]

GUIDE = ROOT / "docs" / "guide"
DOCUMENTS = [
    ROOT / "README.md",
    *(GUIDE / f"{name}.md" for name in ("own-data", "ask", "define", "extend", "operate", "tenants", "migrate")),
]
NEEDS = {"extend.md": GUIDE / "define.md"}
"""Documents that go on with another one's files."""

RETAIL = ROOT.parent / "shared" / "data" / "online_retail" / "online_retail.csv.gz"
"""A large file that the guide loads where it is there."""

WRITTEN_ADDRESS = "http://127.0.0.1:8000"
BIN = Path(sys.executable).parent
READY_WITHIN = 120


@dataclass
class Demo:
    folder: Path
    address: str

    @property
    def key(self) -> str:
        return (self.folder / ".jangbu" / "demo-key").read_text().strip()

    def here(self, text: str) -> str:
        """A document's text with this demo's address."""
        return text.replace(WRITTEN_ADDRESS, self.address)

    def environment(self) -> dict[str, str]:
        """A reader's shell: no settings, and modules compiled once, not at each start."""
        unwanted = ("JANGBU_", "PYTHONDONTWRITEBYTECODE")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
        return kept | {"PATH": f"{BIN}{os.pathsep}{kept['PATH']}", "COLUMNS": "200"}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo, served on a free port from a folder of its own."""
    address = f"http://127.0.0.1:{free_port()}"
    place = Demo(tmp_path_factory.mktemp("demo"), address)
    command = [BIN / "jangbu", "demo", "--port", address.rpartition(":")[2]]
    with (place.folder / "demo.log").open("w+") as log:
        process = subprocess.Popen(command, cwd=place.folder, env=place.environment(), stdout=log, stderr=log)
        try:
            wait_until_ready(process, address, place.folder / "demo.log")
            yield place
        finally:
            process.terminate()
            process.wait(30)


def wait_until_ready(process: "subprocess.Popen[bytes]", address: str, log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"{address}/health/ready", timeout=2).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"not ready within {READY_WITHIN} s: {log.read_text()}")


@dataclass
class Servers(Demo):
    """Real servers, by the addresses that the guide writes, with names of this test's own."""

    written: dict[str, str]
    before: dict[str, Callable[[], object]]
    """What somebody does at a server before the first block with these words."""

    def here(self, text: str) -> str:
        for words, act in list(self.before.items()):
            if words in text:
                act()
                del self.before[words]
        for words, instead in self.written.items():
            text = text.replace(words, instead)
        return text


@dataclass
class Session:
    """A reader who does what a document says, from its top to its end. What a block exports, the next ones have."""

    demo: Demo
    state: Path
    answer: Any = None
    ran: list[str] = field(default_factory=list)

    def do(self, block: Block) -> None:
        text = self.demo.here(block.text)
        if block.file:
            self.write(block.file, text)
        else:
            getattr(self, f"do_{block.language}")(text, block.role)
        self.ran.append(str(block))

    def write(self, name: str, text: str) -> None:
        file = self.demo.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def do_sh(self, text: str, _: str) -> str:
        if text.startswith("make "):
            assert re.fullmatch(r"make [a-z-]+\n", text)
            return ""
        script = f"set -a; [ ! -f {self.state} ] || . {self.state}\n{text}\ndeclare -px > {self.state}\n"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.demo.folder,
            env=self.demo.environment(),
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def do_console(self, text: str, _: str) -> None:
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            printed = self.do_sh(command + "\n", "")
            pattern = r"\s*".join(map(re.escape, expected.split())).replace("…", ".*")
            assert re.fullmatch(rf"\s*{pattern}\s*", printed, re.DOTALL), f"{command} printed:\n{printed}"

    def do_python(self, text: str, _: str) -> None:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", text],
            cwd=self.demo.folder,
            env=self.demo.environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout

    def do_json(self, text: str, role: str) -> None:
        data = json.loads(text, parse_float=Decimal)
        match role:
            case "answer" | "problem":
                assert covers(self.answer, data), f"{self.answer}"
            case "filter":
                self.ask({"data_source": "sales", "measures": ["revenue"], "filter": data}, 200)
            case "time":
                self.ask({"data_source": "sales", "measures": ["revenue"], "time": data}, 200)
            case _:
                self.ask(data, None)

    def ask(self, question: dict[str, Any], status: int | None) -> None:
        body = json.dumps(question, default=float)
        headers = {"authorization": f"Bearer {self.demo.key}"}
        response = httpx.post(f"{self.demo.address}/v1/query", content=body, headers=headers, timeout=60)
        assert status in (None, response.status_code), response.text
        self.answer = json.loads(response.content, parse_float=Decimal)

    def do_yaml(self, text: str, _: str) -> None:
        raise AssertionError("A definition names its file: ```yaml file=definitions/….yml")


def covers(whole: Any, part: Any) -> bool:
    """Whether `part` is in `whole`: some keys of each object, every item of each list."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(name in whole and covers(whole[name], value) for name, value in part.items())
    if isinstance(part, list):
        return isinstance(whole, list) and len(whole) == len(part) and all(map(covers, whole, part))
    return bool(whole == part)


def is_refused(block: Block, following: Block | None) -> bool:
    return following is not None and following.role == "problem" and block.language == "json"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_every_block_does_what_it_says(document: Path, demo: Demo, tmp_path: Path) -> None:
    if RETAIL.exists() and not (demo.folder / RETAIL.name).exists():
        (demo.folder / RETAIL.name).symlink_to(RETAIL)
    session = Session(demo, tmp_path / "state.sh")
    for earlier in blocks(NEEDS[document.name]) if document.name in NEEDS else ():
        if earlier.file:
            session.do(earlier)
    steps = blocks(document)
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        try:
            session.do(step)
        except Exception as error:
            raise AssertionError(f"{step}: {error}") from error
        if step.language == "json" and not step.role:
            assert ("code" in session.answer) == is_refused(step, following), f"{step}: {session.answer}"
    assert session.ran


@pytest.fixture
def servers(service: GetService, tmp_path: Path) -> Iterator[Servers]:
    postgres, valkey, sqs, s3, trino = map(service, ("postgres", "valkey", "elasticmq", "s3", "trino"))
    name = f"scale{uuid.uuid4().hex[:12]}"
    role, where = f"//{name}:jangbu-secret@", f"{postgres['host']}:{postgres['port']}"
    with psycopg.connect(postgres["url"], autocommit=True, connect_timeout=5) as session:
        session.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'jangbu-secret'")  # type: ignore[call-overload]
        for database in (name, f"{name}_lake"):
            session.execute(f"CREATE DATABASE {database} OWNER {name} TEMPLATE template0")  # type: ignore[call-overload]
    aws(s3, "s3").create_bucket(Bucket=name)
    account = dict(postgres.addresses) | {"user": name, "password": "jangbu-secret"}
    catalog = over_postgres(name, "jangbu", f"s3://{name}/warehouse", f"{name}_lake", account, s3)
    written = {
        "//jangbu:jangbu-secret@127.0.0.1:5432/jangbu": f"{role}{where}/{name}",
        "//jangbu:jangbu-secret@127.0.0.1:5432/lake": f"{role}{where}/{name}_lake",
        "s3://jangbu/": f"s3://{name}/",
        "http://127.0.0.1:8333": s3["url"],
        "http://127.0.0.1:9324": sqs["url"],
        "JANGBU_QUEUES=sqs": f"JANGBU_QUEUES=sqs JANGBU_SQS_PREFIX={name}-",
        "127.0.0.1:6379": f"{valkey['host']}:{valkey['port']}",
        "http://127.0.0.1:8080": trino["url"],
        '"catalog": "jangbu"': f'"catalog": "{name}"',
    } | {str(port): str(free_port()) for port in (8001, 8002, 9101, 9102)}
    yield Servers(tmp_path, "", written, {"JANGBU_ENGINE=trino": lambda: execute(trino["url"], catalog)})
    for file in tmp_path.glob("*.pid"):
        with suppress(ProcessLookupError):
            os.kill(int(file.read_text()), signal.SIGKILL)


@pytest.mark.services("postgres", "valkey", "elasticmq", "s3", "trino")
@pytest.mark.timeout(600)
def test_one_machine_becomes_many(servers: Servers, tmp_path: Path) -> None:
    session = Session(servers, tmp_path / "state.sh")
    for step in blocks(GUIDE / "scale.md"):
        try:
            session.do(step)
        except Exception as error:
            raise AssertionError(f"{step}: {error}") from error
    for name in ("api-1", "api-2", "worker-1", "worker-2", "scheduler"):
        assert "Traceback" not in (tmp_path / f"{name}.log").read_text()


def test_definitions_of_the_guide_have_no_mistake(tmp_path: Path) -> None:
    from jangbu.insight.catalog.facade import CatalogFacade

    for block in blocks(GUIDE / "define.md"):
        if block.file:
            (tmp_path / Path(block.file).name).write_text(block.text)
    assert [str(mistake) for mistake in CatalogFacade(folders=[tmp_path]).check()] == []
