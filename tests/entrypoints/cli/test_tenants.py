"""`jangbu tenants`, from a tenant's beginning to its end."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.commands import run, told
from support.traces import traces
from typer.testing import Result

from jangbu.entrypoints.bootstrap import Application
from jangbu.entrypoints.settings import load
from jangbu.insight.ingest.contracts import LoadMode
from jangbu.kernel.errors import Conflict, Forbidden, NotFound
from jangbu.kernel.tenancy import TenantId


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JANGBU_FOLDER", str(tmp_path / "data"))
    monkeypatch.delenv("JANGBU_SERVER", raising=False)
    return tmp_path / "data"


@pytest.fixture
def shop(folder: Path) -> Path:
    """A tenant with a household `mark-77` in two data sources."""
    import pyarrow as pa

    run("tenants", "create", "shop", "--zone", "Asia/Seoul", "--currency", "KRW", "--name", "mark shop")
    with Application(load(folder=folder)) as application:
        for name in ("campaign_households", "redemptions"):
            source = application.catalog.catalog_for(()).data_sources[name]
            types = {
                column: pa.date32() if column == "redeemed_on" else pa.string() for column in source.columns if column != "tenant"
            }
            rows = [dict.fromkeys(types, None) | {"household": household, "campaign": "1"} for household in ("mark-77", "8")]
            batches = pa.Table.from_pylist(rows, schema=pa.schema(types))
            application.ingest.load(source, tenant=TenantId("shop"), batches=batches, mode=LoadMode.APPEND)
    return folder


def delete(*more: str) -> Result:
    return run("tenants", "delete", "shop", "--yes", *more)


def test_suspend_and_resume_change_what_is_shown(shop: Path) -> None:
    assert told("tenants", "suspend", "shop")["state"] == "suspended"
    with pytest.raises(Forbidden, match="is suspended"):
        run("query", "-s", "redemptions", "-m", "redemptions", "--tenant", "shop")
    assert told("tenants", "show", "shop")["state"] == "suspended"
    assert told("tenants", "resume", "shop")["state"] == "active"


def test_a_deleted_tenant_leaves_a_proof_and_nothing_else(shop: Path) -> None:
    report: Any = json.loads(delete("--json", "--asked-by", "Kim").stdout)
    assert (report["found_after"], report["asked_by"]) == (0, "Kim")
    assert traces(shop, "mark") == []
    assert told("tenants", "list")["tenants"] == []
    assert [tenant["id"] for tenant in told("tenants", "list", "--deleted")["tenants"]] == ["shop"]
    assert told("tenants", "erasures", "show", report["erasure"]) == report
    shown = run("tenants", "erasures", "show", report["erasure"]).stdout
    assert report["sha256"] in shown
    assert "lakehouse table redemptions" in shown


def test_its_id_comes_back_only_on_purpose(shop: Path) -> None:
    delete()
    with pytest.raises(Conflict):
        run("tenants", "create", "shop", "--zone", "UTC", "--currency", "KRW")
    assert told("tenants", "create", "shop", "--zone", "UTC", "--currency", "KRW", "--again")["state"] == "active"


def test_nobody_is_deleted_unasked(shop: Path) -> None:
    assert run("tenants", "delete", "shop").exit_code == 2
    assert told("tenants", "show", "shop")["state"] == "active"


def test_a_customer_is_erased_everywhere(shop: Path) -> None:
    report = told("tenants", "erase-customer", "shop", "--subject", "household=mark-77", "--yes")
    found = {each["place"]: each["removed"] for each in report["places"]}
    assert (found["lakehouse table redemptions"], found["lakehouse table campaign_households"]) == (1, 1)
    assert traces(shop, "mark-77") == []
    assert told("tenants", "erasures", "list", "--tenant", "shop")["erasures"][0]["subject"] == "household"


def test_a_subject_has_a_name_and_a_value(shop: Path) -> None:
    assert run("tenants", "erase-customer", "shop", "--subject", "mark-77", "--yes").exit_code == 2


def test_the_demos_key_goes_with_the_demo(folder: Path) -> None:
    run("tenants", "create", "demo", "--zone", "UTC", "--currency", "USD")
    (folder / "demo-key").write_text("jb_secret\n")
    run("tenants", "delete", "demo", "--yes")
    assert not (folder / "demo-key").exists()


def test_an_export_is_described_by_its_manifest(shop: Path, tmp_path: Path) -> None:
    run("keys", "create", "mine", "--tenant", "shop")
    manifest = told("tenants", "export", "shop", "--to", str(tmp_path / "out"))
    assert manifest["rows"] == 4
    assert json.loads((tmp_path / "out" / "manifest.json").read_text()) == manifest
    (key,) = json.loads((tmp_path / "out" / "keys.json").read_text())
    assert (key["name"], "secret" in str(key)) == ("mine", False)
    with pytest.raises(NotFound):
        run("tenants", "export", "nobody", "--to", str(tmp_path / "other"))


def test_an_export_goes_where_a_link_leads_and_never_into_the_data(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "there")
    run("tenants", "export", "shop", "--to", str(tmp_path / "link"))
    assert (tmp_path / "there" / "manifest.json").exists()
    (tmp_path / "inside").symlink_to(shop / "lakehouse" / "export")
    for place in (shop / "export", tmp_path / "inside", tmp_path / "there" / ".." / "data" / "x"):
        with pytest.raises(Conflict, match="within the data folder"):
            run("tenants", "export", "shop", "--to", str(place))


def test_a_page_beyond_all_is_refused(shop: Path) -> None:
    assert run("loads", "list", "--offset", str(10**20)).exit_code == 2
    assert run("tenants", "erasures", "list", "--offset", str(10**20)).exit_code == 2
