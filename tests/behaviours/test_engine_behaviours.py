"""What every engine does: reads only what it is given, keeps tenants apart, ends in time, and tells nothing it shouldn't."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from jangbu.kernel.errors import Cancelled, EngineError, InvalidRequest, JangbuError, TimedOut, Unavailable
from jangbu.kernel.tenancy import TenantId
from jangbu.kernel.types import FieldType
from jangbu.platform.engines.ports import CancelToken, Engine, Scan, Statement
from jangbu.platform.lakehouse.iceberg import open_lakehouse
from jangbu.platform.lakehouse.ports import DataFile, Lakehouse, Snapshot, TableColumn, TableFiles, TableSpec

NEW_YEAR = datetime(2017, 1, 1, tzinfo=UTC)
ACME, BRAVO = TenantId("acme"), TenantId("bravo")
SALES = TableSpec(
    "sales",
    (
        TableColumn("tenant", FieldType.TEXT),
        TableColumn("basket", FieldType.TEXT),
        TableColumn("value", FieldType.DECIMAL),
        TableColumn("sold_at", FieldType.INSTANT),
    ),
    time_column="sold_at",
)
ENDLESS = Statement("SELECT count(*) AS n FROM range(100000000) AS a (i), range(100000000) AS b (i) WHERE a.i * b.i % 7 = 3")
SOON = 30.0


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lakehouse]:
    """acme: a1 to a3 of 1.1, 2.2 and 3.3; bravo: b1 of 100."""
    lakehouse = open_lakehouse(warehouse=tmp_path / "lake")
    lakehouse.create(SALES)
    rows = [("acme", f"a{n}", Decimal(f"{n}.{n}"), NEW_YEAR + timedelta(days=30 * n)) for n in (1, 2, 3)]
    rows.append(("bravo", "b1", Decimal(100), NEW_YEAR))
    schema = lakehouse.files(lakehouse.current("sales"), None, None).schema
    table = pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema)
    lakehouse.append(lakehouse.stage("sales", table, "one"))
    yield lakehouse
    lakehouse.close()


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
    body = 'SELECT "planned", "value" FROM "budget" JOIN "sales" USING ("basket")'
    assert run(engine, body, budget, scan(lake, ACME, BRAVO)) == [{"planned": 5, "value": Decimal("1.1000")}]
    with pytest.raises(EngineError):
        run(engine, 'SELECT * FROM "budget"')


def test_values_arrive_in_their_exact_types(engine: Engine, lake: Lakehouse) -> None:
    found = engine.run(Statement('SELECT "value", "sold_at" FROM "sales" ORDER BY 1', (scan(lake, ACME),)), timeout=SOON)
    assert found.schema.types == [pa.decimal128(18, 4), pa.timestamp("us", "UTC")]
    assert found.to_pylist()[0] == {"value": Decimal("1.1000"), "sold_at": NEW_YEAR + timedelta(days=30)}


def test_paths_may_hold_any_character(open_engine: Callable[..., Engine], tmp_path: Path) -> None:
    lake = open_lakehouse(warehouse=tmp_path / "lake" / "it's [a] *한글* #1 %20 lake?")
    lake.create(TableSpec("units", (TableColumn("name", FieldType.TEXT),), tenant_column=None))
    lake.append(lake.stage("units", pa.table({"name": ["kg"]}), "one"))
    units = Scan("units", ("name",), lake.files(lake.current("units"), None, None))
    assert run(open_engine(), 'SELECT * FROM "units"', units) == [{"name": "kg"}]
    lake.close()


def test_the_text_shown_is_that_which_runs_with_a_long_list_of_files_shortened(engine: Engine, lake: Lakehouse) -> None:
    shown = engine.sql(Statement('SELECT 1 FROM "sales"', (scan(lake, ACME),)))
    assert shown.startswith("WITH")
    assert shown.endswith('SELECT 1 FROM "sales"')
    assert "'acme'" in shown
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
        "SELECT * FROM secret_rows",
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
    outside = tmp_path / "outside.csv"
    outside.write_text("secret\n")
    for path in (outside, Path(lake.root()) / ".." / "outside.csv"):
        with pytest.raises(EngineError) as error:
            run(engine, f"SELECT * FROM read_csv('{path}')")
        assert str(tmp_path) not in str(error.value)


def test_a_file_that_is_gone_is_an_error_that_shows_no_path(engine: Engine, lake: Lakehouse) -> None:
    planned = lake.files(lake.current("sales"), None, None)
    gone = TableFiles(planned.snapshot, (DataFile(f"{lake.root()}/gone.parquet", 1, 1),), planned.schema)
    with pytest.raises(EngineError) as error:
        run(engine, 'SELECT * FROM "sales"', Scan("sales", ("basket",), gone))
    assert lake.root() not in str(error.value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('SELECT CAST("basket" AS INTEGER) FROM "sales"', "converted"),
        ('SELECT sum(CAST("value" AS BIGINT) * 9223372036854775807) FROM "sales"', "range"),
        ("""SELECT regexp_matches("basket", '[a') FROM "sales" """, "missing ]"),
    ],
)
def test_what_the_data_can_not_answer_is_the_requests_fault_and_no_value_is_told(
    engine: Engine, lake: Lakehouse, body: str, said: str
) -> None:
    with pytest.raises(InvalidRequest, match=said) as error:
        run(engine, body, scan(lake, ACME))
    assert "a1" not in str(error.value)


# Bounds


def test_a_statement_that_takes_too_long_is_interrupted(engine: Engine) -> None:
    started = time.monotonic()
    with pytest.raises(TimedOut, match=r"0\.2 s"):
        engine.run(ENDLESS, timeout=0.2)
    assert time.monotonic() - started < 5
    assert run(engine, "SELECT 1 AS one") == [{"one": 1}]


def test_a_cancelled_statement_is_interrupted_and_others_go_on(engine: Engine) -> None:
    cancel, other = CancelToken.new(), CancelToken.new()
    with ThreadPoolExecutor(2) as pool:
        cancelled = pool.submit(engine.run, ENDLESS, timeout=SOON, cancel=cancel)
        going_on = pool.submit(engine.run, Statement("SELECT count(*) AS n FROM range(300000000)"), timeout=SOON, cancel=other)
        time.sleep(0.1)
        cancel.cancel()
        with pytest.raises(Cancelled):
            cancelled.result(timeout=10)
        assert going_on.result(timeout=SOON).to_pylist() == [{"n": 300_000_000}]


def test_a_token_that_was_set_before_interrupts_at_once(engine: Engine) -> None:
    cancel = CancelToken.new()
    cancel.cancel()
    with pytest.raises(Cancelled):
        engine.run(ENDLESS, timeout=SOON, cancel=cancel)


def test_cancelling_after_the_end_harms_no_later_statement(engine: Engine) -> None:
    for _ in range(50):
        cancel = CancelToken.new()
        engine.run(Statement("SELECT 1"), timeout=SOON, cancel=cancel)
        cancel.cancel()
        assert run(engine, "SELECT count(*) AS n FROM range(100000)") == [{"n": 100_000}]


def test_a_full_queue_says_when_to_try_again(open_engine: Callable[..., Engine]) -> None:
    engine, cancel = open_engine(running=1, waiting=0), CancelToken.new()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(engine.run, ENDLESS, timeout=SOON, cancel=cancel)
        time.sleep(0.1)
        with pytest.raises(Unavailable) as error:
            run(engine, "SELECT 1")
        cancel.cancel()
        assert isinstance(first.exception(timeout=10), Cancelled)
    assert error.value.retry_after >= 1
    assert run(engine, "SELECT 1 AS one") == [{"one": 1}]


def test_waiting_for_a_slot_counts_and_can_be_cancelled(open_engine: Callable[..., Engine]) -> None:
    engine, first, waiting = open_engine(running=1, waiting=2), CancelToken.new(), CancelToken.new()
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(engine.run, ENDLESS, timeout=SOON, cancel=first)
        time.sleep(0.1)
        with pytest.raises(TimedOut):
            engine.run(Statement("SELECT 1"), timeout=0.1)
        queued = pool.submit(engine.run, Statement("SELECT 1"), timeout=SOON, cancel=waiting)
        waiting.cancel()
        assert isinstance(queued.exception(timeout=10), Cancelled)
        first.cancel()
        assert isinstance(running.exception(timeout=10), Cancelled)


def test_what_waits_gets_the_next_slot(open_engine: Callable[..., Engine]) -> None:
    engine, together = open_engine(running=2, waiting=30), threading.Barrier(16)

    def ask(n: int) -> object:
        together.wait()
        return run(engine, f"SELECT count(*) + {n} AS n FROM range(1000000)")[0]["n"]

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(16))) == [1_000_000 + n for n in range(16)]


def test_more_memory_than_allowed_is_an_error_of_the_engine(open_engine: Callable[..., Engine]) -> None:
    engine = open_engine(spill_mb=0)
    with pytest.raises(JangbuError) as error:
        run(engine, "SELECT list(i) AS l FROM range(300000000) AS r (i)")
    assert isinstance(error.value, EngineError)
    assert "memory" in str(error.value)


def test_a_closed_engine_leaves_no_spill_folder(open_engine: Callable[..., Engine], tmp_path: Path) -> None:
    engine = open_engine()
    run(engine, "SELECT 1")
    engine.close()
    assert list((tmp_path / "spill").iterdir()) == []
