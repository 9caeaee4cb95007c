"""Run by the tests as a process of its own: `python -m faults.forge FOLDER`. Imports everything once, then forks for each order.

An order is a line of JSON on stdin, an answer one on stdout:

    {"do": "count", "scenario": NAME}                   → {"points": N}
    {"do": "kill", "scenario": NAME, "at": POINT}       → {"outcome": "before" | "after", "points": 0} or {"error": TEXT}
    {"do": "kill", "scenario": NAME, "after_ms": MS}    the same, at whatever the process was doing then
    … with "ahead_s": SECONDS                           the same, with a clock that is so much ahead
    {"do": "fill", "scenario": NAME, "free": BYTES}     → {"outcome": …, "told": "full" | "done"} or {"error": TEXT}

Points are numbered as they come: before and after each commit to a database, each file that is begun, each that is removed. To
fill the disk, the folder must be a small one of its own. Children are real processes, and die of a real SIGKILL. This process
starts no threads and opens nothing, so that forking it is safe.
"""

import json
import os
import pkgutil
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from faults.scenarios import BEFORE, SCENARIOS, TENANTS, Place, Scenario, fill

from jangbu.kernel.errors import Unavailable

CODES = {"before": 10, "after": 11}
"""Exit codes of the child that looks at what a crash has left."""


def main(folder: Path) -> None:
    import_everything()
    for line in sys.stdin:
        order = json.loads(line)
        sys.stdout.write(json.dumps(ORDERS[order.pop("do")](folder, **order)) + "\n")
        sys.stdout.flush()


def import_everything() -> None:
    """What the children would else import each for itself."""
    import jangbu

    for module in pkgutil.walk_packages(jangbu.__path__, "jangbu."):
        if (".platform." in module.name or ".ingest." in module.name) and "migrations" not in module.name:
            import_module(module.name)
    for name in (
        "alembic.command",
        "alembic.config",
        "logging.config",
        "pyarrow.fs",
        "pyiceberg.catalog.sql",
        "pyiceberg.io.pyarrow",
    ):
        import_module(name)


def count(folder: Path, scenario: str) -> dict[str, Any]:
    """How many points a scenario has."""
    _restore(folder, scenario)
    code, told = _forked(lambda tell: _with_points(folder, SCENARIOS[scenario], None, tell))
    return {"points": int(told)} if code == 0 else {"error": told}


def kill(folder: Path, scenario: str, at: int | None = None, after_ms: float | None = None, ahead_s: float = 0.0) -> dict[str, Any]:
    """Kill, recover, look, do it again, look again. What is killed has a clock that is so many seconds ahead."""
    _restore(folder, scenario)
    code, told = _forked(lambda tell: _with_points(folder, SCENARIOS[scenario], at, tell, ahead_s), after_ms)
    if code not in (-signal.SIGKILL, 0) or (code == 0 and after_ms is None):
        return {"error": f"it ended with {code} instead of being killed: {told}"}
    code, told = _forked(lambda _: _look(folder, SCENARIOS[scenario]))
    outcome = next((name for name, known in CODES.items() if known == code), None)
    return {"outcome": outcome} if outcome else {"error": told}


def fill_disk(folder: Path, scenario: str, free: int) -> dict[str, Any]:
    """Leave so much room on the disk, do it, make room, recover, look, do it again, look again."""
    _restore(folder, scenario)
    ballast = folder / "ballast"
    code, said = _forked(lambda tell: _without_room(folder, SCENARIOS[scenario], free, tell))
    ballast.unlink()
    if code:
        return {"error": said}
    code, found = _forked(lambda _: _look(folder, SCENARIOS[scenario]))
    outcome = next((name for name, known in CODES.items() if known == code), None)
    return {"outcome": outcome, "told": said} if outcome else {"error": found}


ORDERS: dict[str, Callable[..., dict[str, Any]]] = {"count": count, "kill": kill, "fill": fill_disk}


def _restore(folder: Path, scenario: str) -> None:
    """The place as the scenario finds it. Made once, then copied: the lakehouse's files know their paths, so the place stays."""
    place, kept = folder / "place", folder / f"kept-{scenario}"
    shutil.rmtree(place, ignore_errors=True)
    if not kept.exists():
        code, told = _forked(lambda _: _prepare(place, SCENARIOS[scenario]))
        if code:
            raise RuntimeError(told)
        shutil.copytree(place, kept)
        return
    shutil.copytree(kept, place)


def _prepare(folder: Path, scenario: Scenario) -> int:
    place = Place(folder)
    fill(place)
    scenario.first(place)
    place.close()
    return 0


Tell = Callable[[str], object]


def _forked(work: Callable[[Tell], int], after_ms: float | None = None) -> tuple[int, str]:
    """The exit code of a child that does the work (negative: killed by that signal), and what it has told."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_child(work, writing)
    os.close(writing)
    if after_ms is not None:
        time.sleep(after_ms / 1000)
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), told


def _be_child(work: Callable[[Tell], int], writing: int) -> None:
    code = 1
    try:
        code = work(lambda text: os.write(writing, text.encode()))
    except BaseException:  # noqa: BLE001 - whatever it is, the parent is told
        os.write(writing, traceback.format_exc().encode()[-60_000:])
    finally:
        os._exit(code)


def _with_points(folder: Path, scenario: Scenario, at: int | None, tell: Tell, ahead_s: float = 0.0) -> int:
    """Do it, and die at the point; without one, tell how many there were."""
    clock = MovedClock(ahead_s)
    place, points = Place(folder / "place", clock), Points(at)
    points.install()
    scenario.does(place)
    tell(str(points.number))
    return 0


def _without_room(folder: Path, scenario: Scenario, free: int, tell: Tell) -> int:
    """It is done, or the error says that the disk is full; what is there can be read all the same."""
    place = Place(folder / "place")
    place.rows()
    disk = os.statvfs(folder)
    with (folder / "ballast").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(disk.f_bavail * disk.f_frsize - free, 1))
    try:
        scenario.does(place)
        tell("done")
    except Unavailable as error:
        if "disk is full" not in str(error):
            raise
        tell("full")
    if place.rows() not in (BEFORE, scenario.wanted):
        raise AssertionError(f"half done on a full disk: {place.rows()}")
    return 0


class MovedClock:
    """This process' clock, which somebody has put forward or back."""

    def __init__(self, ahead_s: float) -> None:
        self._ahead = timedelta(seconds=ahead_s)
        real = time.time
        time.time = lambda: real() + ahead_s  # PyIceberg's stamps

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead


class Points:
    """Counts what would leave a trace on the disk, and kills the process at number `at`."""

    def __init__(self, at: int | None) -> None:
        self.number, self.at = 0, at

    def passed(self, _where: str) -> None:
        self.number += 1
        if self.number == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: Any, name: str) -> None:
        """A point before and one after each call."""
        real = getattr(owner, name)

        def call(*arguments: Any, **options: Any) -> Any:
            self.passed(f"before {name}")
            result = real(*arguments, **options)
            self.passed(f"after {name}")
            return result

        setattr(owner, name, call)

    def install(self) -> None:
        from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO
        from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

        self.around(SQLiteDialect_pysqlite, "do_commit")
        self.around(PyArrowFile, "create")
        self.around(PyArrowFileIO, "delete")


def _look(folder: Path, scenario: Scenario) -> int:
    """What the crash has left is as before or complete; done again it is complete, once; and nothing lies about."""
    place = Place(folder / "place")
    place.ingest.recover(place.clock.now() + timedelta(hours=1))
    found = place.rows()
    wanted = scenario.wanted
    if found not in (BEFORE, wanted):
        raise AssertionError(f"half done: {found}")
    _assert_agreement(place)
    scenario.does(place)
    if place.rows() != wanted or tuple(place.waiting()) != scenario.waiting:
        raise AssertionError(f"done again: {place.rows()}, waiting {place.waiting()}; wanted {wanted}, {scenario.waiting}")
    _assert_agreement(place)
    _assert_tidy(place, wanted)
    place.close()
    return CODES["after" if found == wanted and wanted != BEFORE else "before"]


def _assert_agreement(place: Place) -> None:
    """Versions, history and events tell the same, and nothing is open."""
    assert not place.ingest.has_open_intent(TENANTS, ["sales"])
    versions = {tenant: each.version for (tenant, _), each in place.ingest.versions(TENANTS, ["sales"]).items()}
    loads = place.ingest.loads(TENANTS, limit=1000)
    for tenant in TENANTS:
        counted = list(range(1, versions[tenant] + 1))
        assert [version for of, version in place.events() if of == tenant] == counted, (tenant, versions, place.events())
        assert sorted(load.version for load in loads if load.tenant == tenant) == counted
    assert sum(load.rows for load in loads) >= sum(map(len, place.rows().values()))


def _assert_tidy(place: Place, wanted: dict[str, list[tuple[str, str]]]) -> None:
    """Once nothing is young any more, only what the table needs is left."""
    place.lakehouse.expire("sales", keep=1)
    later = place.clock.now() + timedelta(days=2)
    place.lakehouse.collect("sales", retired=timedelta(0), orphaned=timedelta(0), now=later)
    assert place.rows() == wanted
    live = {file.path for file in place.lakehouse.files(place.lakehouse.current("sales"), None, None).files}
    there = {str(path) for path in (place.folder / "lakehouse").rglob("*.parquet")}
    assert there == live, there ^ live


if __name__ == "__main__":
    main(Path(sys.argv[1]))
