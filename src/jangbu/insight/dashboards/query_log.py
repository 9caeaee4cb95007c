"""The query log: a row for every question and tenant, written behind the answers and asked like any other data source."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import Any

import structlog

from jangbu.insight.catalog.contracts import DataSource
from jangbu.insight.dashboards.contracts import QueryRequest
from jangbu.insight.ingest.facade import Ingest
from jangbu.kernel.errors import JangbuError, LoadError
from jangbu.kernel.tenancy import Principal, TenantId

QUERY_LOG = "query_log"
"""The data source's name."""

_BATCH = 500
_MOST_WAITING = 50_000
"""Rows that are kept in memory while the database takes none; what comes after is left out."""

_LONGEST = 1_000
"""Characters of a text, which is the asker's where a name isn't known."""

_STATUS = {"cancelled": "cancelled", "timed_out": "timed_out"}
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class QueryLog:
    """Rows go to a thread, from there to the database's spool (so that a crash keeps them) and, in batches or when the log is asked
    for, into the lakehouse."""

    ingest: Ingest
    source: DataSource
    _rows: SimpleQueue[Mapping[str, Any]] = field(default_factory=SimpleQueue)
    _wake: Event = field(default_factory=Event)
    _spooling: Lock = field(default_factory=Lock)
    _flushing: Lock = field(default_factory=Lock)
    _stopping: bool = False
    _thread: Thread | None = None

    def start(self) -> None:
        self._thread = Thread(target=self._work, name="query-log", daemon=True)
        self._thread.start()

    def record(self, rows: Sequence[Mapping[str, Any]]) -> None:
        if self._rows.qsize() >= _MOST_WAITING:
            _log.warning("query log full", left_out=len(rows))
            return
        for row in rows:
            self._rows.put(row)
        self._wake.set()

    def flush(self) -> None:
        """The rows that this process has recorded so far can be asked when this returns; of more than a load takes, the first."""
        self._spool()
        self._load()

    def close(self) -> None:
        """What was recorded is in the spool when this returns; the next process that is asked for the log takes it from there."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=10)
        self._spool()

    def _work(self) -> None:
        spooled = 0
        while not self._stopping:
            self._wake.wait()
            self._wake.clear()
            try:
                spooled += self._spool()
                if spooled >= _BATCH:
                    self._load()
                    spooled = 0
            except JangbuError as error:
                _log.warning("query log kept back", reason=str(error))
            except Exception:  # noqa: BLE001 - the thread lives on: the next row is another try
                _log.exception("query log kept back")

    def _load(self) -> None:
        with self._flushing:  # else rows that the other thread is loading just now would seem to be none
            self.ingest.flush_spool(self.source)

    def _spool(self) -> int:
        with self._spooling:
            rows = list(_drained(self._rows))
            try:
                if rows:
                    self.ingest.spool(self.source, rows)
            except LoadError:
                raise  # it would be refused again, and hold up all behind it
            except Exception:
                for row in rows:
                    self._rows.put(row)
                raise
            return len(rows)


def _drained(queue: SimpleQueue[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    while True:
        try:
            yield queue.get_nowait()
        except Empty:
            return


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a question ended; `ms` is its whole time on the server."""

    ms: float
    rows: int = 0
    legs: int = 0
    truncated: bool = False
    error: JangbuError | None = None


def log_rows(
    query_id: str, asked_at: datetime, principal: Principal, tenants: Sequence[TenantId], request: QueryRequest, outcome: Outcome
) -> list[dict[str, Any]]:
    """One row a tenant, in the data source's columns."""
    names = [request.data_source] if isinstance(request.data_source, str) else request.data_source
    code = outcome.error.code if outcome.error is not None else None
    row = {
        "query_id": query_id,
        "asked_at": asked_at,
        "principal": principal.name,
        "data_source": _joined(names),
        "measures": _joined(request.measures),
        "dimensions": _joined(request.dimensions),
        "time_frequency": request.time_frequency.value if request.time_frequency else None,
        "analysis": request.analysis.kind[:_LONGEST],
        "status": "ok" if code is None else _STATUS.get(code, "error"),
        "code": code,
        "rows": outcome.rows,
        "ms": outcome.ms,
        "legs": outcome.legs,
        "truncated": outcome.truncated,
    }
    return [{"tenant": tenant, **row} for tenant in tenants]


def _joined(names: Sequence[str]) -> str:
    return ",".join(names)[:_LONGEST]
