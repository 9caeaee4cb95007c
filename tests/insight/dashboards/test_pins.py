"""What a question pins stays one version of the data, whatever is loaded, ends or is forgotten while it goes on."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from support.world import World

from jangbu.insight.dashboards.data_layer import pins as pins_module
from jangbu.insight.dashboards.data_layer.outside import OutsideTables
from jangbu.insight.dashboards.data_layer.pins import Pinning
from jangbu.insight.ingest.facade import Ingest
from jangbu.kernel.clock import SystemClock
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.lakehouse import iceberg
from jangbu.platform.lakehouse.tables import planning

MARKET = Path(__file__).parents[2] / "fixtures" / "definitions" / "market"
KIM = TenantId("kim")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """It keeps little of what it has read, as where much is loaded."""
    monkeypatch.setattr(iceberg, "_KEPT_METADATA", 2)
    monkeypatch.setattr(planning, "SNAPSHOTS", 2)
    opened = World.at(tmp_path, [MARKET])
    opened.tenant("kim", "Asia/Seoul", "KRW")
    opened.load("orders", "kim", [order(1)])
    yield opened
    opened.close()


def order(number: int) -> dict[str, Any]:
    at = datetime(2024, 3, 2, tzinfo=UTC)
    return {"order": f"o{number}", "product": "p1", "amount": Decimal(number), "currency": "KRW", "ordered_at": at}


def test_rows_are_told_as_the_version_they_are_of_though_a_load_ends_meanwhile(world: World) -> None:
    commit_and_stand_still(world, [order(2)])
    source, looks = world.catalog.data_sources["orders"], []

    class EndsAfterTheSecondLook:
        def __getattr__(self, name: str) -> Any:
            return getattr(world.ingest, name)

        def versions(self, *arguments: Any) -> Any:
            looks.append(world.ingest.versions(*arguments))
            if len(looks) == 2:
                world.ingest.recover(datetime.now(UTC) + timedelta(hours=1))
            return looks[-1]

    pinning = Pinning(world.lakehouse, EndsAfterTheSecondLook(), OutsideTables(world.ingest))  # type: ignore[arg-type]
    pins = pinning.pin([source], (KIM,))
    rows = sum(file.rows for file in pinning.files(pins, source, None, None).files)
    assert (pins.versions[KIM, "orders"].version, rows) == (2, 2)


def test_a_load_right_after_the_snapshot_was_read_isnt_told_of_without_its_rows(world: World) -> None:
    source, loaded = world.catalog.data_sources["orders"], []

    class LoadedThen:
        def __getattr__(self, name: str) -> Any:
            return getattr(world.lakehouse, name)

        def current(self, table: str) -> Any:
            found = world.lakehouse.current(table)
            if not loaded:
                loaded.append(world.load("orders", "kim", [order(2)]))
            return found

    pinning = Pinning(LoadedThen(), world.ingest, OutsideTables(world.ingest))  # type: ignore[arg-type]
    pins = pinning.pin([source], (KIM,))
    rows = sum(file.rows for file in pinning.files(pins, source, None, None).files)
    assert (pins.versions[KIM, "orders"].version, rows) == (2, 2)


def test_loads_that_end_between_two_tries_keep_no_question_from_its_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what ends while a question pins is in its way, and that takes a moment."""
    source, number = world.catalog.data_sources["orders"], count(2)
    monkeypatch.setattr(pins_module, "sleep", lambda _: world.load("orders", "kim", [order(next(number))]))

    class AlwaysLoading:
        def __getattr__(self, name: str) -> Any:
            return getattr(world.ingest, name)

        def has_open_intent(self, *_: Any) -> bool:
            return True

    pinning = Pinning(world.lakehouse, AlwaysLoading(), OutsideTables(world.ingest))  # type: ignore[arg-type]
    pins = pinning.pin([source], (KIM,))
    rows = sum(file.rows for file in pinning.files(pins, source, None, None).files)
    assert pins.versions[KIM, "orders"].version == rows > 1


def commit_and_stand_still(world: World, rows: list[dict[str, Any]]) -> None:
    """A load whose commit happens, and whose process never gets to write it down."""

    class Lost:
        def __getattr__(self, name: str) -> Any:
            return getattr(world.lakehouse, name)

        def commit(self, *arguments: Any) -> None:
            world.lakehouse.commit(*arguments)
            raise OSError("gone")

        def find_run(self, *_: Any) -> None:
            raise OSError("gone")

    lost = replace(world, ingest=Ingest(world.database, Lost(), SystemClock()))  # type: ignore[arg-type]
    with pytest.raises(OSError, match="gone"):
        lost.load("orders", "kim", rows)


def test_a_pinned_snapshot_is_read_though_it_was_forgotten_by_then(world: World) -> None:
    """As by the second leg of a question whose first one took long."""
    source = world.catalog.data_sources["orders"]
    pinning = Pinning(world.lakehouse, world.ingest, OutsideTables(world.ingest))
    pins = pinning.pin([source], (KIM,))
    for number in range(2, 10):
        world.load("orders", "kim", [order(number)])
        world.ingest.upkeep.run("orders", remove=True)
    world.lakehouse.expire("orders", keep=1)
    assert sum(file.rows for file in pinning.files(pins, source, None, None).files) == 1
