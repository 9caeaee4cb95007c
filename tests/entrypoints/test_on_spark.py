"""The whole application on S3: what is loaded is kept and filled by a Spark server of the settings, and answered as before."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from services.plugin import GetService
from support.spark_lake import SparkLake, spark_lake
from support.stores import at
from support.two_shops import HANOK, NAMU, rows
from support.world import arrow_of
from typer.testing import CliRunner

from jangbu.entrypoints.bootstrap import Application
from jangbu.entrypoints.cli import app
from jangbu.entrypoints.settings import load
from jangbu.insight.dashboards.requests import request_of
from jangbu.insight.ingest.contracts import LoadMode
from jangbu.kernel.errors import ConfigurationError, LoadError, UnknownName, Unsupported
from jangbu.kernel.tenancy import Principal, TenantId

pytestmark = [
    pytest.mark.slow,
    pytest.mark.services("spark", "postgres", "s3"),
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
    ),
]


@pytest.fixture(scope="module")
def lake(service: GetService) -> Iterator[SparkLake]:
    with spark_lake(service, on_s3=True) as made:
        yield made


@pytest.fixture
def settings(lake: SparkLake, tmp_path: Path) -> dict[str, Any]:
    store = lake.place["store"]
    return {
        "folder": tmp_path,
        "engines": {"spark": {"url": lake.server["url"], "session": dict(lake.session), "connect_timeout": 120}},
        "upkeep_engine": "spark",
        "upkeep_engine_mb": 0,
        "warehouse": lake.place["warehouse"],
        "lake_catalog": str(lake.place["catalog_uri"]),
        "s3_endpoint": store.endpoint,
        "s3_access_key": store.access_key,
        "s3_secret_key": store.secret_key,
        "query_log": False,
    }


def test_upkeep_and_backfills_go_by_spark_and_answers_stay(
    lake: SparkLake, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Application(load(**settings)) as application:
        source = application.catalog.catalog_for(()).data_sources["sales"]
        for tenant in (HANOK, NAMU):
            application.access.create_tenant(tenant, tenant, "America/New_York", "USD")
        lines = {tenant: arrow_of(source, rows(source, tenant)) for tenant in (HANOK, NAMU)}
        for n in range(4):
            for tenant in (HANOK, NAMU):
                part = lines[tenant].slice(
                    n * len(lines[tenant]) // 4, (n + 1) * len(lines[tenant]) // 4 - n * len(lines[tenant]) // 4
                )
                application.ingest.load(source, tenant=TenantId(tenant), batches=part, mode=LoadMode.APPEND, content=f"{n}")

        def revenue(tenant: str) -> Decimal:
            asked = request_of({"data_source": "sales", "measures": ["revenue"]})
            answer = application.dashboards.query(Principal((TenantId(tenant),)), asked)
            found: Decimal = answer.table.column("revenue").to_pylist()[0]
            return found

        before = {tenant: revenue(tenant) for tenant in (HANOK, NAMU)}
        monkeypatch.setenv("JANGBU_SETTINGS", str(_written(settings)))
        kept = CliRunner().invoke(app, ["tables", "upkeep", source.binding.table, "--json"], catch_exceptions=False)
        (table,) = json.loads(kept.stdout)["tables"]
        assert table["files_before"] > table["files_after"] > 0
        assert {tenant: revenue(tenant) for tenant in (HANOK, NAMU)} == before

        # A backfill of the same rows doubles a shop's revenue, in two files that lie on S3; the other's stays.
        for n, part in enumerate((lines[HANOK].slice(0, 3), lines[HANOK].slice(3))):
            sink = pa.BufferOutputStream()
            pq.write_table(part, sink)
            at(f"{lake.lakehouse.root()}/incoming{n}.parquet").write_bytes(sink.getvalue().to_pybytes())
        files = [f"{lake.lakehouse.root()}/incoming{n}.parquet" for n in range(2)]
        arguments = ["loads", "backfill", "sales", *files, "--engine", "spark", "--tenant", HANOK, "--json"]
        for changed in (True, False):
            result = CliRunner().invoke(app, arguments, catch_exceptions=False)
            (told,) = json.loads(result.stdout)["loads"]
            assert (told["rows"], told["changed"]) == (len(lines[HANOK]), changed)
        assert {tenant: revenue(tenant) for tenant in (HANOK, NAMU)} == {HANOK: 2 * before[HANOK], NAMU: before[NAMU]}
        with pytest.raises(LoadError, match="jangbu load"):
            CliRunner().invoke(app, [*arguments[:5], "--engine", "here", "--tenant", HANOK], catch_exceptions=False)


def test_an_engine_that_does_not_do_what_is_asked_is_named(settings: dict[str, Any]) -> None:
    with Application(load(**{**settings, "engine": "spark"})) as application:
        application.access.create_tenant("shop", "Shop", "UTC", "USD")
        asked = request_of({"data_source": "sales", "measures": ["revenue"]})
        with pytest.raises(Unsupported, match="'spark' does upkeep"):
            application.dashboards.query(Principal((TenantId("shop"),)), asked)
        with pytest.raises(ConfigurationError, match="'duckdb' does no upkeep"):
            application.engines.maintainer("duckdb")
        with pytest.raises(UnknownName, match="no engine 'sparc'") as error:
            application.engines.maintainer("sparc")
        assert error.value.suggestions == ("spark",)


def _written(settings: dict[str, Any]) -> Path:
    """A file of settings."""
    file = settings["folder"] / "jangbu.toml"
    plain = {name: value for name, value in settings.items() if name not in ("folder", "engines")}
    lines = [f"{name} = {json.dumps(value)}" for name, value in {**plain, "folder": str(settings["folder"])}.items()]
    session = [f"{json.dumps(name)} = {json.dumps(value)}" for name, value in settings["engines"]["spark"]["session"].items()]
    plainly = [f"{name} = {json.dumps(value)}" for name, value in settings["engines"]["spark"].items() if name != "session"]
    server = ["[engines.spark]", *plainly, "[engines.spark.session]", *session]
    file.write_text("\n".join([*lines, *server]))
    return Path(file)
