"""Prometheus metrics in a registry of their own, so that two applications in one process don't meet."""

from collections.abc import Callable
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from jangbu.kernel.errors import JangbuError
from jangbu.platform.telemetry.glance import Glance

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_MEASURED_WITHIN: Final = 3.0
"""Seconds: Prometheus waits for ten, and what is counted must not be lost with what can't be looked at."""
_log = structlog.get_logger(__name__)


class Metrics:
    """What is counted. No label holds a tenant, a name that a client made up, or a secret."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._measuring = Glance(self._measure)
        self._requests = Counter(
            "jangbu_http_requests", "HTTP requests by route and status.", ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "jangbu_http_request_seconds",
            "Time to the last byte of an answer, in seconds.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._statements = Counter(
            "jangbu_engine_statements", "Statements by engine and outcome.", ["engine", "outcome"], registry=self.registry
        )
        self._statement_seconds = Histogram(
            "jangbu_engine_statement_seconds",
            "Time of a statement, waiting included.",
            ["engine"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.running = Gauge("jangbu_engine_running", "Statements that run now.", ["engine"], registry=self.registry)
        self.waiting = Gauge(
            "jangbu_engine_waiting", "Statements that wait for a free slot now.", ["engine"], registry=self.registry
        )
        self._rows = Counter("jangbu_answer_rows", "Rows of answers.", registry=self.registry)
        self._loads = Counter(
            "jangbu_loads", "Loads by data source and outcome.", ["data_source", "outcome"], registry=self.registry
        )
        self._loaded = Counter("jangbu_loaded_rows", "Rows loaded.", ["data_source"], registry=self.registry)
        self._looks: list[Callable[[], None]] = []
        self._add_messages()
        self._add_cache()

    def _add_messages(self) -> None:
        self._messages = Counter(
            "jangbu_messages", "Messages by handler and outcome.", ["handler", "outcome"], registry=self.registry
        )
        self._message_seconds = Histogram(
            "jangbu_message_seconds", "Time of a handler, in seconds.", ["handler"], buckets=_SECONDS, registry=self.registry
        )
        self.queued = Gauge("jangbu_queue_messages", "Messages by queue and state now.", ["queue", "state"], registry=self.registry)
        self.oldest = Gauge(
            "jangbu_queue_oldest_seconds", "Age of the oldest message that isn't parked.", ["queue"], registry=self.registry
        )
        self.outbox = Gauge("jangbu_outbox_messages", "Messages that wait to be put on a queue.", registry=self.registry)
        self.outbox_oldest = Gauge(
            "jangbu_outbox_oldest_seconds", "Time that the oldest of them has waited.", registry=self.registry
        )

    def _add_cache(self) -> None:
        self._cache = Counter(
            "jangbu_cache_keys",
            "Keys that the cache was asked for, by operation and outcome.",
            ["operation", "outcome"],
            registry=self.registry,
        )
        self.cache_reachable = Gauge(
            "jangbu_cache_reachable", "1 where the last calls of the cache reached it, else 0.", registry=self.registry
        )
        self.cache_bytes = Gauge("jangbu_cache_bytes", "Bytes that the cache of this process holds now.", registry=self.registry)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def statement(self, engine: str, outcome: str, seconds: float) -> None:
        """`outcome` is `ok` or the code of the error."""
        self._statements.labels(engine, outcome).inc()
        self._statement_seconds.labels(engine).observe(seconds)

    def answer(self, rows: int) -> None:
        self._rows.inc(rows)

    def load(self, data_source: str, rows: int, *, changed: bool) -> None:
        self._loads.labels(data_source, "changed" if changed else "unchanged").inc()
        if changed:
            self._loaded.labels(data_source).inc(rows)

    def message(self, handler: str, outcome: str, seconds: float | None) -> None:
        """`outcome` is `handled`, `failed` or `parked`; `seconds` is None where no handler was called."""
        self._messages.labels(handler, outcome).inc()
        if seconds is not None:
            self._message_seconds.labels(handler).observe(seconds)

    def cache(self, operation: str, outcome: str, number: int = 1) -> None:
        """`outcome` as `Counts` of the cache's port has it; `number` is how many keys."""
        if number:
            self._cache.labels(operation, outcome).inc(number)

    def look(self, measure: Callable[[], None]) -> None:
        """Have `measure` set gauges each time that the metrics are asked for. What it can't measure, or not in time, keeps its last
        value."""
        self._looks.append(measure)

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format (`CONTENT_TYPE`)."""
        try:
            self._measuring.take(_MEASURED_WITHIN)
        except JangbuError as error:
            _log.warning("not measured", reason=str(error))
        return generate_latest(self.registry)

    def _measure(self) -> None:
        for measure in self._looks:
            try:
                measure()
            except JangbuError as error:
                _log.warning("not measured", reason=str(error))
