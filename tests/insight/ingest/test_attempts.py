"""Loads that go on can be watched, and those that failed are told with their reason."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
from ingest_place import SALES, SHOP, MovableClock, Place, day, sales
from sqlalchemy import update
from support.databases import ADAPTERS

from jangbu.insight.ingest import attempts
from jangbu.insight.ingest.contracts import Attempt, LoadMode, LoadState
from jangbu.insight.ingest.facade import Ingest
from jangbu.insight.ingest.tables import load_attempts
from jangbu.kernel.errors import LoadError
from jangbu.kernel.tenancy import TenantId

pytestmark = pytest.mark.parametrize("adapter", ADAPTERS, indirect=True)


def load(ingest: Ingest, batches: Any, **more: Any) -> Any:
    return ingest.load(SALES, tenant=SHOP, batches=batches, mode=LoadMode.APPEND, **more)


def seen(place: Place, **more: Any) -> list[Attempt]:
    return list(place.ingest.attempts([SHOP], **more))


def test_a_load_tells_how_far_it_is_and_is_gone_at_its_end(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "TOLD_EVERY", 0.0)
    watched: list[Attempt] = []

    def batches() -> Iterator[pa.RecordBatch]:
        for number in range(3):
            yield sales((f"p{number}", "1", day(1))).to_batches()[0]
            watched.extend(seen(place))

    load(place.ingest, batches(), total=3)
    assert [(each.rows, each.total, each.state) for each in watched] == [(n, 3, LoadState.RUNNING) for n in (1, 2, 3)]
    assert seen(place) == []


def test_a_load_that_fails_says_why(place: Place) -> None:
    with pytest.raises(LoadError):
        load(place.ingest, sales().drop_columns(["price"]))
    (failed,) = seen(place, state=LoadState.FAILED)
    assert (failed.data_source, failed.mode, failed.rows) == ("sales", LoadMode.APPEND, 0)
    assert failed.error is not None
    assert "price" in failed.error
    assert seen(place, state=LoadState.RUNNING) == []
    assert place.ingest.attempts([TenantId("other")]) == ()


def test_what_is_not_ours_is_told_by_its_kind_only(place: Place) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        raise OSError("password=secret")
        yield

    with pytest.raises(OSError, match="secret"):
        load(place.ingest, broken())
    assert [each.error for each in seen(place)] == ["OSError"]


def test_a_load_whose_process_died_has_failed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "TOLD_EVERY", 0.0)
    in_load, go_on = threading.Event(), threading.Event()

    def batches() -> Iterator[pa.RecordBatch]:
        for number in range(2):
            yield sales((f"p{number}", "1", day(1))).to_batches()[0]
            in_load.set()
            go_on.wait(20)

    thread = threading.Thread(target=load, args=(place.ingest, batches()))
    thread.start()
    assert in_load.wait(20)
    for _ in range(1000):
        if seen(place):
            break
        threading.Event().wait(0.005)
        go_on.set()
    place.ingest.recover()
    assert all(each.state is LoadState.RUNNING for each in seen(place))
    with place.database.transaction() as work:
        work.connection.execute(update(load_attempts).values(owner=attempts.this_process().replace("|", "|9999", 1)))
    place.ingest.recover()
    assert all(each.error == "Its process ended." for each in seen(place))
    go_on.set()
    thread.join(20)


def test_failures_are_forgotten_after_a_month(place: Place) -> None:
    clock = MovableClock()
    ingest = Ingest(place.database, place.lakehouse, clock)
    with pytest.raises(LoadError):
        load(ingest, sales().drop_columns(["price"]))
    clock.forward(days=29)
    ingest.recover()
    assert len(seen(place)) == 1
    ingest.recover(clock.now() + timedelta(days=2))
    assert seen(place) == []
