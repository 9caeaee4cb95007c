"""`make soak RUNS=5000 SECONDS=300`: kills at every point of every scenario and at random moments; then, for so many seconds, the
state machine, and readers beside writers that die; and a table of what came of them."""

import os
import random
import sys
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from faults.crowd import Crowd
from faults.driving import smithy
from faults.killing import forge
from faults.machine import SETTINGS, machines, new_template
from faults.scenarios import SCENARIOS
from hypothesis import seed as with_seed
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

WORKERS = os.cpu_count() or 1
ROUND = 20.0
"""Seconds that writers and readers have one place for."""

LONGER = settings(SETTINGS, max_examples=10, stateful_step_count=30, derandomize=False)
OUTCOMES = ("ended", "killed", "stood still", "given up", "unavailable")


def main(runs: int, seconds: float) -> int:
    seed = int(os.environ.get("SEED", "7"))
    failures = [*kills(runs, seed), *crowds(seconds / 2, seed), *machines_for(seconds / 2, seed)]
    for failure in failures[:5]:
        write(failure)
    return 1 if failures else 0


def kills(runs: int, seed: int) -> list[str]:
    """What failed."""
    began = monotonic()
    shares = [runs // WORKERS + (number < runs % WORKERS) for number in range(WORKERS)]
    with ThreadPoolExecutor(WORKERS) as pool:
        found = list(pool.map(lambda pair: part(pair[0], seed + pair[0], pair[1]), enumerate(shares)))
    outcomes = sum((outcomes for outcomes, _ in found), Counter())
    failures = [failure for _, failures in found for failure in failures]
    write(f"\n{'scenario':<24}{'kills':>8}{'before':>8}{'after':>8}")
    for name in SCENARIOS:
        before, after = outcomes[name, "before"], outcomes[name, "after"]
        write(f"{name:<24}{before + after:>8}{before:>8}{after:>8}")
    write(f"{sum(outcomes.values()):,} kills, {len(failures)} failures, {monotonic() - began:,.0f} s (seed {seed})")
    return failures


def crowds(seconds: float, seed: int) -> list[str]:
    """What failed while readers asked beside writers that die, in a new place every now and then."""
    began, counts, failures, rounds = monotonic(), Counter[str](), list[str](), 0
    with TemporaryDirectory() as folder, smithy() as made:
        template = new_template(Path(folder) / "template")
        while (left := seconds - (monotonic() - began)) > 0:
            rounds += 1
            crowd = Crowd(Path(folder) / f"place-{rounds}", template, made, seed + rounds)
            try:
                counts += crowd.run(min(left, ROUND))
            except AssertionError:
                failures.append(f"readers and writers, seed {seed + rounds}: {traceback.format_exc()}")
            finally:
                crowd.close()
    write(f"\n{'readers and writers':<24}{'':>8}")
    for name in ("answers", "unavailable", "ahead", "loads", "kills", "writers' unavailable"):
        write(f"{name:<24}{counts[name]:>8,}")
    write(f"{rounds} places, {len(failures)} failures, {monotonic() - began:,.0f} s (seed {seed})")
    return failures


def machines_for(seconds: float, seed: int) -> list[str]:
    """What failed of state machines, each round with a seed of its own."""
    began, failures, rounds = monotonic(), list[str](), 0
    with TemporaryDirectory() as folder, machines(Path(folder)) as machine:
        while monotonic() - began < seconds:
            rounds += 1
            try:
                run_state_machine_as_test(with_seed(seed + rounds)(machine), settings=LONGER)
            except Exception:  # noqa: BLE001 - Hypothesis raises groups of what went wrong
                failures.append(f"state machine, seed {seed + rounds}: {traceback.format_exc()}")
        counts = machine.counts
    write(f"\n{'state machine':<24}" + "".join(f"{outcome:>13}" for outcome in OUTCOMES))
    for name in sorted({name for name, _ in counts} - {"reader"}):
        write(f"{name:<24}" + "".join(f"{counts[name, outcome]:>13,}" for outcome in OUTCOMES))
    told = ", ".join(f"{count:,} {name}" for (whose, name), count in counts.items() if whose == "reader")
    write(f"its reader: {told}")
    write(f"{rounds} rounds, {len(failures)} failures, {monotonic() - began:,.0f} s (seed {seed})")
    return failures


def part(number: int, seed: int, runs: int) -> tuple[Counter[tuple[str, str]], list[str]]:
    """One worker's share: three of four kills are at a point, the others at any moment."""
    chance, outcomes, failures = random.Random(seed), Counter[tuple[str, str]](), list[str]()
    with TemporaryDirectory() as folder, forge(Path(folder)) as killing:
        points = {name: killing.points(name) for name in SCENARIOS}
        for run in range(runs):
            name = chance.choice(list(SCENARIOS))
            how = {"at": chance.randint(1, points[name])} if run % 4 else {"after_ms": chance.uniform(1, 250)}
            try:
                outcomes[name, killing.kill(name, **how)] += 1
            except AssertionError as failure:
                failures.append(str(failure))
            if (run + 1) % 100 == 0:
                write(f"worker {number}: {run + 1:,} of {runs:,}, {len(failures)} failures")
    return outcomes, failures


def write(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), float(sys.argv[2])))
