"""Metrics: counted where they belong, in a registry of their own."""

from threading import Event, Thread
from typing import Any

import pytest

from jangbu.kernel.errors import TimedOut, Unavailable
from jangbu.platform.engines.ports import Statement
from jangbu.platform.telemetry.engine import MeasuredEngine
from jangbu.platform.telemetry.metrics import Metrics

STATEMENT = Statement("SELECT 1")


class FakeEngine:
    name = "fake"

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.began, self.go_on = Event(), Event()
        self.go_on.set()

    def run(self, statement: Statement, **_: Any) -> str:
        self.began.set()
        assert self.go_on.wait(5)
        if self.error:
            raise self.error
        return "table"


def shown(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_two_registries_dont_meet() -> None:
    one, other = Metrics(), Metrics()
    one.request("GET", "/metrics", 200, 0.1)
    assert shown(one, "jangbu_http_requests_total", method="GET", route="/metrics", status="200") == 1
    assert b'route="/metrics"' not in other.exposition()


def test_loads_are_counted_and_rows_only_where_something_changed() -> None:
    metrics = Metrics()
    metrics.load("sales", 10, changed=True)
    metrics.load("sales", 10, changed=False)
    assert shown(metrics, "jangbu_loads_total", data_source="sales", outcome="unchanged") == 1
    assert shown(metrics, "jangbu_loaded_rows_total", data_source="sales") == 10


@pytest.mark.parametrize(("error", "outcome"), [(None, "ok"), (TimedOut("slow"), "timed_out"), (ValueError("odd"), "internal")])
def test_a_statement_is_counted_by_its_outcome(error: Exception | None, outcome: str) -> None:
    metrics = Metrics()
    engine = MeasuredEngine(FakeEngine(error), metrics, slots=1)  # type: ignore[arg-type]
    if error:
        with pytest.raises(type(error)):
            engine.run(STATEMENT, timeout=1)
    else:
        assert engine.run(STATEMENT, timeout=1) == "table"
    assert shown(metrics, "jangbu_engine_statements_total", engine="fake", outcome=outcome) == 1
    assert shown(metrics, "jangbu_engine_statement_seconds_count", engine="fake") == 1
    assert shown(metrics, "jangbu_engine_running", engine="fake") == 0


def test_what_goes_beyond_the_slots_waits() -> None:
    metrics, fake = Metrics(), FakeEngine()
    engine = MeasuredEngine(fake, metrics, slots=1)  # type: ignore[arg-type]
    fake.go_on.clear()
    threads = [Thread(target=engine.run, args=(STATEMENT,), kwargs={"timeout": 1}) for _ in range(3)]
    for thread in threads:
        thread.start()
        assert fake.began.wait(5)
        fake.began.clear()
    assert shown(metrics, "jangbu_engine_running", engine="fake") == 1
    assert shown(metrics, "jangbu_engine_waiting", engine="fake") == 2
    fake.go_on.set()
    for thread in threads:
        thread.join()
    assert shown(metrics, "jangbu_engine_waiting", engine="fake") == 0


def test_messages_are_counted_by_outcome_and_handlers_timed() -> None:
    metrics = Metrics()
    for outcome, seconds in (("failed", 0.1), ("handled", 0.2), ("parked", None)):
        metrics.message("close", outcome, seconds)
    for outcome in ("failed", "handled", "parked"):
        assert shown(metrics, "jangbu_messages_total", handler="close", outcome=outcome) == 1
    assert shown(metrics, "jangbu_message_seconds_count", handler="close") == 2


def test_what_can_be_measured_only_by_looking_is_looked_at_and_a_failure_hides_nothing() -> None:
    metrics = Metrics()
    metrics.look(lambda: metrics.outbox.set(3))
    assert b"jangbu_outbox_messages 3.0" in metrics.exposition()

    def busy() -> None:
        raise Unavailable("Busy.")

    metrics.look(busy)
    assert b"jangbu_outbox_messages 3.0" in metrics.exposition()


def test_what_counts_is_told_though_what_is_looked_at_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jangbu.platform.telemetry.metrics._MEASURED_WITHIN", 0.05)
    metrics, go_on = Metrics(), Event()
    metrics.look(lambda: metrics.outbox.set(float(go_on.wait(10))))
    metrics.answer(7)
    assert b"jangbu_answer_rows_total 7.0" in metrics.exposition()
    go_on.set()
    assert b"jangbu_outbox_messages 1.0" in metrics.exposition()
