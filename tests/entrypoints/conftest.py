"""An application over fakes, and a real server of its API."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from io import StringIO
from threading import Thread
from time import sleep
from typing import Any

import httpx
import pyarrow as pa
import pytest
import uvicorn

from jangbu.entrypoints.api.app import create_app
from jangbu.entrypoints.settings import Settings
from jangbu.insight.catalog.contracts import Text
from jangbu.insight.dashboards.contracts import Answer, AnswerColumn, Explanation, LegReport, Meta, QueryRequest, Role, ValuesPage
from jangbu.kernel.errors import Unauthenticated
from jangbu.kernel.tenancy import Principal, TenantId
from jangbu.kernel.types import FieldType
from jangbu.platform.engines.ports import CancelToken
from jangbu.platform.telemetry import logs
from jangbu.platform.telemetry.metrics import Metrics

KEYS = {
    "jb_alpha": Principal((TenantId("alpha"),), name="alpha's"),
    "jb_both": Principal((TenantId("alpha"), TenantId("beta")), name="both"),
}


def answer(rows: int = 2) -> Answer:
    columns = (
        AnswerColumn("time", FieldType.DATE, Role.TIME),
        AnswerColumn("department", FieldType.TEXT, Role.DIMENSION, label=Text("부문", "Department")),
        AnswerColumn("revenue", FieldType.DECIMAL, Role.MEASURE, "currency", "money", Text("매출", "Revenue")),
    )
    table = pa.table(
        {
            "time": pa.array([date(2017, 3, 1)] * rows, pa.date32()),
            "department": pa.array([None if index == 1 else '식품 "A"' for index in range(rows)], pa.string()),
            "revenue": pa.array([Decimal("12345678901234.5678")] * rows, pa.decimal128(18, 4)),
        }
    )
    meta = Meta(
        query_id="q1",
        zone="America/New_York",
        as_of={"sales": datetime(2018, 1, 1, tzinfo=UTC)},
        data_versions={"sales": 1},
        legs=(LegReport("sales", "duckdb", rows, 1.23456),),
        truncated=False,
    )
    return Answer(columns, table, None, meta)


@dataclass
class FakeDashboards:
    """Answers with `reply`, which may raise; remembers who asked what."""

    reply: Callable[[QueryRequest, CancelToken | None], Answer] = lambda request, cancel: answer()
    asked: list[tuple[Principal, QueryRequest]] = field(default_factory=list)

    def query(self, principal: Principal, request: QueryRequest, *, cancel: CancelToken | None = None) -> Answer:
        self.asked.append((principal, request))
        return self.reply(request, cancel)

    def explain(self, principal: Principal, request: QueryRequest) -> Explanation:
        return Explanation("plan", "revenue over 1", ("2017-01-01", "2017-12-31"), None, ({"sql": "SELECT 1"},))

    def values(self, principal: Principal, data_source: str, dimension: str, **given: Any) -> ValuesPage:
        principal.narrow(tuple(given["tenants"]) if given["tenants"] else None)
        return ValuesPage(
            data_source, dimension, (given["search"], Decimal("1.50"), date(2017, 1, 1)), given["offset"] + given["limit"]
        )


class FakeAccess:
    def authenticate(self, secret: str) -> Principal:
        if secret not in KEYS:
            raise Unauthenticated("The API key isn't known, or has been revoked.")
        return KEYS[secret]


def _item(name: str, **more: Any) -> dict[str, Any]:
    label = {"ko": f"{name} 이름", "en": name.upper()}
    return {"name": name, "label": label, "description": {"ko": f"{name}의 설명", "en": f"What {name} is"}, **more}


class FakeCatalog:
    def listing(self, tenant: TenantId | None = None) -> dict[str, Any]:
        own = [_item("visits", data_source="web")] if tenant == "beta" else []
        measures = [_item("orders", data_source="sales"), _item("revenue", data_source="sales"), _item("orders", data_source="web")]
        return {
            "measures": measures + own,
            "dimensions": [_item("department", data_source="sales")],
            "data_sources": [_item("sales")],
        }

    def show(self, name: str, tenant: TenantId | None = None) -> dict[str, Any]:
        return {"name": name, "formula": "sum(sales_value)", "layer": "pack", "file": "/secret/place.yml", "line": 3}


@dataclass
class FakeApplication:
    settings: Settings = field(default_factory=lambda: Settings(max_body_bytes=4096, request_threads=4))
    metrics: Metrics = field(default_factory=Metrics)
    catalog: FakeCatalog = field(default_factory=FakeCatalog)
    access: FakeAccess = field(default_factory=FakeAccess)
    dashboards: FakeDashboards = field(default_factory=FakeDashboards)
    ready: bool = True

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    def is_ready(self) -> bool:
        return self.ready

    def seen_by(self, tenants: tuple[TenantId, ...]) -> TenantId | None:
        return tenants[0] if len(tenants) == 1 else None


@pytest.fixture
def logged() -> Iterator[StringIO]:
    """What is logged, as lines of JSON."""
    root, stream = logging.getLogger(), StringIO()
    before = root.handlers[:], root.level
    logs.configure("info", "json", stream)
    yield stream
    root.handlers[:], root.level = before


@pytest.fixture
def make_answer() -> Callable[..., Answer]:
    return answer


@pytest.fixture(scope="session")
def running() -> Iterator[tuple[FakeApplication, str]]:
    """A real server in a thread, one for all tests: its application, and its address."""
    application = FakeApplication()
    config = uvicorn.Config(create_app(application), port=0, log_config=None, access_log=False)  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    thread = Thread(target=server.run)
    thread.start()
    while not server.started:
        sleep(0.005)
    try:
        yield application, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def application(running: tuple[FakeApplication, str], logged: StringIO) -> FakeApplication:
    """The server's, as new but for its metrics."""
    running[0].dashboards = FakeDashboards()
    running[0].ready = True
    return running[0]


@pytest.fixture
def address(running: tuple[FakeApplication, str], application: FakeApplication) -> str:
    return running[1]


@pytest.fixture
def client(address: str) -> Iterator[httpx.Client]:
    """Holds the tenant alpha."""
    with httpx.Client(base_url=address, headers={"authorization": "Bearer jb_alpha"}) as client:
        yield client
