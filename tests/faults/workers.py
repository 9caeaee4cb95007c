"""Real processes that change one database and one lakehouse, and how they are told to.

`python -m faults.workers FOLDER` imports everything once and forks a worker for each line of stdin, the path of a socket that
somebody listens at. A worker lives until it is killed, and keeps what it has read, as a server does. Its orders are lines of JSON;
one may say at which point (see `forge`) the worker kills itself or stands still (SIGSTOP).
"""

import json
import logging
import os
import random
import signal
import sqlite3
import struct
import sys
import traceback
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket
from typing import Any

from faults.forge import Points, import_everything
from faults.plain import Change, spooled, table_of
from faults.scenarios import SALES, TENANTS, Place

from jangbu.insight.access.facade import Access
from jangbu.insight.ingest.contracts import LoadMode, LoadResult
from jangbu.insight.ingest.facade import Delivery, Ingest, UpkeepRules
from jangbu.platform.database.sqlite import SqliteDatabase
from jangbu.platform.lakehouse.iceberg import open_lakehouse

PATIENCE, HURRY = 20.0, 0.1
"""Seconds that a worker waits for a lock, and one that is in a hurry, as somebody stands still with one."""

RULES = UpkeepRules(keep=3, joinable=4, retired=timedelta(minutes=30))
"""Few snapshots stay; files stay for longer than any question takes."""

MODES = {"append": LoadMode.APPEND, "replace": LoadMode.REPLACE, "range": LoadMode.REPLACE, "merge": LoadMode.MERGE}


class SharedClock:
    """Real time, and what a file adds to it: so it can be moved for all processes at once."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.ahead)

    @property
    def ahead(self) -> float:
        return float(struct.unpack("d", self._file.read_bytes())[0]) if self._file.exists() else 0.0

    def forward(self, by: timedelta) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_bytes(struct.pack("d", self.ahead + by.total_seconds()))
        fresh.replace(self._file)


class SharedPlace(Place):
    """A place that others change, too."""

    def __init__(self, folder: Path, patience: float = PATIENCE) -> None:
        self.patience = patience
        super().__init__(folder, SharedClock(folder), RULES)

    def __post_init__(self) -> None:
        self.database = SqliteDatabase(self.folder / "jangbu.db", self.clock, patience=self.patience)
        uri = f"sqlite:///{self.folder}/lakehouse/catalog.db?timeout={self.patience}"
        self.lakehouse = open_lakehouse(warehouse=self.folder / "lakehouse", catalog_uri=uri)
        self.ingest = Ingest(self.database, self.lakehouse, self.clock, self.rules)


KEPT = """
CREATE TABLE spooled_rows (id INTEGER PRIMARY KEY, payload TEXT, gone_after INTEGER);
CREATE TRIGGER rows_spooled AFTER INSERT ON spool BEGIN INSERT INTO spooled_rows VALUES (new.id, new.payload, NULL); END;
CREATE TRIGGER rows_loaded AFTER DELETE ON spool BEGIN
    UPDATE spooled_rows SET gone_after = (SELECT coalesce(max(id), 0) FROM loads) WHERE id = old.id; END;
"""
"""What was ever spooled, and after which load's number it was loaded."""


def prepare(folder: Path) -> None:
    """A place without data, to be copied."""
    (folder / "lakehouse").mkdir(parents=True)
    with closing(sqlite3.connect(folder / "lakehouse" / "catalog.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")  # as `open_lakehouse` has it of its own catalog
    place = SharedPlace(folder)
    place.database.migrate()
    access = Access(place.database, place.clock)
    for tenant in TENANTS:
        access.create_tenant(tenant, tenant, "UTC", "USD")
    place.close()
    with closing(sqlite3.connect(folder / "jangbu.db")) as connection:
        connection.executescript(KEPT)


class Steps(Points):
    """Points of one order; at number `at` the process dies, or tells that it stands still and does."""

    def __init__(self, tell: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(None)
        self._tell, self._is_stopping = tell, False

    def begin(self, at: int | None, stop: bool) -> None:
        self.number, self.at, self._is_stopping = 0, at, stop

    def passed(self, where: str) -> None:
        if self._is_stopping and self.number + 1 == self.at:
            self.number += 1
            self._tell({"stopped": self.number, "where": where})
            os.kill(os.getpid(), signal.SIGSTOP)
        else:
            super().passed(where)


class Work:
    """What a worker can do. Everything is in JSON's types."""

    def __init__(self, folder: Path, line: socket) -> None:
        self.place, self.line = SharedPlace(folder), line

    def load(self, content: str) -> dict[str, Any]:
        change = Change.of(content)
        how: dict[str, Any] = {"mode": MODES[change.kind], "keys": ("product",) if change.kind == "merge" else ()}
        if len(change.tenants) == 1:
            rows, (tenant,) = table_of(change.rows(change.tenants[0])), change.tenants
            found = [self.place.ingest.load(SALES, tenant=tenant, batches=rows, span=change.span, content=content, **how)]
        else:
            deliveries = [
                Delivery(tenant, lambda whose=tenant: table_of(change.rows(whose)), content, change.span)  # type: ignore[misc]
                for tenant in change.tenants
            ]
            found = list(self.place.ingest.load_many(SALES, deliveries, **how))
        return _told(found)

    def spool(self, content: str) -> dict[str, Any]:
        self.place.ingest.spool(SALES, spooled(Change.of(content)))
        return {"changed": []}

    def flush(self) -> dict[str, Any]:
        return _told(self.place.ingest.flush_spool(SALES))

    def compact(self, whole: bool) -> dict[str, Any]:
        done = self.place.lakehouse.compact("sales", whole=whole)
        return {"joined": done.files_before}

    def expire(self, keep: int) -> dict[str, Any]:
        open_runs = self.place.ingest._open_runs
        return {
            "forgotten": self.place.lakehouse.expire(
                "sales", keep=keep, runs=lambda: open_runs("sales"), now=self.place.clock.now()
            )
        }

    def collect(self) -> dict[str, Any]:
        rules, now = self.place.rules, self.place.clock.now()
        return {"removed": self.place.lakehouse.collect("sales", retired=rules.retired, orphaned=rules.orphaned, now=now)}

    def upkeep(self, whole: bool) -> dict[str, Any]:
        done = self.place.ingest.upkeep.run("sales", whole=whole, remove=True)
        return {"joined": done.files_before, "forgotten": done.snapshots_expired, "removed": done.files_removed}

    def recover(self, ahead: float) -> dict[str, Any]:
        found = self.place.ingest.recover(self.place.clock.now() + timedelta(seconds=ahead))
        return {"finished": [done.finished for done in found]}

    def hurry(self) -> dict[str, Any]:
        self.place.close()
        self.place = SharedPlace(self.place.folder, HURRY)
        return {}

    def rest(self) -> dict[str, Any]:
        """Whoever reads or works on and on ends that where there is another order."""
        return {}

    def read(self, log: str, pause: float = 0.0) -> dict[str, Any]:
        from faults.reading import read_on

        return read_on(self.place, Path(log), self.line, pause)

    def question(self) -> dict[str, Any]:
        """One question, of which the engine says that it was reached; then the process stands still."""
        from faults.reading import ask_slowly

        return ask_slowly(self.place, self.line)

    def busy(self, seed: int, log: str) -> dict[str, Any]:
        from faults.reading import work_on

        return work_on(self, seed, Path(log), self.line)


def _told(results: "tuple[LoadResult, ...] | list[LoadResult]") -> dict[str, Any]:
    return {"changed": sorted(str(result.tenant) for result in results if result.changed)}


def main(folder: Path) -> None:
    import_everything()
    for module in ("faults.reading", "duckdb", "sqlglot", "jangbu.insight.dashboards.facade", "jangbu.platform.engines.duckdb"):
        import_module(module)
    logging.getLogger("pyiceberg").setLevel(logging.ERROR)  # that others have removed old metadata first
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who is killed is gone at once, and no zombie
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for path in sys.stdin:
        if os.fork() == 0:
            _be_worker(Path(path.strip()))


def _be_worker(path: Path) -> None:
    code = 1
    try:
        _die_with_parent()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        random.seed()  # or all would wait for as long, whenever they wait
        with socket(AF_UNIX, SOCK_STREAM) as line:
            line.connect(str(path))
            serve(path.parent, line)
        code = 0
    finally:
        os._exit(code)


def _die_with_parent() -> None:
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def serve(folder: Path, line: socket) -> None:
    def tell(what: dict[str, Any]) -> None:
        line.sendall(json.dumps(what).encode() + b"\n")

    steps = Steps(tell)
    work = Work(folder, line)
    steps.install()
    tell({"pid": os.getpid()})
    with line.makefile() as orders:
        for order in orders:
            asked = json.loads(order)
            steps.begin(asked.pop("at", None), asked.pop("stop", False))
            tell(_outcome(work, asked) | {"points": steps.number})


def _outcome(work: Work, asked: dict[str, Any]) -> dict[str, Any]:
    try:
        found: dict[str, Any] = getattr(work, asked.pop("do"))(**asked)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is judged by who asked
        return {"error": type(error).__name__, "said": str(error), "trace": traceback.format_exc()}
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
