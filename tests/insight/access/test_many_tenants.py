"""A principal of hundreds of merchants: their tenants are read together, in the order asked."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from jangbu.insight.access.facade import Access
from jangbu.kernel.clock import SystemClock
from jangbu.kernel.errors import NotFound
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.database.sqlite import SqliteDatabase


@pytest.fixture
def access(tmp_path: Path) -> Iterator[Access]:
    database = SqliteDatabase(tmp_path / "jangbu.db")
    database.migrate()
    found = Access(database, SystemClock())
    for number in range(3):
        found.create_tenant(f"shop{number}", "A shop", "Asia/Seoul", "KRW")
    yield found
    database.close()


def test_tenants_come_in_the_order_asked(access: Access) -> None:
    found = access.tenants_named([TenantId("shop2"), TenantId("shop0")])
    assert [tenant.id for tenant in found] == ["shop2", "shop0"]


def test_more_than_one_statement_takes(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jangbu.insight.access.repository._AT_ONCE", 2)
    found = access.tenants_named([TenantId(f"shop{number}") for number in range(3)])
    assert [tenant.id for tenant in found] == ["shop0", "shop1", "shop2"]


def test_one_that_is_gone_is_told_without_naming_others(access: Access) -> None:
    with pytest.raises(NotFound) as caught:
        access.tenants_named([TenantId("shop0"), TenantId("gone")])
    assert caught.value.known == ()
    assert "shop1" not in str(caught.value)
