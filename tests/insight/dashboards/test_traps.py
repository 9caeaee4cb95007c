"""Small traps: rows with several times, columns of one name, relations that would multiply rows."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.world import World

from jangbu.kernel.errors import CatalogError, InvalidRequest, Unsupported

PAYMENTS = Path(__file__).parents[2] / "fixtures" / "definitions" / "payments"
MARCH, JULY = datetime(2017, 3, 1, 12, tzinfo=UTC), datetime(2017, 7, 1, 12, tzinfo=UTC)
EIGHT_IN_SEOUL = datetime(2017, 3, 1, 8)  # noqa: DTZ001 - a wall clock
"""2017-02-28T23:00Z."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    found = World.at(tmp_path_factory.mktemp("payments"), [PAYMENTS])
    found.tenant("acme", "America/New_York")
    rows = [{"class": "card", "paid_at": JULY, "settled_at": JULY}, {"class": "cash", "paid_at": MARCH, "settled_at": MARCH}]
    found.load("payments", "acme", [row | {"ordered_at": MARCH, "booked_at": EIGHT_IN_SEOUL} for row in rows])
    found.tenant("beta", "America/New_York")
    found.load("payments", "beta", rows[:0])
    found.load("classes", None, [{"name": "card"}])
    yield found
    found.close()


def ask(world: World, **request: Any) -> list[list[Any]]:
    return world.rows({"data_source": "payments", "measures": ["payments"]} | request, "acme")


@pytest.mark.parametrize("dimension", ["paid_hour", "settled_hour"])
@pytest.mark.parametrize("time", [{}, {"range": "2017-03"}, {"range": "2017", "field": "paid_at"}])
def test_an_hour_is_of_its_own_moments_offset(world: World, dimension: str, time: dict[str, Any]) -> None:
    """12:00Z is seven o'clock in New York's winter and eight in its summer."""
    assert ask(world, dimensions=[dimension], time=time) == [[7, 1], [8, 1]]


@pytest.mark.parametrize(("instant", "count"), [("2017-02-28T22:59:00Z", 0), ("2017-03-01T00:00:00Z", 2)])
def test_an_instant_meets_a_wall_clock_in_the_clocks_zone(world: World, instant: str, count: int) -> None:
    assert ask(world, filter={"field": "booked_at", "op": "before", "values": [instant]}) == [[count]]


def test_rows_are_ordered_by_a_group_under_its_bare_name(world: World) -> None:
    rows = ask(world, dimensions=["payments.class"], order=[{"field": "class", "direction": "desc"}])
    assert rows == [["cash", 1], ["card", 1]]


def test_an_answer_has_no_two_columns_of_one_name(world: World) -> None:
    with pytest.raises(InvalidRequest, match="two columns 'class'") as caught:
        ask(world, dimensions=["class"], analysis={"kind": "abc"})
    assert caught.value.path == "/dimensions/0"
    assert [row[-1] for row in ask(world, dimensions=["payments.class"], analysis={"kind": "abc"})] == ["A", "A"]


def test_shared_rows_meet_the_rows_of_one_tenant_only(world: World) -> None:
    request = {"data_source": "classes", "measures": ["classes"], "dimensions": ["paid_as"]}
    assert world.rows(request, "acme") == [["card", 1]]
    with pytest.raises(Unsupported, match="every tenant"):
        world.ask(request, "acme", "beta")


def test_a_leaf_over_two_relations_that_multiply_rows_is_refused(world: World) -> None:
    with pytest.raises(Unsupported, match="several relations"):
        ask(world, filter={"field": "pair", "op": "equals", "values": ["cardcard"]})


def test_a_definition_can_not_share_a_table_that_is_of_tenants(world: World) -> None:
    with pytest.raises(CatalogError, match="separate"):
        world.ask({"data_source": "everyones", "measures": ["all_payments"]}, "acme")
