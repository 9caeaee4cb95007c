"""Writers that change and keep up as fast as they can, die and come back; readers that ask all the time; and what came of it."""

import random
import shutil
from collections import Counter
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from faults.driving import Smithy, Worker
from faults.machine import UPKEEP, Place
from faults.plain import TENANTS, Change, Entry, replayed
from faults.reading import Judge, answers_in, histories_of, spooled_in, waiting_in
from faults.workers import RULES

WRITERS, READERS = 2, 2
LIFE = (0.3, 3.0)
"""Seconds that a writer lives, from its first order on."""


class Crowd:
    def __init__(self, folder: Path, template: Path, made: Smithy, seed: int) -> None:
        shutil.copytree(template, folder, dirs_exist_ok=True)
        self.folder, self.made, self.chance = folder, made, random.Random(seed)
        self.place, self.lives, self.counts = Place(folder), 0, Counter[str]()
        self.readers = [made.worker(folder) for _ in range(READERS)]
        self.writers: dict[Worker, float] = {}

    def run(self, seconds: float) -> Counter[str]:
        """What was counted: answers, loads, kills. Raises AssertionError where something isn't as it must be."""
        ends = monotonic() + seconds
        for number, reader in enumerate(self.readers):
            reader.begin("read", log=str(self.folder / f"answers-{number}"))
        while monotonic() < ends:
            while len(self.writers) < WRITERS:
                self._start()
            sleep(0.02)
            for writer, death in list(self.writers.items()):
                if monotonic() >= death:
                    self._kill(writer)
        for worker in (*self.writers, *self.readers):
            worker.begin("rest")
            said = worker.heard()
            assert "error" not in said, said["trace"]
        self._settle()
        self._check()
        return self.counts

    def _start(self) -> None:
        self.lives += 1
        writer = self.made.worker(self.folder)
        writer.begin("busy", seed=self.lives, log=str(self.folder / f"work-{self.lives}"))
        self.writers[writer] = monotonic() + self.chance.uniform(*LIFE)

    def _kill(self, writer: Worker) -> None:
        """It had no reason to say anything before."""
        assert not writer.has_said(), writer.heard()
        del self.writers[writer]
        writer.close()
        self.counts["kills"] += 1

    def _settle(self) -> None:
        for order in ({"do": "recover", "ahead": 0}, {"do": "flush"}, UPKEEP["upkeep"]):
            said = self.readers[0].does(**order)
            assert "error" not in said, said["trace"]
        assert not self.place.ingest.has_open_intent(TENANTS, ["sales"])
        assert not waiting_in(self.folder)

    def _check(self) -> None:
        histories = histories_of(self.folder)
        entries: dict[str, list[Entry]] = {tenant: [each.entry for each in held] for tenant, held in histories.items()}
        begun, ended = self._logs()
        spooled = {change.number: change for change in begun if change.kind == "spool"}
        batches = {number: spooled[number] for number in spooled_in(self.folder)}
        assert self.place.rows_by_day() == {tenant: replayed(entries[tenant], tenant, batches) for tenant in TENANTS}
        counts = Counter((change, tenant) for tenant in TENANTS for change in entries[tenant] if isinstance(change, Change))
        for change in begun - set(spooled.values()):
            found = [counts[change, tenant] for tenant in change.tenants]
            assert found == [1] * len(found) or (change not in ended and found == [0] * len(found)), (change, found)
        assert {change for change, _ in counts} <= begun
        self.counts["loads"] += sum(map(len, entries.values()))
        for tenant in TENANTS:
            assert [each.version for each in histories[tenant]] == list(range(1, len(entries[tenant]) + 1))
            assert [version for of, version in self.place.events() if of == tenant] == [each.version for each in histories[tenant]]
        judge = Judge(histories, batches)
        for number in range(READERS):
            self.counts.update(judge.check(answers_in(self.folder / f"answers-{number}"), RULES.retired.total_seconds()))

    def _logs(self) -> tuple[set[Change], set[Change]]:
        """What writers began, and what they were told was done. They may only be told of Unavailable, which is counted."""
        lines: list[dict[str, Any]] = [
            line for number in range(1, self.lives + 1) for line in answers_in(self.folder / f"work-{number}")
        ]
        self.counts["writers' unavailable"] += sum("error" in line for line in lines)
        begun, ended = ({Change.of(line[name]) for line in lines if name in line} for name in ("begun", "ended"))
        return begun, ended

    def close(self) -> None:
        for worker in (*self.writers, *self.readers):
            worker.close()
        self.place.close()
