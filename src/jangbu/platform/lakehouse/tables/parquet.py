"""One data file: how its columns are encoded, and what the manifests say of it."""

from typing import IO, Any, Final, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as pt
from pyiceberg.io import OutputFile
from pyiceberg.io.fileformat import DataFileStatistics
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.table import Table, TableProperties
from pyiceberg.typedef import Properties
from pyiceberg.utils.properties import property_as_int

from jangbu.platform.lakehouse.tables.layout import Layout

SAMPLE_ROWS: Final = 16_384
REPEATS: Final = 4
"""A number column gets a dictionary where its first `SAMPLE_ROWS` rows hold each value at least this often, on average."""

_INT64_DIGITS: Final = 18


def write_file(output: OutputFile, rows: pa.Table, layout: Layout, table: Table) -> DataFileStatistics:
    """Write `rows`, which have the layout's types, as a Parquet file whose columns carry Iceberg's field ids.

    PyIceberg's own writer takes no encodings: times, which rise, take half the room as differences, and are read faster.
    """
    properties, schema = table.metadata.properties, table.schema()
    group = property_as_int(properties, TableProperties.PARQUET_ROW_GROUP_LIMIT, TableProperties.PARQUET_ROW_GROUP_LIMIT_DEFAULT)
    with (
        output.create(overwrite=True) as stream,
        pq.ParquetWriter(cast("IO[Any]", stream), layout.parquet, **_options(rows, layout, properties)) as writer,
    ):
        writer.write(rows.cast(layout.parquet), row_group_size=group)
    return data_file_statistics_from_parquet_metadata(
        parquet_metadata=writer.writer.metadata,
        stats_columns=compute_statistics_plan(schema, properties),
        parquet_column_mapping=parquet_path_to_id_mapping(schema),
    )


def _options(rows: pa.Table, layout: Layout, properties: Properties) -> dict[str, Any]:
    dictionaries, differences = encodings(rows, layout)
    return {
        "compression": properties.get(TableProperties.PARQUET_COMPRESSION, TableProperties.PARQUET_COMPRESSION_DEFAULT),
        "store_decimal_as_integer": True,
        "write_page_checksum": True,
        "use_dictionary": dictionaries,
        "column_encoding": dict.fromkeys(differences, "DELTA_BINARY_PACKED"),
    }


def encodings(rows: pa.Table, layout: Layout) -> tuple[list[str], list[str]]:
    """The columns with a dictionary, and those written as differences: the time that rows are sorted by, and whole numbers,
    decimals and other times that seldom repeat."""
    dictionaries: list[str] = []
    differences: list[str] = []
    for field in rows.schema:
        if _is_whole(field.type) and (field.name == layout.time or not _repeats(rows.column(field.name))):
            differences.append(field.name)
        elif not pt.is_boolean(field.type):
            dictionaries.append(field.name)
    return dictionaries, differences


def _is_whole(type_: pa.DataType) -> bool:
    """Whether Parquet keeps the values as 32 or 64 bit integers."""
    if pt.is_decimal(type_):
        return bool(type_.precision <= _INT64_DIGITS)
    return bool(pt.is_integer(type_) or pt.is_timestamp(type_) or pt.is_date(type_))


def _repeats(values: "pa.ChunkedArray[Any]") -> bool:
    sample = values.slice(0, SAMPLE_ROWS)
    return bool(pc.count_distinct(sample).as_py() * REPEATS <= len(sample))
