"""No secret stands in anything that is written: logs, answers, metrics, the question log, the database, what the commands print."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.processes import run, running
from support.two_shops import HANOK, set_up

pytestmark = pytest.mark.slow

ASKED = {"data_source": "sales", "measures": ["revenue"], "dimensions": ["store"]}


def everything_below(folder: Path) -> bytes:
    return b"\0".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def tails(secrets: list[str]) -> list[bytes]:
    """What tells a secret: all but the few characters that lists show."""
    return [secret[12:].encode() for secret in secrets]


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_key_is_written_nowhere_however_it_is_sent(tmp_path: Path, form: str) -> None:
    keys = set_up(tmp_path / ".jangbu")
    wrong = "jb_" + "Wrong-secret_" * 4
    env = {"JANGBU_LOG_LEVEL": "debug", "JANGBU_LOG_FORMAT": form, "JANGBU_KEY": keys["both"]}
    with running("serve", "--port", "0", folder=tmp_path, env=env) as server:
        said = []
        for key in (keys[HANOK], wrong):
            with server.client(key) as client:
                said += [client.post("/v1/query", json=ASKED), client.post("/v1/query", json=ASKED | {"measures": ["nothing"]})]
                said += [client.post("/v1/query", content=b"{"), client.get("/nothing"), client.get("/metrics")]
                said += [client.get(f"/v1/catalog/measures?search={key}", headers={"x-request-id": key, "cookie": key})]
        with server.client(keys[HANOK]) as client:
            for path in (f"/v1/catalog/measures?tenant={wrong}", f"/{wrong}", f"/v1/catalog/measures/{wrong}"):
                assert client.get(path).status_code in (403, 404)  # it answers with what was sent, to the sender only
            log = {"data_source": "query_log", "measures": ["queries"], "dimensions": ["principal", "asked_measures", "code"]}
            said.append(client.post("/v1/query", json=log))
        assert server.stop() == 0
    heard = "".join(response.text + str(response.headers) for response in said).encode()
    for tail in tails([*keys.values(), wrong]):
        assert tail not in heard
        assert tail not in everything_below(tmp_path)


def test_the_commands_show_a_secret_once(tmp_path: Path) -> None:
    set_up(tmp_path / ".jangbu")
    made = json.loads(run("keys", "create", "new", "--tenant", HANOK, "--json", folder=tmp_path).stdout)
    (tail,) = tails([made["key"]])
    for command in (["keys", "list"], ["keys", "list", "--json"], ["keys", "revoke", made["key"]], ["keys", "revoke", made["id"]]):
        done = run(*command, folder=tmp_path, JANGBU_LOG_LEVEL="debug")
        assert tail.decode() not in done.stdout + done.stderr
    assert tail not in everything_below(tmp_path)


@pytest.mark.parametrize("server", ["http://127.0.0.1:9", "https://127.0.0.1:9", "nonsense"])
def test_a_question_that_fails_does_not_repeat_its_key(tmp_path: Path, server: str) -> None:
    key = "jb_" + "Not-to-be-seen_" * 4
    for given in ({}, {"JANGBU_KEY": key}):
        options = [] if given else ["--key", key]
        arguments = ["query", "--source", "sales", "--measures", "revenue", "--server", server, *options]
        done: subprocess.CompletedProcess[Any] = run(*arguments, folder=tmp_path, **given)
        assert done.returncode != 0
        assert "Not-to-be-seen" not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
