"""Spark's own: an end that is one, how far it is, what its failures mean, and a server that is killed, frozen or not there."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from services.plugin import GetService
from support.sales import SALES, baskets, load, sale
from support.spark_lake import SparkLake, spark_lake

from jangbu.kernel.errors import (
    Cancelled,
    ConfigurationError,
    EngineError,
    Forbidden,
    InvalidRequest,
    JangbuError,
    StorageError,
    TimedOut,
    Unavailable,
    Unsupported,
)
from jangbu.kernel.types import FieldType
from jangbu.platform.engines.limits import Bound
from jangbu.platform.engines.ports import CancelToken, MaintainingEngine, Statement
from jangbu.platform.engines.spark import SparkMaintainer, open_engine
from jangbu.platform.engines.sparkdb import texts
from jangbu.platform.engines.sparkdb.errors import translated
from jangbu.platform.engines.sparkdb.sessions import Server, Sessions
from jangbu.platform.lakehouse.maintenance import Area, Filling, Staying
from jangbu.platform.lakehouse.ports import TableColumn, Within

quiet = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
)
on_one_that_answers = [pytest.mark.slow, quiet, pytest.mark.services("spark")]
on_one_that_dies = [pytest.mark.slow, quiet, pytest.mark.services("postgres"), pytest.mark.services("spark", own=True)]
ENDLESS = "SELECT count(*) AS n FROM {0} AS a, {0} AS b WHERE a.id * b.id % 7 = 3".format("range(0, 100000000, 1, 1)")
"""One task: the server has room for two."""
SOON = 120.0


def sessions(url: str, **seconds: float) -> Sessions:
    given = {"connect_timeout": 120.0, "read_timeout": 60.0, **seconds}
    return Sessions(Server(url, None, False, {}, given["connect_timeout"], given["read_timeout"]))


def running(there: Sessions, cancel: CancelToken, pool: ThreadPoolExecutor) -> Any:
    """An endless statement, once the server has begun it."""
    found = pool.submit(there.run, ENDLESS, Bound.of(SOON, cancel))
    until = time.monotonic() + SOON
    while (cancel.progress is None or cancel.progress.state != "RUNNING") and time.monotonic() < until:
        assert not found.done(), found.exception()
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def there(service: GetService) -> Iterator[Sessions]:
    made = sessions(service("spark")["url"])
    yield made
    made.close()


class TestOneThatAnswers:
    pytestmark = on_one_that_answers

    def test_a_cancelled_statement_ends_at_the_server_and_others_go_on(self, there: Sessions) -> None:
        cancel = CancelToken.new()
        with ThreadPoolExecutor(2) as pool:
            endless = running(there, cancel, pool)
            assert cancel.progress is not None
            assert cancel.progress.query
            assert 0 <= cancel.progress.done < 1
            other = pool.submit(there.run, "SELECT 1 AS one", Bound.of(SOON, None))
            assert other.result(SOON).to_pylist() == [{"one": 1}]
            cancel.cancel()
            with pytest.raises(Cancelled):
                endless.result(10)
        assert there.run("SELECT 2 AS two", Bound.of(SOON, None)).to_pylist() == [{"two": 2}]

    def test_a_statement_that_takes_too_long_is_interrupted(self, there: Sessions) -> None:
        with pytest.raises(TimedOut, match="2 s"):
            there.run(ENDLESS, Bound.of(2.0, None))
        assert not any(thread.name == "jangbu-spark" for thread in threading.enumerate()), "it ended at the server, too"

    @pytest.mark.parametrize(
        ("text", "kind"),
        [
            ("SELECT CAST('secret' AS INT)", InvalidRequest),
            ("SELECT 9223372036854775807L + 1L", InvalidRequest),
            ("SELECT CAST(9223372036854775807L AS DECIMAL(4, 2))", InvalidRequest),
            ("SELECT * FROM secret.secret", EngineError),
            ("SELEC 'secret'", EngineError),
        ],
    )
    def test_what_fails_says_why_and_repeats_no_value(self, there: Sessions, text: str, kind: type[JangbuError]) -> None:
        with pytest.raises(kind) as error:
            there.run(text, Bound.of(SOON, None))
        assert "secret" not in str(error.value)


class TestOneThatDies:
    pytestmark = on_one_that_dies

    def test_a_server_that_stands_still_or_is_killed_changes_nothing_and_goes_on_afterwards(
        self, service: GetService, own_service: GetService
    ) -> None:
        server = own_service("spark")
        with spark_lake(service, server) as lake:
            engine = lake.engine(read_timeout=5.0, connect_timeout=60.0)
            filled(lake)
            frozen(engine.maintainer, server.freeze, server.thaw)
            killed(engine.maintainer, lake, server.kill)
            with pytest.raises(Unavailable):
                lake.lakehouse.compact("sales", by=engine.maintainer)
            server.restart()
            assert lake.lakehouse.compact("sales", by=engine.maintainer).files_after == 1
            assert baskets(lake.lakehouse) == [f"b{n}" for n in range(5)]
            engine.close()


def filled(lake: SparkLake) -> None:
    lake.lakehouse.create(SALES)
    for n in range(5):
        load(lake.lakehouse, f"run{n}", sale("acme", f"b{n}"))


def frozen(maintainer: Any, freeze: Callable[[], None], thaw: Callable[[], None]) -> None:
    cancel = CancelToken.new()
    with ThreadPoolExecutor(1) as pool:
        endless = running(maintainer.sessions, cancel, pool)
        freeze()
        with pytest.raises(Unavailable, match="stands still"):
            endless.result(40)
        thaw()
    assert maintainer.sessions.run("SELECT 1 AS one", Bound.of(SOON, None)).to_pylist() == [{"one": 1}]


def killed(maintainer: Any, lake: SparkLake, kill: Callable[[], None]) -> None:
    before = lake.lakehouse.current("sales")
    with ThreadPoolExecutor(1) as pool:
        endless = running(maintainer.sessions, CancelToken.new(), pool)
        kill()
        assert isinstance(endless.exception(30), Unavailable)
    assert lake.lakehouse.current("sales") == before


@quiet
def test_a_server_that_is_not_there_is_said_to_be_so_in_time() -> None:
    started = time.monotonic()
    with pytest.raises(Unavailable):
        sessions("sc://127.0.0.1:9", connect_timeout=4.0).run("SELECT 1", Bound.of(SOON, None))
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    "url", ["http://host:15002", "sc://host", "sc://user@host:1", "sc://host:1/path", "sc://host:1;token=hush"]
)
def test_an_address_that_can_not_be_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError, match="The URL of the Spark server") as error:
        open_engine(url=url)
    assert "hush" not in str(error.value.problem())


def test_a_token_goes_over_tls_only_and_shows_nowhere() -> None:
    with pytest.raises(ConfigurationError, match="TLS"):
        open_engine(url="sc://host:1", token="hush")
    server = Server("sc://host:1", "hush", True, {"spark.x": "hush"}, 1, 1)
    assert "hush" not in repr(server)
    assert server.address == "sc://host:1/;use_ssl=true;token=hush"


def test_a_question_is_refused() -> None:
    engine: MaintainingEngine = open_engine(url="sc://host:1")  # type: ignore[assignment]
    assert not engine.capabilities.answers
    with pytest.raises(Unsupported, match="answers no questions"):
        engine.run(Statement("SELECT 1"), timeout=1)
    with pytest.raises(Unsupported, match="answers no questions"):
        engine.sql(Statement("SELECT 1"))
    assert isinstance(engine.maintainer, SparkMaintainer)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("org.apache.iceberg.exceptions.CommitFailedException: x", Unavailable),
        ("org.apache.iceberg.exceptions.ValidationException: Missing required files to delete: s3://b/secret.parquet", Unavailable),
        ("org.apache.iceberg.exceptions.NotFoundException: s3://bucket/hidden/f1.parquet", StorageError),
        ("software.amazon.awssdk.services.s3.model.S3Exception: Access Denied", Unavailable),
        ("[TABLE_OR_VIEW_NOT_FOUND] The table `hidden`", EngineError),
        ("<_MultiThreadedRendezvous StatusCode.UNAUTHENTICATED hidden>", Forbidden),
        ("anything: hidden", EngineError),
    ],
)
def test_errors_are_told_by_their_kind_without_their_words(text: str, kind: type[JangbuError]) -> None:
    found = translated(RuntimeError(text))
    assert type(found) is kind
    assert "hidden" not in str(found)
    assert "secret" not in str(found)


def test_names_and_texts_are_written_so_that_nothing_in_them_is_read_as_more() -> None:
    columns = (TableColumn("ten`ant", FieldType.TEXT), TableColumn("at", FieldType.INSTANT))
    area = Area("ten`ant", columns[1], 16, (3,), ((0, 86_400_000_000),), timeless=True)
    staying = Staying(("jangbu", "t"), 7, area, Within("it's \\"))  # type: ignore[arg-type]
    text = texts.filling("cat", Filling(("s", "into"), columns, ("s", "source"), {"ten`ant": "it's \\"}, staying))
    assert text == (
        "INSERT INTO `cat`.`s`.`into` SELECT `ten``ant`, `at` FROM (SELECT CAST('it\\'s \\\\' AS STRING) AS `ten``ant`,"
        " CAST(`at` AS TIMESTAMP) AS `at` FROM `cat`.`s`.`source`) AS source UNION ALL SELECT `ten``ant`, `at`"
        " FROM `cat`.`jangbu`.`t` VERSION AS OF 7 AS held WHERE `cat`.system.bucket(16, held.`ten``ant`) IN (3)"
        " AND ((held.`at` >= TIMESTAMP_LTZ '1970-01-01 00:00:00.000000Z'"
        " AND held.`at` < TIMESTAMP_LTZ '1970-01-02 00:00:00.000000Z')"
        " OR held.`at` IS NULL) AND NOT coalesce(held.`ten``ant` = 'it\\'s \\\\', FALSE)"
    )


def test_only_the_named_snapshots_are_forgotten() -> None:
    text = texts.forgetting("cat", ("jangbu", "t"), [1, 2])
    assert "snapshot_ids => array(1L, 2L), older_than => TIMESTAMP '1970-01-01 00:00:00'" in text
    assert "dry_run => true" in texts.finding_orphans("cat", ("jangbu", "t"), datetime(2017, 1, 1, tzinfo=UTC), by_prefix=True)
