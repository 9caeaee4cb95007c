"""What must hold between definitions, before any formula is parsed: plain functions in an ordered tuple, each yielding findings."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from difflib import get_close_matches
from functools import lru_cache
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from jangbu.insight.catalog import formulas
from jangbu.insight.catalog.building import parsed_filter, resolve_column, split
from jangbu.insight.catalog.contracts import SeparationKind
from jangbu.insight.catalog.documents import Origin
from jangbu.insight.catalog.loader import AnyMeasure, Definitions, Located, MeasureKey
from jangbu.insight.catalog.outside import binding_mistakes
from jangbu.insight.catalog.schemas import DataSourceDocument, DerivedMeasure, RatioMeasure
from jangbu.kernel import filters
from jangbu.kernel.errors import CatalogError
from jangbu.kernel.types import FieldType

RESERVED: Final = frozenset({"time", "tenant"})
RESERVED_ENDINGS: Final = ("_compare", "_change")

Subject: TypeAlias = tuple[str, ...]
"""What a finding is about: (data source,), (data source, "dimension", name) or (data source, "measure", name)."""
Finding: TypeAlias = tuple[Subject, CatalogError]
Source: TypeAlias = Located[DataSourceDocument]


def findings(definitions: Definitions) -> Iterator[Finding]:
    """Every mistake that can be seen without parsing a formula."""
    for source in definitions.data_sources.values():
        for check in _SOURCE_CHECKS:
            yield from check(definitions, source)
    for key, measure in definitions.measures.items():
        yield from _check_measure(definitions, key, measure)
    yield from _check_cycles(definitions)


def sound(definitions: Definitions, found: Iterable[Finding]) -> Definitions:
    """The definitions that stand without what `found` is about and without what needs it, so that the rest can be built."""
    broken = {subject for subject, _ in found}
    sources = {name: source for name, source in definitions.data_sources.items() if (name,) not in broken}
    while lost := [
        name for name, source in sources.items() if any(r.data_source not in sources for r in source.value.relations.values())
    ]:
        sources = {name: source for name, source in sources.items() if name not in lost}
    for name, source in sources.items():
        kept = {key: value for key, value in source.value.dimensions.items() if (name, "dimension", key) not in broken}
        sources[name] = replace(source, value=source.value.model_copy(update={"dimensions": kept}))
    measures = {
        key: found for key, found in definitions.measures.items() if key[0] in sources and (key[0], "measure", key[1]) not in broken
    }
    while dead := [key for key, measure in measures.items() if not _stands(sources, measures, key, measure.value)]:
        measures = {key: measure for key, measure in measures.items() if key not in dead}
    return Definitions(sources, measures)


def _stands(
    sources: dict[str, Source], measures: dict[MeasureKey, Located[AnyMeasure]], key: MeasureKey, model: AnyMeasure
) -> bool:
    if isinstance(model, RatioMeasure | DerivedMeasure):
        return all(_key(path, key[0]) in measures for path in inputs_of(model))
    fields = filters.leaves(filters.parse(model.filter, "")) if model.filter else ()
    return all(leaf.field in sources[key[0]].value.dimensions for leaf in fields)


def inputs_of(model: AnyMeasure) -> tuple[str, ...]:
    """The measures that it is made of, as written."""
    if isinstance(model, RatioMeasure):
        return (model.numerator, model.denominator)
    return formulas.references(model.formula) if isinstance(model, DerivedMeasure) else ()


def _key(path: str, source: str) -> MeasureKey:
    owner, _, name = path.rpartition(".")
    return owner or source, name


def unknown(origin: Origin, what: str, name: str, known: Iterable[str]) -> CatalogError:
    """An error for a name that isn't there, at a place."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    hint = None if near else f"Known are: {', '.join(names[:20])}{'…' if len(names) > 20 else ''}." if names else "There are none."
    return origin.error(f"There is no {what} {name!r}.", value=name, known=names, hint=hint)


def _check_names(_: Definitions, source: Source) -> Iterator[Finding]:
    document, origin = source.value, source.origin
    if document.name in RESERVED:
        yield (document.name,), origin.below("name").error(f"{document.name!r} can't be a data source's name.", value=document.name)
    for name in document.dimensions:
        if name in RESERVED:
            yield (
                (document.name, "dimension", name),
                origin.below("dimensions", name).error(
                    f"{name!r} can't be a dimension's name: every data source has it.", value=name, hint="Choose another name."
                ),
            )


def _check_binding(_: Definitions, source: Source) -> Iterator[Finding]:
    for mistake in binding_mistakes(source):
        yield (source.value.name,), mistake


def _check_separation(_: Definitions, source: Source) -> Iterator[Finding]:
    document, origin = source.value, source.origin.below("separation")
    separation, subject = document.separation, (document.name,)
    by_column = separation.kind is SeparationKind.COLUMN
    if by_column and separation.column is None:
        yield subject, origin.error("Separation by column names no column.", hint="Add 'column', e.g. column: tenant.")
    elif not by_column and separation.column is not None:
        yield subject, origin.below("column").error(f"Separation of kind {separation.kind} has no column.", value=separation.column)
    elif separation.column is not None:
        yield from _must_be(source, separation.column, FieldType.TEXT, origin.below("column"))


def _check_currency(_: Definitions, source: Source) -> Iterator[Finding]:
    currency, origin = source.value.currency, source.origin.below("currency")
    if currency is None:
        return
    if (currency.column is None) == (currency.constant is None):
        yield (source.value.name,), origin.error("A currency is a column or a constant, one of them.")
    elif currency.column is not None:
        yield from _must_be(source, currency.column, FieldType.TEXT, origin.below("column"))


def _must_be(source: Source, column: str, kind: FieldType, origin: Origin) -> Iterator[Finding]:
    columns, subject = source.value.columns, (source.value.name,)
    if column not in columns:
        yield subject, unknown(origin, f"column of {source.value.name!r} named", column, columns)
    elif columns[column].type is not kind:
        yield subject, origin.error(f"The column {column!r} is {columns[column].type}; {kind} is needed here.", value=column)


def _check_time_fields(_: Definitions, source: Source) -> Iterator[Finding]:
    document, origin, subject = source.value, source.origin, (source.value.name,)
    for name, field in document.time_fields.items():
        place, column = origin.below("time_fields", name), document.columns.get(field.column)
        if column is None:
            yield subject, unknown(place.below("column"), f"column of {document.name!r} named", field.column, document.columns)
        elif not column.type.is_time:
            yield (
                subject,
                place.below("column").error(f"The column {field.column!r} is {column.type}, not a time.", value=field.column),
            )
        elif field.zone is not None and column.type is FieldType.INSTANT:
            yield subject, place.below("zone").error("An instant needs no zone.", value=field.zone, hint="Leave 'zone' out.")
        elif field.zone is not None and not _is_zone(field.zone):
            yield (
                subject,
                place.below("zone").error(f"There is no time zone {field.zone!r}.", value=field.zone, hint="e.g. Asia/Seoul."),
            )
    default = document.default_time_field
    if default is not None and default not in document.time_fields:
        yield subject, unknown(origin.below("default_time_field"), "time field", default, document.time_fields)
    if default is None and len(document.time_fields) > 1:
        yield subject, origin.below("time_fields").error("With several time fields one must be 'default_time_field'.")


@lru_cache(maxsize=256)
def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _check_relations(definitions: Definitions, source: Source) -> Iterator[Finding]:
    document, subject = source.value, (source.value.name,)
    for name, relation in document.relations.items():
        origin = source.origin.below("relations", name)
        if relation.data_source not in definitions.data_sources:
            error = unknown(origin.below("data_source"), "data source", relation.data_source, definitions.data_sources)
            yield from _unless_unread(definitions, relation.data_source, subject, error)
            continue
        other = definitions.data_sources[relation.data_source].value
        for own, related in relation.on.items():
            place = origin.below("on", own)
            missing = next(((name, o) for name, o in ((own, document), (related, other)) if name not in o.columns), None)
            if missing:
                yield subject, unknown(place, f"column of {missing[1].name!r} named", missing[0], missing[1].columns)
            elif document.columns[own].type is not other.columns[related].type:
                types = f"{document.columns[own].type} and {other.columns[related].type}"
                yield subject, place.error(f"{own!r} and {related!r} have different types: {types}.", value=related)


def _unless_unread(definitions: Definitions, name: str, subject: Subject, error: CatalogError) -> Iterator[Finding]:
    """The finding; where `name` is in a file with a mistake of its own, one that only keeps the subject from being built."""
    yield subject, SilentError(error) if name in definitions.unread else error


class SilentError(CatalogError):
    """The consequence of a mistake that is told elsewhere."""

    def __init__(self, error: CatalogError) -> None:
        super().__init__(error.detail, file=error.file, line=error.line, value=error.value, known=error.known, hint=error.hint)


def _check_dimensions(definitions: Definitions, source: Source) -> Iterator[Finding]:
    document = source.value
    for name, model in document.dimensions.items():
        origin, subject = source.origin.below("dimensions", name), (document.name, "dimension", name)
        if (model.column is None) == (model.formula is None):
            yield subject, origin.error(f"The dimension {name!r} is a column or a formula, one of them.", value=name)
        elif model.column is not None:
            yield from _check_path(definitions, source, model.column, subject, origin.below("column"))
        for above in model.hierarchy:
            if above not in document.dimensions:
                yield subject, unknown(origin.below("hierarchy"), "dimension", above, document.dimensions)
            elif above == name or name in document.dimensions[above].hierarchy:
                yield subject, origin.below("hierarchy").error(f"{above!r} can't be above {name!r}: it is below it.", value=above)


def _check_path(definitions: Definitions, source: Source, path: str, subject: Subject, origin: Origin) -> Iterator[Finding]:
    relation = source.value.relations.get(path.rpartition(".")[0])
    if relation is not None and relation.data_source not in definitions.data_sources:
        return  # told where the relation is
    try:
        resolve_column(definitions, source.value, path)
    except CatalogError as error:
        yield subject, origin.locate(error)


def _check_personal(_: Definitions, source: Source) -> Iterator[Finding]:
    """Only rows of tenants are a person's; the identifier is told by its text."""
    document, origin, subject = source.value, source.origin.below("personal"), (source.value.name,)
    if document.personal and document.separation.kind is not SeparationKind.COLUMN:
        yield subject, origin.error("Rows of persons are kept apart by a column.", value=document.separation.kind.value)
    for name, personal in document.personal.items():
        here = origin.below(name)
        for column in (personal.column, *personal.also):
            if column not in document.columns:
                yield subject, unknown(here, "column", column, document.columns)
            elif column in {document.separation.column, *(field.column for field in document.time_fields.values())}:
                yield subject, here.error(f"{column!r} tells tenants or times apart; it can't be taken away.", value=column)
        kind = document.columns[personal.column].type if personal.column in document.columns else FieldType.TEXT
        if kind not in (FieldType.TEXT, FieldType.INTEGER):
            yield subject, here.below("column").error(f"An identifier is text or an integer; {personal.column!r} is {kind}.")


_SOURCE_CHECKS: Final[tuple[Callable[[Definitions, Source], Iterator[Finding]], ...]] = (
    _check_names,
    _check_binding,
    _check_separation,
    _check_currency,
    _check_time_fields,
    _check_relations,
    _check_dimensions,
    _check_personal,
)


def _check_measure(definitions: Definitions, key: MeasureKey, found: Located[AnyMeasure]) -> Iterator[Finding]:
    (owner, name), origin = key, found.origin
    subject = (owner, "measure", name)
    if owner not in definitions.data_sources:
        error = unknown(Origin(origin.file, ("data_source",)), "data source", owner, definitions.data_sources)
        yield from _unless_unread(definitions, owner, subject, error)
        return
    document = definitions.data_sources[owner].value
    yield from ((subject, error) for error in _name_mistakes(document, name, origin.below("name")))
    if found.value.time_field is not None and found.value.time_field not in document.time_fields:
        yield subject, unknown(origin.below("time_field"), "time field", found.value.time_field, document.time_fields)
    if isinstance(found.value, RatioMeasure | DerivedMeasure):
        yield from _check_inputs(definitions, key, found.value, origin)
        return
    try:
        split(found.value, origin)
        tree = parsed_filter(found.value, origin)
    except CatalogError as error:
        yield subject, error
        return
    for leaf in filters.leaves(tree) if tree else ():
        if leaf.field not in document.dimensions:
            yield subject, unknown(origin.below("filter"), f"dimension of {owner!r} named", leaf.field, document.dimensions)


def _name_mistakes(document: DataSourceDocument, name: str, origin: Origin) -> Iterator[CatalogError]:
    if name in RESERVED:
        yield origin.error(f"{name!r} can't be a measure's name.", value=name, hint="Choose another name.")
    if name.endswith(RESERVED_ENDINGS):
        yield origin.error(
            f"{name!r} can't be a measure's name: a comparison's columns end so.", value=name, hint="Choose another ending."
        )
    for kind, names in (("dimension", document.dimensions), ("time field", document.time_fields)):
        if name in names:
            yield origin.error(f"{document.name!r} has a {kind} {name!r} too.", value=name, hint="Give the measure another name.")


def _check_inputs(
    definitions: Definitions, key: MeasureKey, model: RatioMeasure | DerivedMeasure, origin: Origin
) -> Iterator[Finding]:
    fields = ("numerator", "denominator") if isinstance(model, RatioMeasure) else ()
    for index, path in enumerate(inputs_of(model)):
        owner, name = _key(path, key[0])
        if (owner, name) in definitions.measures:
            continue
        place = origin.below(fields[index] if fields else "formula")
        if owner != key[0] and owner not in definitions.data_sources:
            error, missing = unknown(place, "data source", owner, definitions.data_sources), owner
        else:
            known = [other for source, other in definitions.measures if source == owner]
            error, missing = unknown(place, f"measure of {owner!r} named", name, known), name
        yield from _unless_unread(definitions, missing, (key[0], "measure", key[1]), error)


def _check_cycles(definitions: Definitions) -> Iterator[Finding]:
    done: set[MeasureKey] = set()
    for start in definitions.measures:
        trail: dict[MeasureKey, None] = {}
        pending: list[tuple[MeasureKey, bool]] = [(start, True)]
        while pending:
            key, entering = pending.pop()
            if not entering:
                trail.pop(key)
                done.add(key)
                continue
            if key in trail:
                yield _cycle(definitions, [*list(trail)[list(trail).index(key) :], key])
                done.update(trail)
                break
            if key in done or key not in definitions.measures:
                continue
            trail[key] = None
            pending.append((key, False))
            pending.extend((_key(path, key[0]), True) for path in inputs_of(definitions.measures[key].value))


def _cycle(definitions: Definitions, keys: list[MeasureKey]) -> Finding:
    found = definitions.measures[keys[0]]
    words = " → ".join(f"{source}.{name}" for source, name in keys)
    place = found.origin.below("numerator" if isinstance(found.value, RatioMeasure) else "formula")
    subject = (keys[0][0], "measure", keys[0][1])
    return subject, place.error(f"The measure {keys[0][1]!r} is made of itself: {words}.", value=keys[0][1])
