"""The gateway: a request becomes a question. Nothing later looks at a name, a zone's spelling or a clock again."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from jangbu.insight.access.contracts import Tenant
from jangbu.insight.catalog.contracts import Additivity, Catalog, DataSource, Measure, MeasureKind, TimeField
from jangbu.insight.dashboards.contracts import CompareRange, QueryRequest, TimeRequest
from jangbu.insight.dashboards.dashboard_layer import conditions, money
from jangbu.insight.dashboards.dashboard_layer.conditions import Binder
from jangbu.insight.dashboards.dashboard_layer.names import Names, time_field, type_of
from jangbu.insight.dashboards.dashboard_layer.question import AskedDimension, AskedMeasure, OrderBy, Question, Timing
from jangbu.insight.dashboards.dashboard_layer.ranges import Range, checked_zone, compared, resolve
from jangbu.insight.dashboards.query_layer.leg import TIME
from jangbu.insight.dashboards.query_layer.measures import components_of
from jangbu.kernel.errors import InvalidRequest, InvalidTime, Unsupported, unknown_name
from jangbu.kernel.types import FieldType, Frequency

_ORDER = list(Frequency)


def question_of(request: QueryRequest, catalog: Catalog, tenants: Sequence[Tenant], extra_columns: Sequence[str] = ()) -> Question:
    """The question of a request for `tenants`; `extra_columns` are the analysis' own, which `order` may name.

    Raises:
        InvalidRequest: a name, type, time or combination that can't be answered; with its JSON Pointer.
    """
    names = Names.of(catalog, request.data_source)
    timing = _timing(request, tenants)
    measures = [
        AskedMeasure(name, names.measure(name, f"/measures/{index}"))
        for index, name in enumerate(_distinct(request.measures, "measures"))
    ]
    used = _sources(measures, names) or tuple(names.sources)
    dimensions = _dimensions(request, names, used)
    binder = Binder(names, timing.now, timing.zone)
    before, after = conditions.split(request.filter, binder)
    having = conditions.having(after, measures, dimensions, binder)
    _check_columns(request, extra_columns)
    order = _order(request, names, measures, dimensions, extra_columns)
    used = _sources(measures, names) or used
    if len(used) > 1:
        dimensions = _dimensions(request, names, used)
    bound = conditions.wheres(before, used, binder)
    needed = _all_measures(measures, names)
    _refuse_semi_additive(needed)
    bound = {
        source: money.in_currency(catalog.data_sources[source], needed, request.currency, *found) for source, found in bound.items()
    }
    bindings = {source: dict(leaves) for source, (_, leaves) in bound.items()}
    for source in used:
        own = [measure for measure in needed if measure.data_source == source]
        conditions.measure_filters(catalog.data_sources[source], own, bindings[source], names, timing.now, timing.zone)
    return Question(
        sources={source: catalog.data_sources[source] for source in used},
        tenants=tuple(tenant.id for tenant in tenants),
        currency=money.currency_of(request, tenants, needed, catalog),
        measures=tuple(measures),
        dimensions=dimensions,
        wheres={source: node for source, (node, _) in bound.items()},
        bindings=bindings,
        having=having,
        timing=timing,
        time_fields=_time_fields(request, needed, catalog, timing, tenants),
        order=order,
        limit=request.limit,
        offset=request.offset,
        filter=request.filter,
    )


def _distinct(names: list[str], what: str) -> list[str]:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise InvalidRequest(f"{name!r} is asked twice.", path=f"/{what}/{index}", value=name)
    return names


def _check_columns(request: QueryRequest, extra_columns: Sequence[str]) -> None:
    """An answer has no two columns of one name."""
    for place, taken in (("dimensions", {*request.measures, *extra_columns}), ("measures", set(extra_columns))):
        for index, name in enumerate(getattr(request, place)):
            if name in taken:
                raise InvalidRequest(
                    f"The answer would have two columns {name!r}.",
                    path=f"/{place}/{index}",
                    value=name,
                    hint="Write it with its data source, such as sales.revenue.",
                )


def _refuse_semi_additive(needed: list[Measure]) -> None:
    """A sum over time of what doesn't add over time (a stock, a balance) would be a wrong number, so there is none."""
    for measure in needed:
        if measure.additivity is Additivity.SEMI:
            raise Unsupported(
                f"{measure.name!r} doesn't add over time, and the value at a period's end can't be asked yet.",
                path="/measures",
                value=measure.name,
                hint="Ask a measure of its min, max or avg.",
            )


def _all_measures(measures: list[AskedMeasure], names: Names) -> list[Measure]:
    """Those asked and, below ratios and derived ones, those they are made of."""
    found: dict[Measure, None] = {}
    pending = [asked.measure for asked in measures]
    while pending:
        measure = pending.pop()
        found[measure] = None
        inputs = [name for name in (measure.numerator, measure.denominator, *measure.inputs) if name]
        pending.extend(names.measure_of(measure.data_source, name) for name in inputs)
    return list(found)


def _sources(measures: list[AskedMeasure], names: Names) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(simple.data_source for asked in measures for simple, _ in components_of(asked.measure, names.measure_of))
    )


def _dimensions(request: QueryRequest, names: Names, used: tuple[str, ...]) -> tuple[AskedDimension, ...]:
    found = []
    for index, name in enumerate(_distinct(request.dimensions, "dimensions")):
        by_source = names.dimension(name, used, f"/dimensions/{index}")
        found.append(AskedDimension(name, type_of(next(iter(by_source.values()))), by_source))
    return tuple(found)


def _order(
    request: QueryRequest,
    names: Names,
    measures: list[AskedMeasure],
    dimensions: tuple[AskedDimension, ...],
    extra_columns: Sequence[str],
) -> tuple[OrderBy, ...]:
    shown = {asked.name for asked in measures if asked.shown}
    columns = {asked.name for asked in dimensions} | shown | set(extra_columns)
    if request.time_frequency is not None:
        columns.add(TIME)
    if request.time is not None and request.time.compare is not None:
        columns |= {f"{name}_{suffix}" for name in shown for suffix in ("compare", "change")}
    return tuple(
        OrderBy(_order_column(key.field, f"/order/{index}/field", columns, names, measures, dimensions), key.direction == "desc")
        for index, key in enumerate(request.order)
    )


def _order_column(
    name: str,
    path: str,
    columns: set[str],
    names: Names,
    measures: list[AskedMeasure],
    dimensions: tuple[AskedDimension, ...],
) -> str:
    if name in columns:
        return name
    try:
        targets = names.target(name, path)
    except InvalidRequest as error:
        raise unknown_name("column to order by", name, columns | {asked.name for asked in measures}, path=path) from error
    target = next(iter(targets.values()))
    grouped = [asked.name for asked in dimensions if target in asked.by_source.values()]
    if grouped:
        return grouped[0]
    if not isinstance(target, Measure):
        raise InvalidRequest(
            f"{name!r} isn't grouped by, so rows can't be ordered by it.", path=path, value=name, known=sorted(columns)
        )
    return measures[conditions.index_of(measures, target)].name


# Time


def _timing(request: QueryRequest, tenants: Sequence[Tenant]) -> Timing:
    time = request.time or TimeRequest()
    zone = checked_zone(time.zone, "/time/zone") if time.zone is not None else _agreed(tenants, "zone", "/time/zone")
    now = max(tenant.clock.now() for tenant in tenants)
    found = resolve(time.range, now, zone, "/time/range") if time.range is not None else None
    if time.fill and request.time_frequency is None:
        raise InvalidTime("'fill' needs a time_frequency: it gives every bucket a row.", path="/time/fill", value=True)
    return Timing(
        zone=zone,
        now=now,
        pinned=any(tenant.pinned_now is not None for tenant in tenants),
        range=found,
        compare_range=_compare_range(time, found, now, zone),
        frequency=request.time_frequency,
        fill=time.fill,
    )


def _compare_range(time: TimeRequest, found: Range | None, now: datetime, zone: str) -> Range | None:
    if time.compare is None:
        return None
    if found is None:
        raise InvalidTime("'compare' needs a range to compare with.", path="/time/compare", hint="Give `time.range`.")
    if isinstance(time.compare, CompareRange):
        return resolve(time.compare.range, now, zone, "/time/compare/range")
    return compared(found, time.compare, zone, "/time/compare")


def _agreed(tenants: Sequence[Tenant], what: str, path: str) -> str:
    values = {str(getattr(tenant, what)) for tenant in tenants}
    if len(values) > 1:
        raise InvalidRequest(
            f"The tenants' {what}s differ: {', '.join(sorted(values))}.",
            path=path,
            hint="Give one in the request, or ask fewer tenants.",
        )
    return next(iter(values))


def _time_fields(
    request: QueryRequest, needed: list[Measure], catalog: Catalog, timing: Timing, tenants: Sequence[Tenant]
) -> Mapping[tuple[str, str], TimeField | None]:
    """Each simple measure's time field, checked against what is asked of it."""
    asked = request.time.field if request.time is not None else None
    if asked is not None:
        _check_time_field(asked, [catalog.data_sources[name] for name in _names(request.data_source)])
    found: dict[tuple[str, str], TimeField | None] = {}
    is_timed = timing.range is not None or timing.frequency is not None
    for measure in needed:
        if measure.kind not in (MeasureKind.SIMPLE, MeasureKind.DISTINCT):
            continue
        source = catalog.data_sources[measure.data_source]
        chosen = time_field(source, measure, asked if _is_for(asked, source) else None)
        if is_timed and chosen is None:
            raise InvalidTime(f"{source.name!r} has no time field.", path="/time", value=source.name, hint="Leave the time out.")
        if is_timed and chosen is not None:
            _check_grain(chosen, timing, tenants)
        found[measure.data_source, measure.name] = chosen if is_timed else None
    return found


def _names(asked: str | list[str]) -> list[str]:
    return [asked] if isinstance(asked, str) else asked


def _check_time_field(asked: str, sources: Sequence[DataSource]) -> None:
    """A time field that names its data source has to be there, or it would be left out in silence."""
    if "." not in asked:
        return
    known = [f"{source.name}.{field}" for source in sources for field in source.time_fields]
    if asked not in known:
        raise unknown_name("time field", asked, known, path="/time/field")


def _is_for(asked: str | None, source: DataSource) -> bool:
    if asked is None:
        return False
    owner, dot, _ = asked.partition(".")
    return not dot or owner == source.name


def _check_grain(field: TimeField, timing: Timing, tenants: Sequence[Tenant]) -> None:
    grain = field.grain or (Frequency.DAY if field.type is FieldType.DATE else None)
    if timing.frequency is not None and grain is not None and _ORDER.index(timing.frequency) < _ORDER.index(grain):
        raise InvalidTime(
            f"{field.name!r} knows no time finer than a {grain}.", path="/time_frequency", value=timing.frequency.value
        )
    own = field.zone or (_agreed(tenants, "zone", "/time/zone") if field.type is not FieldType.INSTANT else None)
    if own is not None and field.type is not FieldType.INSTANT and own != timing.zone:
        raise InvalidTime(
            f"{field.name!r} holds {'days' if field.type is FieldType.DATE else 'local times'} of {own}; they can't be told in "
            f"{timing.zone}.",
            path="/time/zone",
            value=timing.zone,
        )
