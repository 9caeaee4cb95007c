"""Data files: every reader sees the same rows, the manifests say of them what PyIceberg's own writer would, and they are small."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.io.fileformat import FileFormatFactory
from pyiceberg.manifest import DataFile, FileFormat

from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.iceberg import IcebergLakehouse, open_lakehouse
from jangbu.platform.lakehouse.ports import Snapshot, TableColumn, TableSpec

START = datetime(2017, 1, 1, tzinfo=UTC)
COLUMNS = {
    "tenant": FieldType.TEXT,
    "note": FieldType.TEXT,
    "rising": FieldType.INTEGER,
    "few": FieldType.INTEGER,
    "price": FieldType.DECIMAL,
    "share": FieldType.DOUBLE,
    "paid": FieldType.BOOLEAN,
    "due": FieldType.DATE,
    "seen": FieldType.LOCAL,
    "nothing": FieldType.DECIMAL,
    "no_date": FieldType.DATE,
    "sold_at": FieldType.INSTANT,
}
EXTRA = (TableColumn("large", FieldType.DECIMAL, 38, 6), TableColumn("small", FieldType.DECIMAL, 9, 2))
SPEC = TableSpec("kinds", (*(TableColumn(name, type_) for name, type_ in COLUMNS.items()), *EXTRA), time_column="sold_at")


@pytest.fixture
def lakehouse(tmp_path: Path) -> Iterator[IcebergLakehouse]:
    opened = open_lakehouse(warehouse=tmp_path)
    assert isinstance(opened, IcebergLakehouse)
    opened.create(SPEC)
    yield opened
    opened.close()


def row(n: int) -> dict[str, Any]:
    """Some values are null, those below 0 lie before 1970, and few texts are longer than a bound is kept."""
    return {
        "tenant": "acme",
        "note": None if n % 7 == 0 else f"장부 of the tenant, number {n % 50}",
        "rising": (n - 500) * 1_000_003,
        "few": n % 3,
        "price": None if n % 5 == 0 else Decimal((n * 7919) % 100_003 - 50_000) / 10_000,
        "share": (n - 500) / 3,
        "paid": n % 2 == 0,
        "due": date(1969, 12, 1) + timedelta(days=(n * 31) % 997),
        "seen": datetime(1969, 12, 31, 12) + timedelta(microseconds=n * 12_345_678_901),  # noqa: DTZ001 - a wall clock
        "nothing": None,
        "no_date": None,
        "sold_at": START + timedelta(minutes=n),
        "large": Decimal(n - 500) * Decimal("12345678901234567890.123456"),
        "small": Decimal(n) / 100,
    }


def rows_of(lakehouse: IcebergLakehouse, count: int) -> pa.Table:
    schema = lakehouse.files(lakehouse.current("kinds"), None, None).schema
    return pa.Table.from_pylist([row(n) for n in range(count)], schema=schema)


def load(lakehouse: IcebergLakehouse, rows: pa.Table) -> Snapshot:
    return lakehouse.commit(lakehouse.stage("kinds", rows, "one"))


def manifest_entries(lakehouse: IcebergLakehouse) -> list[DataFile]:
    table = lakehouse._catalog.load_table(("jangbu", "kinds"))
    return [task.file for task in table.scan().plan_files()]


def path_of(lakehouse: IcebergLakehouse) -> Path:
    (entry,) = manifest_entries(lakehouse)
    return Path(entry.file_path)


@pytest.mark.parametrize("count", [1, 1000])
def test_arrow_pyiceberg_and_duckdb_read_the_same_rows(lakehouse: IcebergLakehouse, count: int) -> None:
    rows = rows_of(lakehouse, count)
    load(lakehouse, rows)
    path = path_of(lakehouse)
    assert pq.ParquetFile(path).read().cast(rows.schema).equals(rows)
    scanned = lakehouse._catalog.load_table(("jangbu", "kinds")).scan().to_arrow()
    assert scanned.cast(rows.schema).sort_by("sold_at").equals(rows)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        query = "SELECT * FROM read_parquet(?, hive_partitioning = false) ORDER BY sold_at"
        read = connection.execute(query, [str(path)]).to_arrow_table()
    assert read.cast(rows.schema).equals(rows)


def test_a_table_without_rows_has_no_file(lakehouse: IcebergLakehouse) -> None:
    load(lakehouse, rows_of(lakehouse, 0))
    assert manifest_entries(lakehouse) == []


@pytest.mark.parametrize("count", [1, 1000])
def test_manifests_say_what_they_would_of_files_by_pyiceberg(lakehouse: IcebergLakehouse, tmp_path: Path, count: int) -> None:
    rows = rows_of(lakehouse, count)
    load(lakehouse, rows)
    (ours,) = manifest_entries(lakehouse)
    table = lakehouse._catalog.load_table(("jangbu", "kinds"))
    writer = FileFormatFactory.get(FileFormat.PARQUET).create_writer(
        table.io.new_output(str(tmp_path / "theirs.parquet")), table.schema(), table.metadata.properties
    )
    with writer:
        writer.write(rows)
    theirs = writer.result().to_serialized_dict()
    for fact in ("record_count", "value_counts", "null_value_counts", "nan_value_counts", "lower_bounds", "upper_bounds"):
        assert (getattr(ours, fact) or {}) == (theirs[fact] or {}), fact
    assert set(ours.column_sizes) == set(theirs["column_sizes"])
    assert ours.file_size_in_bytes == Path(ours.file_path).stat().st_size
    nothing = table.schema().find_field("nothing").field_id
    assert (ours.null_value_counts[nothing], nothing in ours.lower_bounds) == (count, False)


def test_columns_carry_the_ids_of_the_table(lakehouse: IcebergLakehouse) -> None:
    load(lakehouse, rows_of(lakehouse, 10))
    found = {field.name: int(field.metadata[b"PARQUET:field_id"]) for field in pq.read_schema(path_of(lakehouse))}
    table = lakehouse._catalog.load_table(("jangbu", "kinds"))
    assert found == {field.name: field.field_id for field in table.schema().fields}


def test_times_are_differences_and_numbers_have_a_dictionary_where_they_repeat(lakehouse: IcebergLakehouse) -> None:
    load(lakehouse, rows_of(lakehouse, 1000))
    group = pq.ParquetFile(path_of(lakehouse)).metadata.row_group(0)
    columns = {group.column(at).path_in_schema: group.column(at) for at in range(group.num_columns)}
    encoded = {name: "DELTA_BINARY_PACKED" in column.encodings for name, column in columns.items()}
    differences = {name for name, found in encoded.items() if found}
    dictionaries = {name for name, column in columns.items() if column.has_dictionary_page}
    assert differences == {"sold_at", "rising", "price", "due", "seen", "small"}
    assert dictionaries == {"tenant", "note", "few", "share", "nothing", "no_date", "large"}
    assert {name: columns[name].physical_type for name in ("small", "price", "large", "due")} == {
        "small": "INT32",
        "price": "INT64",
        "large": "FIXED_LEN_BYTE_ARRAY",
        "due": "INT32",
    }
    assert {column.compression for column in columns.values()} == {"ZSTD"}
    assert all(column.is_stats_set for column in columns.values())


def test_row_groups_have_the_table_s_size(tmp_path: Path) -> None:
    lakehouse = open_lakehouse(warehouse=tmp_path)
    lakehouse.create(TableSpec("units", (TableColumn("number", FieldType.INTEGER),), tenant_column=None))
    lakehouse.commit(lakehouse.stage("units", pa.table({"number": pa.array(range(300_000))}), "one"))
    (file,) = lakehouse.files(lakehouse.current("units"), None, None).files
    metadata = pq.ParquetFile(file.path).metadata
    assert [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)] == [122_880, 122_880, 54_240]
    lakehouse.close()


def test_rising_times_take_much_less_room_than_pyarrow_gives_them(lakehouse: IcebergLakehouse, tmp_path: Path) -> None:
    rows = rows_of(lakehouse, 1000).select(["sold_at"])
    load(lakehouse, rows_of(lakehouse, 1000))
    pq.write_table(rows, tmp_path / "default.parquet", compression="zstd")
    ours, default = (
        next(g.column(at).total_compressed_size for at in range(g.num_columns) if g.column(at).path_in_schema == "sold_at")
        for g in (pq.ParquetFile(path).metadata.row_group(0) for path in (path_of(lakehouse), tmp_path / "default.parquet"))
    )
    assert ours * 2 < default
