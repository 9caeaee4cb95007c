"""Looks after processes: says when one becomes ready or ends, and starts it again after a pause."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum

from services.running import Running, ServerFailed

SHORTEST, LONGEST = 1.0, 30.0
"""Seconds until a process that has ended is started again: doubled each time, until it has been ready for a while."""
STEADY = 60.0
"""Seconds of readiness after which an end counts as the first one."""


class State(StrEnum):
    STARTING = "starting"
    READY = "ready"
    NOT_READY = "not ready"
    ENDED = "ended"


@dataclass
class Watched:
    """One process, and where it is reached."""

    name: str
    running: Running
    process: str
    address: str
    asks: Callable[[], bool]
    state: State = State.STARTING
    _pause: float = SHORTEST
    _since: float = field(default_factory=time.monotonic)
    _again: float = 0.0

    def look(self) -> State:
        """Its state now; changes nothing."""
        if not self.running.is_alive(self.process):
            return State.ENDED if self.running.is_over(self.process) else self.state
        try:
            ready = self.asks()
        except OSError:
            ready = False
        if ready:
            return State.READY
        return State.STARTING if self.state in (State.STARTING, State.ENDED) else State.NOT_READY

    def step(self, found: State) -> str | None:
        """Take notice, and start it again when its pause is over; what there is to say. Raises ServerFailed."""
        now, before = time.monotonic(), self.state
        if found is not before:
            if found is State.ENDED:
                return self._ended(now)
            self.state, self._since = found, now
            return str(found)
        if found is State.ENDED and now >= self._again:
            self.state, self._since = State.STARTING, now
            self.running.launch([self.process])
            return str(State.STARTING)
        return None

    def _ended(self, now: float) -> str:
        if self.state is State.READY and now - self._since > STEADY:
            self._pause = SHORTEST
        pause, self._pause = self._pause, min(self._pause * 2, LONGEST)
        self.state, self._since, self._again = State.ENDED, now, now + pause
        code = self.running.ended(self.process)
        how = "" if code is None else f" by signal {-code}" if code < 0 else f" with exit code {code}"
        return f"ended{how}; starts again in {pause:g} s"


class Supervisor:
    """`say` is told of each change, by the process's name. Called by one thread: it is the parent of what is started again."""

    def __init__(self, watched: Sequence[Watched], say: Callable[[str], None]) -> None:
        self.watched = watched
        self._say = say
        self._pool = ThreadPoolExecutor(len(watched), thread_name_prefix="health")

    def look(self) -> None:
        """Once at all of them, at the same time."""
        for each, found in zip(self.watched, self._pool.map(Watched.look, self.watched), strict=True):
            try:
                told = each.step(found)
            except ServerFailed as error:
                told = str(error)
            if told:
                self._say(f"{each.name}: {told}")

    def all_ready(self) -> bool:
        return all(each.state is State.READY for each in self.watched)

    def table(self) -> str:
        width = max(len(each.name) for each in self.watched)
        return "\n".join(f"{each.name:{width}}  {each.state:9}  {each.address}" for each in self.watched)

    def stop(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
