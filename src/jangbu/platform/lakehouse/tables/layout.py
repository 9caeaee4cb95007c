"""A table's columns, partitions and sort order, in Jangbu's, Arrow's and Iceberg's terms."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.sorting import SortField, SortOrder
from pyiceberg.transforms import BucketTransform, IdentityTransform, MonthTransform, Transform
from pyiceberg.types import (
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IcebergType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    TimestampType,
    TimestamptzType,
)

from jangbu.kernel.errors import Unsupported
from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.ports import Stored, TableColumn, TableSpec

BUCKETS = 16
FIRST_PARTITION_FIELD = 1000
DAY = 86_400_000_000
"""Micros of a day."""

_ICEBERG: Mapping[FieldType, IcebergType] = {
    FieldType.TEXT: StringType(),
    FieldType.INTEGER: LongType(),
    FieldType.DOUBLE: DoubleType(),
    FieldType.BOOLEAN: BooleanType(),
    FieldType.DATE: DateType(),
    FieldType.INSTANT: TimestamptzType(),
    FieldType.LOCAL: TimestampType(),
}
_ARROW: Mapping[FieldType, pa.DataType] = {
    FieldType.TEXT: pa.string(),
    FieldType.INTEGER: pa.int64(),
    FieldType.DOUBLE: pa.float64(),
    FieldType.BOOLEAN: pa.bool_(),
    FieldType.DATE: pa.date32(),
    FieldType.INSTANT: pa.timestamp("us", "UTC"),
    FieldType.LOCAL: pa.timestamp("us"),
}


@dataclass(frozen=True, slots=True)
class Layout:
    """What a table's metadata say of how its rows lie. `time_type` is None where there is no time column. `evolved`: older files
    may have other columns, names or types, so columns are found in them by their field ids. Other engines may have added columns:
    `narrow` ones of 32 bits, which are read as wider ones, and `others` of types that aren't read here."""

    table: str
    columns: tuple[TableColumn, ...]
    tenant: str | None
    time: str | None
    time_type: FieldType | None
    buckets: int
    field_ids: tuple[int, ...]
    evolved: bool
    narrow: frozenset[str] = frozenset()
    others: tuple[str, ...] = ()

    @property
    def arrow(self) -> pa.Schema:
        return pa.schema([pa.field(column.name, arrow_type(column)) for column in self.columns])

    @property
    def parquet(self) -> pa.Schema:
        """As `arrow`, with the field ids by which Iceberg finds a column in a file."""
        return pa.schema(
            self._stored(field).with_metadata({"PARQUET:field_id": str(id_)})
            for field, id_ in zip(self.arrow, self.field_ids, strict=True)
        )

    def _stored(self, field: "pa.Field[Any]") -> "pa.Field[Any]":
        if field.name not in self.narrow:
            return field
        return field.with_type(pa.float32() if pa.types.is_floating(field.type) else pa.int32())

    def field_id(self, name: str) -> int:
        return next(id_ for column, id_ in zip(self.columns, self.field_ids, strict=True) if column.name == name)


def arrow_type(column: TableColumn) -> pa.DataType:
    return pa.decimal128(column.precision, column.scale) if column.type is FieldType.DECIMAL else _ARROW[column.type]


def layout_of(table: Table) -> Layout:
    fields = [field for field in table.schema().fields if _kind(field.field_type) is not None]
    columns = tuple(_column(field) for field in fields)
    narrow = frozenset(field.name for field in fields if isinstance(field.field_type, IntegerType | FloatType))
    sources = {type(field.transform): field for field in table.spec().fields}
    tenant, time = (_source(table, sources.get(kind)) for kind in (BucketTransform, MonthTransform))
    bucket = sources.get(BucketTransform)
    return Layout(
        table.name()[-1],
        columns,
        tenant,
        time,
        next((column.type for column in columns if column.name == time), None),
        bucket.transform.num_buckets if bucket is not None and isinstance(bucket.transform, BucketTransform) else BUCKETS,
        tuple(field.field_id for field in fields),
        len(table.metadata.schemas) > 1 or bool(narrow),
        narrow,
        tuple(field.name for field in table.schema().fields if field not in fields),
    )


def check_rewritable(layout: Layout) -> None:
    """Raises Unsupported where rows that are written anew would lose what isn't read here."""
    if layout.others:
        raise Unsupported(
            f"The table {layout.table!r} has columns of types that aren't kept here: {', '.join(layout.others)}; rows of its files "
            "can't be written anew without losing them, so nothing was changed.",
            value=layout.others[0],
            hint="Drop these columns, or give them a type of ours.",
        )


def stored_as(table: Table, snapshot_id: int) -> Stored:
    """How other engines find the snapshot, which they read by the schema that it was written with."""
    snapshot = table.metadata.snapshot_by_id(snapshot_id)
    written = next(
        (schema for schema in table.metadata.schemas if snapshot and schema.schema_id == snapshot.schema_id), table.schema()
    )
    *namespace, name = table.name()
    return Stored(".".join(namespace), name, {field.field_id: field.name for field in written.fields})


def bucket_of(buckets: int) -> "Callable[[str | None], int | None]":
    """The bucket of a tenant, as Iceberg counts it."""
    return BucketTransform(buckets).transform(StringType())


def iceberg_schema(spec: TableSpec) -> Schema:
    """Raises ValueError where a tenant or time column isn't among the columns or has a wrong type."""
    types = {column.name: column.type for column in spec.columns}
    if len({name.lower() for name in types}) != len(spec.columns):
        raise ValueError(f"The table {spec.name!r} names a column twice (upper and lower case are the same to engines).")
    if spec.tenant_column is not None and types.get(spec.tenant_column) is not FieldType.TEXT:
        raise ValueError(f"The tenant column {spec.tenant_column!r} of {spec.name!r} isn't one of its text columns.")
    if spec.time_column is not None and not (spec.time_column in types and types[spec.time_column].is_time):
        raise ValueError(f"The time column {spec.time_column!r} of {spec.name!r} isn't one of its time columns.")
    fields = (NestedField(id_, column.name, iceberg_type(column)) for id_, column in enumerate(spec.columns, start=1))
    return Schema(*fields)


def partition_spec(spec: TableSpec, schema: Schema) -> PartitionSpec:
    """month(time), bucket(16, tenant): whichever there are."""
    wanted: tuple[tuple[str | None, Transform[Any, Any], str], ...] = (
        (spec.time_column, MonthTransform(), "month"),
        (spec.tenant_column, BucketTransform(BUCKETS), "bucket"),
    )
    parts = [(column, transform, suffix) for column, transform, suffix in wanted if column is not None]
    return PartitionSpec(
        *(
            PartitionField(
                schema.find_field(column).field_id, FIRST_PARTITION_FIELD + at, transform, _free(f"{column}_{suffix}", schema)
            )
            for at, (column, transform, suffix) in enumerate(parts)
        )
    )


def sort_order(spec: TableSpec, schema: Schema) -> SortOrder:
    columns = [column for column in (spec.tenant_column, spec.time_column) if column is not None]
    return SortOrder(*(SortField(schema.find_field(column).field_id, IdentityTransform()) for column in columns))


def _free(name: str, schema: Schema) -> str:
    while name in schema.column_names:
        name += "_"
    return name


def iceberg_type(column: TableColumn) -> IcebergType:
    return DecimalType(column.precision, column.scale) if column.type is FieldType.DECIMAL else _ICEBERG[column.type]


def _column(field: NestedField) -> TableColumn:
    if isinstance(field.field_type, DecimalType):
        return TableColumn(field.name, FieldType.DECIMAL, field.field_type.precision, field.field_type.scale)
    return TableColumn(field.name, _kind(field.field_type) or FieldType.TEXT)


def _kind(type_: IcebergType) -> FieldType | None:
    """What it is read as; None: it isn't."""
    if isinstance(type_, DecimalType):
        return FieldType.DECIMAL
    wider = LongType() if isinstance(type_, IntegerType) else DoubleType() if isinstance(type_, FloatType) else type_
    return next((ours for ours, theirs in _ICEBERG.items() if theirs == wider), None)


def _source(table: Table, field: PartitionField | None) -> str | None:
    return None if field is None else table.schema().find_column_name(field.source_id)
