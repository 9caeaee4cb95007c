"""The question and the answer: the wire's terms as types (docs/reference/query.md has their exact meaning)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

from jangbu.insight.catalog.contracts import Text
from jangbu.kernel.filters import Node
from jangbu.kernel.filters import parse as parse_filter
from jangbu.kernel.types import FieldType, Frequency

if TYPE_CHECKING:
    import pyarrow as pa

DEFAULT_LIMIT, MAX_LIMIT = 10_000, 1_000_000

Filter = Annotated[Node, PlainValidator(parse_filter), WithJsonSchema({"title": "Filter", "type": "object"})]
"""Pydantic can't refer to a schema that isn't its own, so OpenAPI puts `kernel.filters.json_schema` in this one's place."""


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class CompareRange(_Wire):
    range: str | list[str]


class TimeRequest(_Wire):
    range: str | list[str] | None = None
    zone: str | None = None
    field: str | None = None
    compare: Literal["previous_period", "previous_year", "previous_year_by_weekday"] | CompareRange | None = None
    fill: bool = False


class OrderKey(_Wire):
    field: str
    direction: Literal["asc", "desc"] = "asc"


class AnalysisRequest(BaseModel):
    """`kind` and that kind's own parameters, which its plug-in checks."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    kind: str = "plain"


class QueryRequest(_Wire):
    data_source: str | Annotated[list[str], Field(min_length=1, max_length=20)]
    measures: Annotated[list[str], Field(min_length=1, max_length=100)]
    dimensions: Annotated[list[str], Field(max_length=20)] = []
    filter: Filter | None = None
    time: TimeRequest | None = None
    time_frequency: Annotated[Frequency, Field(strict=False)] | None = None
    analysis: AnalysisRequest = AnalysisRequest()
    totals: bool = False
    order: Annotated[list[OrderKey], Field(max_length=20)] = []
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT
    offset: Annotated[int, Field(ge=0, le=2**53)] = 0
    tenants: Annotated[list[str], Field(min_length=1)] | None = None
    currency: str | None = None


class Role(StrEnum):
    TIME = "time"
    DIMENSION = "dimension"
    MEASURE = "measure"
    COMPARE = "compare"
    CHANGE = "change"
    ANALYSIS = "analysis"


@dataclass(frozen=True, slots=True)
class AnswerColumn:
    """`of` is the measure that a compare, change or analysis column belongs to."""

    name: str
    type: FieldType
    role: Role
    unit: str | None = None
    format: str | None = None
    label: Text | None = None
    of: str | None = None


@dataclass(frozen=True, slots=True)
class LegReport:
    """One query that was sent to a server. `ms` is its wall time; `cache` is `none` where no cache stood in the way."""

    data_source: str
    server: str
    rows: int
    ms: float
    cache: str = "none"
    purpose: str = "current"


@dataclass(frozen=True, slots=True)
class Meta:
    """`as_of` and `data_versions` are by data source; a version is a number, or one a tenant where several are asked. `now` is only
    there where the tenant's clock is pinned. `range` and `compare_range` are resolved, in ISO 8601. `outside` is there for data
    sources that others write: when they were last looked at, and after how many seconds they will be again."""

    query_id: str
    zone: str
    as_of: Mapping[str, datetime | None]
    data_versions: Mapping[str, int | Mapping[str, int]]
    legs: tuple[LegReport, ...]
    truncated: bool
    warnings: tuple[str, ...] = ()
    now: datetime | None = None
    range: tuple[str, str] | None = None
    compare_range: tuple[str, str] | None = None
    cuts: Mapping[str, float | None] | None = None
    outside: Mapping[str, tuple[datetime, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """`table` has one Arrow column for each of `columns`, in order: text as string, INTEGER int64, DECIMAL decimal128, DOUBLE
    float64 (never NaN or infinite), DATE date32, INSTANT timestamp[us, tz=the request's zone], LOCAL timestamp[us].
    `totals` is a table of one row with the same columns, or None."""

    columns: tuple[AnswerColumn, ...]
    table: "pa.Table"
    totals: "pa.Table | None"
    meta: Meta


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a request would be answered; nothing was run. `plan` is an indented tree, `filter` the condition in words, `sql` each
    leg's text by its purpose."""

    plan: str
    filter: str | None
    range: tuple[str, str] | None
    compare_range: tuple[str, str] | None
    legs: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class ValuesPage:
    """Values of a dimension in code point order; `next_offset` is None on the last page."""

    data_source: str
    dimension: str
    values: tuple[Any, ...]
    next_offset: int | None
