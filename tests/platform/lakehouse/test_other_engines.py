"""Trino and Spark write our tables beside us: what they delete, rename and add is read alike by everybody, and of three writers at
once nobody loses a row, doubles one or brings one back. WRITERS_ROUNDS is how long these write."""

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count, takewhile
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
import trino
from pyiceberg.table import Table
from pyspark.sql.connect.session import SparkSession
from services.plugin import GetService
from support.deletes import seen_by_pyiceberg
from support.lake import Lake
from support.sales import ACME, SALES, load, sale, sales, same_bucket
from support.spark_session import spark_session
from support.stores import store_of
from support.trino_lake import TrinoLake, command, trino_lake

from jangbu.kernel.errors import Unsupported
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.engines.duckdb import open_engine
from jangbu.platform.engines.ports import Engine, Scan, Statement
from jangbu.platform.lakehouse.iceberg import IcebergLakehouse
from jangbu.platform.lakehouse.ports import Keyed, Lakehouse, TableSpec, Within
from jangbu.platform.lakehouse.tables.listing import listed

pytestmark = [
    pytest.mark.slow,
    pytest.mark.services("trino", "spark", "postgres", "s3"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"),
]
ROUNDS = int(os.environ.get("WRITERS_ROUNDS", "4"))
TRIES = 40
UPKEEP_EVERY = 3
PAUSE = 0.7
"""Seconds: who deletes rows begins anew after each of our commits that touches their files, and would hardly find a moment."""
TWIN = same_bucket("acme")
EVERYBODY = (ACME, TenantId(TWIN), TenantId("bravo"))


@dataclass
class Engines:
    """The three, on one lake."""

    lake: TrinoLake
    spark: SparkSession
    duckdb: Engine
    trino: Engine

    @property
    def lakehouse(self) -> Lakehouse:
        return self.lake.lakehouse

    def table(self, name: str) -> str:
        return f"{self.lake.catalog}.jangbu.{name}"

    def by_trino(self, text: str) -> list[list[object]]:
        return command(self.lake.server, text)

    def by_spark(self, text: str) -> list[Any]:
        rows: list[Any] = self.spark.sql(text).collect()
        return rows

    def loaded(self, name: str) -> Table:
        """As PyIceberg has it."""
        assert isinstance(self.lakehouse, IcebergLakehouse)
        return self.lakehouse._catalog.load_table(("jangbu", name))

    def create(self, name: str) -> None:
        """Our table; Spark is told to delete by positions, as Trino does."""
        self.lakehouse.create(TableSpec(name, SALES.columns, time_column="sold_at"))
        modes = ", ".join(f"'write.{what}.mode' = 'merge-on-read'" for what in ("delete", "update", "merge"))
        self.by_spark(f"ALTER TABLE {self.table(name)} SET TBLPROPERTIES ({modes})")

    def seen(self, name: str, columns: tuple[str, ...], tenants: tuple[TenantId, ...] = EVERYBODY) -> Counter[Any]:
        """What DuckDB and Trino, which agree, answer of the tenants' rows; PyIceberg's own reader agrees on all of them."""
        files = self.lakehouse.files(self.lakehouse.current(name), tenants, None)
        scan = Scan(name, columns, files, tenant_column="tenant", tenants=tenants)
        statement = Statement(f'SELECT * FROM "{name}"', (scan,))
        mine, theirs = (rows_of(engine.run(statement, timeout=60).to_pylist(), columns) for engine in (self.duckdb, self.trino))
        assert mine == theirs
        if tenants == EVERYBODY:
            assert rows_of(seen_by_pyiceberg(self.loaded(name)), columns) == mine
        return mine


def rows_of(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> Counter[Any]:
    return Counter(tuple(row[column] for column in columns) for row in rows)


@pytest.fixture(scope="module")
def engines(service: GetService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    with trino_lake(service) as lake:
        place = Lake(lake.catalog, service("postgres"), lake.s3)
        store = store_of(lake.s3)
        spill: Path = tmp_path_factory.mktemp("spill")
        duckdb = open_engine(roots=[place.warehouse], spill=spill, store=store, memory_mb=500, threads=2)
        asking = lake.engine()
        with spark_session(service("spark"), place) as session:
            yield Engines(lake, session, duckdb, asking)
        duckdb.close()
        asking.close()


def baskets(seen: Counter[Any]) -> list[str]:
    return sorted(row[0] for row in seen.elements())


# What they write


def test_rows_deleted_and_changed_by_trino_and_by_spark(engines: Engines) -> None:
    engines.create("sales")
    there = engines.table("sales")
    load(engines.lakehouse, "one", *(sale(tenant, f"{tenant}{n}", n) for tenant in EVERYBODY for n in range(4)))
    engines.by_trino(f"DELETE FROM {there} WHERE basket IN ('acme0', 'bravo1')")
    engines.by_trino(f"INSERT INTO {there} VALUES ('acme', 'trino', DECIMAL '2.5000', TIMESTAMP '2017-01-09 00:00:00 UTC')")
    engines.by_trino(f"UPDATE {there} SET value = 9 WHERE basket = 'acme1'")
    assert engines.lakehouse.state("sales").delete_files > 0
    engines.by_spark(f"DELETE FROM {there} WHERE basket IN ('acme2', '{TWIN}3')")
    engines.by_spark(f"INSERT INTO {there} VALUES ('{TWIN}', 'spark', 3.5, TIMESTAMP '2017-01-09 00:00:00')")
    new = f"(SELECT '{TWIN}' AS tenant, '{TWIN}0' AS basket, 7.0 AS value)"
    same = "old.tenant = new.tenant AND old.basket = new.basket"
    engines.by_spark(f"MERGE INTO {there} old USING {new} new ON {same} WHEN MATCHED THEN UPDATE SET value = new.value")
    values = {"acme1": Decimal(9), f"{TWIN}0": Decimal(7), "trino": Decimal("2.5"), "spark": Decimal("3.5")}
    left = ["acme1", "acme3", "trino", f"{TWIN}0", f"{TWIN}1", f"{TWIN}2", "spark", "bravo0", "bravo2", "bravo3"]
    assert engines.seen("sales", ("basket", "value")) == Counter((basket, values.get(basket, Decimal("1.5"))) for basket in left)
    assert baskets(engines.seen("sales", ("basket", "value"), (ACME,))) == ["acme1", "acme3", "trino"]

    load(engines.lakehouse, "two", sale("acme", "ours"), drops=(Keyed(sales(sale("acme", "acme3")).select(["tenant", "basket"])),))
    left = [basket for basket in left if basket != "acme3"] + ["ours"]
    assert baskets(engines.seen("sales", ("basket",))) == sorted(left)
    done = engines.lakehouse.compact("sales", whole=True)
    assert done.rows_deleted > 0
    assert engines.lakehouse.state("sales").delete_files == 0
    assert baskets(engines.seen("sales", ("basket",))) == sorted(left)
    engines.lakehouse.expire("sales", keep=1)
    engines.lakehouse.collect("sales", retired=timedelta(0), orphaned=timedelta(days=1))
    assert len(engines.by_spark(f"SELECT * FROM {there}")) == len(left)
    assert engines.lakehouse.verify("sales").damages == ()


def test_columns_that_others_renamed_and_added(engines: Engines) -> None:
    engines.create("notes")
    there = engines.table("notes")
    staged = engines.lakehouse.stage("notes", sales(*(sale("acme", f"a{n}", n) for n in range(4))), "one")
    engines.lakehouse.commit(staged)
    engines.by_trino(f"DELETE FROM {there} WHERE basket = 'a1'")
    engines.by_trino(f"ALTER TABLE {there} RENAME COLUMN basket TO receipt")
    engines.by_spark(f"ALTER TABLE {there} RENAME COLUMN value TO basket")
    engines.by_spark(f"ALTER TABLE {there} ADD COLUMN note string")
    engines.by_trino(f"INSERT INTO {there} VALUES ('acme', 'a9', 4, TIMESTAMP '2017-01-02 00:00:00 UTC', 'new')")
    engines.by_spark(f"DELETE FROM {there} WHERE receipt = 'a2'")
    old = (Decimal("1.5"), None)
    wanted = Counter({("a0", *old): 1, ("a3", *old): 1, ("a9", Decimal(4), "new"): 1})
    assert engines.seen("notes", ("receipt", "basket", "note")) == wanted
    assert engines.lakehouse.compact("notes", whole=True).rows_deleted == 2
    assert engines.seen("notes", ("receipt", "basket", "note")) == wanted


def test_a_tenant_is_erased_from_what_others_have_written(engines: Engines) -> None:
    engines.create("erased")
    there = engines.table("erased")
    staged = engines.lakehouse.stage("erased", sales(*(sale(tenant, f"x{n}", n) for tenant in EVERYBODY for n in range(3))), "one")
    engines.lakehouse.commit(staged)
    engines.by_trino(f"DELETE FROM {there} WHERE tenant = 'acme' AND basket = 'x1'")
    engines.by_spark(f"DELETE FROM {there} WHERE basket = 'x2'")
    engines.by_trino(f"ANALYZE {there}")
    later = datetime.now(UTC) + timedelta(days=2)
    engines.lakehouse.collect("erased", retired=timedelta(0), orphaned=timedelta(days=1), now=later)
    assert statistics(engines, "erased"), "they are the table's"
    drop = Within(ACME)
    engines.lakehouse.commit(engines.lakehouse.stage("erased", sales(), "erase"), [drop])
    assert engines.lakehouse.purge("erased", [drop]).left.rows == 0
    assert not statistics(engines, "erased"), "they hold hashes of values"
    assert engines.seen("erased", ("tenant", "basket")) == Counter(
        {(str(tenant), basket): 1 for tenant in EVERYBODY[1:] for basket in ("x0", "x1")}
    )


def test_deletion_vectors_are_read_and_their_tables_not_written(engines: Engines) -> None:
    """Iceberg's format 3, which Trino 476 doesn't read."""
    engines.create("vectors")
    lakehouse, there = engines.lakehouse, engines.table("vectors")
    lakehouse.commit(lakehouse.stage("vectors", sales(*(sale("acme", f"a{n}", n) for n in range(4))), "one"))
    engines.by_spark(f"ALTER TABLE {there} SET TBLPROPERTIES ('format-version' = '3')")
    engines.by_spark(f"DELETE FROM {there} WHERE basket = 'a1'")
    engines.by_spark(f"DELETE FROM {there} WHERE basket = 'a2'")
    planned = lakehouse.files(lakehouse.current("vectors"), (ACME,), None)
    statement = Statement("SELECT * FROM vectors", (Scan("vectors", ("basket",), planned, None, "tenant", (ACME,)),))
    assert sorted(engines.duckdb.run(statement, timeout=60).column(0).to_pylist()) == ["a0", "a3"]
    assert lakehouse.state("vectors").rows == 2
    assert lakehouse.verify("vectors").damages == ()
    with pytest.raises(Unsupported, match="'vectors' has Iceberg's format 3, which isn't written here"):
        lakehouse.commit(lakehouse.stage("vectors", sales(sale("acme", "new")), "two"))
    with pytest.raises(Unsupported, match="format 3"):
        lakehouse.compact("vectors", whole=True)
    assert lakehouse.state("vectors").rows == 2


def statistics(engines: Engines, name: str) -> list[str]:
    """Trino's own files."""
    return [file.path for file in listed(engines.loaded(name)) if file.path.endswith(".stats")]


# Three writers at once


@dataclass
class Book:
    """What was acknowledged, and which rows wait for somebody else to delete them."""

    there: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    doomed: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def added(self, tenant: str, baskets: list[str], deleter: str) -> None:
        with self.lock:
            self.there.update(baskets)
            self.doomed.setdefault(deleter, []).extend((tenant, basket) for basket in baskets[::2])

    def next_victims(self, deleter: str) -> list[tuple[str, str]]:
        """Of one tenant."""
        with self.lock:
            waiting = self.doomed.get(deleter, [])
            mine = [pair for pair in waiting if pair[0] == waiting[0][0]] if waiting else []
            self.doomed[deleter] = [pair for pair in waiting if pair not in mine]
            return mine

    def deleted(self, pairs: list[tuple[str, str]]) -> None:
        with self.lock:
            self.gone.update(basket for _, basket in pairs)


Change = Callable[[str, list[str]], object]
"""Of a tenant's baskets."""


@dataclass
class Writer:
    name: str
    tenant: str
    then: str
    add: Change
    delete: Change
    conflicts: int = 0

    def write(self, book: Book, rounds: Iterable[int]) -> None:
        for number in rounds:
            new = [f"{self.name}-{number}-{n}" for n in range(6)]
            self.again(self.add, self.tenant, new)
            book.added(self.tenant, new, self.then)
            if victims := book.next_victims(self.name):
                self.again(self.delete, victims[0][0], [basket for _, basket in victims])
                book.deleted(victims)

    def again(self, do: "Change", tenant: str, rows: list[str]) -> None:
        """Until nobody else was faster. Whatever says so hasn't changed anything."""
        for _ in range(TRIES):
            try:
                do(tenant, rows)
            except Exception as error:
                if not is_conflict(error):
                    raise
                self.conflicts += 1
                time.sleep(random.uniform(0.1, 1.0))
            else:
                return
        raise AssertionError(f"{self.name} found no moment in {TRIES} tries.")


CONFLICTS = (
    "ICEBERG_COMMIT_ERROR", "CommitFailedException", "ValidationException", "Cannot commit", "missing data files",
    "is not an ancestor",  # Spark, where the snapshot that it began on was forgotten meanwhile
)  # fmt: skip


def is_conflict(error: Exception) -> bool:
    named = getattr(error, "error_name", "")
    return any(said in f"{named} {error}" for said in CONFLICTS)


def texts(baskets: list[str]) -> str:
    return ", ".join(f"'{basket}'" for basket in baskets)


def writers(engines: Engines, name: str) -> list[Writer]:
    there, lakehouse, runs = engines.table(name), engines.lakehouse, iter(range(1_000_000))

    def asked(text: str) -> None:
        with trino.dbapi.connect(host=engines.lake.server["host"], port=int(engines.lake.server["port"]), user="writer") as session:
            session.cursor().execute(text).fetchall()

    def values(tenant: str, baskets: list[str], type_: str) -> str:
        return ", ".join(f"('{tenant}', '{basket}', {type_}, TIMESTAMP '2017-01-02 00:00:00 UTC')" for basket in baskets)

    def we_add(tenant: str, baskets: list[str]) -> None:
        staged = lakehouse.stage(name, sales(*(sale(tenant, basket, 1) for basket in baskets)), f"run{next(runs)}")
        lakehouse.commit(staged)
        if next(runs) % UPKEEP_EVERY == 0:
            lakehouse.compact(name, whole=True)
            lakehouse.expire(name, keep=10)
        time.sleep(PAUSE)

    def we_delete(tenant: str, baskets: list[str]) -> None:
        keys = Keyed(sales(*(sale(tenant, basket) for basket in baskets)).select(["tenant", "basket"]))
        lakehouse.commit(lakehouse.stage(name, sales(), f"run{next(runs)}"), [keys])
        time.sleep(PAUSE)

    def trinos(tenant: str, baskets: list[str]) -> None:
        asked(f"DELETE FROM {there} WHERE tenant = '{tenant}' AND basket IN ({texts(baskets)})")

    def sparks(tenant: str, baskets: list[str]) -> None:
        engines.by_spark(f"DELETE FROM {there} WHERE tenant = '{tenant}' AND basket IN ({texts(baskets)})")

    return [
        Writer("ours", "acme", "trino", we_add, we_delete),
        Writer(
            "trino", TWIN, "spark", lambda t, b: asked(f"INSERT INTO {there} VALUES {values(t, b, 'DECIMAL ' + repr('1'))}"), trinos
        ),
        Writer("spark", "bravo", "ours", lambda t, b: engines.by_spark(f"INSERT INTO {there} VALUES {values(t, b, '1')}"), sparks),
    ]


def test_three_writers_at_once_keep_every_row_once_and_no_deleted_one(engines: Engines) -> None:
    engines.create("shared")
    book, (ours, *others) = Book(), writers(engines, "shared")
    with ThreadPoolExecutor(3) as pool:
        theirs = [pool.submit(each.write, book, range(2 * ROUNDS)) for each in others]
        mine = pool.submit(ours.write, book, takewhile(lambda _: not all(each.done() for each in theirs), count()))
        for each in (*theirs, mine):
            each.result()
    wanted = sorted(book.there - book.gone)
    assert baskets(engines.seen("shared", ("basket",))) == wanted
    assert sorted(row[0] for row in engines.by_spark(f"SELECT basket FROM {engines.table('shared')}")) == wanted
    engines.lakehouse.compact("shared", whole=True)
    assert engines.lakehouse.state("shared").delete_files == 0
    assert baskets(engines.seen("shared", ("basket",))) == wanted
    assert engines.lakehouse.verify("shared").damages == ()
