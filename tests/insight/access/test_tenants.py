"""Tenants: made once, the same ever after."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from support.database_at import database_at
from support.databases import ADAPTERS

from jangbu.insight.access.facade import Access
from jangbu.kernel.clock import PinnedClock, SystemClock
from jangbu.kernel.errors import Conflict, InvalidRequest, InvalidTime, JangbuError, NotFound, OutOfBounds, WrongType

pytestmark = pytest.mark.parametrize("adapter", ADAPTERS, indirect=True)

YEARS_END = datetime(2017, 12, 31, 23, 59, 59, tzinfo=ZoneInfo("America/New_York"))


@pytest.fixture
def access(database_folder: Path) -> Iterator[Access]:
    database = database_at(database_folder)
    database.migrate()
    yield Access(database, SystemClock())
    database.close()


def test_a_tenant_is_found_as_it_was_made(access: Access) -> None:
    made = access.create_tenant("demo", "데모 상점", "America/New_York", "USD", YEARS_END)
    found = access.tenant("demo")
    assert found == made
    assert (found.name, found.zone, found.currency) == ("데모 상점", "America/New_York", "USD")
    assert found.clock == PinnedClock(datetime(2018, 1, 1, 4, 59, 59, tzinfo=UTC))


def test_without_a_pinned_time_its_clock_runs(access: Access) -> None:
    assert access.create_tenant("shop", "Shop", "UTC", "KRW").clock == SystemClock()


def test_making_the_same_again_changes_nothing(access: Access) -> None:
    for _ in range(2):
        access.create_tenant("demo", "Demo", "UTC", "USD", YEARS_END)
    assert [tenant.id for tenant in access.tenants()] == ["demo"]


def test_making_it_differently_is_a_conflict_that_says_what_differs(access: Access) -> None:
    access.create_tenant("demo", "Demo", "UTC", "USD")
    with pytest.raises(Conflict, match="'demo' is there already, with currency USD"):
        access.create_tenant("demo", "Demo", "UTC", "KRW")
    assert access.tenant("demo").currency == "USD"


@pytest.mark.parametrize(
    ("zone", "meant"),
    [
        ("america/new_york", "America/New_York"),
        ("New York", "America/New_York"),
        ("Asia/Soul", "Asia/Seoul"),
        ("seoul", "Asia/Seoul"),
    ],
)
def test_a_zone_that_does_not_exist_names_near_misses(access: Access, zone: str, meant: str) -> None:
    with pytest.raises(InvalidTime, match=f"{zone!r} isn't a time zone") as caught:
        access.create_tenant("demo", "Demo", zone, "USD")
    assert meant in caught.value.known


@pytest.mark.parametrize("zone", ["", "../../etc/passwd", "/etc/localtime", "localtime", "Factory", "UTC\0", "x" * 10_000])
def test_no_file_can_pass_for_a_zone(access: Access, zone: str) -> None:
    with pytest.raises(InvalidTime):
        access.create_tenant("demo", "Demo", zone, "USD")


def test_a_currency_in_small_letters_is_refused_with_the_right_one(access: Access) -> None:
    with pytest.raises(InvalidRequest, match="Did you mean 'USD'"):
        access.create_tenant("demo", "Demo", "UTC", "usd")


@pytest.mark.parametrize("currency", ["", "US", "USDX", "€", "ＵＳＤ", "US\n"])
def test_other_than_three_capitals_is_no_currency(access: Access, currency: str) -> None:
    with pytest.raises(InvalidRequest):
        access.create_tenant("demo", "Demo", "UTC", currency)


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 201])
def test_a_name_is_for_people(access: Access, name: str) -> None:
    with pytest.raises(WrongType):
        access.create_tenant("demo", name, "UTC", "USD")


def test_an_id_has_its_form(access: Access) -> None:
    with pytest.raises(WrongType):
        access.create_tenant("Demo!", "Demo", "UTC", "USD")


def test_a_pinned_time_needs_an_offset(access: Access) -> None:
    with pytest.raises(InvalidTime):
        access.create_tenant("demo", "Demo", "UTC", "USD", YEARS_END.replace(tzinfo=None))


def test_an_unknown_tenant_is_not_found_and_near_ones_are_named(access: Access) -> None:
    access.create_tenant("demo", "Demo", "UTC", "USD")
    with pytest.raises(NotFound, match=r"no tenant 'dmo'\. Did you mean 'demo'"):
        access.tenant("dmo")


def test_tenants_come_in_pages_by_id(access: Access) -> None:
    for name in ("c", "a", "b"):
        access.create_tenant(name, name, "UTC", "USD")
    assert [[tenant.id for tenant in access.tenants(offset, 2)] for offset in (0, 2, 4)] == [["a", "b"], ["c"], []]


@pytest.mark.parametrize(("offset", "limit"), [(-1, 10), (0, 0), (0, 1_001), (2**63, 1)])
def test_a_page_has_bounds(access: Access, offset: int, limit: int) -> None:
    for pages in (access.tenants, access.keys):
        with pytest.raises(OutOfBounds):
            pages(offset, limit)


def test_every_refusal_is_an_error_of_ours(access: Access) -> None:
    """Nothing that can be typed reaches the database unchecked."""
    for hostile in ("'; DROP TABLE tenants; --", "\0", "é" * 5_000):
        with pytest.raises(JangbuError):
            access.tenant(hostile)
    assert access.tenants() == ()
