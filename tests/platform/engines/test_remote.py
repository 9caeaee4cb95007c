"""DuckDB over S3: its keys are seen by nobody, its requests go nowhere else, and a store that is down is no damage."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from services.plugin import GetService
from support.sales import ACME, SALES, load, sale
from support.stores import Buckets, store_of

from jangbu.kernel.errors import ConfigurationError, EngineError, Unavailable
from jangbu.kernel.stores import ObjectStore
from jangbu.platform.engines.duckdb import open_engine
from jangbu.platform.engines.ports import Engine, Scan, Statement
from jangbu.platform.lakehouse.iceberg import open_lakehouse
from jangbu.platform.lakehouse.ports import Lakehouse

pytestmark = pytest.mark.services("s3", "postgres")


@pytest.fixture
def place(service: GetService) -> Iterator[Mapping[str, Any]]:
    with Buckets(service("s3"), service("postgres")).place() as options:
        yield options


@pytest.fixture
def lake(place: Mapping[str, Any]) -> Iterator[Lakehouse]:
    opened = open_lakehouse(**place)
    opened.create(SALES)
    load(opened, "one", sale("acme", "b1"), sale("bravo", "b2"))
    yield opened
    opened.close()


@pytest.fixture
def engine(place: Mapping[str, Any], tmp_path: Path) -> Iterator[Engine]:
    opened = open_engine(roots=[place["warehouse"]], spill=tmp_path, store=place["store"])
    yield opened
    opened.close()


def scan(lake: Lakehouse) -> Scan:
    return Scan("sales", ("basket",), lake.files(lake.current("sales"), None, None), None, "tenant", (ACME,))


def run(engine: Engine, body: str, *scans: Scan) -> list[dict[str, object]]:
    return engine.run(Statement(body, scans), timeout=30).to_pylist()


@pytest.mark.parametrize(
    "body",
    [
        "SELECT * FROM duckdb_secrets()",
        "SELECT * FROM duckdb_settings()",
        "SELECT * FROM which_secret('s3://any/x', 's3')",
        "SELECT * FROM read_parquet('{root}/jangbu/x.parquet?s3_endpoint=127.0.0.1:1')",
        "SELECT * FROM '{root}/jangbu/x.parquet'",
        "SELECT * FROM glob('{root}/**')",
        "SELECT * FROM read_text('{root}/**')",
        "SELECT (SELECT count(*) FROM glob('{root}/**'))",
        "WITH a AS (SELECT * FROM glob('{root}/**')) SELECT * FROM a",
        "SELECT * FROM information_schema.tables",
        "SHOW TABLES",
    ],
)
def test_no_statement_reads_the_store_the_keys_or_the_settings_by_itself(engine: Engine, lake: Lakehouse, body: str) -> None:
    with pytest.raises(EngineError) as error:
        run(engine, body.format(root=lake.root()))
    assert lake.root() not in str(error.value)


def test_a_statement_may_name_its_scans_its_own_relations_and_series(engine: Engine, lake: Lakehouse) -> None:
    body = """
        SELECT * FROM (WITH own AS (SELECT "basket" FROM "sales") SELECT own."basket", r.i FROM own, range(2) AS r (i))
        WHERE "basket" <> 's3://elsewhere/x?s3_endpoint=y' AND "basket" IN (SELECT unnest(['b1'])) ORDER BY i
    """
    assert run(engine, body, scan(lake)) == [{"basket": "b1", "i": 0}, {"basket": "b1", "i": 1}]


def test_the_secret_is_in_no_text(engine: Engine, lake: Lakehouse, place: Mapping[str, Any]) -> None:
    secret = place["store"].secret_key
    shown = engine.sql(Statement('SELECT 1 FROM "sales"', (scan(lake),)))
    assert secret not in shown
    assert secret not in repr(place["store"]) + repr(engine) + repr(lake)


def test_keys_that_are_refused_are_no_damage_and_are_not_said(lake: Lakehouse, place: Mapping[str, Any], tmp_path: Path) -> None:
    wrong = ObjectStore(
        endpoint=place["store"].endpoint, region="us-east-1", access_key=place["store"].access_key, secret_key="wrong-secret"
    )
    engine = open_engine(roots=[lake.root()], spill=tmp_path, store=wrong)
    with pytest.raises(Unavailable, match="refuses") as error:
        run(engine, 'SELECT * FROM "sales"', scan(lake))
    assert "wrong-secret" not in str(error.value)
    engine.close()


def test_a_secret_with_a_quote_is_taken_as_it_is(lake: Lakehouse, place: Mapping[str, Any], tmp_path: Path) -> None:
    odd = ObjectStore(endpoint=place["store"].endpoint, access_key="it's", secret_key="a'); DROP SECRET jangbu; --")
    engine = open_engine(roots=[lake.root()], spill=tmp_path, store=odd)
    with pytest.raises(Unavailable, match="refuses"):
        run(engine, 'SELECT * FROM "sales"', scan(lake))
    engine.close()


def test_a_store_that_is_down_is_unavailable_and_serves_again_by_itself(
    own_service: GetService, service: GetService, tmp_path: Path
) -> None:
    s3 = own_service("s3")
    with Buckets(s3, service("postgres")).place() as place:
        lake = open_lakehouse(**place)
        lake.create(SALES)
        load(lake, "one", sale("acme", "b1"))
        engine = open_engine(roots=[lake.root()], spill=tmp_path, store=store_of(s3, request_seconds=2.0))
        scanned = scan(lake)
        for harm in (s3.freeze, s3.kill):
            harm()
            started = time.monotonic()
            with pytest.raises(Unavailable, match="can't be reached") as error:
                run(engine, 'SELECT * FROM "sales"', scanned)
            assert error.value.retry_after >= 1
            assert time.monotonic() - started < 20
            s3.thaw() if harm == s3.freeze else s3.restart()
        assert run(engine, 'SELECT * FROM "sales"', scanned) == [{"basket": "b1"}]
        engine.close()
        lake.close()


def test_where_no_keys_are_given_they_are_looked_for_as_amazons_own_programs_do(
    lake: Lakehouse, place: Mapping[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = place["store"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", given.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", given.secret_key)
    store = ObjectStore(endpoint=given.endpoint, region=given.region)
    engine = open_engine(roots=[lake.root()], spill=tmp_path, store=store)
    other = open_lakehouse(**{**place, "store": store})
    assert run(engine, 'SELECT * FROM "sales"', scan(other)) == [{"basket": "b1"}]
    engine.close()
    other.close()


@pytest.mark.parametrize(
    "endpoint", ["s3.example.com", "ftp://s3.example.com", "https://user:pass-word@s3.example.com", "https://"]
)
def test_an_endpoint_that_is_no_address_is_refused_without_repeating_it(endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match="endpoint") as error:
        ObjectStore(endpoint=endpoint)
    assert "pass-word" not in str(error.value)


def test_half_a_key_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="both"):
        ObjectStore(access_key="key")
