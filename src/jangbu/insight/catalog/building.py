"""From checked documents to the catalog's contracts. Measures and dimensions are built at their first use, formulas parsed then."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from jangbu.insight.catalog import formulas
from jangbu.insight.catalog.contracts import (
    NULL_WORDS,
    Additivity,
    Catalog,
    Column,
    ColumnReading,
    Currency,
    DataSource,
    Dimension,
    Expression,
    Function,
    Measure,
    MeasureKind,
    Personal,
    Reading,
    Relation,
    Separation,
    Text,
    TimeField,
)
from jangbu.insight.catalog.documents import Origin
from jangbu.insight.catalog.lazily import LazyMapping
from jangbu.insight.catalog.loader import AnyMeasure, Definitions, Located
from jangbu.insight.catalog.outside import binding_of
from jangbu.insight.catalog.schemas import (
    ColumnModel,
    ColumnReadingModel,
    DataSourceDocument,
    DerivedMeasure,
    DimensionModel,
    DistinctMeasure,
    RatioMeasure,
    ReadingModel,
    SimpleMeasure,
    TextModel,
    TimeFieldModel,
)
from jangbu.kernel import filters
from jangbu.kernel.errors import CatalogError, JangbuError
from jangbu.kernel.types import FieldType, Frequency

if TYPE_CHECKING:
    from sqlglot import exp

    from jangbu.insight.catalog.functions import Typed

_MONEY_SCALE: Final = 4
_STRENGTH: Final = (Additivity.NONE, Additivity.SEMI, Additivity.ADDITIVE)


def build(definitions: Definitions) -> Catalog:
    """The catalog. Building is cheap; a mistake in a formula is a CatalogError when the measure or dimension is first used."""
    return _Builder(definitions).catalog


class _Builder:
    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self.measures_of: dict[str, dict[str, Located[AnyMeasure]]] = {name: {} for name in definitions.data_sources}
        for (source, name), measure in definitions.measures.items():
            self.measures_of.setdefault(source, {})[name] = measure
        self.catalog = Catalog({name: self._data_source(found) for name, found in definitions.data_sources.items()})

    def _data_source(self, found: Located[DataSourceDocument]) -> DataSource:
        document, name = found.value, found.value.name
        times = {key: _time_field(key, field, document) for key, field in document.time_fields.items()}
        return DataSource(
            name=name,
            label=text(document.label),
            description=text(document.description),
            binding=binding_of(found),
            separation=Separation(document.separation.kind, document.separation.column),
            columns={key: _own_column(key, column) for key, column in document.columns.items()},
            dropped_columns=tuple(document.dropped_columns),
            time_fields=times,
            default_time_field=document.default_time_field or next(iter(times), None),
            currency=Currency(document.currency.column, document.currency.constant) if document.currency else Currency(),
            relations={
                key: Relation(key, relation.data_source, tuple(relation.on.items()), relation.cardinality)
                for key, relation in document.relations.items()
            },
            dimensions=LazyMapping(document.dimensions, lambda key: self._dimension(found, key)),
            measures=LazyMapping(self.measures_of[name], lambda key: self._measure(name, key)),
            reading=_reading(document.reading) if document.reading else Reading(),
            personal={key: Personal(each.column, tuple(each.also)) for key, each in document.personal.items()},
        )

    def _dimension(self, found: Located[DataSourceDocument], name: str) -> Dimension:
        model, origin = found.value.dimensions[name], found.origin.below("dimensions", name)
        expression = self._expression(found, model.formula or model.column or "", origin.below(_form(model)))
        kind = expression.type if model.formula else resolve_column(self.definitions, found.value, model.column or "").type
        if model.type is not None and model.type is not kind:
            raise origin.below("type").error(f"{name!r} is declared {model.type}, but is {kind}.", value=model.type, known=[kind])
        return Dimension(
            name=name,
            data_source=found.value.name,
            type=kind,
            label=text(model.label),
            description=text(model.description),
            expression=expression,
            hierarchy=tuple(model.hierarchy),
        )

    def _expression(self, found: Located[DataSourceDocument], formula: str, origin: Origin) -> Expression:
        def resolve(relation: str, column: str) -> "Typed":
            known = resolve_column(self.definitions, found.value, f"{relation}.{column}" if relation else column)
            return _column(column, known.type, known.scale, relation)

        return _lazy_expression(formula, origin, lambda text: formulas.parse_row(text, resolve))

    def _measure(self, source: str, name: str) -> Measure:
        found = self.measures_of[source][name]
        match found.value:
            case RatioMeasure():
                return self._ratio(source, found.value)
            case DerivedMeasure():
                return self._derived(source, found.value, found.origin)
            case SimpleMeasure() | DistinctMeasure():
                return self._aggregate(source, found.value, found.origin)

    def _aggregate(self, source: str, model: SimpleMeasure | DistinctMeasure, origin: Origin) -> Measure:
        document = self.definitions.data_sources[source]
        place = origin.below("formula")
        function, written = split(model, origin)
        argument = self._expression(document, written, place) if written else None
        if argument and argument.type not in formulas.AGGREGATE_TYPES[function]:
            raise place.error(
                f"{function.value!r} takes numbers; {written!r} is {argument.type}.",
                value=model.formula,
                hint="Count its values with count or count_distinct.",
            )
        sums = function in (Function.SUM, Function.COUNT)
        return _make(
            model,
            source,
            kind=_result_type(function, argument),
            additivity=declared(model, Additivity.ADDITIVE if sums else Additivity.NONE, origin),
            zero=sums or function is Function.COUNT_DISTINCT,
            function=function,
            argument=argument,
            filter=self._filter(source, model, origin),
        )

    def _filter(self, source: str, model: SimpleMeasure | DistinctMeasure, origin: Origin) -> filters.Node | None:
        tree = parsed_filter(model, origin)
        for leaf in filters.leaves(tree) if tree else ():
            check_leaf(leaf, self.catalog.data_sources[source].dimensions[leaf.field].type, origin.below("filter"))
        return tree

    def _ratio(self, source: str, model: RatioMeasure) -> Measure:
        return _make(
            model,
            source,
            kind=FieldType.DOUBLE,
            additivity=Additivity.NONE,
            zero=False,
            numerator=_own(model.numerator, source),
            denominator=_own(model.denominator, source),
        )

    def _derived(self, source: str, model: DerivedMeasure, origin: Origin) -> Measure:
        def input_of(other: str, name: str) -> Measure:
            return self.catalog.data_sources[other or source].measures[name]

        def resolve(other: str, name: str) -> "Typed":
            return _column(name, input_of(other, name).type, _MONEY_SCALE, "" if other == source else other)

        formula = _lazy_expression(model.formula, origin.below("formula"), lambda text: formulas.parse_derived(text, resolve))
        additive = formulas.is_linear(formula.tree, lambda *key: input_of(*key).additivity is Additivity.ADDITIVE)
        return _make(
            model,
            source,
            kind=formula.type,
            additivity=declared(model, Additivity.ADDITIVE if additive else Additivity.NONE, origin),
            zero=formulas.is_linear(formula.tree, lambda *key: input_of(*key).zero_when_empty),
            formula=formula,
            inputs=tuple(dict.fromkeys(_own(name, source) for name in formulas.references(model.formula))),
        )


def resolve_column(definitions: Definitions, document: DataSourceDocument, path: str) -> Column:
    """The column at `column` or `relation.column`.

    Raises:
        CatalogError: there is no such relation or column; has no place yet.
    """
    relation, _, name = path.rpartition(".")
    if relation and relation not in document.relations:
        raise CatalogError(
            f"{document.name!r} has no relation {relation!r}.",
            value=relation,
            known=sorted(document.relations),
            hint=f"Known are: {', '.join(sorted(document.relations)) or 'none'}.",
        )
    owner = definitions.data_sources[document.relations[relation].data_source].value if relation else document
    if name not in owner.columns:
        raise CatalogError(
            f"{owner.name!r} has no column {name!r}.",
            value=name,
            known=sorted(owner.columns),
            hint=f"Known are: {', '.join(sorted(owner.columns))}.",
        )
    return _own_column(name, owner.columns[name])


def _own_column(name: str, model: ColumnModel) -> Column:
    return Column(name, model.type, model.precision, model.scale, model.renamed_from)


def split(model: SimpleMeasure | DistinctMeasure, origin: Origin) -> tuple[Function, str | None]:
    """The measure's aggregate and its argument's text.

    Raises:
        CatalogError: it isn't an aggregate, or one of the other kind.
    """
    try:
        function, argument = formulas.split_aggregate(model.formula)
    except CatalogError as error:
        raise origin.below("formula").locate(error) from None
    distinct = isinstance(model, DistinctMeasure)
    if distinct != (function is Function.COUNT_DISTINCT):
        right = "simple" if distinct else "distinct"
        raise origin.below("kind").error(
            f"A measure of kind {model.kind} can't be {function.value}(…).",
            value=model.kind,
            known=[right],
            hint=f"Its kind is {right}.",
        )
    return function, argument


def parsed_filter(model: SimpleMeasure | DistinctMeasure, origin: Origin) -> filters.Node | None:
    """The measure's filter.

    Raises:
        CatalogError: it isn't a filter tree.
    """
    if model.filter is None:
        return None
    try:
        return filters.parse(model.filter, "")
    except JangbuError as error:
        keys = [int(key) if key.isdigit() else key for key in (error.path or "").split("/")[1:]]
        place = origin.below("filter", *keys)
        raise place.error(error.detail, value=error.value, known=error.known, hint=error.hint) from error


def check_leaf(leaf: filters.Leaf, kind: FieldType, origin: Origin) -> None:
    """Raises CatalogError where the operator or a value doesn't suit a dimension of this type."""
    if kind not in leaf.op.types:
        known = sorted(name for name, operator in filters.OPERATORS.items() if kind in operator.types)
        raise origin.error(f"{leaf.op.name!r} can't be asked of {leaf.field!r}, which is {kind}.", value=leaf.op.name, known=known)
    wanted: dict[FieldType, tuple[type, ...]] = {FieldType.BOOLEAN: (bool,), FieldType.TEXT: (str,)}
    for value in leaf.values:
        plain = isinstance(value, str) if kind.is_time else not isinstance(value, str | bool)
        if not (isinstance(value, wanted[kind]) if kind in wanted else plain):
            raise origin.error(f"{value!r} can't be a value of {leaf.field!r}, which is {kind}.", value=value)


def declared(model: AnyMeasure, inferred: Additivity, origin: Origin) -> Additivity:
    """The declared additivity, which may be weaker than the formula's, not stronger.

    Raises:
        CatalogError: it is stronger.
    """
    if model.additivity is None:
        return inferred
    if _STRENGTH.index(model.additivity) > _STRENGTH.index(inferred):
        raise origin.below("additivity").error(
            f"{model.name!r} is declared {model.additivity}, but its formula is {inferred}.",
            value=model.additivity,
            known=[inferred],
            hint="Leave 'additivity' out to have it inferred.",
        )
    return model.additivity


def text(model: TextModel) -> Text:
    return Text(model.ko, model.en)


def _own(path: str, source: str) -> str:
    """A measure's path as seen from `source`: bare where it is its own."""
    return path.removeprefix(f"{source}.")


def _form(model: DimensionModel) -> str:
    return "formula" if model.formula else "column"


def _column(name: str, kind: FieldType, scale: int, table: str = "") -> "Typed":
    from sqlglot import exp

    from jangbu.insight.catalog.functions import Typed

    parts = {"table": exp.to_identifier(table, quoted=True)} if table else {}
    return Typed(exp.Column(this=exp.to_identifier(name, quoted=True), **parts), kind, scale if kind is FieldType.DECIMAL else 0)


def _lazy_expression(formula: str, origin: Origin, parse: "Callable[[str], tuple[exp.Expr, FieldType]]") -> Expression:
    def located(text: str) -> "tuple[exp.Expr, FieldType]":
        try:
            return parse(text)
        except CatalogError as error:
            raise origin.locate(error) from error.__cause__

    return Expression(formula, located)


def _time_field(name: str, field: TimeFieldModel, document: DataSourceDocument) -> TimeField:
    kind = document.columns[field.column].type
    grain = field.grain or (Frequency.DAY if kind is FieldType.DATE else None)
    return TimeField(name, field.column, kind, text(field.label), grain, field.zone)


def _reading(model: ReadingModel) -> Reading:
    return Reading(
        format=model.format,
        encoding=model.encoding,
        delimiter=model.delimiter,
        sheet=model.sheet,
        zone=model.zone,
        nulls=NULL_WORDS if model.nulls is None else tuple(model.nulls),
        columns={name: _column_reading(column) for name, column in model.columns.items()},
        keys=tuple(model.keys),
    )


def _column_reading(model: ColumnReadingModel) -> ColumnReading:
    formats = (model.format,) if isinstance(model.format, str) else tuple(model.format or ("iso",))
    nulls = None if model.nulls is None else tuple(model.nulls)
    return ColumnReading(model.source, formats, model.decimal_sign, nulls)


def _result_type(function: Function, argument: Expression | None) -> FieldType:
    match function:
        case Function.COUNT | Function.COUNT_DISTINCT:
            return FieldType.INTEGER
        case Function.AVG:
            return FieldType.DOUBLE
        case _:
            return argument.type if argument else FieldType.INTEGER


def _make(
    model: AnyMeasure,
    source: str,
    *,
    kind: FieldType,
    additivity: Additivity,
    zero: bool,
    **rest: Any,
) -> Measure:
    return Measure(
        name=model.name,
        data_source=source,
        kind=MeasureKind(model.kind),
        label=text(model.label),
        description=text(model.description),
        unit=model.unit,
        format=model.format,
        additivity=additivity,
        type=kind,
        zero_when_empty=zero,
        up_is_good=model.up_is_good,
        time_field=model.time_field,
        check_query=model.check_query,
        **rest,
    )
