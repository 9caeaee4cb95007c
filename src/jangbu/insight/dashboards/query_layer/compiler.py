"""A leg as SQL: one SELECT over its scans, built as a SQLGlot tree.

    SELECT bucket, dimension, …, SUM(argument), … FROM data_source LEFT JOIN relation … WHERE span AND filter GROUP BY 1, 2, …

Fan-out: a relation that may multiply rows is joined by its distinct (key, column) tuples, so that a row counts once in each group
that it belongs to; where such a relation is only filtered by, the condition is an EXISTS. Neither multiplies what is summed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sqlglot import exp

from jangbu.insight.catalog.contracts import (
    Cardinality,
    DataSource,
    Dimension,
    Expression,
    Function,
    Relation,
    SeparationKind,
    TimeField,
)
from jangbu.insight.dashboards.query_layer.conditions import condition, predicate, within
from jangbu.insight.dashboards.query_layer.leg import TENANT, BoundLeaf, Component, Leg
from jangbu.insight.dashboards.query_layer.measures import cast
from jangbu.insight.dashboards.query_layer.wall_clock import WallClock
from jangbu.insight.dashboards.query_layer.zones import ANY_TIME
from jangbu.kernel.errors import Unsupported
from jangbu.kernel.filters import Leaf, leaves
from jangbu.platform.engines.ports import Emitter

BUCKET = "bucket"
_BASE = "t"


@dataclass(frozen=True, slots=True)
class ScanNeed:
    """A relation that the statement reads under the data source's name, with these columns of it."""

    data_source: DataSource
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CompiledLeg:
    """`select` yields `bucket` (with a frequency), then `d0`, `d1`, … and `c0`, `c1`, … in the leg's order."""

    select: exp.Select
    scans: tuple[ScanNeed, ...]


def compile_leg(leg: Leg, emitter: Emitter) -> CompiledLeg:
    """Build the leg's SELECT.

    Raises:
        Unsupported: a measure's own condition or argument reaches a relation that may multiply rows, or one leaf several; a shared
            source by tenant, or with a relation of several tenants.
    """
    return _Compiler(leg, emitter).compile()


@dataclass(slots=True)
class _Compiler:
    leg: Leg
    emitter: Emitter
    used: dict[str, dict[str, None]] = field(default_factory=dict)
    """The columns that each relation ('' is the data source itself) has to bring, in order of use."""
    looked_up: set[str] = field(default_factory=set)
    """Relations that only an EXISTS reads."""

    def compile(self) -> CompiledLeg:
        leg = self.leg
        self.used[""] = {}
        keys = [_as(key, name) for name, key in self._keys()]
        values = [_as(self._aggregate(part), f"c{index}") for index, part in enumerate(leg.components)]
        where = self._where()
        select = exp.Select(expressions=[*keys, *values])
        select.set("from_", exp.From(this=_relation(leg.data_source.name, _BASE)))
        select.set("joins", [self._join(relation) for name, relation in leg.data_source.relations.items() if self._is_joined(name)])
        if where is not None:
            select.set("where", exp.Where(this=where))
        if keys:
            select.set("group", exp.Group(expressions=[exp.Literal.number(index + 1) for index in range(len(keys))]))
        return CompiledLeg(select, tuple(self._scans()))

    def _keys(self) -> Iterator[tuple[str, exp.Expr]]:
        leg = self.leg
        if leg.frequency is not None and leg.time_field is not None:
            yield BUCKET, self._clock.bucket(self._column(leg.time_field.column), leg.time_field, leg.frequency)
        for index, dimension in enumerate(leg.dimensions):
            yield f"d{index}", self._dimension(dimension)

    # Values

    def _column(self, name: str, relation: str = "") -> exp.Column:
        self.used.setdefault(relation, {})[name] = None
        return exp.column(name, table=_alias(relation), quoted=True)

    def _dimension(self, dimension: Dimension | str) -> exp.Expr:
        if isinstance(dimension, Dimension):
            return self._expression(dimension.expression)
        column = _tenant_column(self.leg.data_source)
        if column is None:
            raise Unsupported(
                f"{self.leg.data_source.name!r} is shared by all tenants: it can't be split by tenant.", value=dimension
            )
        return self._column(column)

    def _expression(self, expression: Expression) -> exp.Expr:
        """The formula, with its columns bound to this statement and its wall-clock functions filled in."""

        def bound(node: exp.Expr) -> exp.Expr:
            if isinstance(node, exp.Column):
                return self._column(node.name, node.table)
            if isinstance(node, exp.Anonymous):
                return self._clock_part(node)
            return node

        return _transformed(expression.tree, bound)

    def _clock_part(self, call: exp.Anonymous) -> exp.Expr:
        """A function of the wall clock, of any time column of the data source or a relation."""
        asked = call.expressions[0]
        source = self.leg.related[asked.table] if asked.table else self.leg.data_source
        field = TimeField(asked.name, asked.name, source.columns[asked.name].type, source.label)
        bounds = self.leg.bounds if not asked.table and asked.name == self._bounded else ANY_TIME
        clock = WallClock(self.leg.zone, bounds, self.emitter)
        return clock.part(self._column(asked.name, asked.table), field, call.name)

    @property
    def _bounded(self) -> str | None:
        """The column that the leg's bounds are of."""
        source = self.leg.data_source
        default = source.time_fields[source.default_time_field] if source.default_time_field else None
        found = self.leg.time_field or default
        return found.column if found is not None else None

    @property
    def _clock(self) -> WallClock:
        return WallClock(self.leg.zone, self.leg.bounds, self.emitter)

    def _aggregate(self, component: Component) -> exp.Expr:
        argument = self._argument(component)
        match component.function:
            case Function.COUNT:
                return self.emitter.integer(exp.Count(this=argument if argument is not None else exp.Star()))
            case Function.COUNT_DISTINCT:
                return self.emitter.integer(exp.Count(this=exp.Distinct(expressions=[argument])))
            case Function.SUM:
                return cast(exp.Sum(this=argument), component.type, self.emitter)
            case Function.MIN:
                return cast(exp.Min(this=argument), component.type, self.emitter)
            case Function.MAX:
                return cast(exp.Max(this=argument), component.type, self.emitter)
            case Function.AVG:
                raise AssertionError("an average is a sum over a count")

    def _argument(self, component: Component) -> exp.Expr | None:
        if component.argument is not None:
            self._refuse_fan_out(component.argument.relations, "A measure's formula")
        argument = self._expression(component.argument) if component.argument is not None else None
        if component.filter is None:
            return argument
        for leaf in leaves(component.filter):
            target = self.leg.bindings[leaf].target
            if isinstance(target, Dimension):
                self._refuse_fan_out(target.expression.relations, "A measure's condition")
        holds = condition(component.filter, self._leaf)
        kept = argument if argument is not None else exp.Literal.number(1)
        return exp.Case(ifs=[exp.If(this=holds, true=kept)])

    # Conditions

    def _where(self) -> exp.Expr | None:
        leg = self.leg
        parts: list[exp.Expr] = []
        if leg.span is not None and leg.time_field is not None:
            inside = within(self._column(leg.time_field.column), leg.span, leg.time_field.type, self.emitter)
            parts += [inside] if inside is not None else []
        if leg.where is not None:
            parts.append(condition(leg.where, self._leaf))
        return exp.and_(*parts, copy=False) if parts else None

    def _leaf(self, leaf: Leaf, negated: bool) -> exp.Expr:
        bound = self.leg.bindings[leaf]
        if isinstance(bound.target, TimeField):
            return predicate(leaf, bound, self._column(bound.target.column), negated, self.emitter)
        if isinstance(bound.target, Dimension):
            fan_out = [name for name in bound.target.expression.relations if self._multiplies(name) and not self._is_grouped(name)]
            if len(fan_out) > 1:
                raise Unsupported(f"{leaf.field!r} reads several relations that multiply rows.", path=leaf.path, value=leaf.field)
            if fan_out:
                return self._exists(leaf, bound, bound.target, fan_out[0], negated)
            return predicate(leaf, bound, self._dimension(bound.target), negated, self.emitter)
        return predicate(leaf, bound, self._dimension(TENANT), negated, self.emitter)

    def _exists(self, leaf: Leaf, bound: BoundLeaf, dimension: Dimension, name: str, negated: bool) -> exp.Expr:
        """One of the related rows satisfies the leaf; for `is_null` and `is_empty`, none of them has a value."""
        inverted = leaf.op.base in ("is_null", "is_empty")
        relation = self.leg.data_source.relations[name]
        self.looked_up.add(name)
        value = self._expression(dimension.expression)
        holds = predicate(leaf, bound, value, inverted, self.emitter)
        matching = exp.and_(self._on(relation), holds, copy=False)
        inner = exp.Select(expressions=[exp.Literal.number(1)])
        inner.set("from_", exp.From(this=_relation(relation.data_source, _alias(name))))
        inner.set("where", exp.Where(this=matching))
        exists = exp.Exists(this=inner)
        return exp.Not(this=exists) if negated != inverted else exists

    # Relations

    def _multiplies(self, name: str) -> bool:
        return self.leg.data_source.relations[name].cardinality is Cardinality.MANY

    def _is_grouped(self, name: str) -> bool:
        return any(isinstance(part, Dimension) and name in part.expression.relations for part in self.leg.dimensions)

    def _is_joined(self, name: str) -> bool:
        return name in self.used and (name not in self.looked_up or self._is_grouped(name))

    def _refuse_fan_out(self, relations: frozenset[str], what: str) -> None:
        for name in relations:
            if self._multiplies(name):
                raise Unsupported(f"{what} can't read {name!r}: it has several rows for one of the data source.", value=name)

    def _join(self, relation: Relation) -> exp.Join:
        alias = _alias(relation.name)
        on = self._on(relation)
        table: exp.Expr = _relation(relation.data_source, alias)
        if relation.cardinality is Cardinality.MANY:
            columns = [exp.column(name, quoted=True) for name in self.used[relation.name]]
            distinct = exp.Select(expressions=columns, distinct=exp.Distinct())
            distinct.set("from_", exp.From(this=_relation(relation.data_source)))
            table = exp.Subquery(this=distinct, alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
        return exp.Join(this=table, side="LEFT", on=on)

    def _on(self, relation: Relation) -> exp.Expr:
        pairs = list(relation.on)
        ours, theirs = _tenant_column(self.leg.data_source), _tenant_column(self.leg.related[relation.name])
        if ours is None and theirs is not None and len(self.leg.tenants) > 1:
            raise Unsupported(
                f"{self.leg.data_source.name!r} is shared, so its rows would meet {relation.name!r} of every tenant.",
                value=relation.name,
                hint="Ask one tenant.",
            )
        if ours is not None and theirs is not None and len(self.leg.tenants) > 1:
            pairs.append((ours, theirs))
        return exp.and_(
            *(exp.EQ(this=self._column(own), expression=self._column(related, relation.name)) for own, related in pairs), copy=False
        )

    def _scans(self) -> Iterator[ScanNeed]:
        needs: dict[str, tuple[DataSource, dict[str, None]]] = {}
        for relation, columns in self.used.items():
            source = self.leg.related[relation] if relation else self.leg.data_source
            needs.setdefault(source.name, (source, {}))[1].update(columns)
        for source, columns in needs.values():
            yield ScanNeed(source, tuple(columns) or (next(iter(source.columns)),))


def _as(value: exp.Expr, name: str) -> exp.Alias:
    return exp.Alias(this=value, alias=exp.to_identifier(name, quoted=True))


def _alias(relation: str) -> str:
    return f"r_{relation}" if relation else _BASE


def _relation(name: str, alias: str | None = None) -> exp.Table:
    table = exp.Table(this=exp.to_identifier(name, quoted=True))
    if alias is not None:
        table.set("alias", exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
    return table


def _tenant_column(source: DataSource) -> str | None:
    return source.separation.column if source.separation.kind is SeparationKind.COLUMN else None


def _transformed(tree: exp.Expr, change: Callable[[exp.Expr], exp.Expr]) -> exp.Expr:
    """A copy in which `change` has replaced nodes, top down, without entering what it returned."""
    changed = change(tree)
    if changed is not tree:
        return changed
    copy = tree.copy()
    for node in list(copy.find_all(exp.Column, exp.Anonymous)):
        if node.find_ancestor(exp.Anonymous):
            continue
        node.replace(change(node))
    return copy
