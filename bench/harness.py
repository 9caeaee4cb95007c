"""What every bench needs: interleaved rounds, medians, the table for people and the JSON for machines."""

import json
import os
import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Literal

from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "bench"


@dataclass(frozen=True, slots=True)
class Entry:
    """One figure. `goal` None: it only stands beside. `beside`: what it was measured from, such as each side's milliseconds."""

    name: str
    value: float | None
    unit: str
    goal: float | None = None
    better: Literal["lower", "higher"] = "lower"
    beside: Mapping[str, float | int | str] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        if self.goal is None or self.value is None:
            return None
        return self.value <= self.goal if self.better == "lower" else self.value >= self.goal


def rounds(default: int) -> int:
    """How many rounds to measure: `BENCH_ROUNDS`, or the bench's own number."""
    return int(os.environ.get("BENCH_ROUNDS", default))


def interleaved(cases: Mapping[str, Callable[[], object]], count: int, warm_up: int = 2) -> dict[str, float]:
    """Median milliseconds of each case over `count` rounds; every round runs all of them, in an order of its own. A case that
    returns a float has measured itself, in seconds."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    order, shuffle = list(cases), random.Random(count)
    for number in range(-warm_up, count):
        shuffle.shuffle(order)
        for name in order:
            start = perf_counter()
            own = cases[name]()
            elapsed = own if isinstance(own, float) else perf_counter() - start
            if number >= 0:
                times[name].append(elapsed * 1000)
    return {name: median(values) for name, values in times.items()}


def note(text: str) -> None:
    """Say what is going on, on stderr."""
    print(f"  {text}", file=sys.stderr, flush=True)


def save(name: str, entries: list[Entry]) -> Path:
    if name not in {entry.name for entry in entries}:
        raise ValueError(f"bench {name} has no entry of its own name; it has {[entry.name for entry in entries]}")
    BUILD.mkdir(parents=True, exist_ok=True)
    path = BUILD / f"{name}.json"
    path.write_text(json.dumps([asdict(entry) for entry in entries], indent=2) + "\n")
    return path


def table(title: str, entries: list[Entry]) -> Table:
    grid = Table(title=title, title_justify="left", title_style="bold")
    for heading in ("", "value", "goal", "", "beside"):
        grid.add_column(heading, justify="right" if heading in {"value", "goal"} else "left", overflow="fold")
    for entry in entries:
        grid.add_row(entry.name, _figure(entry.value, entry.unit), _goal(entry), _verdict(entry), _beside(entry))
    return grid


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    return f"{value:.2f} {unit}" if value < 100 else f"{value:.0f} {unit}"


def _goal(entry: Entry) -> str:
    return "" if entry.goal is None else f"{'≤' if entry.better == 'lower' else '≥'} {entry.goal:g}"


def _verdict(entry: Entry) -> str:
    return {None: "", True: "[green]met[/green]", False: "[red]missed[/red]"}[entry.met]


def _beside(entry: Entry) -> str:
    return "\n".join(
        f"{name}: {value:.1f}" if isinstance(value, float) else f"{name}: {value}" for name, value in entry.beside.items()
    )
