"""The whole application, from a load to an answer, with Trino as the engine of every data source."""

from pathlib import Path
from uuid import uuid4

import pytest
from services.plugin import GetService
from support.trino_lake import trino_lake
from support.two_shops import HANOK, MONEY, NAMU, ROWS, rows
from support.world import arrow_of

from jangbu.entrypoints.bootstrap import Application
from jangbu.entrypoints.settings import load
from jangbu.insight.dashboards.requests import request_of
from jangbu.insight.ingest.contracts import LoadMode
from jangbu.kernel.tenancy import Principal, TenantId

pytestmark = [pytest.mark.slow, pytest.mark.services("trino", "postgres", "s3")]


def test_what_is_loaded_is_answered_by_the_server_that_the_settings_name(service: GetService, tmp_path: Path) -> None:
    with trino_lake(service) as lake:
        engines = {"house": {"engine": "trino", "url": lake.server["url"], "catalog": lake.catalog, "running": 1}}
        s3 = service("s3").addresses
        store = {"s3_endpoint": s3["url"], "s3_access_key": s3["access_key"], "s3_secret_key": s3["secret_key"]}
        settings = load(folder=tmp_path, engine="house", engines=engines, **store)
        with Application(settings, lakehouse=lake.lakehouse) as application:
            source = application.catalog.catalog_for(()).data_sources["sales"]
            for tenant in (HANOK, NAMU):
                application.access.create_tenant(tenant, tenant, "America/New_York", "USD")
                lines = arrow_of(source, rows(source, tenant))
                application.ingest.load(source, tenant=TenantId(tenant), batches=lines, mode=LoadMode.APPEND, content=uuid4().hex)

            def ask(**request: object) -> list[tuple[object, ...]]:
                answer = application.dashboards.query(Principal((TenantId(HANOK),)), request_of(dict(request)))
                assert {leg.server for leg in answer.meta.legs} == {"house"}
                return list(zip(*(column.to_pylist() for column in answer.table.columns), strict=True))

            asked = {"data_source": "sales", "measures": ["revenue"], "time": {"range": "2017", "compare": "previous_year"}}
            assert [value for value, *_ in ask(**asked)] == [ROWS[HANOK] * MONEY[HANOK]]
            assert ask(data_source="query_log", measures=["queries"]) == [(1,)]
