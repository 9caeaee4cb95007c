"""`make services` keeps servers running for work by hand; those who have Docker find the same in compose.yaml."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import valkey
import yaml
from services.cache import Cache, default_folder
from services.registry import services
from services.run import Run

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
ONLY_BY_MAKE = {"toxiproxy", "valkey-cluster", "valkey-sentinel"}

Make = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def own_cache(tmp_path: Path) -> Iterator[Path]:
    """What is fetched is everybody's; what runs is this test's."""
    (tmp_path / "pypi").symlink_to(default_folder() / "pypi")
    yield tmp_path
    Run(tmp_path / "by-hand", None, Cache(tmp_path)).end()


@pytest.fixture
def command(own_cache: Path) -> Make:
    def run(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        environment = os.environ | {"JANGBU_SERVICES_CACHE": str(own_cache)} | more
        argv = [sys.executable, "-m", *arguments]
        return subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)

    return run


@pytest.mark.services("valkey", own=True)
def test_servers_by_hand_run_until_they_are_taken_down(command: Make, tmp_path: Path) -> None:
    up = command("services", "up", "valkey")
    assert up.returncode == 0, up.stderr
    url = re.search("url=(.*)", up.stdout)
    assert url
    client = valkey.Valkey.from_url(url[1], socket_timeout=5)
    client.set("by", "hand")
    assert re.search(r"^valkey +runs ", command("services").stdout, re.MULTILINE)

    suite = tmp_path / "suite"
    suite.mkdir()
    (suite / "conftest.py").write_text('pytest_plugins = ["services.plugin"]\n')
    (suite / "test_it.py").write_text(f"def test_it(service):\n    assert service('valkey')['url'] == {url[1]!r}\n")
    tested = command("pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(suite), str(suite), JANGBU_SERVICES="by-hand")
    assert "1 passed" in tested.stdout, tested.stdout
    assert client.get("by") == b"hand"

    assert "is stopped" in command("services", "down", "all").stdout
    with pytest.raises(valkey.exceptions.ConnectionError):
        client.ping()
    client.close()
    assert re.search(r"^valkey +- ", command("services").stdout, re.MULTILINE)


def test_an_unknown_server_is_refused_with_the_known_ones(command: Make) -> None:
    done = command("services", "up", "oracle")
    assert done.returncode == 1
    assert "There is no service 'oracle'; known: " in done.stderr
    assert "postgres" in done.stderr


def test_compose_has_the_same_servers() -> None:
    assert set(COMPOSE) == set(services()) - ONLY_BY_MAKE


@pytest.mark.parametrize("name", COMPOSE)
def test_compose_binds_only_this_machine(name: str) -> None:
    assert COMPOSE[name]["ports"]
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in COMPOSE[name]["ports"])


def published() -> dict[str, set[int]]:
    """The ports of this machine, by server."""
    return {name: {int(port.split(":")[1]) for port in server["ports"]} for name, server in COMPOSE.items()}


def test_compose_gives_each_port_to_one_server() -> None:
    ports = [port for each in published().values() for port in each]
    assert len(ports) == len(set(ports))


def test_what_compose_refers_to_is_there() -> None:
    whole = yaml.safe_load((ROOT / "compose.yaml").read_text())
    for server in COMPOSE.values():
        assert set(server) <= {"image", "environment", "command", "configs", "depends_on", "ports", "tmpfs", "volumes", "user"}
        assert {each["source"] for each in server.get("configs", ())} <= set(whole["configs"])
        assert set(server.get("depends_on", ())) <= set(COMPOSE)


@pytest.mark.parametrize("name", ["postgres", "valkey", "elasticmq", "s3", "trino"])
def test_the_guide_to_many_machines_finds_the_servers_of_compose(name: str) -> None:
    told = set(map(int, re.findall(r"127\.0\.0\.1:(\d+)", (ROOT / "docs" / "guide" / "scale.md").read_text())))
    assert published()[name] & told


@pytest.mark.parametrize("name", sorted(set(COMPOSE) - {"mail", "mariadb", "prometheus"}))
def test_compose_has_the_same_versions(name: str) -> None:
    told = re.search(r"\d+(\.\d+)?", services()[name].about)
    assert told
    version = COMPOSE[name]["image"].rpartition(":")[2].removeprefix("v")
    assert version == told[0] or version.startswith(f"{told[0]}."), (
        f"{name}: {version} in compose.yaml, {told[0]} in services/servers"
    )
