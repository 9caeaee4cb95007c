"""The whole of Jangbu over a database that is a server: one setting, and processes that share nothing else."""

from pathlib import Path

import pytest
from support.databases import ADAPTERS
from support.processes import run

from jangbu.entrypoints.bootstrap import Application
from jangbu.entrypoints.settings import load
from jangbu.kernel.tenancy import TenantId

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("adapter", ADAPTERS[1:], indirect=True)]


def test_the_command_line_and_a_program_share_it(database_folder: Path) -> None:
    uri = (database_folder / "database.uri").read_text()
    done = run(
        "tenants", "create", "corner", "--zone", "Asia/Seoul", "--currency", "KRW", folder=database_folder, JANGBU_DATABASE=uri
    )
    assert done.returncode == 0, done.stderr
    assert not list(database_folder.rglob("jangbu.db"))
    application = Application(load(folder=database_folder / "elsewhere", database=uri))
    application.start()
    assert application.is_ready()
    assert [tenant.id for tenant in application.access.tenants()] == ["corner"]
    key, secret = application.access.create_key("boards", ["corner"])
    assert application.access.authenticate(secret).tenants == (TenantId("corner"),)
    assert application.relay.lag(application.clock.now())[0] == 0
    application.close()
    listed = run("keys", "list", folder=database_folder, JANGBU_DATABASE=uri)
    assert key.id in listed.stdout


def test_a_server_that_is_not_there_is_told_without_the_password(database_folder: Path) -> None:
    uri = (database_folder / "database.uri").read_text()
    password = uri.split(":")[2].split("@")[0]
    away = uri.replace(uri.rsplit(":", 1)[1].split("/")[0], "1")
    done = run("tenants", "list", folder=database_folder, JANGBU_DATABASE=away)
    assert done.returncode != 0
    assert "doesn't answer" in done.stderr
    assert password not in done.stdout + done.stderr
