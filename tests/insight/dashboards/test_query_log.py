"""Every question leaves a row, and the rows are a data source like any other."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from support.world import DEFINITIONS, World

from jangbu.insight.catalog.facade import PACK
from jangbu.insight.dashboards.query_log import QUERY_LOG, QueryLog
from jangbu.insight.dashboards.requests import request_of
from jangbu.kernel.errors import Cancelled, InvalidRequest, Unavailable
from jangbu.kernel.tenancy import Principal, TenantId
from jangbu.platform.engines.ports import CancelToken

ROW = {"sales_value": Decimal(3), "sold_at": datetime(2017, 6, 1, tzinfo=UTC)}


def open_world(folder: Path) -> World:
    world = World.at(folder, [DEFINITIONS, PACK / "system"])
    log = QueryLog(world.ingest, world.catalog.data_sources[QUERY_LOG])
    log.start()
    world.dashboards._query_log = log
    return world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = open_world(tmp_path)
    for name in ("acme", "beta"):
        found.tenant(name)
        found.load("sales", name, [ROW])
    yield found
    found.close()


def logged(world: World, *tenants: str, **request: Any) -> list[list[Any]]:
    return world.rows({"data_source": QUERY_LOG, "measures": ["queries"]} | request, *tenants)


def test_a_question_is_in_the_log_at_once(world: World) -> None:
    world.ask({"data_source": "sales", "measures": ["revenue", "orders"], "dimensions": ["store"]}, "acme")
    rows = logged(world, "acme", dimensions=["asked_source", "status"])
    assert rows == [["sales", "ok", 1]]


def test_a_refused_question_is_logged_with_its_code(world: World) -> None:
    with pytest.raises(InvalidRequest):
        world.ask({"data_source": "sales", "measures": ["revenues"]}, "acme")
    assert logged(world, "acme", dimensions=["status", "code"]) == [["error", "unknown_name", 1]]


def test_a_cancelled_question_is_logged_as_such(world: World) -> None:
    token = CancelToken.new()
    token.cancel()
    request = request_of({"data_source": "sales", "measures": ["revenue"]})
    with pytest.raises(Cancelled):
        world.dashboards.query(Principal((TenantId("acme"),)), request, cancel=token)
    assert logged(world, "acme", dimensions=["status"]) == [["cancelled", 1]]


def test_each_tenant_sees_the_questions_about_its_own_data(world: World) -> None:
    world.ask({"data_source": "sales", "measures": ["revenue"]}, "acme")
    world.ask({"data_source": "sales", "measures": ["revenue"]}, "acme", "beta")
    own = {"field": "asked_source", "op": "equals", "values": ["sales"]}
    assert logged(world, "acme", filter=own) == [[2]]
    assert logged(world, "beta", filter=own) == [[1]]
    assert logged(world, "acme", "beta", filter=own) == [[2]]


def test_what_was_logged_before_a_close_is_there_after_it(tmp_path: Path) -> None:
    first = open_world(tmp_path)
    first.tenant("acme")
    first.ask({"data_source": "sales", "measures": ["revenue"]}, "acme")
    assert first.dashboards._query_log is not None
    first.dashboards._query_log.close()
    first.close()
    second = open_world(tmp_path)
    assert logged(second, "acme") == [[1]]
    second.close()


def test_rows_that_the_database_did_not_take_are_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    log = QueryLog(world.ingest, world.catalog.data_sources[QUERY_LOG])
    world.dashboards._query_log = log
    world.ask({"data_source": "sales", "measures": ["revenue"]}, "acme")

    def busy(*_: object) -> None:
        raise Unavailable("The database is busy writing.")

    with monkeypatch.context() as patch:
        patch.setattr(world.ingest, "spool", busy)
        with pytest.raises(Unavailable):
            log.flush()
    assert logged(world, "acme") == [[1]]


def test_the_thread_outlives_what_nobody_foresaw(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    log = world.dashboards._query_log
    assert log is not None
    failed = Event()

    def broken(*_: object) -> None:
        failed.set()
        raise RuntimeError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(world.ingest, "spool", broken)
        world.ask({"data_source": "sales", "measures": ["revenue"]}, "acme")
        assert failed.wait(10)
    assert log._thread is not None
    assert log._thread.is_alive()
    assert logged(world, "acme") == [[1]]


def test_a_name_without_end_is_cut(world: World) -> None:
    with pytest.raises(InvalidRequest):
        world.ask({"data_source": "sales", "measures": ["x" * 5000]}, "acme")
    [[shown, _]] = logged(world, "acme", dimensions=["asked_measures"])
    assert len(shown) == 1000
