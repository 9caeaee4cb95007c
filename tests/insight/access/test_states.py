"""A tenant's states: suspended and resumed, on its way out, deleted."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.database_at import database_at
from support.databases import ADAPTERS

from jangbu.insight.access import facade
from jangbu.insight.access.contracts import TenantState
from jangbu.insight.access.facade import REVOKED_WITHIN, Access
from jangbu.kernel.clock import SystemClock
from jangbu.kernel.errors import Conflict, Forbidden, NotFound, UnknownName
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.database.ports import Database

pytestmark = pytest.mark.parametrize("adapter", ADAPTERS, indirect=True)

SHOP, OTHER = TenantId("shop"), TenantId("other")


@pytest.fixture
def database(database_folder: Path) -> Iterator[Database]:
    made = database_at(database_folder)
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def access(database: Database) -> Access:
    found = Access(database, SystemClock())
    for tenant in (SHOP, OTHER):
        found.create_tenant(tenant, tenant.title(), "Asia/Seoul", "KRW")
    return found


def delete(database: Database, tenant: TenantId) -> None:
    with database.transaction() as work:
        facade.mark_erasing(work.connection, tenant, work.now)
        facade.empty(work.connection, tenant)
        facade.bury(work.connection, tenant, work.now)


def test_a_suspended_tenant_is_forbidden_and_says_why(access: Access) -> None:
    _, secret = access.create_key("both", [SHOP, OTHER])
    access.suspend_tenant(SHOP)
    principal = access.authenticate(secret)
    assert principal.narrow(None) == (OTHER,)
    with pytest.raises(Forbidden, match="The tenant 'shop' is suspended"):
        principal.narrow((OTHER, SHOP))


def test_a_key_of_suspended_tenants_alone_is_told_so(access: Access) -> None:
    _, secret = access.create_key("one", [SHOP])
    access.suspend_tenant(SHOP)
    with pytest.raises(Forbidden, match="is suspended"):
        access.authenticate(secret).narrow(None)


def test_who_does_not_hold_a_suspended_tenant_is_not_told(access: Access) -> None:
    _, secret = access.create_key("one", [OTHER])
    access.suspend_tenant(SHOP)
    with pytest.raises(Forbidden, match="doesn't hold this tenant"):
        access.authenticate(secret).narrow((SHOP,))


def test_resuming_lets_its_keys_go_on(access: Access) -> None:
    _, secret = access.create_key("one", [SHOP])
    assert access.suspend_tenant(SHOP).state is TenantState.SUSPENDED
    assert access.resume_tenant(SHOP).state is TenantState.ACTIVE
    assert access.authenticate(secret).narrow(None) == (SHOP,)


def test_another_process_knows_within_seconds(access: Access, database: Database) -> None:
    seconds = [0.0]
    elsewhere = Access(database, SystemClock(), timer=lambda: seconds[0])
    _, secret = access.create_key("one", [SHOP])
    assert elsewhere.authenticate(secret).narrow(None) == (SHOP,)
    access.suspend_tenant(SHOP)
    seconds[0] = REVOKED_WITHIN
    with pytest.raises(Forbidden):
        elsewhere.authenticate(secret).narrow(None)


def test_the_operator_may_not_ask_for_it_either(access: Access) -> None:
    access.suspend_tenant(SHOP)
    assert access.operator().narrow(None) == (OTHER,)
    with pytest.raises(Forbidden, match="is suspended"):
        access.operator().narrow((SHOP,))


def test_suspending_twice_keeps_the_first_time(access: Access) -> None:
    assert access.suspend_tenant(SHOP).since == access.suspend_tenant(SHOP).since


def test_a_tenant_made_again_keeps_its_state(access: Access) -> None:
    access.suspend_tenant(SHOP)
    assert access.create_tenant(SHOP, "Shop", "Asia/Seoul", "KRW").state is TenantState.SUSPENDED


def test_one_on_its_way_out_can_not_be_stopped(access: Access, database: Database) -> None:
    with database.transaction() as work:
        facade.mark_erasing(work.connection, SHOP, work.now)
    for change in (access.suspend_tenant, access.resume_tenant):
        with pytest.raises(Conflict, match="being erased"):
            change(SHOP)


def test_a_deleted_tenant_is_not_found_listed_or_given_a_key(access: Access, database: Database) -> None:
    delete(database, SHOP)
    assert [tenant.id for tenant in access.tenants()] == [OTHER]
    with pytest.raises(NotFound, match="It was deleted at"):
        access.tenant(SHOP)
    with pytest.raises(NotFound):
        access.tenants_named([SHOP])
    with pytest.raises(UnknownName):
        access.create_key("new", [SHOP])


def test_its_id_is_taken_again_only_on_purpose(access: Access, database: Database) -> None:
    _, secret = access.create_key("both", [SHOP, OTHER])
    delete(database, SHOP)
    with pytest.raises(Conflict, match="has been deleted"):
        access.create_tenant(SHOP, "New", "UTC", "USD")
    assert access.create_tenant(SHOP, "New", "UTC", "USD", again=True).state is TenantState.ACTIVE
    assert access.authenticate(secret).tenants == (OTHER,)  # an old key doesn't hold the new one


def test_a_tombstone_holds_its_times_and_nothing_else(access: Access, database: Database) -> None:
    access.create_tenant("pinned", "Pinned", "UTC", "USD", datetime(2020, 1, 1, tzinfo=UTC))
    delete(database, TenantId("pinned"))
    (left,) = access.tenants(states=[TenantState.DELETED])
    assert (left.name, left.zone, left.currency, left.pinned_now) == ("", "", "", None)
    assert left.since is not None
