"""Versions of what others write: one for each state, and none that a load has too."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.world import World

from jangbu.kernel.tenancy import TenantId

AT = datetime(2017, 3, 1, tzinfo=UTC)
ROW = [{"basket": "b", "sold_at": AT}]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World.at(tmp_path)
    found.tenant("hanok")
    yield found
    found.close()


def number(world: World, place: str, fingerprint: str) -> int:
    return world.ingest.outside_version("sales", place, fingerprint, AT).version


def loaded(world: World) -> int:
    world.load("sales", "hanok", ROW)
    hanok = TenantId("hanok")
    return world.ingest.versions([hanok], ["sales"])[hanok, "sales"].version


def test_a_state_keeps_its_version_and_another_gets_the_next(world: World) -> None:
    assert [number(world, "here", state) for state in ("a", "a", "b", "b", "a")] == [1, 1, 2, 2, 3]


def test_two_places_share_no_version(world: World) -> None:
    assert [number(world, place, "a") for place in ("here", "there", "here", "there")] == [1, 2, 1, 2]


def test_loads_and_looks_share_no_version(world: World) -> None:
    """As where a definition is bound to a table, then outside, then to the table again."""
    assert [loaded(world), number(world, "here", "a"), loaded(world), number(world, "here", "b"), loaded(world)] == [1, 2, 3, 4, 5]


def test_each_new_version_is_told(world: World) -> None:
    from sqlalchemy import text

    for state in ("a", "a", "b"):
        number(world, "here", state)
    with world.database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM outbox WHERE name = 'TenantDataUpdated'")).scalar() == 2
