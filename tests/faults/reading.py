"""Questions that are asked all the time while others change the data, and whether each answer was one whole version.

Half of a change would show: prices are large and all different, so that count and sum tell which rows there were.
"""

import json
import os
import random
import signal
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from select import select
from socket import socket
from time import sleep
from typing import TYPE_CHECKING, Any

from faults.plain import KINDS, MILLION, TENANTS, Change, Entry, Flushed, replayed
from faults.scenarios import Place

from jangbu.insight.access.facade import Access
from jangbu.insight.catalog.facade import CatalogFacade
from jangbu.insight.dashboards.facade import Dashboards
from jangbu.insight.dashboards.requests import request_of
from jangbu.kernel.errors import Unavailable
from jangbu.kernel.tenancy import Principal, TenantId
from jangbu.platform.engines.duckdb import open_engine
from jangbu.platform.engines.ports import Engine

if TYPE_CHECKING:
    from faults.workers import Work

DEFINITIONS = Path(__file__).parents[1] / "fixtures" / "definitions" / "faults"
REQUEST = {"data_source": "sales", "measures": ["lines", "total"], "dimensions": ["tenant"]}
ASKED = (TENANTS, TENANTS, TENANTS[:2], TENANTS[:1], TENANTS[2:])


# In the worker


def is_called(line: socket) -> bool:
    return bool(select([line], [], [], 0)[0])


def dashboards_of(place: Place, spill: Path, engine: Engine | None = None) -> Dashboards:
    held = engine or open_engine(roots=[place.lakehouse.root()], spill=spill, memory_mb=500, threads=1)
    return Dashboards(
        access=Access(place.database, place.clock),
        catalog=CatalogFacade(folders=(DEFINITIONS,), pack=None, outside_folders=()),
        ingest=place.ingest,
        lakehouse=place.lakehouse,
        engines={"duckdb": held},
        workbench=held,
        analyses={},
    )


def ask(dashboards: Dashboards, tenants: Sequence[TenantId]) -> dict[str, Any]:
    """Versions, rows and until when, in JSON's types."""
    answer = dashboards.query(Principal(tuple(tenants)), request_of(dict(REQUEST)))
    versions = answer.meta.data_versions["sales"]
    as_of = answer.meta.as_of["sales"]
    found = {row["tenant"]: [row["lines"], int(row["total"])] for row in answer.table.to_pylist()}
    return {
        "versions": versions if isinstance(versions, Mapping) else {tenants[0]: versions},
        "rows": {tenant: found.get(tenant, [0, 0]) for tenant in tenants},
        "as_of": as_of.isoformat() if as_of else None,
    }


def read_on(place: Place, log: Path, line: socket, pause: float) -> dict[str, Any]:
    """Ask until there is another order, `pause` seconds after each answer."""
    dashboards, told = dashboards_of(place, log.with_suffix(".spill")), Counter[str]()
    with log.open("a") as out:
        while not is_called(line):
            began = place.clock.ahead
            try:
                found = ask(dashboards, random.choice(ASKED))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is judged by who reads the log
                found = {"error": type(error).__name__, "said": str(error)}
            told[found.get("error", "answers")] += 1
            out.write(json.dumps(found | {"moved": place.clock.ahead - began}) + "\n")
            out.flush()
            sleep(pause)
    return dict(told)


class SlowEngine:
    """One that stands still before it reads what it was told to."""

    def __init__(self, real: Engine, line: socket) -> None:
        self._real, self._line = real, line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def run(self, *arguments: Any, **options: Any) -> Any:
        self._line.sendall(json.dumps({"stopped": 0, "where": "before run"}).encode() + b"\n")
        os.kill(os.getpid(), signal.SIGSTOP)
        return self._real.run(*arguments, **options)


def ask_slowly(place: Place, line: socket) -> dict[str, Any]:
    engine = open_engine(roots=[place.lakehouse.root()], spill=place.folder / "spill", memory_mb=500, threads=1)
    try:
        return ask(dashboards_of(place, place.folder, SlowEngine(engine, line)), TENANTS)  # type: ignore[arg-type]
    finally:
        engine.close()


def work_on(work: "Work", seed: int, log: Path, line: socket) -> dict[str, Any]:
    """Recover, as at a start, then change at random until there is another order. The log says what was begun and what ended."""
    chance, number = random.Random(seed), seed * 10_000
    work.place.ingest.recover()
    with log.open("a") as out:

        def note(**what: Any) -> None:
            out.write(json.dumps(what) + "\n")
            out.flush()

        while not is_called(line):
            number += 1
            change = Change(number, chance.choice(KINDS), _some_tenants(chance))
            try:
                match chance.randrange(8):
                    case 0:
                        work.upkeep(whole=chance.random() < 0.3)
                    case 1:
                        batch = Change(number, "spool", change.tenants)
                        note(begun=batch.content)
                        work.spool(batch.content)
                        note(ended=batch.content, **work.flush())
                    case _:
                        note(begun=change.content)
                        note(ended=change.content, **work.load(change.content))
            except Unavailable as error:
                note(error=str(error))
    return {"number": number}


def _some_tenants(chance: random.Random) -> tuple[TenantId, ...]:
    return TENANTS if chance.random() < 0.2 else (chance.choice(TENANTS),)


# In the test


@dataclass(frozen=True)
class Written:
    """A load, as the database keeps it."""

    entry: Entry
    version: int
    as_of: datetime


def histories_of(folder: Path) -> dict[TenantId, list[Written]]:
    with closing(sqlite3.connect(folder / "jangbu.db")) as connection:
        loads = connection.execute("SELECT id, tenant, content, version, as_of FROM loads ORDER BY id").fetchall()
        rows = connection.execute("SELECT payload, gone_after FROM spooled_rows WHERE gone_after IS NOT NULL").fetchall()
    flushes: dict[int, set[int]] = {}
    for payload, after in rows:
        flushes.setdefault(after, set()).add(_batch(payload))
    found: dict[TenantId, list[Written]] = {tenant: [] for tenant in TENANTS}
    for id_, tenant, content, version, as_of in loads:
        flushed = content.startswith("spool:")
        entry = Flushed(frozenset(flushes[max(after for after in flushes if after < id_)])) if flushed else Change.of(content)
        found[tenant].append(Written(entry, version, datetime.fromisoformat(as_of)))
    return found


def waiting_in(folder: Path) -> set[int]:
    with closing(sqlite3.connect(folder / "jangbu.db")) as connection:
        return {_batch(payload) for (payload,) in connection.execute("SELECT payload FROM spool")}


def spooled_in(folder: Path) -> set[int]:
    """Every batch that was ever spooled."""
    with closing(sqlite3.connect(folder / "jangbu.db")) as connection:
        return {_batch(payload) for (payload,) in connection.execute("SELECT payload FROM spooled_rows")}


def _batch(payload: str) -> int:
    return int(Decimal(json.loads(payload)["price"])) // MILLION


class Judge:
    """Knows what each version of each tenant holds, by replaying the history plainly."""

    def __init__(self, histories: Mapping[TenantId, Sequence[Written]], batches: Mapping[int, Change]) -> None:
        self._histories = histories
        self._told = {
            tenant: [_told(replayed([each.entry for each in held[:end]], tenant, batches)) for end in range(len(held) + 1)]
            for tenant, held in histories.items()
        }

    def check(self, answers: Sequence[Mapping[str, Any]], longest: float) -> Counter[str]:
        """Each of one reader's answers is one whole version, and none is older than one before. `longest` is how far the clock may
        move during a question before its files may be gone (seconds).

        Where a process died or stands still between its commit and its note of it, the rows may be one version ahead of what is
        told; so the design has it (see `Pinning.pin`)."""
        counts, last = Counter[str](), dict.fromkeys(TENANTS, (0, 0))
        for answer in answers:
            if "error" in answer:
                assert answer["error"] == "Unavailable" or answer["moved"] >= longest, answer
                counts[answer["error"].lower()] += 1
                continue
            seen = {tenant: (told, self._version(answer, TenantId(tenant), told)) for tenant, told in answer["versions"].items()}
            self._check_as_of(answer)
            self._check_together({TenantId(tenant): rows for tenant, (_, rows) in seen.items()}, answer)
            for tenant, (told, rows) in seen.items():
                before = last[TenantId(tenant)]
                assert min(told - before[0], rows - before[1]) >= 0, f"{tenant} was at {before} before: {answer}"
                last[TenantId(tenant)] = (told, rows)
            counts["answers"] += 1
            counts["ahead"] += any(rows > told for told, rows in seen.values())
        return counts

    def _version(self, answer: Mapping[str, Any], tenant: TenantId, told: int) -> int:
        possible = [
            number for number in (told, told + 1) if self._told[tenant][number : number + 1] == [tuple(answer["rows"][tenant])]
        ]
        near = dict(enumerate(self._told[tenant][max(told - 3, 0) : told + 4], max(told - 3, 0)))
        assert possible, f"not one version of {tenant}: {answer}; versions around it hold {near}"
        return possible[0]

    def _check_as_of(self, answer: Mapping[str, Any]) -> None:
        versions = answer["versions"].items()
        known = [self._histories[tenant][version - 1].as_of if version else None for tenant, version in versions]
        wanted = None if None in known else min(each for each in known if each is not None)
        told = datetime.fromisoformat(answer["as_of"]) if answer["as_of"] else None
        assert told == (wanted.replace(tzinfo=told.tzinfo) if wanted and told else wanted), answer

    def _check_together(self, rows: Mapping[TenantId, int], answer: Mapping[str, Any]) -> None:
        """What was loaded for several tenants together is seen of all that are asked for, or of none."""
        seen = {tenant: {each.entry for each in self._histories[tenant][:version]} for tenant, version in rows.items()}
        known = {tenant: {each.entry for each in self._histories[tenant]} for tenant in rows}
        for tenant, entries in seen.items():
            for other in set(rows) - {tenant}:
                missing = {entry for entry in entries & known[other] if entry not in seen[other]}
                assert not missing, f"{missing} of {tenant} and not of {other}: {answer}"


def _told(rows: Sequence[tuple[str, int, int]]) -> tuple[int, int]:
    return len(rows), sum(price for _, price, _ in rows)


def answers_in(log: Path) -> list[dict[str, Any]]:
    """The last line may be torn, where the reader was killed."""
    lines = log.read_text().split("\n") if log.exists() else []
    return [json.loads(line) for line in lines[:-1]]
