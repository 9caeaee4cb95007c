"""What the catalog tells the other contexts: frozen, checked definitions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from jangbu.kernel.filters import Node
from jangbu.kernel.types import FieldType, Frequency

if TYPE_CHECKING:
    from sqlglot import exp


@dataclass(frozen=True, slots=True)
class Text:
    """A text for people, in Korean and English."""

    ko: str
    en: str


class Cardinality(StrEnum):
    """How many related rows one row of the data source meets. `MANY` may multiply rows (fan-out)."""

    ONE = "one"
    MANY = "many"


class SeparationKind(StrEnum):
    COLUMN = "column"
    CONNECTION = "connection"
    SHARED = "shared"


@dataclass(frozen=True, slots=True)
class Separation:
    """How a binding keeps tenants apart: by a predicate on `column`, by a server of the tenant's own, or not at all (shared)."""

    kind: SeparationKind
    column: str | None = None


@dataclass(frozen=True, slots=True)
class Outside:
    """Rows that others write, read where they lie: Parquet files (`parquet`: a file, a folder or a glob), or an Iceberg table, by
    its `metadata` (a file, or the table's folder) or as the `table` (`namespace.name`) of a `catalog` (a lakehouse's folder, a
    SQLite file, a SQLAlchemy URI). Paths are absolute. They are looked at again after `check_every` seconds at the soonest."""

    parquet: str | None = None
    metadata: str | None = None
    catalog: str | None = None
    table: str | None = None
    check_every: int = 60

    def __repr__(self) -> str:
        """Without a catalog's password, and without paths."""
        return f"Outside({'parquet' if self.parquet else 'iceberg'}, check_every={self.check_every})"


@dataclass(frozen=True, slots=True)
class Binding:
    """Where the rows are: a lakehouse `table` (called as the data source where they are `outside`), asked through the `engine` of
    that name (None: the settings' default)."""

    table: str
    engine: str | None = None
    outside: Outside | None = None


class Function(StrEnum):
    """How a measure aggregates its argument."""

    SUM = "sum"
    COUNT = "count"
    COUNT_DISTINCT = "count_distinct"
    MIN = "min"
    MAX = "max"
    AVG = "avg"


class MeasureKind(StrEnum):
    SIMPLE = "simple"
    DISTINCT = "distinct"
    RATIO = "ratio"
    DERIVED = "derived"


class Additivity(StrEnum):
    """`ADDITIVE`: sums over every dimension. `SEMI`: not over time. `NONE`: never (ratios, distinct counts, min, max, avg)."""

    ADDITIVE = "additive"
    SEMI = "semi"
    NONE = "none"


class Expression:
    """A row formula: parsed at its first use (500 formulas parse in 126 ms), then kept.

    `tree` uses only our typed functions as SQLGlot's standard nodes. A column of the data source is `exp.Column(this=name)`; one of
    a relation `exp.Column(this=name, table=relation)`. Functions of the local wall clock (`hour_of_day`, `weekday`, `day_of_month`,
    `month_of_year`) are `exp.Anonymous` nodes, which the query layer fills in for the request's zone. Trees are shared: copy before
    changing one.
    """

    def __init__(self, text: str, parse: "ParseFormula") -> None:
        self.text = text
        self._parse = parse

    @cached_property
    def tree(self) -> "exp.Expr":
        return self._parsed[0]

    @cached_property
    def type(self) -> FieldType:
        return self._parsed[1]

    @cached_property
    def relations(self) -> frozenset[str]:
        """The relations whose columns it reads."""
        from sqlglot import exp

        return frozenset(column.table for column in self.tree.find_all(exp.Column) if column.table)

    @cached_property
    def columns(self) -> frozenset[tuple[str, str]]:
        """The (relation or '', column) pairs it reads."""
        from sqlglot import exp

        return frozenset((column.table, column.name) for column in self.tree.find_all(exp.Column))

    @cached_property
    def _parsed(self) -> "tuple[exp.Expr, FieldType]":
        return self._parse(self.text)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"


if TYPE_CHECKING:
    from collections.abc import Callable

    ParseFormula = Callable[[str], tuple[exp.Expr, FieldType]]


@dataclass(frozen=True, slots=True)
class Column:
    """A physical column of a data source's table. Identifiers are text, whatever the source stores. `renamed_from` is how the table
    called it before."""

    name: str
    type: FieldType
    precision: int = 18
    scale: int = 4
    renamed_from: str | None = None


@dataclass(frozen=True, slots=True)
class Relation:
    """Another data source that rows of this one meet where `on`'s (own column, related column) pairs are equal."""

    name: str
    data_source: str
    on: tuple[tuple[str, str], ...]
    cardinality: Cardinality


@dataclass(frozen=True, slots=True)
class TimeField:
    """A time that the data source's rows carry. `grain` is the finest bucket it can answer (None: any); `zone` is the zone of a
    DATE or LOCAL column, None where it is the tenant's."""

    name: str
    column: str
    type: FieldType
    label: Text
    grain: Frequency | None = None
    zone: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Dimension:
    """`hierarchy` names the dimensions above this one, the coarsest first."""

    name: str
    data_source: str
    type: FieldType
    label: Text
    description: Text
    expression: Expression
    hierarchy: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Measure:
    """A number with a meaning.

    SIMPLE and DISTINCT have `function`, `argument` (None for count()) and perhaps `filter`, a condition on the data source's rows.
    RATIO has `numerator` and `denominator`, names of measures. DERIVED has `formula`, whose columns are names of measures (of other
    data sources as `table.name`) and `inputs`, those names. `time_field` is the measure's own default time.
    `unit` is e.g. `currency`, `count`, `percent`, `ms` or None; `format` one of `money`, `integer`, `decimal`, `percent`.
    `zero_when_empty`: 0, not null, over no rows (sums, counts, distinct counts and what is linear in them).
    """

    name: str
    data_source: str
    kind: MeasureKind
    label: Text
    description: Text
    unit: str | None
    format: str
    additivity: Additivity
    type: FieldType
    zero_when_empty: bool
    up_is_good: bool | None = None
    time_field: str | None = None
    function: Function | None = None
    argument: Expression | None = None
    filter: Node | None = None
    numerator: str | None = None
    denominator: str | None = None
    formula: Expression | None = None
    inputs: tuple[str, ...] = ()
    check_query: str | None = None


@dataclass(frozen=True, slots=True)
class Currency:
    """The currency of a data source's money: a `column`, a `constant`, or (both None) the tenant's."""

    column: str | None = None
    constant: str | None = None


NULL_WORDS: Final = ("", "NULL", "null", "NA", "N/A", "n/a", "NaN", "nan", "None", "none", "-", "(not set)", "(null)")
"""What stands for a missing value in files, where nothing else is said."""


@dataclass(frozen=True, slots=True)
class ColumnReading:
    """How a column is read from a file. `source` is its name there (None: its own). `formats` are the ways its times are written,
    the first that fits counts: `iso`, `epoch_s`, `epoch_ms`, or a pattern such as `%d.%m.%Y %H:%M`. `decimal_sign` stands before a
    number's fraction. `nulls` are its words for a missing value (None: the reading's)."""

    source: str | None = None
    formats: tuple[str, ...] = ("iso",)
    decimal_sign: str = "."
    nulls: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """How a data source's files are read. `format` is a file format's name, `encoding` and `delimiter` are a text file's, `sheet`
    a workbook's (None: found out from each file). `zone` is the IANA zone of times without an offset (None: the tenant's).
    `columns` holds those that are read in another way than `ColumnReading()`; `keys` are what tells one row from another."""

    format: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None
    zone: str | None = None
    nulls: tuple[str, ...] = NULL_WORDS
    columns: Mapping[str, ColumnReading] = field(default_factory=lambda: MappingProxyType({}))
    keys: tuple[str, ...] = ()

    def column(self, name: str) -> ColumnReading:
        return self.columns.get(name, _PLAIN)

    def nulls_of(self, name: str) -> tuple[str, ...]:
        own = self.column(name).nulls
        return self.nulls if own is None else own


_PLAIN: Final = ColumnReading()


@dataclass(frozen=True, slots=True)
class Personal:
    """An identity of a person: the `column` that identifies them, and those that `also` describe them."""

    column: str
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class DataSource:
    name: str
    label: Text
    description: Text
    binding: Binding
    separation: Separation
    columns: Mapping[str, Column]
    time_fields: Mapping[str, TimeField]
    default_time_field: str | None
    currency: Currency
    relations: Mapping[str, Relation]
    dimensions: Mapping[str, Dimension]
    measures: Mapping[str, Measure]
    reading: Reading = Reading()
    dropped_columns: tuple[str, ...] = ()
    personal: Mapping[str, Personal] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, eq=False)
class Catalog:
    """Every data source that a tenant can ask, its own layer included. Compare by identity: the same object, the same catalog."""

    data_sources: Mapping[str, DataSource]
