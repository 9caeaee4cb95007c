"""Metrics as a real Prometheus reads them, of a server and of a worker that runs alone."""

import json
import shutil
import subprocess
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import pytest
from services.plugin import GetService
from support.processes import Running, run, running

pytestmark = [pytest.mark.slow, pytest.mark.services("prometheus")]


def asked(prometheus: str, query: str, seconds: float = 30) -> list[dict[str, Any]]:
    """The samples of a query, once there are some."""
    ends = monotonic() + seconds
    while not (found := httpx.get(f"{prometheus}/api/v1/query", params={"query": query}).json()["data"]["result"]):
        assert monotonic() < ends, f"nothing for {query}"
        sleep(0.2)
    return list(found)


def target(running: Running) -> str:
    return running.address.removeprefix("http://").partition("/")[0]


def test_prometheus_reads_a_server_and_a_worker(service: GetService, tmp_path: Path) -> None:
    prometheus = service("prometheus").addresses
    run("tenants", "create", "shop", "Shop", "--zone", "Asia/Seoul", "--currency", "KRW", folder=tmp_path)
    alone = {"JANGBU_METRICS_PORT": "0"}
    with (
        running("serve", "api", "--port", "0", folder=tmp_path) as server,
        running("worker", folder=tmp_path, name="worker", ready=False, env=alone) as worker,
    ):
        address = _metrics_of(worker)
        targets = Path(prometheus["targets"]) / f"{tmp_path.name}.json"
        labels = {"place": tmp_path.name}
        targets.write_text(
            json.dumps(
                [
                    {"targets": [target(server)], "labels": labels | {"process": "serve"}},
                    {"targets": [address], "labels": labels | {"process": "worker"}},
                ]
            )
        )
        with server.client() as client:
            assert client.get("/v1/loads").status_code == 401
        of_place = f'{{place="{tmp_path.name}"}}'
        up = {each["metric"]["process"]: each["value"][1] for each in _of_both(prometheus["url"], f"up{of_place} == 1")}
        assert up == {"serve": "1", "worker": "1"}
        refused = f'jangbu_http_requests_total{{place="{tmp_path.name}", status="401"}} > 0'
        (requests,) = asked(prometheus["url"], refused)
        assert (requests["metric"]["process"], requests["value"][1]) == ("serve", "1")
        waiting = asked(prometheus["url"], f'jangbu_queue_messages{{place="{tmp_path.name}", process="worker"}}')
        assert {each["metric"]["queue"] for each in waiting} >= {"events", "deliveries", "commands"}
        targets.unlink()


def test_the_metrics_are_as_promtool_wants_them(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool here")
    with running("serve", "--port", "0", folder=tmp_path) as server, server.client() as client:
        text = client.get("/metrics").text
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=30)
    assert (checked.returncode, checked.stderr) == (0, "")


def _of_both(prometheus: str, query: str) -> list[dict[str, Any]]:
    ends = monotonic() + 30
    while len(found := asked(prometheus, query)) < 2:
        assert monotonic() < ends, found
        sleep(0.2)
    return found


def _metrics_of(worker: Running) -> str:
    """Where a worker says that its metrics are."""
    ends = monotonic() + 60
    while "Its metrics are at" not in worker.out.read_text():
        assert monotonic() < ends, worker.said
        sleep(0.05)
    return worker.out.read_text().partition("http://")[2].partition("/")[0]
