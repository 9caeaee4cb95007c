"""What Trino writes differently. All arithmetic on times is by whole numbers, in UTC: every session's zone is UTC.

Trino has no function that gives microseconds. Milliseconds are one call, microseconds are four; so micros that are rounded to whole
milliseconds anyway, as all buckets are, are computed in milliseconds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from jangbu.kernel.errors import unknown_name
from jangbu.platform.engines.emitter import StandardEmitter, call, cast

if TYPE_CHECKING:
    from sqlglot import exp

_DAY = 86_400_000_000
_FAR = 46_000_000 * _DAY
"""Whole days of micros, added before a division, so that what is divided is never negative: a division truncates. The years 1 to
9999 lie within ±2.6 x 10^17 micros of 1970; a bigint ends at 9.2 x 10^18."""

_INSTANT, _LOCAL = "timestamptz(6)", "timestamp(6)"
_MILLIS = "jangbu_millis"
"""Where a tree of micros keeps the tree of their milliseconds (floor)."""

_TRUNCATIONS = ("week", "month", "quarter", "year")
_PARTS = {"weekday": "day_of_week", "day": "day", "month": "month", "quarter": "quarter", "year": "year"}


class TrinoEmitter(StandardEmitter):
    """Trino's differences."""

    def literal(self, value: object) -> "exp.Expr":
        match value:
            case bool():
                return super().literal(value)
            case int() if not -(2**63) < value < 2**63:
                # Longer whole numbers are no literals in Trino; a decimal's text is.
                digits = super().literal(abs(value)).name
                return cast(_string(f"-{digits}" if value < 0 else digits), f"decimal({len(digits)}, 0)")
            case datetime() if value.tzinfo is not None:
                return cast(_string(_stamp(value.astimezone(UTC)) + " UTC"), _INSTANT)
            case datetime():
                return cast(_string(_stamp(value)), _LOCAL)
        return super().literal(value)

    # Times

    def micros(self, column: "exp.Expr") -> "exp.Expr":
        # Moved by whole days to 1970, where a double holds micros exactly.
        from sqlglot import exp

        days = call("date_diff", _string("day"), _epoch(), column)
        moved = call("date_add", _string("day"), exp.Neg(this=days), column.copy())
        rest = exp.Mul(this=call("to_unixtime", moved), expression=_double("1000000"))
        whole = exp.Mul(this=days.copy(), expression=exp.Literal.number(_DAY))
        micros = exp.paren(exp.Add(this=whole, expression=self.integer(call("round", rest))), copy=False)
        micros.meta[_MILLIS] = call("date_diff", _string("millisecond"), _epoch(), column.copy())
        return micros

    def date_of(self, micros: "exp.Expr") -> "exp.Expr":
        from sqlglot import exp

        days = exp.Sub(this=_units(micros, _DAY), expression=exp.Literal.number(_FAR // _DAY))
        return call("date_add", _string("day"), days, cast(_string("1970-01-01"), "date"))

    def floor_micros(self, micros: "exp.Expr", width: int) -> "exp.Expr":
        from sqlglot import exp

        whole = exp.Mul(this=_units(micros, width), expression=exp.Literal.number(width))
        return exp.paren(exp.Sub(this=whole, expression=exp.Literal.number(_far(width))), copy=False)

    def instant_of(self, micros: "exp.Expr") -> "exp.Expr":
        return _moment(micros, _INSTANT)

    def local_of(self, micros: "exp.Expr") -> "exp.Expr":
        return _moment(micros, _LOCAL)

    def truncate_date(self, day: "exp.Expr", unit: str) -> "exp.Expr":
        from sqlglot import exp

        if unit == "sunday_week":
            since = exp.Mod(this=call("day_of_week", day.copy()), expression=exp.Literal.number(7))
            return call("date_add", _string("day"), exp.Neg(this=exp.paren(since, copy=False)), day)
        if unit not in _TRUNCATIONS:
            raise unknown_name("truncation of a date", unit, (*_TRUNCATIONS, "sunday_week"))
        return call("date_trunc", _string(unit), day)

    def part_of_date(self, day: "exp.Expr", part: str) -> "exp.Expr":
        if part not in _PARTS:
            raise unknown_name("part of a date", part, _PARTS)
        return call(_PARTS[part], day)

    # Numbers

    def double(self, value: "exp.Expr") -> "exp.Expr":
        from sqlglot import exp

        if isinstance(value, exp.Literal) and not value.is_string:
            return _double(value.name)  # by its text, to the nearest double; a cast from a decimal divides, and may be next to it
        if isinstance(value, exp.Neg) and isinstance(value.this, exp.Literal):
            return exp.Neg(this=_double(value.this.name))
        return super().double(value)

    # Texts

    def contains(self, value: "exp.Expr", part: "exp.Expr") -> "exp.Expr":
        from sqlglot import exp

        return exp.GT(this=call("strpos", value, part), expression=exp.Literal.number(0))

    def starts_with(self, value: "exp.Expr", part: "exp.Expr") -> "exp.Expr":
        return call("starts_with", value, part)

    def ends_with(self, value: "exp.Expr", part: "exp.Expr") -> "exp.Expr":
        # Where the value is shorter, `substr` gives '', which no longer part equals.
        from sqlglot import exp

        tail = call("substr", value, exp.Neg(this=call("length", part.copy())))
        return exp.EQ(this=tail, expression=part)

    def matches(self, value: "exp.Expr", pattern: "exp.Expr") -> "exp.Expr":
        return call("regexp_like", value, pattern)


def _string(text: str) -> "exp.Expr":
    from sqlglot import exp

    return exp.Literal.string(text)


def _double(digits: str) -> "exp.Expr":
    from sqlglot import exp

    return exp.Literal.number(f"{digits}E0")


def _stamp(value: datetime) -> str:
    return value.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")


def _epoch() -> "exp.Expr":
    return cast(_string("1970-01-01 00:00:00.000000 UTC"), _INSTANT)


def _far(width: int) -> int:
    return _FAR // width * width


def _units(micros: "exp.Expr", width: int) -> "exp.Expr":
    """How many whole `width`s lie between the far past and `micros`."""
    from sqlglot import exp

    millis = milliseconds(micros) if width % 1000 == 0 else None
    scale = 1 if millis is None else 1000
    value = exp.paren(micros if millis is None else millis.tree, copy=False)
    shifted = exp.paren(exp.Add(this=value, expression=exp.Literal.number(_far(width) // scale)), copy=False)
    return exp.paren(exp.IntDiv(this=shifted, expression=exp.Literal.number(width // scale)), copy=False)


def _moment(micros: "exp.Expr", type_: str) -> "exp.Expr":
    from sqlglot import exp

    if (millis := milliseconds(micros)) is not None and millis.whole:
        found = call("from_unixtime", exp.Div(this=cast(millis.tree, "double"), expression=_double("1000"), typed=True))
        return found if type_ == _INSTANT else cast(found, type_)
    nanos = exp.Mul(this=cast(micros, "decimal(38, 0)"), expression=exp.Literal.number(1000))
    return cast(call("from_unixtime_nanos", nanos), type_)


@dataclass(frozen=True, slots=True)
class Millis:
    """The milliseconds (floor) of micros. `whole`: nothing is left below them."""

    tree: "exp.Expr"
    whole: bool


def milliseconds(micros: "exp.Expr") -> Millis | None:
    """None where the tree isn't one of which they can be told without the micros."""
    from sqlglot import exp

    if _MILLIS in micros.meta:
        return Millis(micros.meta[_MILLIS].copy(), whole=False)
    match micros:
        case exp.Literal() if micros.name.isdigit() and int(micros.name) % 1000 == 0:
            return Millis(exp.Literal.number(int(micros.name) // 1000), whole=True)
        case exp.Mul() if isinstance(micros.expression, exp.Literal) and (factor := milliseconds(micros.expression)):
            return Millis(exp.Mul(this=micros.this.copy(), expression=factor.tree), whole=True)
        case exp.Paren() if inner := milliseconds(micros.this):
            return replace(inner, tree=exp.paren(inner.tree, copy=False))
        case exp.Neg() if (inner := milliseconds(micros.this)) and inner.whole:
            return replace(inner, tree=exp.Neg(this=inner.tree))
        case exp.Add() | exp.Sub():
            return _sum(micros)
        case exp.Greatest():
            return _of_all(
                [micros.this, *micros.expressions], lambda first, *more: exp.Greatest(this=first, expressions=list(more))
            )
        case exp.Case() if micros.this is None and micros.args.get("default") is not None:
            tests = [part.this.copy() for part in micros.args["ifs"]]
            return _of_all([*(part.args["true"] for part in micros.args["ifs"]), micros.args["default"]], partial(_case, tests))
    return None


def _sum(node: "exp.Binary") -> Millis | None:
    """Of two parts below a millisecond the sum may be one more; taken away, one is one less."""
    from sqlglot import exp

    left, right = milliseconds(node.this), milliseconds(node.expression)
    if left is None or right is None or not (right.whole or (left.whole and isinstance(node, exp.Add))):
        return None
    return Millis(type(node)(this=left.tree, expression=right.tree), left.whole and right.whole)


def _of_all(parts: "Sequence[exp.Expr]", build: "Callable[..., exp.Expr]") -> Millis | None:
    found = [each for part in parts if (each := milliseconds(part)) is not None]
    return Millis(build(*(each.tree for each in found)), all(each.whole for each in found)) if len(found) == len(parts) else None


def _case(tests: "Sequence[exp.Expr]", *values: "exp.Expr") -> "exp.Expr":
    from sqlglot import exp

    return exp.Case(ifs=[exp.If(this=test, true=value) for test, value in zip(tests, values, strict=False)], default=values[-1])
