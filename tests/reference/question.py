"""A request of the wire, checked and with its names, ranges and split conditions resolved."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from reference.filter_reference import Setting, check, condition, leaves
from reference.model import Field, MeasureRef, Model, Refused, Source
from reference.time_reference import FINE, FREQUENCIES, Instants, Span, compared, span_of, zone_named

KEYS = (
    "data_source",
    "measures",
    "dimensions",
    "filter",
    "time",
    "time_frequency",
    "analysis",
    "totals",
    "order",
    "limit",
    "offset",
)
TIME_KEYS = ("range", "zone", "field", "compare", "fill")
DEFAULT_LIMIT, MAX_LIMIT = 10_000, 1_000_000


@dataclass
class Question:
    """`measures` are asked for (name as asked → which one); `hidden` are only filtered or ordered by, by the name used there."""

    model: Model
    sources: list[str]
    now: datetime
    zone: ZoneInfo
    tenant_zone: ZoneInfo
    measures: dict[str, MeasureRef] = field(default_factory=dict)
    hidden: dict[str, MeasureRef] = field(default_factory=dict)
    dimensions: list[str] = field(default_factory=list)
    where: list[dict[str, Any]] = field(default_factory=list)
    having: list[dict[str, Any]] = field(default_factory=list)
    span: Span | None = None
    compare_span: Span | None = None
    frequency: str | None = None
    time_field: str | None = None
    fill: bool = False
    totals: bool = False
    order: list[tuple[str, bool]] = field(default_factory=list)
    limit: int = DEFAULT_LIMIT
    offset: int = 0
    tenants: list[str] | None = None
    analysis: dict[str, Any] = field(default_factory=lambda: {"kind": "plain"})

    @property
    def setting(self) -> Setting:
        return Setting(self.now, self.zone)

    def time_field_of(self, ref: MeasureRef) -> str:
        source = self.model.sources[ref[0]]
        return self.time_field or source.measures[ref[1]].time_field or source.default_time_field

    def used_sources(self) -> list[Source]:
        return [self.model.sources[name] for name in self.sources]

    def field_of(self, source: Source, name: str) -> Field:
        """The dimension or time field that a condition on rows of the data source names."""
        bare = name.rpartition(".")[2]
        return source.dimensions[bare] if bare in source.dimensions else source.time_fields[bare]


def read(request: Any, model: Model, now: datetime, zone: str) -> Question:
    """The request as a question.

    Raises:
        Refused: it has no answer.
    """
    _check_keys(request, (*KEYS, "tenants", "currency"))
    tenant_zone = zone_named(zone)
    time = request.get("time") or {}
    _check_keys(time, TIME_KEYS)
    asked_zone = tenant_zone if time.get("zone") is None else zone_named(time["zone"])
    question = Question(model, _sources(request, model), now, asked_zone, tenant_zone)
    _read_names(question, request)
    _read_time(question, time, request.get("time_frequency"))
    _read_filter(question, request.get("filter"))
    _read_analysis(question, request.get("analysis", {"kind": "plain"}))
    _read_order(question, request.get("order", []))
    _read_page(question, request)
    _check_times(question)
    return question


def _check_keys(value: Any, known: tuple[str, ...]) -> None:
    if not isinstance(value, dict):
        raise Refused("wrong_type", f"{value!r} is no object")
    if unknown := set(value) - set(known):
        raise Refused("unknown_name", f"keys {unknown}")


def _names(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise Refused("wrong_type", f"{value!r} is no list of names")
    if len(set(value)) < len(value):
        raise Refused("invalid_request", f"{value!r} names one twice")
    return value


def _sources(request: dict[str, Any], model: Model) -> list[str]:
    for key in ("data_source", "measures"):
        if key not in request:
            raise Refused("invalid_request", f"{key!r} is missing")
    value = request["data_source"]
    names = _names([value] if isinstance(value, str) else value)
    if not names:
        raise Refused("out_of_bounds", "no data source")
    for name in names:
        if name not in model.sources:
            raise Refused("unknown_name", f"data source {name!r}")
    return names


def find_measure(question: Question, name: str) -> MeasureRef | None:
    """The measure that a bare or qualified name means in the request's data sources."""
    qualifier, _, bare = name.rpartition(".")
    places = [qualifier] if qualifier in question.sources else [] if qualifier else question.sources
    found = [(source, bare) for source in places if bare in question.model.sources[source].measures]
    if len(found) > 1:
        raise Refused("ambiguous_name", f"{name!r} is in {found}")
    return found[0] if found else None


def _read_names(question: Question, request: dict[str, Any]) -> None:
    names = _names(request["measures"])
    if not names:
        raise Refused("out_of_bounds", "no measure")
    for name in names:
        ref = find_measure(question, name)
        if ref is None:
            raise Refused("unknown_name", f"measure {name!r}")
        question.measures[name] = ref
    question.dimensions = _names(request.get("dimensions", []))
    for name in question.dimensions:
        if not all(name.rpartition(".")[2] in source.dimensions for source in question.used_sources()):
            raise Refused("unknown_name", f"dimension {name!r}")


def _read_time(question: Question, time: dict[str, Any], frequency: Any) -> None:
    if frequency is not None and frequency not in FREQUENCIES:
        raise Refused("unknown_name" if isinstance(frequency, str) else "wrong_type", f"frequency {frequency!r}")
    if (name := time.get("field")) is not None:
        if not all(name in source.time_fields for source in question.used_sources()):
            raise Refused("unknown_name", f"time field {name!r}")
        question.time_field = name
    question.frequency, question.fill = frequency, time.get("fill", False)
    if not isinstance(question.fill, bool):
        raise Refused("wrong_type", "fill is true or false")
    if question.fill and frequency is None:
        raise Refused("invalid_time", "fill without a frequency")
    if time.get("range") is not None:
        question.span = span_of(time["range"], question.now, question.zone)
    if time.get("compare") is not None:
        if question.span is None:
            raise Refused("invalid_time", "compare without a range")
        question.compare_span = compared(question.span, time["compare"], question.now, question.zone)


def _read_filter(question: Question, tree: Any) -> None:
    if tree is None:
        return
    check(tree)
    for node in tree.get("and", [tree]):
        measures = {leaf["field"]: ref for leaf in leaves(node) if (ref := find_measure(question, leaf["field"]))}
        question.hidden |= measures
        if measures:
            condition(node, lambda name: having_type(question, name), question.setting)
            question.having.append(node)
        else:
            for source in question.used_sources():
                condition(node, partial(_row_type, question, source), question.setting)
            question.where.append(node)


def _row_type(question: Question, source: Source, name: str) -> str:
    try:
        return question.field_of(source, name).type
    except KeyError as error:
        raise Refused("unknown_name", f"field {name!r}") from error


def having_type(question: Question, name: str) -> str:
    """The type of a field that a condition after aggregation names: a measure or a grouped dimension."""
    if ref := find_measure(question, name):
        return question.model.measure(ref).type
    kind = _row_type(question, question.used_sources()[0], name)
    if name not in question.dimensions:
        raise Refused("invalid_request", f"{name!r} isn't grouped")
    return kind


def _read_analysis(question: Question, analysis: Any) -> None:
    if not isinstance(analysis, dict) or not isinstance(analysis.get("kind", "plain"), str):
        raise Refused("wrong_type", "an analysis is an object with a kind")
    kind = analysis.get("kind", "plain")
    parameters = {"plain": (), "abc": ("thresholds",), "quadrant": ("cut",)}
    if kind not in parameters:
        raise Refused("unknown_name", f"analysis {kind!r}")
    _check_keys(analysis, ("kind", *parameters[kind]))
    question.analysis = {**analysis, "kind": kind}
    if kind == "plain":
        return
    if not question.dimensions or question.frequency is not None:
        raise Refused("unsupported", f"{kind} needs dimensions and no frequency")
    if kind == "abc":
        _check_thresholds(analysis.get("thresholds", [0.8, 0.95]))
    else:
        _check_cut(analysis.get("cut", "median"), len(question.measures))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _check_thresholds(value: Any) -> None:
    if not isinstance(value, list) or not all(_is_number(part) for part in value):
        raise Refused("wrong_type", "thresholds are two numbers")
    if len(value) != 2 or not 0 < value[0] < value[1] <= 1:
        raise Refused("out_of_bounds", f"thresholds {value}")


def _check_cut(value: Any, measures: int) -> None:
    if measures < 2:
        raise Refused("unsupported", "quadrant needs two measures")
    if isinstance(value, dict):
        _check_keys(value, ("x", "y"))
        if len(value) != 2 or not all(_is_number(part) for part in value.values()):
            raise Refused("wrong_type", "a cut is {x, y}, two numbers")
    elif value not in ("median", "mean"):
        raise Refused("unknown_name" if isinstance(value, str) else "wrong_type", f"cut {value!r}")


def answer_columns(question: Question) -> list[tuple[str, str]]:
    """The columns of the answer and their roles, in order."""
    columns = [("time", "time")] if question.frequency else []
    columns += [(name, "dimension") for name in question.dimensions]
    for name in question.measures:
        columns.append((name, "measure"))
        if question.compare_span is not None:
            columns += [(f"{name}_compare", "compare"), (f"{name}_change", "change")]
    names = {"plain": (), "abc": ("share", "cumulative_share", "class"), "quadrant": ("quadrant",)}
    return columns + [(name, "analysis") for name in names[question.analysis["kind"]]]


def _read_order(question: Question, order: Any) -> None:
    if not isinstance(order, list):
        raise Refused("wrong_type", "an order is a list")
    columns = {name for name, _ in answer_columns(question)}
    for key in order:
        _check_keys(key, ("field", "direction"))
        name, direction = key.get("field"), key.get("direction", "asc")
        if not isinstance(name, str):
            raise Refused("wrong_type" if "field" in key else "invalid_request", "a key of the order has a field")
        if direction not in ("asc", "desc"):
            raise Refused("unknown_name", f"direction {direction!r}")
        if name not in columns:
            ref = find_measure(question, name)
            if ref is None:
                raise Refused("unknown_name", f"order by {name!r}")
            question.hidden[name] = ref
        question.order.append((name, direction == "desc"))


def _read_page(question: Question, request: dict[str, Any]) -> None:
    limit, offset, totals = request.get("limit", DEFAULT_LIMIT), request.get("offset", 0), request.get("totals", False)
    if any(isinstance(value, bool) or not isinstance(value, int) for value in (limit, offset)) or not isinstance(totals, bool):
        raise Refused("wrong_type", "limit and offset are whole numbers, totals is true or false")
    if not 1 <= limit <= MAX_LIMIT or offset < 0:
        raise Refused("out_of_bounds", f"limit {limit}, offset {offset}")
    question.limit, question.offset, question.totals = limit, offset, totals
    if (tenants := request.get("tenants")) is not None:
        question.tenants = _names(tenants)


def _check_times(question: Question) -> None:
    """A day's column answers neither hours nor instants, nor another zone's days."""
    if question.span is None and question.frequency is None:
        return
    for ref in (base for asked in (question.measures | question.hidden).values() for base in question.model.inputs(asked)):
        if question.model.sources[ref[0]].time_fields[question.time_field_of(ref)].type != "date":
            continue
        if question.frequency in FINE or any(isinstance(span, Instants) for span in (question.span, question.compare_span)):
            raise Refused("unsupported", "a date answers nothing finer than a day")
        if question.zone.key != question.tenant_zone.key:
            raise Refused("unsupported", "a date can't be moved to another zone")
