"""Pairs of changes by two processes at once: one stands still at its points while the other goes on, and both at full speed.

Whoever stood still for longer than its lease finds itself given up or finished by others; nothing is doubled or lost.
"""

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from faults.driving import Smithy, Worker, is_locked, smithy
from faults.machine import PAST_LEASE, UPKEEP, Place, new_template
from faults.plain import SHOP, TENANTS, TWIN, Change, Flushed, replayed
from faults.reading import histories_of, waiting_in
from faults.workers import RULES

from jangbu.insight.ingest import repository

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]

Order = Mapping[str, Any]


@pytest.fixture(scope="module")
def made() -> Iterator[Smithy]:
    with smithy() as found:
        yield found


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_template(tmp_path_factory.mktemp("faults") / "template")


class Scene:
    """A place where each tenant has some loads, in small files that `SHOP` and `TWIN` share, and two workers."""

    def __init__(self, folder: Path, made: Smithy) -> None:
        self.folder, self.place = folder, Place(folder)
        self.one, self.other = made.worker(folder), made.worker(folder)
        self.batches: dict[int, Change] = {}
        for number in (1, 2, 3):
            self.well(self.one, load(number, "append", *TENANTS))

    def well(self, worker: Worker, order: Order) -> dict[str, Any]:
        """Do it, without a fault."""
        said = worker.does(**order)
        assert "error" not in said, said["trace"]
        return said

    def spool(self, number: int) -> None:
        batch = self.batches[number] = Change(number, "spool", TENANTS)
        self.well(self.one, {"do": "spool", "content": batch.content})

    def settle(self) -> None:
        self.well(self.other, UPKEEP["recover"])
        assert not self.place.ingest.has_open_intent(TENANTS, ["sales"])

    def entries(self) -> dict[str, list[Any]]:
        return {tenant: [each.entry for each in held] for tenant, held in histories_of(self.folder).items()}

    def check(self, *once: Change) -> None:
        """The rows are what the history leaves, and each of these changes is in it once for each of its tenants."""
        entries = self.entries()
        assert self.place.rows_by_day() == {tenant: replayed(entries[tenant], tenant, self.batches) for tenant in TENANTS}
        counts = Counter((tenant, entry) for tenant in TENANTS for entry in entries[tenant])
        assert {(tenant, change): counts[tenant, change] for change in once for tenant in change.tenants} == {
            (tenant, change): 1 for change in once for tenant in change.tenants
        }
        for tenant in TENANTS:
            assert [version for of, version in self.place.events() if of == tenant] == list(range(1, len(entries[tenant]) + 1))

    def close(self) -> None:
        self.one.close()
        self.other.close()
        self.place.close()


@contextmanager
def scene(template: Path, folder: Path, made: Smithy) -> Iterator[Scene]:
    shutil.copytree(template, folder)
    found = Scene(folder, made)
    try:
        yield found
    finally:
        found.close()
        shutil.rmtree(folder)


def load(number: int, kind: str, *tenants: Any) -> Order:
    return {"do": "load", "content": Change(number, kind, tenants).content}


def changes(*orders: Order) -> list[Change]:
    return [Change.of(order["content"]) for order in orders if order["do"] == "load"]


MERGE_OF_SHOP, MERGE_OF_TWIN = load(11, "merge", SHOP), load(12, "merge", TWIN)
PAIRS: dict[str, tuple[Order, Order]] = {
    "two appends of one tenant": (load(11, "append", SHOP), load(12, "append", SHOP)),
    "two merges of one tenant": (MERGE_OF_SHOP, load(12, "merge", SHOP)),
    "an append and a replacement of one tenant": (load(11, "append", SHOP), load(12, "replace", SHOP)),
    "two ranges of one tenant": (load(11, "range", SHOP), load(12, "range", SHOP)),
    "two tenants of one bucket that merge": (MERGE_OF_SHOP, MERGE_OF_TWIN),
    "many together and one of them": (load(11, "merge", *TENANTS), MERGE_OF_TWIN),
    "one and many together": (MERGE_OF_TWIN, load(11, "merge", *TENANTS)),
    "a merge beside a compaction": (MERGE_OF_SHOP, UPKEEP["compact"]),
    "a compaction beside a merge": (UPKEEP["compact"], MERGE_OF_SHOP),
    "a replacement beside upkeep": (load(11, "replace", TWIN), UPKEEP["upkeep"]),
    "upkeep beside a replacement": (UPKEEP["upkeep"], load(11, "replace", TWIN)),
    "an expiry beside an append": (UPKEEP["expire"], load(11, "append", SHOP)),
    "two who keep up": (UPKEEP["upkeep"], UPKEEP["upkeep"]),
    "two who expire": (UPKEEP["expire"], UPKEEP["expire"]),
    "two who compact": (UPKEEP["compact"], UPKEEP["compact"]),
}
MOST = 4
"""Points that one stands still at, of a pair."""


@pytest.mark.parametrize("pair", PAIRS)
def test_one_stands_still_at_any_point_while_the_other_does_its_part(
    pair: str, template: Path, tmp_path: Path, made: Smithy
) -> None:
    one, other = PAIRS[pair]
    for at in _some(_points(one, template, tmp_path / "count", made)):
        with scene(template, tmp_path / str(at), made) as here:
            if "stopped" not in here.one.does(**one, at=at, stop=True):
                continue
            if is_locked(here.folder):  # the other would only be told to come again
                here.one.wake()
                here.one.heard()
                continue
            here.place.clock.forward(PAST_LEASE)
            here.well(here.other, other)
            here.one.wake()
            said = here.one.heard()
            if "error" in said:
                assert (said["error"], "given up" in said["said"]) == ("Conflict", True), said["trace"]
                here.well(here.one, one)
            here.settle()
            here.check(*changes(one, other))


def _points(order: Order, template: Path, folder: Path, made: Smithy) -> int:
    with scene(template, folder, made) as here:
        return int(here.well(here.one, order)["points"])


def _some(points: int) -> Sequence[int]:
    return sorted({1 + at * points // MOST for at in range(MOST)} | {points})


@pytest.mark.parametrize("pair", PAIRS)
def test_both_at_once(pair: str, template: Path, tmp_path: Path, made: Smithy) -> None:
    with scene(template, tmp_path / "place", made) as here:
        orders = PAIRS[pair]
        for _ in range(3):
            for worker, order in zip((here.one, here.other), orders, strict=True):
                worker.begin(**order)
            said = [worker.heard() for worker in (here.one, here.other)]
            assert not [each["trace"] for each in said if "error" in each]
            here.check()
            orders = (_later(orders[0]), _later(orders[1]))
        here.settle()


def _later(order: Order) -> Order:
    if order["do"] != "load":
        return order
    change = Change.of(order["content"])
    return load(change.number + 10, change.kind, *change.tenants)


def test_the_same_load_by_two_is_there_once_though_one_stood_still(template: Path, tmp_path: Path, made: Smithy) -> None:
    """As by a caller who has lost patience with the first."""
    for order in (load(11, "append", SHOP), load(11, "merge", SHOP, TWIN)):
        for at in _some(_points(order, template, tmp_path / "count", made)):
            with scene(template, tmp_path / str(at), made) as here:
                if "stopped" not in here.one.does(**order, at=at, stop=True) or is_locked(here.folder):
                    continue
                here.place.clock.forward(PAST_LEASE)
                here.well(here.other, order)
                here.one.wake()
                said = here.one.heard()
                assert "error" not in said or "given up" in said["said"], said
                here.settle()
                here.check(*changes(order))


def test_rows_of_a_flush_that_stood_still_are_there_once(template: Path, tmp_path: Path, made: Smithy) -> None:
    flush: Order = {"do": "flush"}
    with scene(template, tmp_path / "count", made) as here:
        here.spool(20)
        points = here.well(here.one, flush)["points"]
    for at in _some(points):
        with scene(template, tmp_path / str(at), made) as here:
            here.spool(20)
            if "stopped" not in here.one.does(**flush, at=at, stop=True) or is_locked(here.folder):
                continue
            here.place.clock.forward(PAST_LEASE)
            here.well(here.other, flush)
            here.one.wake()
            said = here.one.heard()
            assert "error" not in said or "given up" in said["said"], said
            here.settle()
            here.well(here.other, flush)
            here.check()
            assert waiting_in(here.folder) == set()
            assert all(entries.count(Flushed(frozenset({20}))) == 1 for entries in here.entries().values())


@pytest.mark.parametrize("happened", [True, False])
def test_an_expiry_forgets_no_open_intent_s_marker(happened: bool, template: Path, tmp_path: Path, made: Smithy) -> None:
    """An append that stands still before or after its commit, and so many others meanwhile that its snapshot would go."""
    with scene(template, tmp_path / "place", made) as here:
        order = _standing_still(here, made, happened=happened)
        for number in range(200, 206):
            here.well(here.other, load(number, "merge", TWIN))
            here.well(here.other, UPKEEP["upkeep"])
        here.place.clock.forward(PAST_LEASE)
        assert here.well(here.other, UPKEEP["recover"])["finished"] == [happened]
        here.one.wake()
        said = here.one.heard()
        assert "error" not in said if happened else "given up" in said["said"], said
        here.well(here.one, order)
        here.check(*changes(order))


def _standing_still(here: Scene, made: Smithy, *, happened: bool) -> Order:
    """An append with an open intent, whose commit is in the table or not. Those that stood elsewhere are killed and settled."""
    for at in range(2, 40):
        order = load(10 + at, "append", SHOP)
        assert "stopped" in here.one.does(**order, at=at, stop=True)
        with here.place.database.reading() as connection:
            intents = repository.open_intents(connection)
        if intents and not is_locked(here.folder):
            committed = here.place.lakehouse.find_run("sales", intents[0].attempt) is not None
            if committed is happened:
                return order
        here.one.close()
        here.one = made.worker(here.folder)
        here.settle()
    raise AssertionError("It never stood still so.")


def test_a_question_that_takes_long_is_answered_of_its_version(template: Path, tmp_path: Path, made: Smithy) -> None:
    """Its files were merged away, compacted, forgotten and looked at by `collect`, but for less long than files stay."""
    with scene(template, tmp_path / "place", made) as here:
        asking = made.worker(here.folder)
        before = here.place.rows_by_day()
        assert "stopped" in asking.does("question")
        for number in range(20, 28):
            here.well(here.one, load(number, "merge", *TENANTS))
            here.well(here.other, UPKEEP["upkeep"])
        here.place.clock.forward(RULES.retired - timedelta(minutes=1))
        assert here.well(here.other, UPKEEP["upkeep"])["forgotten"] == 0
        asking.wake()
        found = asking.heard()
        while "stopped" in found:
            asking.wake()
            found = asking.heard()
        assert found["versions"] == dict.fromkeys(TENANTS, 3), found
        assert found["rows"] == {tenant: [len(rows), sum(row[1] for row in rows)] for tenant, rows in before.items()}
        here.place.clock.forward(timedelta(minutes=2))
        assert here.well(here.other, UPKEEP["upkeep"])["removed"] > 0
        here.check()
        asking.close()
