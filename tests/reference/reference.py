"""The plain reference: what a request's answer is, by query.md, in slow and obvious Python over pandas frames.

It shares no code with the system: no SQL, no DuckDB, nothing of its packages. Money is Decimal, ratios are doubles of exact
fractions, zones are zoneinfo's.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any, TypeAlias

import pandas as pd
from reference.analyses_reference import abc, quadrant
from reference.filter_reference import condition
from reference.model import Formula, Measure, MeasureRef, Model, Source
from reference.question import Question, answer_columns, having_type, read
from reference.time_reference import Moment, Span, between, bucket_of, buckets_of, contains, wire

Row: TypeAlias = Mapping[str, Any]
Key: TypeAlias = tuple[Moment | None, tuple[Any, ...]]
RowsFor: TypeAlias = Callable[[MeasureRef], list[Row]]
NOTHING: RowsFor = lambda _: []  # noqa: E731  # the rows of an empty group


@dataclass(frozen=True)
class ReferenceAnswer:
    """`columns` are (name, role). A bucket is text as the wire has it; other values are Python's."""

    columns: list[tuple[str, str]]
    rows: list[list[Any]]
    totals: list[Any] | None
    truncated: bool
    cuts: dict[str, float | None] | None = None


@dataclass
class Group:
    """A row in the making. `values` has the asked and hidden measures by name, `compares` the compared ones."""

    key: Key
    values: dict[str, Any]
    compares: dict[str, Any] = field(default_factory=dict)


def answer(request: dict[str, Any], tables: dict[str, pd.DataFrame], model: Model, now: datetime, zone: str) -> ReferenceAnswer:
    """The answer to `request` (the wire's JSON as Python values) over `tables` (one a data source, by its name).

    `now` is aware; `zone` is the tenant's. All rows are taken as held; `tenants` narrows them.

    Raises:
        Refused: the request has no answer.
    """
    with localcontext() as context:
        context.prec = 80
        question = read(request, model, now, zone)
        rows = {name: _where(question, name, tables[name]) for name in tables if name in model.sources}
        return _shaped(question, rows)


def python_value(value: Any) -> Any:
    """A pandas cell as plain Python: missing is None, an instant is in UTC."""
    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime().astimezone(UTC)
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return value.item() if hasattr(value, "item") else value


def _where(question: Question, name: str, table: pd.DataFrame) -> list[Row]:
    """The rows of a data source that satisfy the conditions on dimensions."""
    source = question.model.sources[name]
    cells = {column: [python_value(value) for value in table[column].array] for column in table.columns}
    rows: Iterable[Row] = [dict(zip(cells, values, strict=True)) for values in zip(*cells.values(), strict=True)]
    if question.tenants is not None:
        rows = [row for row in rows if row[source.tenant_column] in question.tenants]
    if name not in question.sources:
        return list(rows)
    for node in question.where:
        rows = _holding(question, source, node, rows)
    return list(rows)


class _Bare(dict[str, Any]):
    """Values by bare name, found by a qualified one too."""

    def __missing__(self, name: str) -> Any:
        bare = name.rpartition(".")[2]
        if bare == name:
            raise KeyError(name)
        return self[bare]


def _holding(question: Question, source: Source, node: Mapping[str, Any], rows: Iterable[Row]) -> list[Row]:
    """The source's rows that satisfy a condition on their fields."""
    holds = condition(dict(node), lambda name: question.field_of(source, name).type, question.setting)
    found = []
    for row in rows:
        by_name = _Bare((name, row[field.column]) for name, field in {**source.time_fields, **source.dimensions}.items())
        if holds(by_name.__getitem__):
            found.append(row)
    return found


class Period:
    """The rows of one range, grouped by bucket and dimensions. `paired` renames a compared bucket to the current one of the same
    ordinal; rows of an unpaired one belong to no group."""

    def __init__(
        self, question: Question, rows: Mapping[str, list[Row]], span: Span | None, paired: Mapping[Any, Any] | None
    ) -> None:
        self._question, self._rows, self._span, self._paired = question, rows, span, paired
        self._groups: dict[tuple[str, str], dict[Key, list[Row]]] = {}

    def all(self, ref: MeasureRef) -> list[Row]:
        """The rows in the range, by the measure's time field."""
        rows, zone = self._rows[ref[0]], self._question.zone
        if self._span is None:
            return rows
        column = self._time_column(ref)
        return [row for row in rows if contains(self._span, row[column], zone)]

    def group(self, key: Key) -> RowsFor:
        return lambda ref: self.groups(ref).get(key, [])

    def groups(self, ref: MeasureRef) -> Mapping[Key, list[Row]]:
        place = (ref[0], self._question.time_field_of(ref))
        if place not in self._groups:
            found: dict[Key, list[Row]] = defaultdict(list)
            for row in self.all(ref):
                bucket = self._bucket(row, ref)
                if self._paired is None or bucket is None or bucket in self._paired:
                    dimensions = [self._dimension(row, ref, name) for name in self._question.dimensions]
                    found[self._paired[bucket] if self._paired and bucket else bucket, tuple(dimensions)].append(row)
            self._groups[place] = found
        return self._groups[place]

    def _bucket(self, row: Row, ref: MeasureRef) -> Moment | None:
        question = self._question
        return bucket_of(row[self._time_column(ref)], question.frequency, question.zone) if question.frequency else None

    def _time_column(self, ref: MeasureRef) -> str:
        return self._question.model.sources[ref[0]].time_fields[self._question.time_field_of(ref)].column

    def _dimension(self, row: Row, ref: MeasureRef, name: str) -> Any:
        return row[self._question.model.sources[ref[0]].dimensions[name.rpartition(".")[2]].column]


def measured(question: Question, ref: MeasureRef, rows_for: RowsFor) -> Any:
    """The measure over the rows of a group."""
    model, measure = question.model, question.model.measure(ref)
    if measure.is_base:
        return _aggregate(question, ref, measure, rows_for(ref))
    if measure.kind == "ratio":
        over, under = (
            measured(question, model.related(ref, str(name)), rows_for) for name in (measure.numerator, measure.denominator)
        )
        return divide(over, under)
    if not model.zero_when_empty(ref) and not any(rows_for(base) for base in model.inputs(ref)):
        return None
    return _calculate(question, ref, measure.formula, rows_for)


def _aggregate(question: Question, ref: MeasureRef, measure: Measure, rows: list[Row]) -> Any:
    if measure.filter is not None:
        rows = _holding(question, question.model.sources[ref[0]], measure.filter, rows)
    if measure.column is None:
        return len(rows)
    values = [row[measure.column] for row in rows if row[measure.column] is not None]
    match measure.kind:
        case "count":
            return len(values)
        case "distinct":
            return len(set(values))
        case "sum":
            return math.fsum(values) if measure.type == "double" else sum(values, Decimal(0) if measure.type == "decimal" else 0)
        case "min" | "max":
            return (min if measure.kind == "min" else max)(values, default=None)
    return divide(sum(map(Fraction, values)), len(values))


def divide(over: Any, under: Any) -> float | None:
    """The double nearest to the exact quotient; null without a divisor."""
    return None if over is None or under is None or under == 0 else float(Fraction(over) / Fraction(under))


def _calculate(question: Question, ref: MeasureRef, formula: Formula | None, rows_for: RowsFor) -> Any:
    if isinstance(formula, str):
        return measured(question, question.model.related(ref, formula), rows_for)
    if not isinstance(formula, tuple):
        return formula
    left, right = (_calculate(question, ref, part, rows_for) for part in formula[1:])
    if formula[0] == "/":
        return divide(left, right)
    if left is None or right is None:
        return None
    if isinstance(left, float) or isinstance(right, float):
        left, right = float(left), float(right)
    return left + right if formula[0] == "+" else left - right if formula[0] == "-" else left * right


def _shaped(question: Question, rows: Mapping[str, list[Row]]) -> ReferenceAnswer:
    current = Period(question, rows, question.span, None)
    other = None if question.compare_span is None else Period(question, rows, question.compare_span, _pairs(question))
    groups = _filled(question, [*_kept(question, current, other)])
    columns = answer_columns(question)
    cells = [_cells(question, group) for group in sorted(groups, key=lambda group: _default_key(group.key))]
    cells, cuts = _analysed(question, cells)
    shown = _ordered(question, cells)
    page = shown[question.offset : question.offset + question.limit]
    return ReferenceAnswer(
        columns=columns,
        rows=[[row[name] for name, _ in columns] for row in page],
        totals=_totals(question, current, other) if question.totals else None,
        truncated=len(shown) > question.offset + question.limit,
        cuts=cuts,
    )


def _pairs(question: Question) -> dict[Any, Any] | None:
    """The compared range's buckets to the current one's of the same ordinal."""
    if question.frequency is None or question.span is None or question.compare_span is None:
        return None
    spans = (question.compare_span, question.span)
    return dict(zip(*(buckets_of(span, question.frequency, question.zone) for span in spans), strict=False))


def _kept(question: Question, current: Period, other: Period | None) -> Iterable[Group]:
    """The groups of both ranges that satisfy the conditions on measures."""
    bases = [base for ref in question.measures.values() for base in question.model.inputs(ref)]
    keys: dict[Key, None] = {} if question.dimensions or question.frequency else {(None, ()): None}
    for period in (current, other):
        keys |= {key: None for base in bases if period is not None for key in period.groups(base)}
    paired = set((_pairs(question) or {}).values())
    for key in keys:
        group = Group(key, _values(question, current.group(key)))
        if not _satisfies(question, group):
            continue
        if other is not None:
            group.compares = _compares(question, other.group(key), key, paired)
        yield group


def _values(question: Question, rows_for: RowsFor) -> dict[str, Any]:
    return {name: measured(question, ref, rows_for) for name, ref in (question.measures | question.hidden).items()}


def _compares(question: Question, rows_for: RowsFor, key: Key, paired: set[Any]) -> dict[str, Any]:
    if question.frequency is not None and key[0] not in paired:
        return dict.fromkeys(question.measures)
    return {name: measured(question, ref, rows_for) for name, ref in question.measures.items()}


def _satisfies(question: Question, group: Group) -> bool:
    dimensions = dict(zip(question.dimensions, group.key[1], strict=True))
    for node in question.having:
        holds = condition(node, lambda name: having_type(question, name), question.setting)
        if not holds(lambda name: group.values[name] if name in question.hidden else dimensions[name]):
            return False
    return True


def _filled(question: Question, groups: list[Group]) -> list[Group]:
    """With `fill`, each group that occurs has every bucket."""
    if not question.fill or question.frequency is None:
        return groups
    if question.span is not None:
        buckets = buckets_of(question.span, question.frequency, question.zone)
    else:
        found = sorted(group.key[0] for group in groups if group.key[0] is not None)
        buckets = between(found[0], found[-1], question.frequency, question.zone) if found else []
    occurring = {group.key[1]: None for group in groups}
    if not question.dimensions and question.span is not None:
        occurring = {(): None}
    paired = set((_pairs(question) or {}).values())
    there = {group.key for group in groups}
    absent = [(bucket, dimensions) for dimensions in occurring for bucket in buckets if (bucket, dimensions) not in there]
    return groups + [_empty(question, key, paired) for key in absent]


def _empty(question: Question, key: Key, paired: set[Any]) -> Group:
    compares = {} if question.compare_span is None else _compares(question, NOTHING, key, paired)
    return Group(key, _values(question, NOTHING), compares)


def _cells(question: Question, group: Group) -> dict[str, Any]:
    """The group as a row by column name, hidden measures too."""
    cells = dict(group.values)
    for name, value in group.compares.items():
        cells |= {f"{name}_compare": value, f"{name}_change": _change(group.values[name], value)}
    cells |= dict(zip(question.dimensions, group.key[1], strict=True))
    return cells | ({"time": wire(group.key[0], question.zone), "": group.key[0]} if question.frequency else {})


def _change(value: Any, compared: Any) -> float | None:
    return None if value is None or compared is None else divide(Fraction(value) - Fraction(compared), compared)


def _default_key(key: Key) -> tuple[tuple[bool, Any], ...]:
    """Ascending by `time`, then the dimensions, nulls last; Python compares text by code point."""
    return tuple((value is None, 0 if value is None else value) for value in (key[0], *key[1]))


def _analysed(question: Question, cells: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, float | None] | None]:
    measures = list(question.measures)
    if question.analysis["kind"] == "abc":
        ranked = abc(cells, measures[0], question.analysis.get("thresholds", [Decimal("0.8"), Decimal("0.95")]))
        return (cells if question.order else ranked), None
    if question.analysis["kind"] == "quadrant":
        return cells, quadrant(cells, measures[0], measures[1], question.analysis.get("cut", "median"))
    return cells, None


def _ordered(question: Question, cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By the keys asked for, nulls last in both directions; equal rows keep the default order."""
    for name, descending in reversed(question.order):
        place = "" if name == "time" else name
        there = sorted((row for row in cells if row[place] is not None), key=lambda row: row[place], reverse=descending)
        cells = [*there, *(row for row in cells if row[place] is None)]
    return cells


def _totals(question: Question, current: Period, other: Period | None) -> list[Any]:
    group = Group((None, ()), {name: measured(question, ref, current.all) for name, ref in question.measures.items()})
    if other is not None:
        group.compares = {name: measured(question, ref, other.all) for name, ref in question.measures.items()}
    cells = dict(group.values)
    for name, value in group.compares.items():
        cells |= {f"{name}_compare": value, f"{name}_change": _change(group.values[name], value)}
    return [cells.get(name) for name, _ in answer_columns(question)]


def _as_wire(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def _differs(found: Any, expected: Any) -> bool:
    if found is None or expected is None or isinstance(expected, bool | str):
        return type(found) is not type(expected) or found != expected
    if isinstance(found, bool | str):
        return True
    if isinstance(expected, float):
        return not math.isclose(float(found), expected, rel_tol=1e-9, abs_tol=1e-9)
    return isinstance(found, float) or found != expected


def assert_same(answer_rows: Iterable[Iterable[Any]], reference_rows: Iterable[Iterable[Any]]) -> None:
    """Both hold the same rows in the same order: decimals and integers exactly (a float never stands for one), doubles within a
    relative 1e-9, dates and instants as the wire's text."""
    found, expected = ([[_as_wire(value) for value in row] for row in rows] for rows in (answer_rows, reference_rows))
    for place, (ours, theirs) in enumerate(zip(found, expected, strict=False)):
        wrong = len(ours) != len(theirs) or any(_differs(a, b) for a, b in zip(ours, theirs, strict=True))
        assert not wrong, f"row {place}:\n  answer    {ours}\n  reference {theirs}"
    assert len(found) == len(expected), f"{len(found)} rows, not {len(expected)}:\n  answer    {found}\n  reference {expected}"
