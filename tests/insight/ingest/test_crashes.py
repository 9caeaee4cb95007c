"""A process that is killed in the middle of a load leaves the load done or not begun, and nothing between."""

import signal
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from crash import NEW, run
from ingest_place import SALES, SHOP, Place, day, sales
from support.databases import ADAPTERS

from jangbu.insight.ingest.contracts import LoadMode

pytestmark = pytest.mark.parametrize("adapter", ADAPTERS, indirect=True)

CRASH = Path(__file__).with_name("crash.py")
BEFORE = ["kept", "old"]
AFTER = {"append": ["kept", "new", "newer", "old"], "replace": ["kept", "new", "newer"], "flush": ["kept", "new", "newer", "old"]}


@pytest.fixture
def filled(place: Place) -> Place:
    """One load before: a row within the range that is replaced later, one outside it."""
    rows = sales(("old", "1", day(1)), ("kept", "9", day(20)))
    place.ingest.load(SALES, tenant=SHOP, batches=rows, mode=LoadMode.APPEND)
    return place


def crash(folder: Path, kind: str, step: str) -> None:
    done = subprocess.run([sys.executable, str(CRASH), str(folder), kind, step], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["append", "replace", "flush"])
@pytest.mark.parametrize(
    ("step", "happened", "recovered"),
    [("staged", False, None), ("intent", False, False), ("commit", True, True), ("finished", True, None)],
)
def test_a_kill_at_any_step_is_recovered(filled: Place, kind: str, step: str, happened: bool, recovered: bool | None) -> None:
    if kind == "flush":
        spooled = [{"tenant": "shop", "product": name, "price": Decimal(price), "sold_at": at} for name, price, at in NEW]
        filled.ingest.spool(SALES, spooled)
    crash(filled.folder, kind, step)

    is_open = recovered is not None
    assert filled.ingest.has_open_intent(["shop"], ["sales"]) == is_open
    done = filled.ingest.recover()
    assert [each.finished for each in done] == ([recovered] if is_open else [])
    assert not filled.ingest.has_open_intent(["shop"], ["sales"])
    assert_whole(filled, AFTER[kind] if happened else BEFORE, 2 if happened else 1)

    again = run(filled.ingest, kind)
    assert_whole(filled, AFTER[kind], 2)
    if kind == "flush":
        assert bool(again) is not happened
    else:
        assert again.changed is not happened
    assert filled.ingest.recover() == ()


def assert_whole(place: Place, products: list[str], version: int) -> None:
    """Rows, version, history and events tell the same."""
    assert place.products() == products
    assert place.version() == version
    assert [payload["version"] for _, payload in place.events()] == list(range(1, version + 1))
    assert [load.version for load in place.ingest.loads(["shop"])] == list(range(version, 0, -1))


@pytest.mark.slow
def test_the_same_load_needs_no_recovery_before_it(filled: Place) -> None:
    """It meets the dead process's intent and settles it itself, without waiting for the lease."""
    crash(filled.folder, "append", "commit")
    began = datetime.now(UTC)
    assert run(filled.ingest, "append").version == 2
    assert (datetime.now(UTC) - began).total_seconds() < 20
    assert_whole(filled, AFTER["append"], 2)


@pytest.mark.slow
def test_what_a_killed_load_had_staged_is_never_seen(filled: Place) -> None:
    before = filled.data_files()
    crash(filled.folder, "append", "staged")
    assert filled.data_files() > before
    assert filled.products() == BEFORE
