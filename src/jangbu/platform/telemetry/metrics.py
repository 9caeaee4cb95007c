"""Prometheus metrics in a registry of their own, so that two applications in one process don't meet."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """What is counted. No label holds a tenant, a name that a client made up, or a secret."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
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

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format (`CONTENT_TYPE`)."""
        return generate_latest(self.registry)
