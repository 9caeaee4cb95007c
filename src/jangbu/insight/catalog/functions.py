"""The functions of formulas: a short allow-list, each a row of one table, each with one meaning in every engine.

Nulls: a function of a null is null, but for `if` (a null condition doesn't hold) and `coalesce`. Decimals stay exact: a sum or
difference keeps the larger scale, and so does a product, rounded to it half away from zero. A division is a double, and null where
the divisor is 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from jangbu.kernel.errors import CatalogError
from jangbu.kernel.types import FieldType

ROW_PRECISION: Final = 18
"""Digits of a product within a row: engines compute with it as a 64-bit integer."""

NUMBER: Final = frozenset({FieldType.INTEGER, FieldType.DECIMAL, FieldType.DOUBLE})
TEXT: Final = frozenset({FieldType.TEXT})
BOOLEAN: Final = frozenset({FieldType.BOOLEAN})
DATE: Final = frozenset({FieldType.DATE})
CLOCK: Final = frozenset({FieldType.INSTANT, FieldType.LOCAL})
TIME: Final = CLOCK | DATE
ANY: Final = frozenset(FieldType)

_LADDER: Final = (FieldType.INTEGER, FieldType.DECIMAL, FieldType.DOUBLE)


@dataclass(frozen=True, slots=True)
class Typed:
    """A tree and what it yields; `type` is None for a bare `null`. `scale` is a decimal's."""

    node: exp.Expr
    type: FieldType | None
    scale: int = 0


@dataclass(frozen=True, slots=True)
class RowFunction:
    """`takes` are the types of each argument (`more`: the last repeats), `gives` the result's, or None for the type that the
    arguments from `alike` on share. `build` gets as many arguments as were written."""

    name: str
    takes: tuple[frozenset[FieldType], ...]
    gives: FieldType | None
    build: Callable[[Sequence[Typed]], exp.Expr]
    words: str
    more: bool = False
    alike: int | None = None


def common_type(types: Sequence[FieldType | None], what: str) -> FieldType | None:
    """The type that all share; numbers widen from integer through decimal to double. None where all are null.

    Raises:
        CatalogError: they don't go together.
    """
    real = list(dict.fromkeys(kind for kind in types if kind is not None))
    if len(real) <= 1:
        return real[0] if real else None
    if all(kind in _LADDER for kind in real):
        return max(real, key=_LADDER.index)
    raise CatalogError(f"{what} mixes {' and '.join(real)}.", hint="Give it values of one type.")


def decimal_type(precision: int, scale: int) -> exp.DataType:
    size = [exp.DataTypeParam(this=exp.Literal.number(number)) for number in (precision, scale)]
    return exp.DataType(this=exp.DataType.Type.DECIMAL, expressions=size)


def as_double(value: exp.Expr) -> exp.Expr:
    return exp.Cast(this=value, to=exp.DataType(this=exp.DataType.Type.DOUBLE))


def divided(left: exp.Expr, right: exp.Expr) -> exp.Expr:
    """A double; null where `right` is 0 or null."""
    return exp.Div(this=as_double(left), expression=exp.Nullif(this=as_double(right), expression=exp.Literal.number(0)))


def _if(args: Sequence[Typed]) -> exp.Expr:
    return exp.Case(ifs=[exp.If(this=args[0].node, true=args[1].node)], default=args[2].node)


def _coalesce(args: Sequence[Typed]) -> exp.Expr:
    return exp.Coalesce(this=args[0].node, expressions=[arg.node for arg in args[1:]])


def _nullif(args: Sequence[Typed]) -> exp.Expr:
    return exp.Nullif(this=args[0].node, expression=args[1].node)


def _abs(args: Sequence[Typed]) -> exp.Expr:
    return exp.Abs(this=args[0].node)


def _round(args: Sequence[Typed]) -> exp.Expr:
    places = args[1].node
    if not isinstance(places, exp.Literal) or int(places.name) > 9:
        raise CatalogError("The second argument of 'round' is a number of places from 0 to 9.", value=args[1].node.sql())
    return args[0].node if args[0].type is FieldType.INTEGER else exp.Round(this=args[0].node, decimals=places)


def _lower(args: Sequence[Typed]) -> exp.Expr:
    return exp.Lower(this=args[0].node)


def _upper(args: Sequence[Typed]) -> exp.Expr:
    return exp.Upper(this=args[0].node)


def _length(args: Sequence[Typed]) -> exp.Expr:
    return exp.Length(this=args[0].node)


def _concat(args: Sequence[Typed]) -> exp.Expr:
    # `||` is null with a null everywhere; DuckDB's CONCAT would skip it.
    joined = args[0].node
    for arg in args[1:]:
        joined = exp.DPipe(this=joined, expression=arg.node)
    return exp.Paren(this=joined)


def _date_diff_days(args: Sequence[Typed]) -> exp.Expr:
    return exp.DateDiff(this=args[1].node, expression=args[0].node, unit=exp.Var(this="DAY"))


def _wall_clock(name: str) -> Callable[[Sequence[Typed]], exp.Expr]:
    def build(args: Sequence[Typed]) -> exp.Expr:
        if not isinstance(args[0].node, exp.Column):
            raise CatalogError(f"The argument of {name!r} is a column.", value=args[0].node.sql())
        return exp.Anonymous(this=name, expressions=[args[0].node])

    return build


def _table() -> dict[str, RowFunction]:
    whole, text = FieldType.INTEGER, FieldType.TEXT
    rows = (
        RowFunction("if", (BOOLEAN, ANY, ANY), None, _if, "if(condition, then, else)", alike=1),
        RowFunction("coalesce", (ANY, ANY), None, _coalesce, "coalesce(a, b, …): the first that isn't null", more=True, alike=0),
        RowFunction("nullif", (ANY, ANY), None, _nullif, "nullif(a, b): null where they are equal", alike=0),
        RowFunction("abs", (NUMBER,), None, _abs, "abs(number)", alike=0),
        RowFunction("round", (NUMBER, frozenset({whole})), None, _round, "round(number, places): half away from zero", alike=0),
        RowFunction("lower", (TEXT,), text, _lower, "lower(text)"),
        RowFunction("upper", (TEXT,), text, _upper, "upper(text)"),
        RowFunction("length", (TEXT,), whole, _length, "length(text): code points"),
        RowFunction("concat", (TEXT, TEXT), text, _concat, "concat(text, text, …): null where one is null", more=True),
        RowFunction("date_diff_days", (DATE, DATE), whole, _date_diff_days, "date_diff_days(from, to): days between two dates"),
        RowFunction("hour_of_day", (CLOCK,), whole, _wall_clock("hour_of_day"), "hour_of_day(time): 0 to 23, in the zone asked"),
        RowFunction("weekday", (TIME,), whole, _wall_clock("weekday"), "weekday(time): 1 Monday to 7 Sunday, in the zone asked"),
        RowFunction("day_of_month", (TIME,), whole, _wall_clock("day_of_month"), "day_of_month(time): 1 to 31, in the zone asked"),
        RowFunction(
            "month_of_year", (TIME,), whole, _wall_clock("month_of_year"), "month_of_year(time): 1 to 12, in the zone asked"
        ),
    )
    return {row.name: row for row in rows}


ROW_FUNCTIONS: Final = _table()
