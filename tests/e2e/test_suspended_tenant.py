"""A tenant is suspended, and later deleted, beside a server that goes on for another."""

from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import pytest
from support.processes import run, running
from support.two_shops import HANOK, NAMU, set_up

from jangbu.insight.access.facade import REVOKED_WITHIN

pytestmark = pytest.mark.slow


def asked(client: httpx.Client, *tenants: str) -> httpx.Response:
    body: dict[str, Any] = {"data_source": "sales", "measures": ["revenue"], "dimensions": ["tenant"]}
    return client.post("/v1/query", json=body | ({"tenants": list(tenants)} if tenants else {}))


def within(seconds: float, is_so: Callable[[], bool]) -> bool:
    ends = monotonic() + seconds
    while not is_so():
        if monotonic() > ends:
            return False
        sleep(0.1)
    return True


def test_a_server_refuses_it_within_seconds_and_goes_on_for_the_other(tmp_path: Path) -> None:
    key = set_up(tmp_path / ".jangbu")["both"]
    with running("serve", "--port", "0", folder=tmp_path) as server, server.client(key) as client:
        assert asked(client, HANOK).status_code == 200
        assert run("tenants", "suspend", HANOK, folder=tmp_path).returncode == 0
        assert within(REVOKED_WITHIN + 2, lambda: asked(client, HANOK).status_code == 403)
        problem = asked(client, HANOK).json()
        assert (problem["code"], problem["detail"]) == ("forbidden", "The tenant 'hanok' is suspended.")
        others = asked(client)
        assert others.status_code == 200
        assert HANOK not in others.text
        assert run("tenants", "resume", HANOK, folder=tmp_path).returncode == 0
        assert within(REVOKED_WITHIN + 2, lambda: asked(client, HANOK).status_code == 200)

        gone = run("tenants", "delete", HANOK, "--yes", folder=tmp_path)
        assert gone.returncode == 0, gone.stderr
        assert within(REVOKED_WITHIN + 2, lambda: asked(client, HANOK).status_code == 403)
        assert asked(client, NAMU).status_code == 200
