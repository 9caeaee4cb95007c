"""Upkeep is done when it is due, changes no row and no version, and takes nothing that somebody needs."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ingest_place import SALES, SHOP, LakehouseWith, MovableClock, Place, day, sales

from jangbu.insight.ingest.contracts import LoadMode
from jangbu.insight.ingest.facade import Ingest, UpkeepRules
from jangbu.insight.ingest.lease import LEASE
from jangbu.kernel.errors import NotFound

RULES = UpkeepRules(keep=3, joinable=4, manifests=100)


@pytest.fixture
def clock() -> MovableClock:
    """Begins now, as files are as old as the disk says."""
    from datetime import UTC, datetime

    return MovableClock(datetime.now(UTC))


@pytest.fixture
def ingest(place: Place, clock: MovableClock) -> Ingest:
    return Ingest(place.database, place.lakehouse, clock, RULES)


def load(ingest: Ingest, number: int) -> None:
    ingest.load(SALES, tenant=SHOP, batches=sales((f"p{number}", "1", day(1))), mode=LoadMode.APPEND)


def files(place: Place) -> set[Path]:
    return {path for path in (place.folder / "lakehouse" / "jangbu").rglob("*") if path.is_file()}


def test_it_is_due_when_many_small_files_can_be_joined(ingest: Ingest) -> None:
    for number in range(3):
        load(ingest, number)
        assert not ingest.upkeep.is_due("sales")
    load(ingest, 3)
    assert ingest.upkeep.is_due("sales")


def test_it_changes_no_row_and_no_version_and_is_not_due_again(place: Place, ingest: Ingest) -> None:
    for number in range(9):
        load(ingest, number)
    before = (place.rows(), place.version(), place.events(), ingest.loads([SHOP]))
    done = ingest.upkeep.run("sales")
    assert (done.files_before, done.files_after, done.rows) == (9, 1, 9)
    assert (place.rows(), place.version(), place.events(), ingest.loads([SHOP])) == before
    assert not ingest.upkeep.is_due("sales")
    assert place.lakehouse.state("sales").snapshots == 3
    assert ingest.upkeep.run("sales").files_before == 0


def test_a_question_that_began_before_reads_on_until_its_time_is_over(place: Place, ingest: Ingest, clock: MovableClock) -> None:
    for number in range(5):
        load(ingest, number)
    pinned = place.lakehouse.files(place.lakehouse.current("sales"), None, None).files
    for number in (5, 6, 7):
        ingest.upkeep.run("sales", remove=True)
        load(ingest, number)
    ingest.upkeep.run("sales", remove=True)
    clock.forward(hours=1.9)
    ingest.upkeep.run("sales", remove=True)
    assert all(Path(file.path).exists() for file in pinned)
    clock.forward(hours=0.2)
    assert ingest.upkeep.run("sales", remove=True).files_removed >= 5
    assert not any(Path(file.path).exists() for file in pinned)
    assert place.products() == [f"p{number}" for number in range(8)]


def test_the_marker_of_an_open_intent_outlives_any_number_of_snapshots(place: Place, ingest: Ingest, clock: MovableClock) -> None:
    def lost(*arguments: Any) -> None:
        if not isinstance(arguments[0], str):
            place.lakehouse.commit(*arguments)
        raise OSError("gone")

    methods = {"commit": lost, "find_run": lost}
    broken = Ingest(place.database, LakehouseWith(place.lakehouse, **methods), clock)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="gone"):
        load(broken, 0)
    for number in range(1, 9):
        ingest.load(SALES, tenant="other", batches=sales((f"p{number}", "1", day(1))), mode=LoadMode.APPEND)  # type: ignore[arg-type]
        ingest.upkeep.run("sales", remove=True)
    assert place.lakehouse.state("sales").snapshots == 4
    clock.forward(seconds=LEASE.total_seconds())
    assert [done.finished for done in ingest.recover()] == [True]
    ingest.upkeep.run("sales")
    assert place.lakehouse.state("sales").snapshots == 3
    assert (place.products(), place.version()) == (["p0"], 1)


def test_what_a_killed_load_has_staged_goes_after_a_day(place: Place, ingest: Ingest, clock: MovableClock) -> None:
    load(ingest, 1)
    staged = place.lakehouse.stage("sales", sales_of("shop"), "staged-by-a-killed-process")
    before = files(place)
    clock.forward(hours=23)
    ingest.upkeep.run("sales", remove=True)
    assert files(place) == before
    clock.forward(hours=2)
    assert ingest.upkeep.run("sales", remove=True).files_removed == 1
    assert place.products() == ["p1"]
    place.lakehouse.discard(staged)


def sales_of(tenant: str) -> Any:
    import pyarrow as pa

    return sales(("x", "1", day(1))).add_column(0, "tenant", pa.array([tenant]))


def test_a_clock_that_is_set_back_takes_nothing_too_early(place: Place, ingest: Ingest, clock: MovableClock) -> None:
    for number in range(5):
        load(ingest, number)
    ingest.upkeep.run("sales", remove=True)
    clock.at -= timedelta(days=400)
    load(ingest, 6)
    for _ in range(3):
        ingest.upkeep.run("sales", remove=True)
    assert place.products() == ["p0", "p1", "p2", "p3", "p4", "p6"]


def test_a_table_that_is_not_there_is_named(ingest: Ingest) -> None:
    with pytest.raises(NotFound, match="sales"):
        ingest.upkeep.run("sales")
