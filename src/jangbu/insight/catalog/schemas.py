"""The YAML documents of a definitions folder, version 1: one document a file, either a data source or some of its measures.

`json_schema()` is what `jangbu catalog schema` prints and editors complete by; the same models validate the files.
"""

from functools import cache
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, WithJsonSchema

from jangbu.insight.catalog.contracts import Additivity, Cardinality, SeparationKind
from jangbu.kernel import filters
from jangbu.kernel.types import FieldType, Frequency

NAME_PATTERN: Final = r"^[a-z][a-z0-9_]{0,62}$"

Name: TypeAlias = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Path: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}(\.[a-z][a-z0-9_]{0,62})?$")]
"""A name, or `owner.name`."""
Formula: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=4000)]
Filter: TypeAlias = Annotated[dict[str, Any], WithJsonSchema({"type": "object", "title": "Filter"})]
"""Kept in its wire form; `jangbu.kernel.filters.parse` checks it where its line is known."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TextModel(_Model):
    """A text for people, in both languages."""

    ko: Annotated[str, Field(min_length=1, description="In Korean.")]
    en: Annotated[str, Field(min_length=1, description="In English.")]


Label: TypeAlias = Annotated[TextModel, Field(description="What people read in place of the name.")]
Description: TypeAlias = Annotated[TextModel, Field(description="What it means, in one or two sentences.")]


class IcebergModel(_Model):
    """An Iceberg table that others write: its metadata, or its catalog and name."""

    metadata: Annotated[str | None, Field(min_length=1, description="A metadata file, or the table's folder.")] = None
    catalog: Annotated[
        str | None, Field(min_length=1, description="A lakehouse's folder, a catalog's SQLite file, or its SQLAlchemy URI.")
    ] = None
    table: Annotated[str | None, Field(min_length=1, description="The table in the catalog, as `namespace.name`.")] = None


class BindingModel(_Model):
    """Where the rows are: in the lakehouse's `table`, or outside, where others write them."""

    table: Annotated[Name | None, Field(description="The lakehouse table.")] = None
    parquet: Annotated[str | None, Field(min_length=1, description="Parquet files: a file, a folder or a glob.")] = None
    iceberg: Annotated[IcebergModel | None, Field(description="An Iceberg table.")] = None
    check_every: Annotated[
        int | None, Field(ge=0, le=86_400, description="Seconds after which it is looked at again; 60 if left out. Only outside.")
    ] = None
    engine: Annotated[Name | None, Field(description="The query engine; the settings' default where it is left out.")] = None


class SeparationModel(_Model):
    """How rows of different tenants are kept apart."""

    kind: Annotated[
        SeparationKind,
        Field(
            strict=False,
            description="`column`: by a predicate; `connection`: a server of the tenant's own; `shared`: rows of everyone.",
        ),
    ]
    column: Annotated[Name | None, Field(description="The column that holds the tenant's id; for `column` only.")] = None


class CurrencyModel(_Model):
    """The currency of the data source's money: a column or a constant, not both."""

    column: Annotated[Name | None, Field(description="The column that holds an ISO 4217 code.")] = None
    constant: Annotated[str | None, Field(pattern=r"^[A-Z]{3}$", description="One ISO 4217 code for every row.")] = None


class ColumnModel(_Model):
    """A physical column."""

    type: Annotated[FieldType, Field(strict=False, description="What its values are. Identifiers are text.")]
    precision: Annotated[int, Field(ge=1, le=38, description="Digits of a decimal.")] = 18
    scale: Annotated[int, Field(ge=0, le=4, description="Digits of a decimal after the point; answers carry four.")] = 4
    renamed_from: Annotated[Name | None, Field(description="How the table called it before; its rows are kept.")] = None


class TimeFieldModel(_Model):
    """A time that rows carry and questions may range over."""

    column: Annotated[Name, Field(description="A column of type instant, local_timestamp or date.")]
    label: Label
    grain: Annotated[
        Frequency | None,
        Field(strict=False, description="The finest bucket it can answer; a date answers day and coarser in any case."),
    ] = None
    zone: Annotated[
        str | None, Field(description="The IANA zone of a date or a local timestamp; the tenant's where it is left out.")
    ] = None


class RelationModel(_Model):
    """Another data source that rows meet where the paired columns are equal."""

    data_source: Annotated[Name, Field(description="The related data source.")]
    on: Annotated[dict[Name, Name], Field(min_length=1, description="Own column: related column.")]
    cardinality: Annotated[
        Cardinality,
        Field(
            strict=False, description="Related rows that one row may meet. `many` may multiply rows, which Jangbu guards against."
        ),
    ]


class PersonalModel(_Model):
    """Whose rows these are, and what else they say of that person."""

    column: Annotated[Name, Field(description="The column that holds the person's identifier.")]
    also: Annotated[list[Name], Field(description="Other columns that describe the person.")] = []


class DimensionModel(_Model):
    """What measures are grouped and filtered by: a column or a formula, not both."""

    column: Annotated[Path | None, Field(description="A column, or `relation.column`.")] = None
    formula: Annotated[Formula | None, Field(description="A row formula, e.g. `hour_of_day(sold_at)`.")] = None
    type: Annotated[FieldType | None, Field(strict=False, description="Checked against the column's or the formula's type.")] = None
    label: Label
    description: Description
    hierarchy: Annotated[list[Name], Field(description="The dimensions above this one, the coarsest first.")] = []


class ColumnReadingModel(_Model):
    """How a column is read from a file."""

    source: Annotated[str | None, Field(min_length=1, description="Its name in the file; its own where left out.")] = None
    format: Annotated[
        str | list[str] | None,
        Field(
            description="How its times are written: iso, epoch_s, epoch_ms, or e.g. `%d.%m.%Y %H:%M`; several are tried in turn."
        ),
    ] = None
    decimal_sign: Annotated[Literal[".", ","], Field(description="What stands before a number's fraction.")] = "."
    nulls: Annotated[list[str] | None, Field(description="Its words for a missing value; the reading's where left out.")] = None


class ReadingModel(_Model):
    """How files of this data source are read."""

    format: Annotated[
        Name | None, Field(description="The file format: csv, excel, jsonl, parquet; told by the file if left out.")
    ] = None
    encoding: Annotated[str | None, Field(description="A text file's encoding; told by the file if left out.")] = None
    delimiter: Annotated[str | None, Field(min_length=1, max_length=1, description="What separates a text file's fields.")] = None
    sheet: Annotated[str | None, Field(description="A workbook's sheet; the first where left out.")] = None
    zone: Annotated[str | None, Field(description="The IANA zone of times without an offset; the tenant's if left out.")] = None
    nulls: Annotated[list[str] | None, Field(description="Words that stand for a missing value.")] = None
    keys: Annotated[list[Name], Field(description="The columns that together tell one row from every other; for merging.")] = []
    columns: Annotated[dict[Name, ColumnReadingModel], Field(description="Columns that are called or written otherwise.")] = {}


class DataSourceDocument(_Model):
    """A data source: its table, columns, times, relations and dimensions."""

    version: Annotated[Literal[1], Field(description="The version of this format.")]
    kind: Annotated[Literal["data_source"], Field(description="What this document defines.")]
    name: Annotated[Name, Field(description="What requests call it.")]
    label: Label
    description: Description
    binding: Annotated[BindingModel, Field(description="The table that holds its rows.")]
    separation: Annotated[SeparationModel, Field(description="How tenants are kept apart.")]
    currency: Annotated[CurrencyModel | None, Field(description="The currency of its money; the tenant's where left out.")] = None
    columns: Annotated[dict[Name, ColumnModel], Field(min_length=1, description="Its columns by name.")]
    dropped_columns: Annotated[
        list[Name],
        Field(description="Columns that the table had and that the next load drops. One that is only left out here stays in it."),
    ] = []
    time_fields: Annotated[dict[Name, TimeFieldModel], Field(description="Its times by name.")] = {}
    default_time_field: Annotated[Name | None, Field(description="The time asked where none is named; needed with several.")] = None
    relations: Annotated[dict[Name, RelationModel], Field(description="Its relations by name.")] = {}
    dimensions: Annotated[dict[Name, DimensionModel], Field(description="Its dimensions by name.")] = {}
    reading: Annotated[ReadingModel | None, Field(description="How its files are read; for `jangbu load`.")] = None
    personal: Annotated[
        dict[Name, PersonalModel],
        Field(description="Identities of persons (household, member, …) that its rows carry: what an erasure goes by."),
    ] = {}


class _Measure(_Model):
    name: Annotated[Name, Field(description="What requests call it; no dimension of the data source has it.")]
    label: Label
    description: Description
    unit: Annotated[Name | None, Field(description="What it counts: currency, count, ms, days, …; none for shares.")] = None
    format: Annotated[
        Literal["money", "integer", "decimal", "percent"],
        Field(description="How a number is written. A percent is a fraction, written a hundredfold."),
    ]
    up_is_good: Annotated[bool | None, Field(description="Whether a rise is good news; left out where it depends.")] = None
    additivity: Annotated[
        Additivity | None,
        Field(
            strict=False,
            description="additive: over all dimensions; semi: not over time (not answered yet); none. Inferred if left out.",
        ),
    ] = None
    time_field: Annotated[Name | None, Field(description="Its own default time field.")] = None
    check_query: Annotated[
        str | None, Field(min_length=1, description="DuckDB SQL over the raw data that must give the same value; for tests.")
    ] = None


class _Aggregate(_Measure):
    filter: Annotated[Filter | None, Field(description="Only rows that meet it count: a filter tree over dimensions.")] = None


class SimpleMeasure(_Aggregate):
    """One aggregate of rows: `sum(…)`, `count()`, `count(…)`, `min(…)`, `max(…)` or `avg(…)`."""

    kind: Annotated[Literal["simple"], Field(description="One aggregate of rows.")]
    formula: Annotated[Formula, Field(description="e.g. `sum(sales_value - coupon_disc)`.")]


class DistinctMeasure(_Aggregate):
    """How many different values there are: `count_distinct(…)`."""

    kind: Annotated[Literal["distinct"], Field(description="A count of different values.")]
    formula: Annotated[Formula, Field(description="e.g. `count_distinct(basket)`.")]


class RatioMeasure(_Measure):
    """One measure divided by another; null where the denominator is 0 or null."""

    kind: Annotated[Literal["ratio"], Field(description="One measure divided by another.")]
    numerator: Annotated[Path, Field(description="A measure, or `data_source.measure`.")]
    denominator: Annotated[Path, Field(description="A measure, or `data_source.measure`.")]


class DerivedMeasure(_Measure):
    """Arithmetic over measures."""

    kind: Annotated[Literal["derived"], Field(description="Arithmetic over measures.")]
    formula: Annotated[Formula, Field(description="e.g. `revenue - discounts`; others' measures as `data_source.measure`.")]


MeasureModel: TypeAlias = Annotated[SimpleMeasure | DistinctMeasure | RatioMeasure | DerivedMeasure, Field(discriminator="kind")]


class MeasuresDocument(_Model):
    """One or more measures of a data source."""

    version: Annotated[Literal[1], Field(description="The version of this format.")]
    kind: Annotated[Literal["measures"], Field(description="What this document defines.")]
    data_source: Annotated[Name, Field(description="The data source that they measure.")]
    measures: Annotated[list[MeasureModel], Field(min_length=1, description="The measures.")]


Document: TypeAlias = DataSourceDocument | MeasuresDocument


@cache
def document_adapter() -> TypeAdapter[Document]:
    return TypeAdapter(Annotated[Document, Field(discriminator="kind")])


@cache
def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a definitions file. Shared: don't change it."""
    schema = document_adapter().json_schema()
    reference = "#/$defs/Filter"
    for name in ("SimpleMeasure", "DistinctMeasure"):
        schema["$defs"][name]["properties"]["filter"]["anyOf"] = [{"$ref": reference}, {"type": "null"}]
    schema["$defs"]["Filter"] = filters.json_schema(reference)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A definitions file of Jangbu",
        "description": "One document a file: a data source, or measures of a data source.",
        **schema,
    }
