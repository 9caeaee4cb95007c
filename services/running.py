"""A server that runs, or did: its addresses, and what a test does to it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services import processes
from services.cache import ROOT
from services.processes import Identity
from services.service import Command, Place, Service

LINES_OF_LOG = 40
GUARD_WITHIN = 30
"""Seconds for a guard to say that it has started its server, on a busy machine."""


class ServerFailed(Exception):
    """A server did not start, or ended; holds the end of its log."""


@dataclass(frozen=True)
class Running:
    service: Service
    at: Place
    owner: Identity | None
    """Whose end is the server's end too."""

    def __str__(self) -> str:
        return self.at.folder.name

    @property
    def addresses(self) -> Mapping[str, str]:
        return self.service.addresses(self.at)

    def __getitem__(self, name: str) -> str:
        """One of its addresses. Raises KeyError with the known ones."""
        if name not in (addresses := self.addresses):
            raise KeyError(f"{self.service.name} has no {name!r}; known: {', '.join(addresses)}.")
        return addresses[name]

    def pid(self, process: str | None = None) -> int:
        return self._server(process).pid

    def is_alive(self, process: str | None = None) -> bool:
        """Whether it runs, all of its processes or the one named; a frozen one does."""
        return all((found := self._state(name).get("server")) and Identity.read(found).is_alive() for name in self._names(process))

    def is_over(self, process: str) -> bool:
        """Whether it has ended with all that it has started, and its guard too: from then on it can be launched again."""
        return not self.is_alive(process) and not self._guarded([process])

    def ended(self, process: str) -> int | None:
        """How a process that is over ended: its exit code, or a signal's number below zero; None where nobody knows."""
        code: int | None = self._state(process).get("ended")
        return code

    def is_ready(self) -> bool:
        try:
            return self.service.is_ready(self.at)
        except OSError:
            return False

    def resident(self) -> int:
        """Bytes of memory."""
        return sum(processes.resident(self._server(name)) for name in self._names(None))

    def listeners(self) -> set[tuple[str, int]]:
        """Addresses, as the kernel writes them, and ports where it takes connections."""
        return {each for name in self._names(None) for each in processes.listeners(self._server(name))}

    def log(self) -> str:
        """The end of what its processes said."""
        return "\n".join(f"--- {file.name}\n{tail(file)}" for file in sorted(self.at.folder.glob("*.log")))

    # What is done to it

    def kill(self, process: str | None = None) -> None:
        """End it at once with all that it has started (SIGKILL), all of it or one process; its data stay."""
        for name in self._names(process):
            processes.kill_all(self._server(name))
        self._until(lambda: not self._guarded(self._names(process)), 10, "ended")

    def freeze(self, process: str | None = None) -> None:
        """Halt it: its connections stay open, nothing answers."""
        for name in self._names(process):
            processes.stop_all(self._server(name))

    def thaw(self, process: str | None = None) -> None:
        for name in self._names(process):
            processes.continue_all(self._server(name))

    def stop(self, process: str | None = None) -> None:
        """End it in its own way; its data stay."""
        for name in reversed(self._names(process)):
            if guard := self._state(name).get("guard"):
                Identity.read(guard).send(signal.SIGTERM)
        self._until(lambda: not self._guarded(self._names(process)), self.service.grace + 15, "ended")

    def restart(self, process: str | None = None, *, wait: bool = True) -> None:
        """Start it again on the same ports and data, after stopping it if it still runs. Raises ServerFailed."""
        self.stop(process)
        self.launch(self._names(process))
        if wait:
            self.wait()

    def remove(self) -> None:
        """Stop it and delete its folder."""
        self.stop()
        shutil.rmtree(self.at.folder, ignore_errors=True)

    # How it starts

    def launch(self, names: Iterable[str]) -> None:
        """Start processes of it; they need not answer yet. Raises ServerFailed."""
        commands = self.service.commands(self.at)
        for name in names:
            order = self.at.folder / f"{name}.order"
            state = self._state_file(name)
            state.unlink(missing_ok=True)
            order.write_text(json.dumps(self._order(commands[name], name)))
            guard = [sys.executable, "-m", "services.guard", str(order)]
            with (self.at.folder / f"{name}-guard.log").open("ab") as log:  # not our output, which would stay open as long as it
                subprocess.run(guard, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=GUARD_WITHIN, check=True)
            self._until(state.exists, GUARD_WITHIN, "started")
            if error := self._state(name).get("error"):
                raise ServerFailed(f"{self} did not start: {error}")

    def wait(self) -> None:
        """Until it answers. Raises ServerFailed when it ends or takes too long."""
        self._until(self._ready_or_ended, self.service.ready_within, "ready")
        if not self.is_alive():
            raise ServerFailed(f"{self} ended while it started.\n{self.log()}")

    def _ready_or_ended(self) -> bool:
        return not self.is_alive() or self.is_ready()

    def _order(self, command: Command, name: str) -> dict[str, Any]:
        return {
            "argv": list(command.argv),
            "environment": self.at.environment() | dict(command.environment),
            "cwd": str(self.at.folder),
            "user": self.at.user,
            "folder": str(self.at.folder),
            "log": str(self.at.folder / f"{name}.log"),
            "state": str(self._state_file(name)),
            "owner": self.owner.kept() if self.owner else None,
            "stop_signal": int(self.service.stop_signal),
            "grace": self.service.grace,
            "leftovers": list(map(str, self.service.leftovers(self.at))),
        }

    def _until(self, condition: Callable[[], object], within: float, what: str) -> None:
        deadline, pause = time.monotonic() + within, 0.005
        while not condition():
            if time.monotonic() > deadline:
                raise ServerFailed(f"{self} was not {what} within {within:g} s.\n{self.log()}")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.2)

    def _names(self, process: str | None) -> list[str]:
        known = list(self.service.commands(self.at))
        if process is not None and process not in known:
            raise KeyError(f"{self.service.name} has no process {process!r}; known: {', '.join(known)}.")
        return known if process is None else [process]

    def _state_file(self, name: str) -> Path:
        return self.at.folder / f"{name}.process"

    def _state(self, name: str) -> dict[str, Any]:
        with suppress(FileNotFoundError):
            found: dict[str, Any] = json.loads(self._state_file(name).read_text())
            return found
        return {}

    def _server(self, process: str | None) -> Identity:
        name = self._names(process)[0]
        if found := self._state(name).get("server"):
            return Identity.read(found)
        raise ServerFailed(f"{self}: {name} doesn't run.\n{self.log()}")

    def _guarded(self, names: Iterable[str]) -> bool:
        return any((guard := self._state(name).get("guard")) and Identity.read(guard).is_alive() for name in names)


def tail(file: Path) -> str:
    with file.open("rb") as log:
        log.seek(0, os.SEEK_END)
        log.seek(max(0, log.tell() - 200 * LINES_OF_LOG))
        return "\n".join(log.read().decode(errors="replace").splitlines()[-LINES_OF_LOG:])
