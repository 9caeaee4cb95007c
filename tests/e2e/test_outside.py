"""Files that others write, bound over the command line and asked over HTTP while they are replaced."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.outside import put, rows
from support.processes import run, running

pytestmark = pytest.mark.slow

ASKED = {"data_source": "receipts", "measures": ["rows", "amount"]}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outside")
    (folder / "definitions").mkdir()
    put(folder / "data" / "receipts.parquet", rows({"hanok": [1, 2], "namu": [5]}))
    return folder


@pytest.fixture(scope="module")
def settings(place: Path) -> dict[str, str]:
    return {"JANGBU_DEFINITIONS": str(place / "definitions"), "JANGBU_OUTSIDE_FOLDERS": str(place / "data")}


@pytest.fixture(scope="module")
def clients(place: Path, settings: dict[str, str]) -> Iterator[dict[str, httpx.Client]]:
    bound = run("bind", "data/receipts.parquet", "--as", "receipts", "--tenant-column", "shop", folder=place, **settings)
    assert (bound.returncode, bound.stderr) == (0, "")
    assert run("catalog", "check", folder=place, **settings).stdout == "No mistakes.\n"
    keys = {}
    for tenant in ("hanok", "namu"):
        run("tenants", "create", tenant, "--zone", "Asia/Seoul", "--currency", "KRW", folder=place)
        keys[tenant] = run("keys", "create", tenant, "--tenant", tenant, folder=place).stdout.strip()
    with running("serve", "--port", "0", folder=place, env=settings) as server:
        found = {tenant: server.client(key) for tenant, key in keys.items()}
        yield found
        for client in found.values():
            client.close()


def answer(client: httpx.Client) -> dict[str, Any]:
    response = client.post("/v1/query", json=ASKED)
    assert response.status_code == 200, response.text
    return dict(response.json())


def test_each_tenant_sees_its_own_rows_and_every_replacement(place: Path, clients: dict[str, httpx.Client]) -> None:
    first = answer(clients["hanok"])
    assert first["rows"] == [[2, 3.0]]
    assert answer(clients["namu"])["rows"] == [[1, 5.0]]
    assert first["meta"]["outside"]["receipts"]["check_every"] == 60
    assert first["meta"]["data_versions"] == {"receipts": 1}
    put(place / "data" / "receipts.parquet", rows({"hanok": [7], "namu": [8, 9]}))
    second = answer(clients["hanok"])
    assert (second["rows"], second["meta"]["data_versions"]) == ([[1, 7.0]], {"receipts": 2})
    assert second["meta"]["as_of"]["receipts"] > first["meta"]["as_of"]["receipts"]


def test_a_torn_file_is_unavailable_and_its_path_a_secret(place: Path, clients: dict[str, httpx.Client]) -> None:
    file = place / "data" / "receipts.parquet"
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    told = [clients["hanok"].post(route, json=ASKED) for route in ("/v1/query", "/v1/query/explain")]
    assert [response.status_code for response in told] == [503, 503]
    assert told[0].json()["code"] == "unavailable"
    put(file, rows({"hanok": [7], "namu": [8, 9]}))
    told.append(clients["hanok"].post("/v1/query/explain", json=ASKED))
    told += [clients["hanok"].get(f"/v1/catalog/{route}") for route in ("data_sources/receipts", "measures", "data_sources")]
    assert told[2].status_code == 200
    assert [response for response in told if str(place) in response.text or "receipts.parquet" in response.text] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--as", "receipts", "--shared"), "already"),
        (("--as", "others"), "--shared"),
        (("--as", "others", "--tenant-column", "shopp"), "Did you mean 'shop'"),
        (("--as", "no name", "--shared"), "'no name'"),
        (("--as", "others", "--shared", "--tenant", "hanok"), "JANGBU_TENANT_DEFINITIONS"),
    ],
)
def test_what_can_not_be_bound_is_told(
    place: Path, settings: dict[str, str], clients: dict[str, httpx.Client], arguments: tuple[str, ...], words: str
) -> None:
    done = run("bind", "data/receipts.parquet", *arguments, folder=place, **settings)
    assert done.returncode != 0
    assert words in done.stderr
