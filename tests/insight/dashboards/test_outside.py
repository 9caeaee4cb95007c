"""Questions about what others write: each is answered from one state of it, and no version means two."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.manifest import DataFileContent
from support.deletes import Deleter
from support.outside import SCHEMA, Theirs, define, put, rows
from support.world import World, rows_of

from jangbu.insight.dashboards.requests import request_of
from jangbu.insight.ingest.contracts import LoadMode
from jangbu.kernel.errors import CatalogError, ConfigurationError, InvalidRequest, LoadError, Unavailable, Unsupported
from jangbu.kernel.tenancy import Principal, TenantId

ASKED = {"data_source": "receipts", "measures": ["lines", "amount"]}
TWO = {"hanok": [1.1, 2.2], "namu": [5.0]}


@dataclass
class Place:
    """A folder of theirs, and our world that may read it. `seconds` is what the timer shows."""

    folder: Path
    worlds: list[World] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def world(self, binding: str, allowed: str = "data", **changed: str) -> World:
        number = len(self.worlds)
        definitions = define(self.folder / f"definitions{number}", binding, **changed)
        world = World.at(self.folder / f"ours{number}", [definitions], outside=[self.folder / allowed], timer=lambda: self.seconds)
        for tenant in TWO:
            world.tenant(tenant)
        self.worlds.append(world)
        return world


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "data").mkdir()
    found = Place(tmp_path)
    yield found
    for world in found.worlds:
        world.close()


def put_parquet(place: Place) -> str:
    put(place.data / "receipts.parquet", rows(TWO))
    return "{parquet: ../data/receipts.parquet}"


def put_iceberg(place: Place) -> str:
    Theirs(place.data).create().append(rows(TWO))
    return "{iceberg: {catalog: ../data/their.db, table: shop.receipts}}"


BOTH = pytest.mark.parametrize("put_there", [put_parquet, put_iceberg], ids=["parquet", "iceberg"])
Put = Callable[[Place], str]


@BOTH
def test_each_tenant_sees_its_own_rows_in_the_types_of_the_definition(place: Place, put_there: Put) -> None:
    world = place.world(put_there(place))
    assert world.rows(ASKED, "hanok") == [[2, Decimal("3.3")]]
    assert world.rows(ASKED, "namu") == [[1, Decimal(5)]]
    asked = ASKED | {"dimensions": ["tenant", "product"]}
    assert world.rows(asked, "hanok", "namu") == [
        ["hanok", "100", 1, Decimal("1.1")],
        ["hanok", "101", 1, Decimal("2.2")],
        ["namu", "100", 1, Decimal(5)],
    ]


@BOTH
def test_a_span_is_asked_of_the_files_that_may_hold_it(place: Place, put_there: Put) -> None:
    world = place.world(put_there(place))
    assert world.rows(ASKED | {"time": {"range": ["2017-03-02", "2017-03-02"]}}, "hanok") == [[1, Decimal("2.2")]]
    assert world.rows(ASKED | {"time": {"range": "2018"}}, "hanok") == [[0, Decimal(0)]]


@BOTH
def test_the_answer_says_when_it_was_looked_at_and_how_often(place: Place, put_there: Put) -> None:
    world = place.world(put_there(place).replace("{", "{check_every: 30, ", 1))
    meta = world.ask(ASKED, "hanok").meta
    checked_at, every = meta.outside["receipts"]
    assert every == 30
    assert abs((datetime.now(UTC) - checked_at).total_seconds()) < 60
    as_of = meta.as_of["receipts"]
    assert as_of is not None
    assert abs((datetime.now(UTC) - as_of).total_seconds()) < 60
    assert meta.data_versions == {"receipts": 1}


@BOTH
def test_neither_answer_nor_plan_names_a_path(place: Place, put_there: Put) -> None:
    world = place.world(put_there(place))
    from jangbu.insight.dashboards.requests import request_of
    from jangbu.kernel.tenancy import Principal

    told = world.dashboards.explain(Principal((TenantId("hanok"),)), request_of(dict(ASKED)))
    assert str(place.folder) not in repr((told, world.ask(ASKED, "hanok").meta))
    assert told.legs[0]["files"] >= 1


@BOTH
def test_nothing_is_loaded_into_it(place: Place, put_there: Put) -> None:
    world = place.world(put_there(place))
    source = world.catalog.data_sources["receipts"]
    with pytest.raises(LoadError, match="'receipts' is read where others write it"):
        world.ingest.load(source, tenant=TenantId("hanok"), batches=rows(TWO), mode=LoadMode.APPEND)


def test_a_change_is_seen_when_it_is_looked_at_again(place: Place) -> None:
    theirs = Theirs(place.data)
    theirs.create().append(rows(TWO))
    world = place.world("{check_every: 30, iceberg: {catalog: ../data/their.db, table: shop.receipts}}")
    assert world.rows(ASKED, "namu") == [[1, Decimal(5)]]
    theirs.table.append(rows({"namu": [7]}))
    place.seconds = 29.9
    answer = world.ask(ASKED, "namu")
    assert (rows_of(answer.table), answer.meta.data_versions) == ([[1, Decimal(5)]], {"receipts": 1})
    place.seconds = 30
    answer = world.ask(ASKED, "namu")
    assert (rows_of(answer.table), answer.meta.data_versions) == ([[2, Decimal(12)]], {"receipts": 2})


def test_a_replaced_file_is_never_told_as_the_one_before(place: Place) -> None:
    """Within the time that it isn't looked at: what was seen is gone, so it is looked at at once."""
    world = place.world(put_parquet(place))
    versions = []
    for amount in (1, 2, 3):
        put(place.data / "receipts.parquet", rows({"hanok": [amount] * 3}))
        answer = world.ask(ASKED, "hanok")
        assert rows_of(answer.table) == [[3, Decimal(3 * amount)]]
        versions.append(answer.meta.data_versions["receipts"])
    assert len(set(versions)) == 3


def test_a_file_that_comes_back_has_a_version_of_its_own(place: Place) -> None:
    world = place.world(put_parquet(place))
    first = world.ask(ASKED, "hanok").meta.data_versions
    put(place.data / "receipts.parquet", rows({"hanok": [9]}))
    world.ask(ASKED, "hanok")
    put_parquet(place)
    last = world.ask(ASKED, "hanok")
    assert rows_of(last.table) == [[2, Decimal("3.3")]]
    assert last.meta.data_versions != first


@pytest.mark.slow
def test_answers_are_of_one_state_while_files_are_replaced(place: Place) -> None:
    """Each state has the same amount in all rows; a mixture would have an amount that isn't a multiple of the lines."""
    put(place.data / "a.parquet", rows({"hanok": [1] * 300}))
    world = place.world("{parquet: ../data/a.parquet, check_every: 0}")
    ended, seen = Event(), {}

    def replace() -> None:
        amount = 1
        while not ended.wait(0.1):
            amount += 1
            put(place.data / "a.parquet", rows({"hanok": [amount] * 300}))

    writer = Thread(target=replace)
    writer.start()
    try:
        deadline = time.monotonic() + 60
        while len(seen) < 3 and time.monotonic() < deadline:
            try:
                answer = world.ask(ASKED | {"dimensions": ["product"], "limit": 300}, "hanok")
            except Unavailable:
                continue
            amounts = {row[2] for row in rows_of(answer.table)}
            assert len(amounts) == 1
            version = answer.meta.data_versions["receipts"]
            assert seen.setdefault(version, amounts) == amounts
    finally:
        ended.set()
        writer.join()
    assert len(seen) == 3


def test_a_torn_file_is_waited_for_without_its_path(place: Place) -> None:
    world = place.world(put_parquet(place))
    world.ask(ASKED, "hanok")
    file = place.data / "receipts.parquet"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Unavailable, match="'receipts' can't be read now") as raised:
        world.ask(ASKED, "hanok")
    assert str(place.folder) not in str(raised.value.problem())
    file.write_bytes(whole)
    assert world.rows(ASKED, "hanok") == [[2, Decimal("3.3")]]


@BOTH
def test_what_is_not_there_is_unavailable(place: Place, put_there: Put) -> None:
    world = place.world(put_there(place).replace("receipts", "refunds"))
    with pytest.raises(Unavailable, match="'receipts' can't be read now"):
        world.ask(ASKED, "hanok")


@BOTH
def test_only_allowed_folders_are_read(place: Place, put_there: Put) -> None:
    world = place.world(put_there(place), allowed="else")
    with pytest.raises(ConfigurationError, match="JANGBU_OUTSIDE_FOLDERS") as raised:
        world.ask(ASKED, "hanok")
    assert str(place.folder) not in str(raised.value.problem())


def test_links_and_dots_lead_nowhere_else(place: Place) -> None:
    put(place.folder / "secret" / "receipts.parquet", rows(TWO))
    (place.data / "link").symlink_to(place.folder / "secret")
    (place.data / "file.parquet").symlink_to(place.folder / "secret" / "receipts.parquet")
    for path in ("../data/link/*.parquet", "../data/file.parquet", "../data/../secret/receipts.parquet", "../data/*/*.parquet"):
        with pytest.raises((ConfigurationError, Unavailable)):
            place.world(f"{{parquet: '{path}'}}").ask(ASKED, "hanok")


def test_an_iceberg_table_shows_no_file_outside(place: Place) -> None:
    """Its metadata lie where they may, its data don't."""
    theirs = Theirs(place.folder / "theirs")
    theirs.create().append(rows(TWO))
    metadata = Path(theirs.table.metadata_location)
    (place.data / "v1.metadata.json").write_bytes(metadata.read_bytes())
    world = place.world("{iceberg: {metadata: ../data/v1.metadata.json}}")
    with pytest.raises(ConfigurationError, match="JANGBU_OUTSIDE_FOLDERS"):
        world.ask(ASKED, "hanok")


# Parquet


def test_folders_named_by_values_are_columns_where_the_definition_names_them(place: Place) -> None:
    stored = pa.schema([field for field in SCHEMA if field.name != "shop"])
    for shop, amounts in TWO.items():
        table = rows({shop: amounts}).select(stored.names)
        put(place.data / f"shop={shop}" / "year=2017" / "part.parquet", table)
    put(place.data / "_temporary" / "part.parquet", rows(TWO))
    world = place.world("{parquet: ../data}")
    assert world.rows(ASKED | {"dimensions": ["tenant"]}, "hanok", "namu") == [
        ["hanok", 2, Decimal("3.3")],
        ["namu", 1, Decimal(5)],
    ]


def test_a_column_that_came_later_is_missing_before(place: Place) -> None:
    put(place.data / "1.parquet", rows(TWO).drop_columns(["product"]))
    put(place.data / "2.parquet", rows({"hanok": [4]}))
    world = place.world("{parquet: '../data/*.parquet'}")
    assert world.rows(ASKED | {"dimensions": ["product"]}, "hanok") == [["100", 1, Decimal(4)], [None, 2, Decimal("3.3")]]


def test_files_whose_types_do_not_mix_are_refused(place: Place) -> None:
    put(place.data / "1.parquet", rows(TWO))
    as_text = SCHEMA.set(1, pa.field("product", pa.string()))
    put(place.data / "2.parquet", rows(TWO).cast(as_text))
    with pytest.raises(CatalogError, match=r"store 'product' as int64 and string"):
        place.world("{parquet: ../data}").ask(ASKED, "hanok")


def test_a_number_that_the_column_can_not_hold_fails_the_question(place: Place) -> None:
    put(place.data / "receipts.parquet", rows({"hanok": [float("inf")]}))
    with pytest.raises(InvalidRequest, match="can't be converted"):
        place.world("{parquet: ../data/receipts.parquet}").ask(ASKED, "hanok")


# Iceberg


def test_a_table_is_found_by_its_folder_and_by_its_metadata(place: Place) -> None:
    theirs = Theirs(place.data)
    theirs.create().append(rows(TWO))
    old = theirs.table.metadata_location
    theirs.table.append(rows({"hanok": [6]}))
    by_folder = place.world(f"{{iceberg: {{metadata: {theirs.location}}}}}")
    assert by_folder.rows(ASKED, "hanok") == [[3, Decimal("9.3")]]
    by_file = place.world(f"{{iceberg: {{metadata: {old}}}}}")
    assert by_file.rows(ASKED, "hanok") == [[2, Decimal("3.3")]]


def test_a_lakehouse_of_our_kind_is_found_by_its_folder(place: Place) -> None:
    source = define(place.folder / "theirs", "{table: receipts}")
    other = World.at(place.data, [source])
    other.tenant("hanok")
    other.load("receipts", "hanok", [{"product": "7", "amount": Decimal("1.5"), "sold_at": datetime(2017, 3, 1, tzinfo=UTC)}])
    other.close()
    world = place.world("{iceberg: {catalog: ../data/lakehouse, table: jangbu.receipts}}")
    assert world.rows(ASKED | {"dimensions": ["product"]}, "hanok") == [["7", 1, Decimal("1.5")]]
    assert world.rows(ASKED | {"time": {"range": "2018"}}, "hanok") == [[0, Decimal(0)]]


def test_renamed_columns_are_found_by_their_ids(place: Place) -> None:
    theirs = Theirs(place.data)
    theirs.create().append(rows(TWO))
    for old, new in (("product", "article"), ("amount", "product"), ("article", "amount")):
        with theirs.table.update_schema() as update:
            update.rename_column(old, new)
    swapped = rows({"namu": [8]}).rename_columns(["shop", "amount", "product", "sold_at"])
    theirs.table.append(swapped.select(["shop", "amount", "product", "sold_at"]))
    world = place.world("{iceberg: {catalog: ../data/their.db, table: shop.receipts}}", product="double", amount="integer")
    assert world.rows({"data_source": "receipts", "measures": ["amount"]}, "namu") == [[200]]


def test_rows_that_others_deleted_are_not_there(place: Place) -> None:
    theirs = Theirs(place.data)
    theirs.create().append(rows(TWO))
    world = place.world("{iceberg: {catalog: ../data/their.db, table: shop.receipts}}")
    before = world.rows(ASKED, "hanok")
    table = theirs.catalog.load_table("shop.receipts")
    assert Deleter(table).delete(lambda row: row["shop"] == "hanok" and row["product"] == 100) == 1
    place.seconds = 61
    after = world.rows(ASKED, "hanok")
    assert after[0][0] == before[0][0] - 1
    (leg,) = world.dashboards.explain(Principal((TenantId("hanok"),)), request_of(ASKED)).legs
    assert leg["reads"] == {
        "receipts": "Parquet files, 1 of 1 without the rows that other engines deleted in them (delete files: 1)"
    }
    assert str(place.data) not in str(leg)


def test_a_table_with_equality_deletes_is_refused(place: Place) -> None:
    theirs = Theirs(place.data)
    theirs.create().append(rows(TWO))
    world = place.world("{iceberg: {catalog: ../data/their.db, table: shop.receipts}}")
    table = theirs.catalog.load_table("shop.receipts")
    Deleter(table, content=DataFileContent.EQUALITY_DELETES).delete(lambda row: row["product"] == 100)
    with pytest.raises(Unsupported, match="equality delete files"):
        world.ask(ASKED, "hanok")


@pytest.mark.parametrize("part", ["tenant", "other bucket", "other month", "identity"])
def test_any_partitions_are_read_whole(place: Place, part: str) -> None:
    from pyiceberg.partitioning import PartitionField, PartitionSpec
    from pyiceberg.transforms import BucketTransform, IdentityTransform, MonthTransform

    fields: dict[str, Any] = {
        "tenant": PartitionField(1, 1000, BucketTransform(4), "b"),
        "other bucket": PartitionField(2, 1000, BucketTransform(4), "b"),
        "other month": PartitionField(4, 1000, MonthTransform(), "m"),
        "identity": PartitionField(1, 1000, IdentityTransform(), "i"),
    }
    theirs = Theirs(place.data)
    theirs.create(_schema(), partition_spec=PartitionSpec(fields[part])).append(rows(TWO))
    world = place.world("{iceberg: {catalog: ../data/their.db, table: shop.receipts}}")
    assert world.rows(ASKED, "hanok") == [[2, Decimal("3.3")]]
    assert world.rows(ASKED | {"time": {"range": ["2017-03-01", "2017-03-01"]}}, "namu") == [[1, Decimal(5)]]


def _schema() -> Any:
    from pyiceberg.schema import Schema
    from pyiceberg.types import DoubleType, LongType, NestedField, StringType, TimestamptzType

    types = (StringType(), LongType(), DoubleType(), TimestamptzType())
    return Schema(*(NestedField(at, name, type_) for at, (name, type_) in enumerate(zip(SCHEMA.names, types, strict=True), 1)))
