"""`python -m services demo`: the demo at scale, on this machine. Two processes of the API, two workers and the scheduler over
PostgreSQL, Valkey, ElasticMQ, S3 and Trino, with their logs and their health in one terminal, until Ctrl-C.

Nothing is kept: what it started and wrote is gone with it, also when it is killed.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TextIO

from services import distributed
from services.cache import Cache, Unavailable, default_folder
from services.distributed import APIS, LOAD, LOADS, PROCESSES, USES, Jangbu
from services.processes import Identity
from services.run import Run, free_ports, is_free, make_folder
from services.running import Running, ServerFailed
from services.service import HOST, Place
from services.supervising import Supervisor, Watched
from services.terminal import Follower, Terminal

LOAD_WITHIN = 900.0
READY_WITHIN = 180.0
"""Seconds for all of Jangbu's processes to answer, on a busy machine."""
LOOK, TELL = 0.5, 60.0
"""Seconds between looks at the health, and between lines that say it though nothing changes."""


def main(arguments: list[str], out: TextIO = sys.stdout) -> int:
    """0 when it was ended, 1 when something can't be had, 2 when it was called wrongly."""
    given = parsed(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    demo = Demo(given.port, given.data, given.server_logs, out)
    try:
        demo.fetch()
        demo.start()
        demo.supervise()
    except KeyboardInterrupt:
        demo.end(code=0)
    except (Unavailable, ServerFailed, FileNotFoundError, RuntimeError) as error:
        print(error, file=sys.stderr)
        demo.end(code=1)
        return 1
    return 0


def parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m services demo", description=__doc__)
    port = os.environ.get("PORT") or "8000"
    parser.add_argument("--port", type=int, default=port, help="of the first API; the second one has the next (8000)")
    parser.add_argument("--data", choices=LOADS, default="retailer", help="a real retailer's year, or three invented shops")
    parser.add_argument("--server-logs", action="store_true", help="show what the servers say, too")
    found = parser.parse_args(arguments)
    if not 0 < found.port < 65535:
        parser.error(f"{found.port} is no port that has a next one; give one from 1 to 65534.")
    return found


class Demo:
    def __init__(self, port: int, data: str, server_logs: bool, out: TextIO) -> None:
        self.began = time.monotonic()
        self.ports = {api: port + at for at, api in enumerate(APIS)}
        self.data = data
        self.server_logs = server_logs
        self.terminal = Terminal(out, ["demo", "health", *PROCESSES, LOAD, *USES])
        folder = Path(tempfile.gettempdir()) / f"jangbu-demo-{uuid.uuid4().hex[:12]}"
        self.run = Run(folder, Identity.of(os.getpid()), Cache(default_folder()))
        self.starting: dict[str, Future[Running]] = {}
        self.running: Running | None = None
        self.follower: Follower | None = None
        self.supervisor: Supervisor | None = None

    def say(self, text: str) -> None:
        self.terminal.say("demo", text)

    # How it starts

    def fetch(self) -> None:
        """The software of all servers, before anything is started. Raises Unavailable with all that is missing."""
        if taken := [str(port) for port in self.ports.values() if not is_free(port)]:
            raise Unavailable(f"{HOST}:{taken[0]} is taken. Give another port, whose next one is free too: PORT=8010.")
        missing = []
        for name in USES:
            try:
                self.run.fetch(name)
            except Unavailable as error:
                missing.append(str(error))
        if missing:
            hint = "Trino and ElasticMQ need Java and Maven once, to be fetched. `make demo` needs neither."
            raise Unavailable("\n".join([*missing, hint]))

    def start(self) -> None:
        """Returns when all can be asked. Raises ServerFailed, Unavailable."""
        self.say(f"Starting {', '.join(USES)} …")
        pool = ThreadPoolExecutor(len(USES))
        self.starting = {name: pool.submit(self._server, name) for name in USES}
        pool.shutdown(wait=False)
        # Trino takes longest, and nothing is asked of it before the data are there.
        servers = {name: self.starting[name].result() for name in USES if name != "trino"}
        prepared = distributed.prepare({name: server.addresses for name, server in servers.items()})
        form = {"JANGBU_LOG_FORMAT": "console" if self.terminal.is_terminal else "json"}
        jangbu = Jangbu(form | distributed.handed_on() | prepared.settings(), self.data)
        self.running = running = Running(jangbu, self._place(), self.run.owner)
        make_folder(running.at)
        jangbu.prepare(running.at)
        self._follow(running)
        self._load(running)
        servers["trino"] = self.starting["trino"].result()
        jangbu.settings |= distributed.engine(prepared, servers["trino"].addresses)
        running.launch(PROCESSES)
        self._wait(running, jangbu, servers)
        self.say(f"Ready {self._seconds()} after the start.")
        self.terminal.print("\n".join(self._greeting(distributed.key_of(running, jangbu))))

    def _server(self, name: str) -> Running:
        running = self.run.service(name)
        self.terminal.say("health", f"{name}: ready, {self._seconds()} after the start")
        return running

    def _place(self) -> Place:
        others = free_ports(tuple(name for name in PROCESSES if name not in self.ports))
        return Place(self.run.folder / "jangbu", self.ports | others, distributed.program(), self.run.cache)

    def _follow(self, running: Running) -> None:
        files = {name: running.at.folder / f"{name}.log" for name in (LOAD, *PROCESSES)}
        if self.server_logs:
            files |= {name: self.run.folder / name / "main.log" for name in USES}
        self.follower = Follower(self.terminal, files)
        self.follower.start()

    def _load(self, running: Running) -> None:
        self.say("Loading …")
        running.launch([LOAD])
        deadline = time.monotonic() + LOAD_WITHIN
        while not running.is_over(LOAD):
            if time.monotonic() > deadline:
                raise ServerFailed(f"The load took more than {LOAD_WITHIN:g} s.")
            time.sleep(0.1)
        if (code := running.ended(LOAD)) != 0:
            raise ServerFailed(f"The load ended with {code}.\n{running.log()}")
        self.say(f"Loaded {self._seconds()} after the start.")

    def _wait(self, running: Running, jangbu: Jangbu, servers: dict[str, Running]) -> None:
        mine = [
            Watched(name, running, name, jangbu.addresses(running.at)[name], partial(jangbu.process_is_ready, running.at, name))
            for name in PROCESSES
        ]
        others = [
            Watched(name, server, "main", f"{HOST}:{server.at.port}", partial(server.service.is_ready, server.at))
            for name, server in servers.items()
        ]
        self.supervisor = Supervisor([*mine, *others], partial(self.terminal.say, "health"))
        deadline = time.monotonic() + READY_WITHIN
        while not self.supervisor.all_ready():
            if time.monotonic() > deadline:
                raise ServerFailed(f"Not all was ready within {READY_WITHIN:g} s.\n{self.supervisor.table()}")
            self.supervisor.look()
            time.sleep(0.1)
        self.terminal.say("health", self.supervisor.table())

    def _seconds(self) -> str:
        return f"{time.monotonic() - self.began:.1f} s"

    def _greeting(self, key: str) -> list[str]:
        one, two = (f"http://{HOST}:{port}" for port in self.ports.values())
        head = f"-H 'Authorization: Bearer {key}' -H 'Content-Type: application/json'"
        total = """'{"data_source": "sales", "measures": ["revenue", "orders"]}'"""
        by = """'{"data_source": "sales", "measures": ["revenue"], "dimensions": ["department"]}'"""
        return [
            "",
            "The demo is ready. Both addresses answer the same; a load balancer would spread requests over them.",
            "",
            *(f"  address  {address}" for address in (one, two)),
            f"  key      {key}",
            "",
            f"curl -sS {one}/v1/query {head} -d {total}",
            f"curl -sS {two}/v1/query {head} -d {total if self.data == 'shops' else by}",
            "",
            f"Ctrl-C ends all of it and deletes its data. Logs are in {self.run.folder}.",
            "",
        ]

    # While it runs, and how it ends

    def supervise(self) -> None:
        """Until KeyboardInterrupt."""
        if self.supervisor is None:
            raise RuntimeError("It isn't started.")
        told = time.monotonic()
        while True:
            self.supervisor.look()
            if time.monotonic() - told > TELL:
                told = time.monotonic()
                self.terminal.say("health", self.supervisor.table())
            time.sleep(LOOK)

    def end(self, code: int) -> None:
        """Jangbu's processes in their own way, then the servers. A second Ctrl-C, and what still starts, ends this process at once:
        the guards do the rest."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: os._exit(130))
        if not self.starting:
            return
        began = time.monotonic()
        self.say("Ending …")
        if self.supervisor:
            self.supervisor.stop()
        if self.running:
            self.running.stop()
        if self.follower:
            self.follower.stop()
        if not all(each.done() for each in self.starting.values()):
            self.say("What still starts is ended by its guard.")
            _remove(self.run.folder)
            os._exit(code)
        with ThreadPoolExecutor(len(USES)) as pool:
            list(pool.map(Running.stop, self.run.all()))
        self.run.end()
        self.say(f"Ended in {time.monotonic() - began:.1f} s; nothing is left.")


def _remove(folder: Path) -> None:
    """Again, where what still starts has put something there meanwhile."""
    for _ in range(30):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)
