"""The servers of one run: started when first asked for, shared by all its processes, ended with it."""

import json
import os
import platform
import random
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.cache import Cache, Unavailable, default_folder, locked
from services.processes import Identity
from services.registry import service_named, services
from services.running import Running, ServerFailed
from services.service import HOST, NOBODY, Place, Service

PORTS = range(10_000, 22_000)
"""Below what systems give to outgoing connections, also with the 10,000 added that some servers add for a second listener."""
STATE = "service.json"


@dataclass(frozen=True)
class Run:
    folder: Path
    owner: Identity | None
    """Whose end is that of all servers; without one they run until they are stopped."""
    cache: Cache

    @classmethod
    def by_hand(cls) -> "Run":
        """The servers that somebody has started with `make services`."""
        cache = Cache(default_folder())
        return cls(cache.folder / "by-hand", None, cache)

    def service(self, name: str) -> Running:
        """The shared server of this name; it runs when this returns.

        Raises KeyError, Unavailable when it can't be had on this machine, ServerFailed.
        """
        service = service_named(name)
        with self._alone(name):
            failed = self.folder / f"{name}.failed"
            if failed.exists():
                raise ServerFailed(failed.read_text())
            try:
                if running := self.found(name):
                    if not running.is_alive():
                        running.restart()
                    return running
                return self._start(service, name)
            except ServerFailed as error:
                if self.owner:
                    failed.write_text(str(error))
                raise

    def fetch(self, name: str) -> Path:
        """The software of a server and of those that it uses, fetched if need be. Raises KeyError, Unavailable."""
        if platform.system() != "Linux":
            raise Unavailable(f"{name} runs on Linux only.")
        service = service_named(name)
        for used in service.uses:
            self.fetch(used)
        try:
            return service.fetch(self.cache)
        except Unavailable as error:
            raise Unavailable(f"{name} {error}") from error

    @contextmanager
    def own(self, name: str) -> Iterator[Running]:
        """A server of one's own to do harm to, gone afterwards. What it uses is shared. Raises as `service` does."""
        running = self._start(service_named(name), f"{name}-{uuid.uuid4().hex[:8]}")
        try:
            yield running
        finally:
            running.remove()

    def found(self, instance: str) -> Running | None:
        """What was started here by that name, whether or not it still runs."""
        try:
            kept = json.loads((self.folder / instance / STATE).read_text())
        except FileNotFoundError:
            return None
        service = service_named(kept["service"])
        user = NOBODY if kept["nobody"] else None
        place = Place(self.folder / instance, kept["ports"], Path(kept["software"]), self.cache, user, kept["uses"])
        return Running(service, place, self.owner)

    def all(self) -> list[Running]:
        """Those that this checkout knows; another one may have started more by hand."""
        kept = {file.parent.name: json.loads(file.read_text())["service"] for file in sorted(self.folder.glob(f"*/{STATE}"))}
        return [running for instance, name in kept.items() if name in services() and (running := self.found(instance))]

    def end(self) -> None:
        """Stop all that runs here, users before what they use, and delete their folders."""
        order = [name for name, service in services().items() if service.uses]
        for running in sorted(self.all(), key=lambda each: each.service.name not in order):
            running.remove()
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def _alone(self, instance: str) -> Iterator[None]:
        self._folder()
        with locked(self.folder / f"{instance}.lock"):
            yield

    def _folder(self) -> Path:
        if not self.folder.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o711)
        return self.folder

    def _start(self, service: Service, instance: str) -> Running:
        software = self.fetch(service.name)
        uses = {name: dict(self.service(name).addresses) for name in service.uses}
        try:
            return self._started(service, instance, software, uses)
        except ServerFailed:
            # Somebody may have taken a port between our look and the server's; once more on others.
            return self._started(service, instance, software, uses)

    def _started(self, service: Service, instance: str, software: Path, uses: dict[str, dict[str, str]]) -> Running:
        began = time.monotonic()
        user = NOBODY if service.refuses_root and os.geteuid() == 0 else None
        folder = self._folder() / instance
        place = Place(folder, free_ports(service.ports), software, self.cache, user, uses)
        running = Running(service, place, self.owner)
        try:
            make_folder(place)
            service.prepare(place)
            give(place)
            running.launch(service.commands(place))
            running.wait()
            service.form(place)
        except (subprocess.SubprocessError, OSError) as error:
            said = f"{getattr(error, 'stdout', None) or ''}\n{running.log()}"
            running.remove()
            raise ServerFailed(f"{service.name} did not start: {error}\n{said}") from error
        except BaseException:
            running.remove()
            raise
        kept = {"service": service.name, "ports": place.ports, "software": str(software), "nobody": user is not None, "uses": uses}
        (folder / STATE).write_text(json.dumps(kept | {"seconds": round(time.monotonic() - began, 2)}))
        return running


def make_folder(place: Place) -> None:
    shutil.rmtree(place.folder, ignore_errors=True)
    for folder in (place.folder, place.folder / "tmp"):
        folder.mkdir()
        folder.chmod(0o755)
    give(place)
    if place.user is not None:
        for needed in (place.folder, place.software):
            check_others_may_enter(needed)


def give(place: Place) -> None:
    """Let the server's user own all that was made in its folder."""
    if place.user is not None:
        for each in (place.folder, *place.folder.rglob("*")):
            os.chown(each, place.user, place.user, follow_symlinks=False)


def check_others_may_enter(folder: Path) -> None:
    """A server that refuses to run as root runs as nobody, who has to reach its files. Raises Unavailable."""
    if closed := [str(each) for each in (folder, *folder.parents) if not each.stat().st_mode & 0o001]:
        raise Unavailable(
            f"runs as another user than root, who may not enter {closed[0]}: "
            "set JANGBU_SERVICES_CACHE or TMPDIR to a folder that all may enter."
        )


def free_ports(names: tuple[str, ...]) -> dict[str, int]:
    chosen: dict[str, int] = {}
    for name in names:
        chosen[name] = next(
            port
            for port in iter(lambda: random.choice(PORTS), None)
            if port not in chosen.values() and all(map(is_free, (port, port + 10_000)))
        )
    return chosen


def is_free(port: int) -> bool:
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((HOST, port))
        except OSError:
            return False
    return True
