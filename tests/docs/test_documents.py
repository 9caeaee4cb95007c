"""The documents are run: each block of README and the guide does what it says, on the demo."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.markdown import ROOT, Block, blocks

pytestmark = [pytest.mark.slow, pytest.mark.real, pytest.mark.xdist_group("docs"), pytest.mark.timeout(180)]

GUIDE = ROOT / "docs" / "guide"
DOCUMENTS = [ROOT / "README.md", *(GUIDE / f"{name}.md" for name in ("ask", "define", "extend", "operate"))]
NEEDS = {"extend.md": GUIDE / "define.md"}
"""Documents that go on with another one's files."""

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

    def environment(self) -> dict[str, str]:
        """A reader's shell: no settings, and modules compiled once, not at each start."""
        unwanted = ("JANGBU_", "PYTHONDONTWRITEBYTECODE")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
        return kept | {"PATH": f"{BIN}{os.pathsep}{kept['PATH']}", "COLUMNS": "200"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo, served on a free port from a folder of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
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
class Session:
    """A reader who does what a document says, from its top to its end. What a block exports, the next ones have."""

    demo: Demo
    state: Path
    answer: Any = None
    ran: list[str] = field(default_factory=list)

    def do(self, block: Block) -> None:
        text = block.text.replace(WRITTEN_ADDRESS, self.demo.address)
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
            timeout=60,
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


def test_definitions_of_the_guide_have_no_mistake(tmp_path: Path) -> None:
    from jangbu.insight.catalog.facade import CatalogFacade

    for block in blocks(GUIDE / "define.md"):
        if block.file:
            (tmp_path / Path(block.file).name).write_text(block.text)
    assert [str(mistake) for mistake in CatalogFacade(folders=[tmp_path]).check()] == []
