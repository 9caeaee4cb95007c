"""What every engine does: reads only what it is given, keeps tenants apart, ends in time, and tells nothing it shouldn't."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from support.sales import ACME, BRAVO, NEW_YEAR, SALES
from support.stores import at

from jangbu.kernel.errors import Cancelled, EngineError, InvalidRequest, JangbuError, StorageError, TimedOut, Unavailable
from jangbu.kernel.tenancy import TenantId
from jangbu.kernel.types import FieldType
from jangbu.platform.engines.ports import CancelToken, Engine, Scan, Statement
from jangbu.platform.lakehouse.iceberg import open_lakehouse as open_iceberg
from jangbu.platform.lakehouse.ports import DataFile, Lakehouse, Snapshot, TableColumn, TableFiles, TableSpec

SOON = 30.0


SCHEMA = pa.schema(
    {"tenant": pa.string(), "basket": pa.string(), "value": pa.decimal128(18, 4), "sold_at": pa.timestamp("us", "UTC")}
)


@pytest.fixture
def lake(case: Any) -> Iterator[Lakehouse]:
    """acme: a1 to a3 of 1.1, 2.2 and 3.3; bravo: b1 of 100."""
    rows = [("acme", f"a{n}", Decimal(f"{n}.{n}"), NEW_YEAR + timedelta(days=30 * n)) for n in (1, 2, 3)]
    rows.append(("bravo", "b1", Decimal(100), NEW_YEAR))
    table = pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], schema=SCHEMA)
    with case.lake(SALES, table) as lakehouse:
        yield lakehouse


@pytest.fixture
def endless(case: Any) -> Statement:
    """It takes hours."""
    return Statement(case.endless)


def need(engine: Engine, capability: str) -> None:
    """What an engine says that it can't do isn't asked of it."""
    if not getattr(engine.capabilities, capability):
        pytest.skip(f"{engine.name} says that it has no {capability!r}")


def scan(lake: Lakehouse, *tenants: TenantId, columns: tuple[str, ...] = ("basket", "value", "sold_at")) -> Scan:
    """All files, as though pruning found nothing to leave out: what keeps tenants apart must be the predicate."""
    return Scan("sales", columns, lake.files(lake.current("sales"), None, None), None, "tenant", tenants)


def run(engine: Engine, body: str, *scans: Scan) -> list[dict[str, object]]:
    return engine.run(Statement(body, scans), timeout=SOON).to_pylist()


# Scans


def test_a_scan_reads_the_rows_of_its_tenants_only(engine: Engine, lake: Lakehouse) -> None:
    body = 'SELECT "basket" FROM "sales" ORDER BY 1'
    assert [row["basket"] for row in run(engine, body, scan(lake, ACME))] == ["a1", "a2", "a3"]
    assert [row["basket"] for row in run(engine, body, scan(lake, BRAVO))] == ["b1"]
    assert [row["basket"] for row in run(engine, body, scan(lake, ACME, BRAVO))] == ["a1", "a2", "a3", "b1"]
    assert run(engine, body, scan(lake, TenantId("x') OR ('1' = '1"))) == []


@pytest.mark.parametrize(("column", "tenants"), [("tenant", None), ("tenant", ()), (None, (ACME,))])
def test_a_scan_with_half_a_separation_is_never_run(
    engine: Engine, lake: Lakehouse, column: str | None, tenants: tuple[TenantId, ...] | None
) -> None:
    half = Scan("sales", ("basket",), lake.files(lake.current("sales"), None, None), None, column, tenants)
    for refuse in (lambda: run(engine, "SELECT 1", half), lambda: engine.sql(Statement("SELECT 1", (half,)))):
        with pytest.raises(ValueError, match="'sales' must name a tenant column"):
            refuse()


def test_a_shared_scan_reads_every_row(engine: Engine, lake: Lakehouse) -> None:
    shared = Scan("sales", ("basket",), lake.files(lake.current("sales"), None, None))
    assert run(engine, 'SELECT count(*) AS n FROM "sales"', shared) == [{"n": 4}]


def test_a_scan_shows_its_columns_only(engine: Engine, lake: Lakehouse) -> None:
    assert engine.run(Statement('SELECT * FROM "sales"', (scan(lake, ACME, columns=("basket",)),)), timeout=SOON).column_names == [
        "basket"
    ]
    with pytest.raises(EngineError):
        run(engine, 'SELECT "tenant" FROM "sales"', scan(lake, ACME))


def test_a_scan_without_files_is_empty_and_keeps_its_types(engine: Engine, lake: Lakehouse) -> None:
    types = {
        "t": pa.string(), "i": pa.int64(), "d": pa.decimal128(38, 9), "f": pa.float64(), "b": pa.bool_(), "y": pa.date32(),
        "at": pa.timestamp("us", "UTC"), "wall": pa.timestamp("us"), "tenant": pa.string(),
    }  # fmt: skip
    files = TableFiles(Snapshot("none", "", None), (), pa.schema(types))
    empty = Scan("none", tuple(types), files, None, "tenant", (ACME,))
    found = engine.run(Statement('SELECT * FROM "none"', (empty,)), timeout=SOON)
    assert found.num_rows == 0
    assert found.schema == pa.schema(types)


def test_arrow_rows_are_a_relation_of_this_run_only(engine: Engine, lake: Lakehouse) -> None:
    rows = pa.table({"basket": ["a1", "b1"], "planned": [5, 6], "tenant": ["acme", "bravo"]})
    budget = Scan("budget", ("basket", "planned"), None, rows, "tenant", (ACME,))
    if not engine.capabilities.memory:
        with pytest.raises(EngineError, match="rows in memory"):
            run(engine, 'SELECT * FROM "budget"', budget)
        return
    body = 'SELECT "planned", "value" FROM "budget" JOIN "sales" USING ("basket")'
    assert run(engine, body, budget, scan(lake, ACME, BRAVO)) == [{"planned": 5, "value": Decimal("1.1000")}]
    with pytest.raises(EngineError):
        run(engine, 'SELECT * FROM "budget"')


def test_values_arrive_in_their_exact_types(engine: Engine, lake: Lakehouse) -> None:
    found = engine.run(Statement('SELECT "value", "sold_at" FROM "sales" ORDER BY 1', (scan(lake, ACME),)), timeout=SOON)
    assert found.schema.types == [pa.decimal128(18, 4), pa.timestamp("us", "UTC")]
    assert found.to_pylist()[0] == {"value": Decimal("1.1000"), "sold_at": NEW_YEAR + timedelta(days=30)}


def test_paths_may_hold_any_character(open_engine: Callable[..., Engine], case: Any) -> None:
    need(open_engine(), "files")
    if str(case.place["warehouse"]).startswith("s3://"):
        pytest.skip("a prefix is a setting, and file names are ours: neither need hold what S3 takes for a pattern")
    lake = open_iceberg(**{**case.place, "warehouse": f"{case.place['warehouse']}/it's [a] *한글* #1 %20 lake?"})
    lake.create(TableSpec("units", (TableColumn("name", FieldType.TEXT),), tenant_column=None))
    lake.commit(lake.stage("units", pa.table({"name": ["kg"]}), "one"))
    units = Scan("units", ("name",), lake.files(lake.current("units"), None, None))
    assert run(open_engine(), 'SELECT * FROM "units"', units) == [{"name": "kg"}]
    lake.close()


def test_the_text_shown_is_that_which_runs_with_a_long_list_of_files_shortened(engine: Engine, lake: Lakehouse) -> None:
    shown = engine.sql(Statement('SELECT 1 FROM "sales"', (scan(lake, ACME),)))
    assert shown.startswith("WITH")
    assert shown.endswith('SELECT 1 FROM "sales"')
    assert "'acme'" in shown
    if not engine.capabilities.files:
        assert f'"jangbu"."sales" FOR VERSION AS OF {lake.current("sales").snapshot_id}' in shown
        return
    assert shown.count(".parquet") == 2
    assert "and 2 more" in shown


# Safety


@pytest.mark.parametrize(
    "body",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM read_parquet('https://example.com/x.parquet')",
        "COPY (SELECT 1) TO '/tmp/jangbu-out.csv'",
        "ATTACH '/tmp/jangbu-other.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET memory_limit = '1TB'",
        "SET enable_external_access = true",
        "CREATE TABLE t (i INTEGER)",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP VIEW sales",
        "SELECT getenv('HOME')",
        "SELECT * FROM read_parquet('s3://elsewhere/x.parquet')",
        "SELECT * FROM secret_rows",
        "INSERT INTO jangbu.sales SELECT 1",
        "DELETE FROM jangbu.sales",
        "EXPLAIN ANALYZE SELECT 1",
        "SET SESSION query_max_run_time = '1d'",
        "CALL system.runtime.kill_query('x')",
        "SELECT 1) SELECT * FROM (SELECT 2",
        "",
    ],
)
def test_nothing_but_one_select_over_its_scans_is_run(engine: Engine, body: str) -> None:
    secret_rows = pa.table({"secret": [1]})
    assert secret_rows.num_rows == 1, "a variable of the caller isn't a relation"
    with pytest.raises(EngineError) as error:
        run(engine, body)
    assert "passwd" not in str(error.value)
    assert "root" not in str(error.value)


def test_files_beside_the_lake_are_not_read(engine: Engine, lake: Lakehouse, tmp_path: Path) -> None:
    need(engine, "files")
    outside = tmp_path / "outside.csv"
    outside.write_text("secret\n")
    for path in (outside, f"{lake.root()}/../outside.csv", f"{lake.root()}side/outside.csv", f"{lake.root()}/x.csv?s3_endpoint=h"):
        with pytest.raises(EngineError) as error:
            run(engine, f"SELECT * FROM read_csv('{path}')")
        assert str(tmp_path) not in str(error.value)


@pytest.mark.parametrize("left", [None, 0, 100])
def test_a_file_that_is_gone_or_torn_is_named_without_its_path(engine: Engine, lake: Lakehouse, left: int | None) -> None:
    need(engine, "files")
    planned = lake.files(lake.current("sales"), None, None)
    file = at(lake.root()) / "half.parquet"
    if left is not None:
        file.write_bytes(at(planned.files[0].path).read_bytes()[:left])
    half = TableFiles(planned.snapshot, (DataFile(str(file), 1, 1),), planned.schema)
    with pytest.raises(StorageError, match=r"'half\.parquet' is gone, torn or was damaged") as error:
        run(engine, 'SELECT * FROM "sales"', Scan("sales", ("basket",), half))
    assert lake.root() not in str(error.value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('SELECT CAST("basket" AS INTEGER) FROM "sales"', "converted"),
        ('SELECT sum(CAST("value" AS BIGINT) * 9223372036854775807) FROM "sales"', "range"),
        ("""SELECT {pattern}("basket", '[a') FROM "sales" """, "missing (closing )?]"),
    ],
)
def test_what_the_data_can_not_answer_is_the_requests_fault_and_no_value_is_told(
    case: Any, engine: Engine, lake: Lakehouse, body: str, said: str
) -> None:
    with pytest.raises(InvalidRequest, match=said) as error:
        run(engine, body.format(pattern=case.pattern), scan(lake, ACME))
    assert "a1" not in str(error.value)


# Bounds


def test_a_statement_that_takes_too_long_is_interrupted(engine: Engine, endless: Statement) -> None:
    started = time.monotonic()
    with pytest.raises(TimedOut, match=r"0\.2 s"):
        engine.run(endless, timeout=0.2)
    assert time.monotonic() - started < 5
    assert run(engine, "SELECT 1 AS one") == [{"one": 1}]


def test_a_cancelled_statement_is_interrupted_and_others_go_on(case: Any, engine: Engine, endless: Statement) -> None:
    cancel, other = CancelToken.new(), CancelToken.new()
    with ThreadPoolExecutor(2) as pool:
        cancelled = pool.submit(engine.run, endless, timeout=SOON, cancel=cancel)
        counted = Statement(f"SELECT count(*) AS n FROM {case.counting(300)}")
        going_on = pool.submit(engine.run, counted, timeout=SOON, cancel=other)
        time.sleep(0.1)
        cancel.cancel()
        with pytest.raises(Cancelled):
            cancelled.result(timeout=10)
        assert going_on.result(timeout=SOON).to_pylist() == [{"n": 300_000_000}]


def test_a_token_that_was_set_before_interrupts_at_once(engine: Engine, endless: Statement) -> None:
    cancel = CancelToken.new()
    cancel.cancel()
    with pytest.raises(Cancelled):
        engine.run(endless, timeout=SOON, cancel=cancel)


def test_cancelling_after_the_end_harms_no_later_statement(case: Any, engine: Engine) -> None:
    for _ in range(50 if engine.capabilities.memory else 5):
        cancel = CancelToken.new()
        engine.run(Statement("SELECT 1"), timeout=SOON, cancel=cancel)
        cancel.cancel()
        assert run(engine, f"SELECT count(*) AS n FROM {case.counting(1)}") == [{"n": 1_000_000}]


def test_a_full_queue_says_when_to_try_again(open_engine: Callable[..., Engine], endless: Statement) -> None:
    engine, cancel = open_engine(running=1, waiting=0), CancelToken.new()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(engine.run, endless, timeout=SOON, cancel=cancel)
        time.sleep(0.1)
        with pytest.raises(Unavailable) as error:
            run(engine, "SELECT 1")
        cancel.cancel()
        assert isinstance(first.exception(timeout=10), Cancelled)
    assert error.value.retry_after >= 1
    assert run(engine, "SELECT 1 AS one") == [{"one": 1}]


def test_waiting_for_a_slot_counts_and_can_be_cancelled(open_engine: Callable[..., Engine], endless: Statement) -> None:
    engine, first, waiting = open_engine(running=1, waiting=2), CancelToken.new(), CancelToken.new()
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(engine.run, endless, timeout=SOON, cancel=first)
        time.sleep(0.1)
        with pytest.raises(TimedOut):
            engine.run(Statement("SELECT 1"), timeout=0.1)
        queued = pool.submit(engine.run, Statement("SELECT 1"), timeout=SOON, cancel=waiting)
        waiting.cancel()
        assert isinstance(queued.exception(timeout=10), Cancelled)
        first.cancel()
        assert isinstance(running.exception(timeout=10), Cancelled)


def test_what_waits_gets_the_next_slot(case: Any, open_engine: Callable[..., Engine]) -> None:
    engine, together = open_engine(running=2, waiting=30), threading.Barrier(16)

    def ask(n: int) -> object:
        together.wait()
        return run(engine, f"SELECT count(*) + {n} AS n FROM {case.counting(1)}")[0]["n"]

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(16))) == [1_000_000 + n for n in range(16)]


def test_more_memory_than_allowed_is_an_error_of_the_engine(case: Any, open_engine: Callable[..., Engine]) -> None:
    engine = open_engine(**case.too_large_with())
    with pytest.raises(JangbuError) as error:
        run(engine, case.too_large)
    assert isinstance(error.value, EngineError)
    assert "memory" in str(error.value)


def test_a_closed_engine_leaves_no_spill_folder(open_engine: Callable[..., Engine], tmp_path: Path) -> None:
    engine = open_engine()
    need(engine, "files")
    run(engine, "SELECT 1")
    engine.close()
    assert list((tmp_path / "spill").iterdir()) == []
