"""Packages that are ready while another commit of their table goes on wait for it, and are then committed together.

A commit of a table costs the same for one small load as for a hundred. So whoever comes first leads: it commits what waits, and
hands the lead to the next in line (group commit, as databases do with their log: DeWitt and others, 1984).
"""

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from jangbu.insight.ingest.packages import Outcome, Package
from jangbu.kernel.errors import Unavailable

TOGETHER: Final = 64
"""Packages of one commit at most."""

CommitMany = Callable[[Sequence[Package]], Sequence[Outcome | Exception]]


@dataclass(slots=True, eq=False)
class _Waiting:
    package: Package
    called: threading.Event = field(default_factory=threading.Event)
    outcome: Outcome | Exception | None = None


@dataclass(slots=True)
class _Line:
    waiting: deque[_Waiting] = field(default_factory=deque)
    is_led: bool = False


class Grouping:
    """Safe between threads. One for each process; processes meet in the lakehouse."""

    def __init__(self, commit: CommitMany) -> None:
        self._commit = commit
        self._lines: dict[str, _Line] = defaultdict(_Line)
        self._lock = threading.Lock()

    def submit(self, package: Package) -> Outcome:
        """What became of the package; raises what its commit raised."""
        line, mine = self._lines[package.staged.table], _Waiting(package)
        with self._lock:
            line.waiting.append(mine)
            leads, line.is_led = not line.is_led, True
        if not leads:
            mine.called.wait()
        if mine.outcome is None:
            self._lead(line)
        if isinstance(mine.outcome, Exception):
            raise mine.outcome
        assert mine.outcome is not None  # noqa: S101 - the leader has seen to it
        return mine.outcome

    def _lead(self, line: _Line) -> None:
        with self._lock:
            group = [line.waiting.popleft() for _ in range(min(TOGETHER, len(line.waiting)))]
        try:
            outcomes = self._commit([each.package for each in group])
            for each, outcome in zip(group, outcomes, strict=True):
                each.outcome = outcome
        finally:
            for each in group:
                # Left without an outcome where this thread was interrupted.
                each.outcome = each.outcome or Unavailable("The load that this one was committed with was interrupted.")
                each.called.set()
            with self._lock:
                line.is_led = bool(line.waiting)
                if line.waiting:
                    line.waiting[0].called.set()
