"""Jangbu over real servers, of which one at a time is killed, frozen, cut off or slowed, while questions and loads go on.

All that Jangbu sends to a server goes through Toxiproxy. An answer is right where it counts every load that was acknowledged before
it was asked for, none that hadn't begun when it came, and none twice. What isn't right has to be a 503 that says when to ask again.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import psycopg
import pyarrow as pa
from services import distributed
from services.running import Running
from support.processes import Running as Process
from support.processes import running

from jangbu.entrypoints.bootstrap import Application
from jangbu.entrypoints.settings import load
from jangbu.insight.ingest.contracts import LoadMode
from jangbu.kernel.errors import Unavailable
from jangbu.kernel.tenancy import TenantId

SHOP = TenantId("shop")
QUESTION = {"data_source": "coupons", "measures": ["coupon_offers", "coupons_issued"]}
WITHIN = 30.0
"""Seconds for any answer, and from a server's return until all works again."""
TARGETS = {
    "database": ("postgres", "JANGBU_DATABASE"),
    "catalog": ("postgres", "JANGBU_LAKE_CATALOG"),
    "files": ("s3", "JANGBU_S3_ENDPOINT"),
    "queues": ("elasticmq", "JANGBU_SQS_ENDPOINT"),
    "cache": ("valkey", "JANGBU_CACHE_SERVERS"),
    "engine": ("trino", "JANGBU_ENGINES"),
}
"""What each part of Jangbu is served by, and the setting that says where that is."""
HURRIED = {
    "JANGBU_QUERY_TIMEOUT": "10",
    "JANGBU_DATABASE_PATIENCE": "5",
    "JANGBU_SQS_TIMEOUT": "2",
    "JANGBU_MESSAGE_LEASE": "5",
    "JANGBU_MESSAGE_PAUSE": "0.2",
    "JANGBU_MESSAGE_TRIES": "1000",
}
HANDLER = '''
"""Notes which versions it heard of."""

from pathlib import Path
from typing import Any

from jangbu.insight.ingest.contracts import TenantDataUpdated
from jangbu.kernel.handlers import Context, Handler


def note(event: TenantDataUpdated, context: Context[Any]) -> None:
    with Path("{heard}").open("a") as heard:
        heard.write(f"{{event.version}}\\n")


PLUGIN = Handler(kind="event_handler", name="note", summary="Notes.", handles=TenantDataUpdated, open=note)
'''


class Proxy:
    """A way to a server that can be spoilt."""

    def __init__(self, toxiproxy: Running, host: str, port: str) -> None:
        self._control = httpx.Client(base_url=toxiproxy["url"], timeout=10)
        self._asked = {"name": uuid4().hex, "listen": "127.0.0.1:0", "upstream": f"{host}:{port}"}
        made = self._control.post("/proxies", json=self._asked).raise_for_status().json()
        self._asked["listen"] = made["listen"]
        self.port = made["listen"].rpartition(":")[2]

    def cut(self) -> None:
        self._control.post(f"/proxies/{self._asked['name']}", json={**self._asked, "enabled": False}).raise_for_status()

    def spoil(self, kind: str, streams: tuple[str, ...], **attributes: int) -> None:
        for stream in streams:
            toxic = {"type": kind, "stream": stream, "attributes": attributes}
            self._control.post(f"/proxies/{self._asked['name']}/toxics", json=toxic).raise_for_status()

    def mend(self) -> None:
        for toxic in self._control.get(f"/proxies/{self._asked['name']}/toxics").raise_for_status().json():
            self._control.delete(f"/proxies/{self._asked['name']}/toxics/{toxic['name']}").raise_for_status()
        self._control.post(f"/proxies/{self._asked['name']}", json={**self._asked, "enabled": True}).raise_for_status()

    def close(self) -> None:
        self._control.delete(f"/proxies/{self._asked['name']}")
        self._control.close()


BOTH, BACK = ("upstream", "downstream"), ("downstream",)


@dataclass(frozen=True)
class Fault:
    """`seconds` are how long it lasts."""

    harm: Callable[[Running, Proxy], None]
    mend: Callable[[Running, Proxy], None]
    seconds: float


def _spoilt(kind: str, streams: tuple[str, ...], seconds: float, **attributes: int) -> Fault:
    return Fault(lambda _, proxy: proxy.spoil(kind, streams, **attributes), lambda _, proxy: proxy.mend(), seconds)


FAULTS: Mapping[str, Fault] = {
    "killed": Fault(lambda server, _: server.kill(), lambda server, _: server.restart(), 2),
    "frozen": Fault(lambda server, _: server.freeze(), lambda server, _: server.thaw(), 12),
    "cut off": Fault(lambda _, proxy: proxy.cut(), lambda _, proxy: proxy.mend(), 3),
    "silent": _spoilt("timeout", BOTH, 12, timeout=0),
    "answers lost": _spoilt("timeout", BACK, 4, timeout=300),
    "reset": _spoilt("reset_peer", BOTH, 4, timeout=0),
    "torn": _spoilt("limit_data", BACK, 4, bytes=1500),
    "slow": _spoilt("latency", BACK, 6, latency=150, jitter=100),
    "thin": _spoilt("bandwidth", BACK, 6, rate=40),
}
FORGETFUL = {("queues", "killed")}
"""ElasticMQ keeps messages in memory: one that is killed has lost what it had accepted, which SQS never does."""


@dataclass
class Seen:
    """What questions and loads met. `wrong` is in words; times are of time.monotonic."""

    right: int = 0
    refused: int = 0
    loads_refused: int = 0
    longest: float = 0.0
    wrong: list[str] = field(default_factory=list)
    last_right: float = 0.0
    """When the last right answer was asked for."""
    last_load: float = 0.0
    """When the last acknowledged load began."""


class Counts:
    """Of loads: begun, and acknowledged."""

    def __init__(self) -> None:
        self.begun = self.done = 0
        self.lock = threading.Lock()


class Installation:
    """An API and a worker, those who ask it and load into it, and the servers behind proxies, by part."""

    def __init__(self, servers: Mapping[str, Running], proxies: Mapping[str, Proxy], serve: Process, worker: Process) -> None:
        self.servers, self.proxies, self.serve, self.worker = servers, proxies, serve, worker
        self.counts, self.seen, self.ended = Counts(), Seen(), threading.Event()
        self.threads: list[threading.Thread] = []

    def keep(self, work: Callable[[], None]) -> None:
        """Do it again and again, beside all else, until all is stopped."""

        def run() -> None:
            while not self.ended.is_set():
                work()

        self.threads.append(threading.Thread(target=run))
        self.threads[-1].start()

    def stop(self) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join(2 * WITHIN)
        assert not [thread for thread in self.threads if thread.is_alive()], "a load or a question hangs"


@contextmanager
def installed(servers: Mapping[str, Running], toxiproxy: Running, folder: Path) -> Iterator[Installation]:
    """`servers` by their names; with a Trino among them it answers the questions."""
    prepared = distributed.prepare({name: server.addresses for name, server in servers.items() if name != "trino"})
    settings = prepared.settings() | HURRIED
    heard = folder / "heard"
    heard.touch()
    (folder / "plugins" / "event_handlers").mkdir(parents=True)
    (folder / "plugins" / "event_handlers" / "note.py").write_text(HANDLER.format(heard=heard))
    settings["JANGBU_PLUGIN_FOLDERS"] = str(folder / "plugins")
    with ExitStack() as ending:
        key = _first_load(settings, folder)
        if "trino" in servers:
            settings |= distributed.engine(prepared, servers["trino"].addresses)
        proxies = {}
        for part, (name, setting) in TARGETS.items():
            if name in servers:
                proxies[part] = proxy = Proxy(toxiproxy, *_address(servers[name]))
                ending.callback(proxy.close)
                settings[setting] = settings[setting].replace(":".join(_address(servers[name])), f"127.0.0.1:{proxy.port}")
        serve = ending.enter_context(running("serve", "api", "--port", "0", folder=folder, env=settings))
        worker = ending.enter_context(running("worker", folder=folder, name="worker", ready=False, env=settings))
        made = Installation(servers, proxies, serve, worker)
        _go_on(made, ending, settings, folder, key)
        until(lambda: made.seen.right > 0 and _versions(heard) > 1, "all works")
        yield made
        made.stop()
        _check(made, settings, folder, key, heard)


def until(says: Callable[[], bool], what: str) -> None:
    ends = time.monotonic() + 2 * WITHIN
    while not says():
        assert time.monotonic() < ends, what
        time.sleep(0.05)


def _address(server: Running) -> tuple[str, str]:
    found = urlsplit(server["url"])
    return str(found.hostname), str(found.port)


def _application(settings: Mapping[str, str], folder: Path) -> Application:
    with patch.dict(os.environ, settings):
        return Application(load(folder=folder / "loader"))


def _load(application: Application, number: int) -> None:
    texts = {"coupon_upc": f"coupon {number}", "product": "p", "campaign": "c"}
    rows = pa.table({name: pa.array([text], pa.string()) for name, text in texts.items()})
    application.ingest.load(application.catalog.data_source("coupons"), tenant=SHOP, batches=rows, mode=LoadMode.APPEND)


def _first_load(settings: Mapping[str, str], folder: Path) -> str:
    """The tables are there afterwards. A key."""
    with _application(settings, folder) as application:
        application.access.create_tenant(SHOP, "Shop", "UTC", "USD")
        _load(application, 0)
        return application.access.create_key("asker", [SHOP])[1].reveal()


def _go_on(made: Installation, ending: ExitStack, settings: Mapping[str, str], folder: Path, key: str) -> None:
    made.counts.begun = made.counts.done = 1
    application = ending.enter_context(_application(settings, folder))
    ending.callback(made.stop)  # before the application is closed
    client = ending.enter_context(made.serve.client(key, timeout=2 * WITHIN))
    for _ in range(2):
        made.keep(lambda: _ask(made, client))
        made.keep(lambda: _load_once(made, application))


def _ask(made: Installation, client: httpx.Client) -> None:
    seen, counts, began = made.seen, made.counts, time.monotonic()
    before = counts.done
    try:
        answer = client.post("/v1/query", json=QUESTION)
    except httpx.HTTPError as error:
        seen.wrong.append(f"no answer: {error!r}")
        return
    seen.longest = max(seen.longest, time.monotonic() - began)
    if answer.status_code == 200:
        ((offers, issued),) = answer.json()["rows"]
        if not before <= offers <= counts.begun or offers != issued:
            seen.wrong.append(f"{before} were there, {counts.begun} begun, the answer is {offers} of {issued}")
            return
        seen.right += 1
        seen.last_right = max(seen.last_right, began)
    elif answer.status_code == 503 and int(answer.headers.get("retry-after", "0")) > 0 and "code" in answer.json():
        seen.refused += 1
        time.sleep(0.1)
    else:
        seen.wrong.append(f"{answer.status_code}: {answer.text[:300]}")
    time.sleep(0.02)


def _load_once(made: Installation, application: Application) -> None:
    """One row, again and again until it is told that it is there."""
    with made.counts.lock:
        number = made.counts.begun
        made.counts.begun += 1
    while True:
        began = time.monotonic()
        try:
            _load(application, number)
        except Unavailable:
            made.seen.loads_refused += 1
            time.sleep(0.1)
        except Exception as error:  # noqa: BLE001 - whatever it is, it isn't a clean answer
            made.seen.wrong.append(f"load {number}: {error!r}")
            time.sleep(0.5)
        else:
            with made.counts.lock:
                made.counts.done += 1
            made.seen.last_load = max(made.seen.last_load, began)
            time.sleep(0.1)
            return
        finally:
            made.seen.longest = max(made.seen.longest, time.monotonic() - began)


@dataclass(frozen=True)
class Outcome:
    """Of one fault; `recovered` are seconds from the server's return until a question, a load and an event had gone through."""

    part: str
    fault: str
    right: int
    refused: int
    loads_refused: int
    longest: float
    recovered: float
    wrong: tuple[str, ...]


def suffer(made: Installation, part: str, name: str, heard: Path) -> Outcome:
    """Harm what serves the part, mend it, and wait until all works again."""
    fault, server, proxy = FAULTS[name], made.servers[TARGETS[part][0]], made.proxies[part]
    made.seen = seen = Seen()
    fault.harm(server, proxy)
    time.sleep(fault.seconds)
    fault.mend(server, proxy)
    back, known = time.monotonic(), _versions(heard)
    while not (seen.last_right > back and seen.last_load > back and _versions(heard) > known):
        if time.monotonic() - back > WITHIN:
            told = f"asked {seen.last_right - back:.1f}, loaded {seen.last_load - back:.1f}, heard {_versions(heard) - known}"
            seen.wrong.append(f"not back within {WITHIN:g} s: {told}")
            break
        time.sleep(0.05)
    recovered = time.monotonic() - back
    for process in (made.serve, made.worker):
        if process.process.poll() is not None:
            seen.wrong.append(f"{process.log.name} ended: {process.said[-500:]}")
    if seen.longest > WITHIN:
        seen.wrong.append(f"an answer took {seen.longest:.1f} s")
    return Outcome(part, name, seen.right, seen.refused, seen.loads_refused, seen.longest, recovered, tuple(seen.wrong))


def _versions(heard: Path) -> int:
    return len(heard.read_text().splitlines())


def _check(made: Installation, settings: Mapping[str, str], folder: Path, key: str, heard: Path) -> None:
    """Nothing is lost, doubled or left open, once all is settled."""
    with _application(settings, folder) as application, made.serve.client(key) as client:
        answer = client.post("/v1/query", json=QUESTION).raise_for_status().json()
        assert answer["rows"] == [[made.counts.done] * 2]
        assert made.counts.begun == made.counts.done
        assert application.ingest.recover() is not None
        wanted = set(range(1, made.counts.done + 1))
        until(lambda: {int(line) for line in heard.read_text().split()} == wanted, "each event is heard of")
        assert application.queues.parked() == ()
    with psycopg.connect(made.servers["postgres"]["url"], connect_timeout=5) as session:
        open_now = session.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = %s", [distributed.USER]).fetchone()
        assert open_now is not None
        assert open_now[0] <= 40, "connections are left open"


def table(outcomes: list[Outcome]) -> str:
    head = f"{'part':<10}{'fault':<14}{'right':>7}{'503':>6}{'loads refused':>15}{'longest s':>11}{'back after s':>14}  wrong"
    rows = [
        f"{each.part:<10}{each.fault:<14}{each.right:>7}{each.refused:>6}{each.loads_refused:>15}{each.longest:>11.1f}"
        f"{each.recovered:>14.1f}  {len(each.wrong)}{': ' + each.wrong[0][:160] if each.wrong else ''}"
        for each in outcomes
    ]
    return "\n".join([head, *rows])
