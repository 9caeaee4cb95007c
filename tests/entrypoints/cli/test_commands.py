"""The commands, in a folder of their own."""

import json
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import run, told

from jangbu.entrypoints.cli import demo, main, options, serve
from jangbu.kernel.errors import ConfigurationError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JANGBU_FOLDER", str(tmp_path / "data"))
    for name in ("JANGBU_SERVER", "JANGBU_KEY", "PORT", "JANGBU_PORT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "data"


def test_the_catalog_is_listed_without_a_folder_a_tenant_or_a_server(folder: Path) -> None:
    listing = told("catalog", "list")
    assert sorted(listing) == ["data_sources", "dimensions", "measures"]
    revenue = next(item for item in listing["measures"] if item["name"] == "revenue")
    assert revenue["data_source"] == "sales"
    assert sorted(revenue["label"]) == ["en", "ko"]
    assert not folder.exists()


def test_the_catalog_can_be_narrowed_shown_searched_and_checked() -> None:
    assert {item["data_source"] for item in told("catalog", "list", "--source", "sales")["measures"]} == {"sales"}
    assert told("catalog", "show", "sales.revenue")["formula"] == "sum(sales_value)"
    assert told("catalog", "search", "revenue")[0]["name"] == "revenue"
    assert told("catalog", "check") == {"mistakes": []}
    assert "properties" in json.dumps(json.loads(run("catalog", "schema").stdout))


def test_the_catalog_reads_well_for_people() -> None:
    assert "Measures (" in run("catalog", "list").stdout
    assert "sum(sales_value)" in run("catalog", "show", "sales.revenue").stdout
    assert run("catalog", "check").stdout == "No mistakes.\n"


def test_a_mistake_in_a_definition_is_told_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.yml").write_text("measures:\n  - nonsense\n")
    monkeypatch.setenv("JANGBU_DEFINITIONS", str(tmp_path))
    result = run("catalog", "check")
    assert result.exit_code == 1
    assert f"{tmp_path / 'mine.yml'}:" in result.stderr
    as_json = run("catalog", "check", "--json")
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout)["mistakes"][0]["file"].endswith("mine.yml")


def test_tenants_are_created_and_listed(folder: Path) -> None:
    created = told(
        "tenants",
        "create",
        "shop",
        "--zone",
        "Asia/Seoul",
        "--currency",
        "KRW",
        "--name",
        "가게",
        "--now",
        "2017-12-31T23:59:59+09:00",
    )
    assert created == {
        "id": "shop",
        "name": "가게",
        "zone": "Asia/Seoul",
        "currency": "KRW",
        "pinned_now": "2017-12-31T23:59:59+09:00",
        "state": "active",
        "since": None,
    }
    assert [tenant["id"] for tenant in told("tenants", "list")["tenants"]] == ["shop"]
    assert "Asia/Seoul" in run("tenants", "list").stdout


def test_keys_are_created_listed_and_revoked(folder: Path) -> None:
    run("tenants", "create", "shop", "--zone", "Asia/Seoul", "--currency", "KRW")
    made = told("keys", "create", "report", "--tenant", "shop", "--role", "reader")
    assert made["key"].startswith("jb_")
    assert run("keys", "create", "other", "--tenant", "shop").stdout.strip().startswith("jb_")
    listed = run("keys", "list", "--json").stdout
    assert made["key"] not in listed
    assert [key["name"] for key in json.loads(listed)["keys"]] == ["report", "other"]
    assert told("keys", "revoke", made["id"])["revoked_at"]


def test_an_empty_folder_has_no_loads(folder: Path) -> None:
    assert told("loads", "list") == {"loads": []}


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["query", "--where", "{"], "JSON"),
        (["query", "@nothing.json"], "nothing.json"),
        (["query", "[]", "--limit", "1"], "object"),
        (["tenants", "create", "shop", "--zone", "Asia/Seoul", "--currency", "KRW", "--now", "soon"], "soon"),
        (["nonsense"], "nonsense"),
        (["keys", "create", "x"], "--tenant"),
    ],
)
def test_a_wrong_use_exits_with_2(folder: Path, arguments: list[str], hint: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert hint in result.stderr


def fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["jangbu", *arguments])
    with pytest.raises(SystemExit) as raised:
        main()
    assert raised.value.code == 1
    return capsys.readouterr().err


def test_an_error_is_a_sentence_on_stderr(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = fails(monkeypatch, capsys, "catalog", "show", "revenuee")
    assert "Did you mean 'revenue'" in told
    assert "Traceback" not in told


def test_what_the_machine_refuses_is_a_sentence_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.write_text("a file")
    told = fails(monkeypatch, capsys, "init", str(folder / "below"))
    assert told.endswith("Not a directory.\n")
    assert "Traceback" not in told


def test_an_error_steers_no_terminal(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert "\x1b" not in fails(monkeypatch, capsys, "load", "\x1b[31m.csv", "--as", "x")


def test_closed_streams_lead_nowhere(folder: Path) -> None:
    program = Path(sys.executable).with_name("jangbu")
    shell = f"exec {program} tenants list --folder {folder / 'data'} <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", shell], timeout=60).returncode == 0


def test_an_error_in_a_question_names_its_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = fails(monkeypatch, capsys, "query", "-s", "sales", "-m", "revenue", "-e", "decade")
    assert "decade" in told
    assert "at /time_frequency" in told


def test_a_server_that_isnt_there_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = fails(
        monkeypatch, capsys, "query", "-s", "sales", "-m", "revenue", "--server", "http://127.0.0.1:9", "--key", "jb_secret"
    )
    assert "can't be reached" in told
    assert "jb_secret" not in told


def test_a_busy_port_is_told_before_anything_is_loaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        told = fails(monkeypatch, capsys, "demo", "--port", port)
    assert f"127.0.0.1:{port} can't be listened on: Address already in use. Give another one: --port" in told
    assert not folder.exists()


def test_a_host_that_isnt_this_machines_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="can't be listened on"):
        serve.listen("192.0.2.1", 0)


@pytest.mark.parametrize(
    ("host", "url"), [("127.0.0.1", "http://127.0.0.1:"), ("0.0.0.0", "http://127.0.0.1:"), ("::1", "http://[::1]:")]
)
def test_the_address_can_be_opened(host: str, url: str) -> None:
    with serve.listen(host, 0) as listener:
        assert serve.address(listener).startswith(url)


def test_the_greetings_lines_can_be_pasted_whole() -> None:
    key = "jb_XlwShKVC55_hym0uj4q-dMKNDngXvaKkgWSWwn0G7rE"
    lines = list(demo.greeting("http://127.0.0.1:8000", key))
    curls = [line for line in lines if line.startswith("curl ")]
    queries = [line for line in lines if " query " in line]
    assert len(curls) == len(queries) == 3
    assert all(f"Authorization: Bearer {key}'" in line for line in curls)
    assert all(line.endswith(f"--server http://127.0.0.1:8000 --key {key}") for line in queries)
    assert not any("\n" in line for line in lines)


def test_the_same_question_is_asked_by_curl_and_by_jangbu(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("jangbu.client.Client.raw", lambda self, request, media_type: asked.append(request) or b"{}")
    for _, request, flags in demo.QUESTIONS:
        result = run("query", *flags, "--server", "http://127.0.0.1:8000", "--key", "jb_x", "--json")
        assert result.exit_code == 0, result.stderr
        assert json.loads(asked[-1]) == request


def test_the_demos_key_is_kept_for_its_owner_only(folder: Path) -> None:
    run("tenants", "create", "demo", "--zone", "Asia/Seoul", "--currency", "KRW")
    with options.application() as application:
        first = demo._key(application)
        again = demo._key(application)
        (folder / "demo-key").write_text("jb_stale\n")
        renewed = demo._key(application)
        assert application.access.authenticate(renewed).tenants == ("demo",)
    assert first == again != renewed
    assert stat.S_IMODE((folder / "demo-key").stat().st_mode) == 0o600


def test_help_starts_without_the_heavy_libraries() -> None:
    heavy = [
        "pyarrow",
        "duckdb",
        "pyiceberg",
        "sqlglot",
        "sqlalchemy",
        "fastapi",
        "uvicorn",
        "pydantic",
        "structlog",
        "httpx",
        "yaml",
        "rich.table",
    ]
    code = f"import sys, jangbu.entrypoints.cli; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
