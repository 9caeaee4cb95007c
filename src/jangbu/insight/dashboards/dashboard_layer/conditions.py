"""A request's filter tree, bound: each leaf's target and typed values, and its place before or after aggregation."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from jangbu.insight.catalog.contracts import DataSource, Measure, Text, TimeField
from jangbu.insight.dashboards.dashboard_layer.names import Names, Target, type_of
from jangbu.insight.dashboards.dashboard_layer.question import AskedDimension, AskedMeasure, Having
from jangbu.insight.dashboards.dashboard_layer.ranges import moments
from jangbu.insight.dashboards.query_layer.leg import BoundLeaf
from jangbu.kernel.errors import InvalidRequest, OutOfBounds, Unsupported, WrongType
from jangbu.kernel.filters import And, Leaf, Node, Scalar, leaves
from jangbu.kernel.types import FieldType

_INTEGER_BOUND = 2**63


@dataclass(frozen=True, slots=True)
class Binder:
    """Binds leaves against `names`; times against `now` in `zone`."""

    names: Names
    now: datetime
    zone: str

    def targets(self, leaf: Leaf) -> Mapping[str, Target]:
        return self.names.target(leaf.field, f"{leaf.path}/field")

    def is_measure(self, leaf: Leaf) -> bool:
        return any(isinstance(target, Measure) for target in self.targets(leaf).values())

    def bound(self, leaf: Leaf, target: Target) -> BoundLeaf:
        """Raises WrongType where the operator or a value doesn't fit the target's type."""
        type_ = type_of(target)
        if type_ not in leaf.op.types:
            takes = ", ".join(sorted(leaf.op.types))
            raise WrongType(
                f"{leaf.op.name!r} takes {takes}; {leaf.field!r} is {type_}.", path=f"{leaf.path}/op", value=leaf.op.name
            )
        path = f"{leaf.path}/values"
        if type_.is_time and leaf.values:
            field = target if isinstance(target, TimeField) else TimeField(leaf.field, "", type_, Text(leaf.field, leaf.field))
            return BoundLeaf(target, type_, spans=moments(leaf.op.base, leaf.values, field, self.now, self.zone, path))
        values = tuple(_checked(value, type_, leaf, f"{path}/{index}") for index, value in enumerate(leaf.values))
        if leaf.op.base == "between" and Decimal(values[0]) > Decimal(values[1]):
            raise InvalidRequest("'between' is turned round: its first value is over its second.", path=path, value=str(values[0]))
        return BoundLeaf(target, type_, values)


def _checked(value: Scalar, type_: FieldType, leaf: Leaf, path: str) -> Scalar:
    fits = {
        FieldType.TEXT: isinstance(value, str),
        FieldType.BOOLEAN: isinstance(value, bool),
    }.get(type_, isinstance(value, int | Decimal) and not isinstance(value, bool))
    if not fits:
        raise WrongType(f"{leaf.field!r} is {type_}; {value!r} isn't.", path=path, value=value)
    if type_.is_number and abs(Decimal(value)) >= _INTEGER_BOUND:
        raise OutOfBounds("A number lies between -2^63 and 2^63.", path=path, value=str(value))
    if leaf.op.base == "matches" and isinstance(value, str):
        _check_pattern(value, path)
    return value


def _check_pattern(pattern: str, path: str) -> None:
    """Arrow and DuckDB both hold RE2, so what Arrow takes DuckDB takes."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        pc.match_substring_regex(pa.array([""]), pattern)
    except pa.ArrowInvalid as error:
        reason = str(error).removeprefix("Invalid regular expression: ")
        raise InvalidRequest(f"The pattern isn't RE2: {reason}.", path=path, value=pattern) from error


def split(node: Node | None, binder: Binder) -> tuple[list[Node], list[Node]]:
    """The parts of the top-level `and` that act before aggregation, and those that hold a leaf on a measure and act after."""
    if node is None:
        return [], []
    parts = list(node.children) if isinstance(node, And) else [node]
    after = [part for part in parts if any(binder.is_measure(leaf) for leaf in leaves(part))]
    return [part for part in parts if part not in after], after


def wheres(parts: list[Node], used: tuple[str, ...], binder: Binder) -> Mapping[str, tuple[Node | None, Mapping[Leaf, BoundLeaf]]]:
    """For each data source, what acts before aggregation. A part whose leaves all name one data source acts on that one only; any
    other needs its fields in every data source that is used."""
    kept: dict[str, list[Node]] = {source: [] for source in used}
    bindings: dict[str, dict[Leaf, BoundLeaf]] = {source: {} for source in used}
    for part in parts:
        for source in _owners(part, used):
            kept[source].append(part)
            for leaf in leaves(part):
                bindings[source][leaf] = binder.bound(leaf, _target_in(source, leaf, binder))
    return {source: (_all(kept[source]), bindings[source]) for source in used}


def _owners(part: Node, used: tuple[str, ...]) -> tuple[str, ...]:
    named = {leaf.field.partition(".")[0] if "." in leaf.field else "" for leaf in leaves(part)}
    return tuple(source for source in used if source in named) if len(named) == 1 and "" not in named else used


def _target_in(source: str, leaf: Leaf, binder: Binder) -> Target:
    found = binder.targets(leaf)
    if source in found:
        return found[source]
    definition = binder.names.catalog.data_sources[source]
    if (target := definition.dimensions.get(leaf.field)) is not None:
        return target
    raise Unsupported(
        f"{leaf.field!r} isn't a field of {source!r}, whose measures are asked too.",
        path=f"{leaf.path}/field",
        value=leaf.field,
        known=sorted(definition.dimensions),
        hint=f"Name the one it is for, such as {next(iter(found))}.{leaf.field}, as a part of its own.",
    )


def _all(parts: list[Node]) -> Node | None:
    return And(tuple(parts)) if len(parts) > 1 else parts[0] if parts else None


def having(
    parts: list[Node], measures: list[AskedMeasure], dimensions: tuple[AskedDimension, ...], binder: Binder
) -> Having | None:
    """What acts after aggregation. Measures that it needs and that weren't asked are added to `measures`, not shown.

    Raises:
        Unsupported: a dimension beside a measure isn't grouped by.
    """
    node = _all(parts)
    if node is None:
        return None
    bindings = {}
    for leaf in leaves(node):
        target = next(iter(binder.targets(leaf).values()))
        bound = binder.bound(leaf, target)
        column = f"m{index_of(measures, target)}" if isinstance(target, Measure) else _grouped(leaf, dimensions)
        bindings[leaf] = (column, bound)
    return Having(node, bindings)


def index_of(measures: list[AskedMeasure], measure: Measure) -> int:
    """Where the measure stands among those asked; it is added, hidden, where it isn't there."""
    for index, asked in enumerate(measures):
        if asked.measure is measure:
            return index
    measures.append(AskedMeasure(f"{measure.data_source}.{measure.name}", measure, shown=False))
    return len(measures) - 1


def _grouped(leaf: Leaf, dimensions: tuple[AskedDimension, ...]) -> str:
    bare = leaf.field.rpartition(".")[2]
    for index, asked in enumerate(dimensions):
        if asked.name.rpartition(".")[2] == bare:
            return f"d{index}"
    raise Unsupported(
        f"{leaf.field!r} stands beside a condition on a measure, which acts after aggregation, but isn't grouped by.",
        path=f"{leaf.path}/field",
        value=leaf.field,
        known=[asked.name for asked in dimensions],
        hint="Add it to `dimensions`, or move it to the top-level `and`.",
    )


def measure_filters(
    source: DataSource, used: list[Measure], bindings: dict[Leaf, BoundLeaf], names: Names, now: datetime, zone: str
) -> None:
    """Binds the leaves of the measures' own conditions, which name the data source's fields."""
    own = Binder(Names(names.catalog, {source.name: source}), now, zone)
    for measure in used:
        for leaf in leaves(measure.filter) if measure.filter is not None else ():
            target = source.dimensions.get(leaf.field) or source.time_fields[leaf.field]
            bindings[leaf] = own.bound(leaf, target)
