"""Three workers change one place at random, are killed and stand still; a plain model says what there may be, a reader asks on."""

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import mkdtemp
from time import sleep
from typing import Any, ClassVar

import pyarrow.parquet as pq
from faults.driving import Dead, Smithy, is_locked, smithy
from faults.plain import FIRST, KINDS, OTHER, SHOP, TENANTS, TWIN, Action, Change, Flush, Model, replayed
from faults.reading import Judge, answers_in, histories_of, spooled_in, waiting_in
from faults.workers import RULES, SharedPlace, prepare
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from jangbu.insight.ingest.lease import LEASE

WORKERS = 3
PAST_LEASE = LEASE + timedelta(seconds=5)
PAST_RETIRED = RULES.retired + timedelta(minutes=1)
UPKEEP: Mapping[str, Mapping[str, Any]] = {
    "compact some": {"do": "compact", "whole": False},
    "compact": {"do": "compact", "whole": True},
    "expire": {"do": "expire", "keep": 2},
    "collect": {"do": "collect"},
    "upkeep": {"do": "upkeep", "whole": True},
    "recover": {"do": "recover", "ahead": 3600},
}
"""What changes no row, and is no action of the model's."""

GROUPS = ((SHOP,), (TWIN,), (OTHER,), (SHOP, TWIN), (SHOP, TWIN, OTHER))
LOADS = [(kind, group) for kind in KINDS for group in GROUPS]
ACTIONS = st.sampled_from(
    [*LOADS, ("spool", (SHOP,)), ("spool", (SHOP, OTHER)), *[("flush", ())] * 3, *[(name, ()) for name in UPKEEP for _ in range(2)]]
)
POINTS = st.integers(1, 24)
"""What has fewer ends."""

SOME_MS = st.integers(1, 120)


SETTINGS = settings(
    max_examples=8,
    stateful_step_count=20,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
"""Processes don't run twice the same, so a failure isn't made smaller; its steps are told."""


@dataclass
class Doing:
    """What a worker was told to do: `tickets` of the model's, `name` for those who count. `stood`: it stood still meanwhile."""

    name: str
    order: Mapping[str, Any]
    tickets: tuple[int, ...] = ()
    stood: bool = False


class Place(SharedPlace):
    """As the test looks at it."""

    def rows_by_day(self) -> dict[str, list[tuple[str, int, int]]]:
        """Every tenant's rows, as the files hold them, sorted."""
        found: dict[str, list[tuple[str, int, int]]] = {tenant: [] for tenant in TENANTS}
        if "sales" in self.lakehouse.tables():
            for file in self.lakehouse.files(self.lakehouse.current("sales"), None, None).files:
                for row in pq.ParquetFile(file.path).read().to_pylist():
                    found[row["tenant"]].append((row["product"], int(row["price"]), (row["sold_at"] - FIRST).days))
        return {tenant: sorted(rows) for tenant, rows in found.items()}


class Machine(RuleBasedStateMachine):
    """`smithy`, `template` and `counts` are set by who runs it. Which rules there are never depends on what the processes came to,
    as Hypothesis would take that for flaky: a rule that has nothing to do does nothing."""

    smithy: ClassVar[Smithy]
    template: ClassVar[Path]
    counts: ClassVar[Counter[tuple[str, str]]]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(mkdtemp(prefix="machine-"))
        shutil.copytree(self.template, self.folder, dirs_exist_ok=True)
        self.place = Place(self.folder)
        self.model, self.number = Model(), 0
        self.contents: list[Change] = []
        self.workers = [self.smithy.worker(self.folder) for _ in range(WORKERS)]
        self.still: dict[int, Doing] = {}
        self.lost: list[int] = []
        self.is_in_order = True
        self.reader = self.smithy.worker(self.folder)
        self.reader.begin("read", log=str(self.folder / "answers"), pause=0.01)

    # What is done

    @rule(what=ACTIONS)
    def end(self, what: tuple[str, tuple[str, ...]]) -> None:
        """It ends, beside those who stand still."""
        worker, doing = self._begun(what)
        self._hear(worker, doing)

    @rule(what=ACTIONS, at=POINTS)
    def kill_at_a_point(self, what: tuple[str, tuple[str, ...]], at: int) -> None:
        self._hear(*self._begun(what, at=at))

    @rule(what=ACTIONS, ms=SOME_MS)
    def kill_at_any_time(self, what: tuple[str, tuple[str, ...]], ms: int) -> None:
        worker, doing = self._begun(what)
        sleep(ms / 1000)
        self.workers[worker].kill()
        self._hear(worker, doing)
        self._replace(worker)

    @rule(what=ACTIONS, at=POINTS, settled=st.booleans())
    def stand_still_at_a_point(self, what: tuple[str, tuple[str, ...]], at: int, settled: bool) -> None:
        """`settled`: another one recovers what it has left open meanwhile."""
        self._let_two_be_idle()
        self._hear(*self._begun(what, at=at, stop=True))
        self._let_no_lock_be_held()
        if settled:
            self.end(("recover", ()))

    @rule(what=ACTIONS, ms=SOME_MS)
    def stand_still_at_any_time(self, what: tuple[str, tuple[str, ...]], ms: int) -> None:
        self._let_two_be_idle()
        worker, doing = self._begun(what)
        sleep(ms / 1000)
        self.workers[worker].stop()
        if self.workers[worker].has_said():
            self.workers[worker].wake()
            self._hear(worker, doing)
        else:
            self._stands_still(worker, doing)
            self._let_no_lock_be_held()

    @rule()
    def go_on(self) -> None:
        """The one that has stood still for longest."""
        if self.still:
            self._wake(next(iter(self.still)))

    @rule()
    def kill_one_that_stands_still(self) -> None:
        if self.still:
            worker, doing = self.still.popitem()
            self.workers[worker].kill()
            self._hear(worker, doing)
            self._replace(worker)

    @rule(one=ACTIONS, other=ACTIONS)
    def do_both_at_once(self, one: tuple[str, tuple[str, ...]], other: tuple[str, tuple[str, ...]]) -> None:
        self._let_two_be_idle()
        first = self._begun(one)
        second = self._begun(other, but=first[0])
        self._hear(*first)
        self._hear(*second)

    @rule(which=st.integers(0, 5))
    def load_the_same_again(self, which: int) -> None:
        """One of the last few: nothing changes where it was done, and was the last to touch its rows."""
        if not self.contents:
            return
        change = self.contents[-1 - which % len(self.contents)]
        doing = self._ordered("again", change, apart=True)
        worker = self._idle()
        self.workers[worker].begin(**doing.order)
        self._hear(worker, doing)

    @rule()
    def let_the_time_of_retired_files_pass(self) -> None:
        self.place.clock.forward(PAST_RETIRED)

    # How

    def _begun(self, what: tuple[str, tuple[str, ...]], but: int | None = None, **how: Any) -> tuple[int, Doing]:
        name, tenants = what
        if name == "spool" and len(self.model.batches) - len(spooled_in(self.folder)) + len(waiting_in(self.folder)) >= 3:
            name, tenants = "flush", ()
        if name in UPKEEP and name != "recover" and "sales" not in self.place.lakehouse.tables():
            name, tenants = "append", GROUPS[-1]
        self.number += 1
        if name in UPKEEP:
            doing = Doing(name, UPKEEP[name])
        else:
            doing = self._ordered(name, Flush() if name == "flush" else Change(self.number, name, tuple(tenants)))  # type: ignore[arg-type]
        worker = self._idle(but)
        self.workers[worker].begin(**doing.order, **how)
        return worker, doing

    def _ordered(self, name: str, action: Action, *, apart: bool = False) -> Doing:
        """`apart`: each tenant's part for itself, as a part may be needless."""
        if isinstance(action, Flush):
            return Doing(name, {"do": "flush"}, (self.model.begin(action),))
        if action.kind != "spool":
            self.contents.append(action)
        parts = [(tenant,) for tenant in action.tenants] if apart else [action.tenants]
        tickets = tuple(self.model.begin(action, part) for part in parts)
        return Doing(name, {"do": "spool" if action.kind == "spool" else "load", "content": action.content}, tickets)

    def _idle(self, but: int | None = None) -> int:
        return next(each for each in range(WORKERS) if each not in self.still and each != but)

    def _hear(self, worker: int, doing: Doing) -> None:
        """What came of it."""
        self.is_in_order = False
        try:
            said = self.workers[worker].heard()
        except Dead:
            self._replace(worker)
            self._lose(doing, "killed")
            return
        if "stopped" in said:
            self._stands_still(worker, doing)
        elif "error" in said:
            self._refused(doing, said)
        else:
            self._ended(doing, said.get("changed", ()))

    def _replace(self, worker: int) -> None:
        """One that is dead, though it may have said before that it was done."""
        if not self.workers[worker].state():
            self.workers[worker].close()
            self.workers[worker] = self.smithy.worker(self.folder)

    def _ended(self, doing: Doing, changed: Sequence[str]) -> None:
        self._count(doing, "ended")
        for ticket in doing.tickets:
            action = self.model.tickets[ticket]
            whose = set(changed).intersection(self.model.whose[ticket]) if isinstance(action, Change) else set(changed)
            self.model.ended(ticket, sorted(whose), by_others=doing.stood)

    def _refused(self, doing: Doing, said: Mapping[str, Any]) -> None:
        """What may be said of an action that failed: that it was given up, where it stood still; and that others are in the way,
        where one of them stands still."""
        if said["error"] == "Conflict" and doing.stood and "given up" in said["said"]:
            self._count(doing, "given up")
            for ticket in doing.tickets:
                self.model.refused(ticket)
        elif said["error"] == "Unavailable" and (doing.stood or self.still):
            self._lose(doing, "unavailable")
        else:
            raise AssertionError(f"{doing}: {said.get('trace')}")

    def _lose(self, doing: Doing, outcome: str) -> None:
        self._count(doing, outcome)
        self.lost += doing.tickets

    def _stands_still(self, worker: int, doing: Doing) -> None:
        self._count(doing, "stood still")
        doing.stood = True
        self.still[worker] = doing
        self.place.clock.forward(PAST_LEASE)

    def _let_two_be_idle(self) -> None:
        while len(self.still) > WORKERS - 2:
            self._wake(next(iter(self.still)))

    def _wake(self, worker: int) -> None:
        doing = self.still.pop(worker)
        self.workers[worker].wake()
        self._hear(worker, doing)

    def _let_no_lock_be_held(self) -> None:
        """Who stands still in the midst of a transaction holds all others up: one of them is told so, then it goes on."""
        if self.still and is_locked(self.folder):
            self.number += 1
            doing = self._ordered("hurried", Change(self.number, "append", (OTHER,)))
            self.workers.append(self.smithy.worker(self.folder))
            self.workers[-1].does("hurry")
            self.workers[-1].begin(**doing.order)
            self._hear(len(self.workers) - 1, doing)
            self.workers.pop().close()
            self._wake(list(self.still)[-1])

    def _count(self, doing: Doing, outcome: str) -> None:
        self.counts[doing.name, outcome] += 1

    # What must be so

    @invariant()
    def what_is_there_is_possible(self) -> None:
        self.is_in_order = False
        histories = histories_of(self.folder)
        self.model.see({tenant: [each.entry for each in held] for tenant, held in histories.items()}, waiting_in(self.folder))
        rows = self.place.rows_by_day()
        assert rows in self.model.rows(), f"{rows} are those of none of {self.model.states}"
        if not self.place.ingest.has_open_intent(TENANTS, ["sales"]):
            for ticket in self.lost:
                self.model.gone(ticket)
            self.lost.clear()
            self._check_agreement(rows)
        self.is_in_order = True

    def _check_agreement(self, rows: Mapping[str, Any]) -> None:
        """Versions, history, events and rows tell the same where nothing is open."""
        histories = histories_of(self.folder)
        entries = {tenant: [each.entry for each in held] for tenant, held in histories.items()}
        assert rows == {tenant: replayed(entries[tenant], tenant, self.model.batches) for tenant in TENANTS}, entries
        versions = self.place.ingest.versions(TENANTS, ["sales"])
        for tenant in TENANTS:
            counted = list(range(1, len(entries[tenant]) + 1))
            assert [each.version for each in histories[tenant]] == counted
            assert [version for of, version in self.place.events() if of == tenant] == counted
            assert (versions[tenant, "sales"].version if counted else 0) == len(counted)

    def teardown(self) -> None:
        try:
            if self.is_in_order:
                self._end_all()
        finally:
            for each in (*self.workers, self.reader):
                each.close()
            self.place.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _end_all(self) -> None:
        """All go on, what is left open is settled, the spool is loaded; then only what is needed is there."""
        for worker in list(self.still):
            self._wake(worker)
        self.end(("recover", ()))
        assert not self.place.ingest.has_open_intent(TENANTS, ["sales"])
        self.what_is_there_is_possible()
        assert not self.lost
        self.end(("flush", ()))
        self.what_is_there_is_possible()
        assert not waiting_in(self.folder)
        self._check_answers()
        self._check_tidy()

    def _check_answers(self) -> None:
        self.reader.begin("rest")
        self.reader.heard()
        judge = Judge(histories_of(self.folder), self.model.batches)
        for name, count in judge.check(answers_in(self.folder / "answers"), RULES.retired.total_seconds()).items():
            self.counts["reader", name] += count

    def _check_tidy(self) -> None:
        if "sales" not in self.place.lakehouse.tables():
            return
        before, later = self.place.rows_by_day(), self.place.clock.now() + timedelta(days=2)
        self.place.lakehouse.expire("sales", keep=1)
        self.place.lakehouse.collect("sales", retired=timedelta(0), orphaned=timedelta(0), now=later)
        assert self.place.rows_by_day() == before
        live = {file.path for file in self.place.lakehouse.files(self.place.lakehouse.current("sales"), None, None).files}
        there = {str(path) for path in (self.folder / "lakehouse").rglob("*.parquet")}
        assert there == live, there ^ live


@contextmanager
def machines(folder: Path) -> Iterator[type[Machine]]:
    """A class of machines whose workers are made by one process."""
    template, total = new_template(folder / "template"), Counter[tuple[str, str]]()
    with smithy() as made:

        class Ours(Machine):
            smithy, counts = made, total

        Ours.template = template
        yield Ours


def new_template(folder: Path) -> Path:
    prepare(folder)
    return folder
