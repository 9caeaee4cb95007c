"""Upkeep of the lakehouse's tables: when there is something to do, and doing it. It changes no row, no answer and no version."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Literal

from jangbu.insight.ingest.contracts import KeptElsewhere, Upkept
from jangbu.kernel.clock import Clock
from jangbu.platform.lakehouse.maintenance import Maintainer
from jangbu.platform.lakehouse.ports import Lakehouse, TableState, Verified

COLLECT_EVERY: Final = timedelta(minutes=15)
"""How often a process looks for files to remove: it takes a listing of the table's folder."""


@dataclass(frozen=True, slots=True)
class UpkeepRules:
    """`keep` snapshots stay; upkeep is due at twice as many, at `joinable` files that are worth joining, or at `manifests`. Files
    are removed when they have been `retired` so long (longer than any question takes) or, where they belong to nothing, `orphaned`
    (longer than any load takes)."""

    keep: int = 20
    joinable: int = 64
    manifests: int = 40
    retired: timedelta = timedelta(hours=2)
    orphaned: timedelta = timedelta(hours=24)

    def is_due(self, state: TableState) -> bool:
        return state.joinable_files >= self.joinable or state.snapshots > 2 * self.keep or state.manifests > self.manifests


HERE: Final = "here"
"""In this process, whatever the settings say."""


class Upkeep:
    """`open_runs` tells which runs of a table are about to be committed."""

    def __init__(
        self,
        lakehouse: Lakehouse,
        clock: Clock,
        rules: UpkeepRules,
        open_runs: Callable[[str], tuple[str, ...]],
        elsewhere: KeptElsewhere | None = None,
    ) -> None:
        self._lakehouse, self._clock, self._rules, self._open_runs = lakehouse, clock, rules, open_runs
        self._elsewhere = elsewhere
        self._collected: dict[str, datetime] = {}

    def tables(self) -> tuple[str, ...]:
        return self._lakehouse.tables()

    def state(self, table: str) -> TableState:
        """What it weighs, on the disk too.

        Raises:
            NotFound: there is no such table.
        """
        return self._lakehouse.state(table, on_disk=True)

    def is_due(self, table: str) -> bool:
        return self._rules.is_due(self._lakehouse.state(table))

    def verify(self, table: str) -> Verified:
        """Whether its files are still what was written.

        Raises:
            NotFound: there is no such table.
        """
        return self._lakehouse.verify(table)

    def run(
        self, table: str, *, whole: bool = False, remove: bool | None = None, by: Maintainer | Literal["here"] | None = None
    ) -> Upkept:
        """Join small files (`whole`: all that there are), write those anew of which other engines have deleted many rows, forget
        old snapshots, and remove files that nobody needs: now where `remove` says so, else now and then. `by` this engine, or
        `here`, in this process; else by whom the table's size says.

        Raises:
            Unavailable: the engine is away. What was done stays; the rest is done the next time.
        """
        other = self._maintainer_of(table) if by is None else None if by == HERE else by
        runs = partial(self._open_runs, table)
        done = self._lakehouse.compact(table, whole=whole, by=other)
        now, rules = self._clock.now(), self._rules
        expired = self._lakehouse.expire(table, keep=rules.keep, runs=runs, now=now, by=other, retired=rules.retired)
        removed = self._collect(table, other) if remove or (remove is None and self._may_collect(table)) else 0
        written = (done.files_before, done.files_after, done.rows)
        return Upkept(table, *written, expired, removed, rows_deleted=done.rows_deleted, delete_files=done.delete_files)

    def _maintainer_of(self, table: str) -> Maintainer | None:
        if self._elsewhere is None or self._lakehouse.state(table).data_bytes < self._elsewhere.least_bytes:
            return None
        return self._elsewhere.maintainer()

    def _may_collect(self, table: str) -> bool:
        last = self._collected.get(table)
        # Backwards, too: the clock may have been set.
        return last is None or abs(self._clock.now() - last) >= COLLECT_EVERY

    def _collect(self, table: str, by: Maintainer | None) -> int:
        self._collected[table] = now = self._clock.now()
        return self._lakehouse.collect(table, retired=self._rules.retired, orphaned=self._rules.orphaned, now=now, by=by)
