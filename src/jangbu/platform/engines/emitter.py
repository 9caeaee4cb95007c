"""The expressions that engines write differently, in SQLGlot's standard nodes; an engine overrides the few that differ.

SQLGlot takes 0.3 s to import, and this module is imported when engines are listed, so it is imported inside the functions.
"""

from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from jangbu.kernel.errors import OutOfBounds, WrongType, unknown_name

if TYPE_CHECKING:
    from sqlglot import exp

MAX_DIGITS = 38
"""Digits of an exact number in every engine (decimal(38, s))."""

_TRUNCATIONS = {"week": "WEEK", "month": "MONTH", "quarter": "QUARTER", "year": "YEAR"}
_PARTS = ("day", "month", "quarter", "year")


class StandardEmitter:
    """An `Emitter` for an engine that understands what SQLGlot writes for it."""

    def literal(self, value: object) -> "exp.Expr":
        from sqlglot import exp

        match value:
            case bool():
                return exp.Boolean(this=value)
            case int() | Decimal():
                digits = _digits(value)
                # SQLGlot takes a minus away with 28 digits only.
                return exp.Neg(this=exp.Literal.number(digits[1:])) if digits[0] == "-" else exp.Literal.number(digits)
            case str():
                return exp.Literal.string(_text(value))
            case datetime() if value.tzinfo is not None:
                return cast(exp.Literal.string(_stamp(value.astimezone(UTC)) + "+00:00"), "timestamptz")
            case datetime():
                return cast(exp.Literal.string(_stamp(value)), "timestamp")
            case date():
                return cast(exp.Literal.string(value.isoformat()), "date")
        raise TypeError(f"{type(value).__name__} has no literal: use text, bool, int, Decimal, date or datetime.")

    def micros(self, column: "exp.Expr") -> "exp.Expr":
        from sqlglot import exp

        return exp.UnixMicros(this=column)

    def date_of(self, micros: "exp.Expr") -> "exp.Expr":
        from sqlglot import exp

        return cast(exp.UnixToTime(this=micros, scale=exp.Literal.number(6)), "date")

    def floor_micros(self, micros: "exp.Expr", width: int) -> "exp.Expr":
        from sqlglot import exp

        step = exp.Literal.number(width)
        rest = exp.Mod(this=exp.paren(exp.Mod(this=exp.paren(micros.copy()), expression=step) + width), expression=step.copy())
        return exp.paren(exp.Sub(this=exp.paren(micros), expression=exp.paren(rest)))

    def instant_of(self, micros: "exp.Expr") -> "exp.Expr":
        from sqlglot import exp

        return cast(exp.UnixToTime(this=micros, scale=exp.Literal.number(6)), "timestamptz")

    def local_of(self, micros: "exp.Expr") -> "exp.Expr":
        from sqlglot import exp

        return cast(exp.UnixToTime(this=micros, scale=exp.Literal.number(6)), "timestamp")

    def truncate_date(self, day: "exp.Expr", unit: str) -> "exp.Expr":
        from sqlglot import exp

        if unit == "sunday_week":
            since = exp.Mod(this=self.part_of_date(day.copy(), "weekday"), expression=exp.Literal.number(7))
            return cast(exp.DateSub(this=day, expression=since, unit=exp.var("DAY")), "date")
        if unit not in _TRUNCATIONS:
            raise unknown_name("truncation of a date", unit, (*_TRUNCATIONS, "sunday_week"))
        return cast(exp.TimestampTrunc(this=day, unit=exp.var(_TRUNCATIONS[unit])), "date")

    def part_of_date(self, day: "exp.Expr", part: str) -> "exp.Expr":
        from sqlglot import exp

        if part == "weekday":
            return self.integer(exp.DayOfWeekIso(this=day))
        if part not in _PARTS:
            raise unknown_name("part of a date", part, ("weekday", *_PARTS))
        return self.integer(exp.Extract(this=exp.var(part.upper()), expression=day))

    def text(self, value: "exp.Expr") -> "exp.Expr":
        return cast(value, "varchar")

    def decimal(self, value: "exp.Expr", precision: int, scale: int) -> "exp.Expr":
        return cast(value, f"decimal({precision}, {scale})")

    def integer(self, value: "exp.Expr") -> "exp.Expr":
        return cast(value, "bigint")

    def double(self, value: "exp.Expr") -> "exp.Expr":
        return cast(value, "double")

    def ratio(self, numerator: "exp.Expr", denominator: "exp.Expr") -> "exp.Expr":
        from sqlglot import exp

        below = exp.Nullif(this=self.double(denominator), expression=exp.Literal.number(0))
        return exp.Div(this=self.double(numerator), expression=below, typed=False, safe=False)

    def lower(self, value: "exp.Expr") -> "exp.Expr":
        from sqlglot import exp

        return exp.Lower(this=value)

    def contains(self, value: "exp.Expr", part: "exp.Expr") -> "exp.Expr":
        from sqlglot import exp

        return exp.Contains(this=value, expression=part)

    def starts_with(self, value: "exp.Expr", part: "exp.Expr") -> "exp.Expr":
        from sqlglot import exp

        return exp.StartsWith(this=value, expression=part)

    def ends_with(self, value: "exp.Expr", part: "exp.Expr") -> "exp.Expr":
        from sqlglot import exp

        return exp.EndsWith(this=value, expression=part)

    def matches(self, value: "exp.Expr", pattern: "exp.Expr") -> "exp.Expr":
        from sqlglot import exp

        return exp.RegexpLike(this=value, expression=pattern)


def cast(value: "exp.Expr", to: str) -> "exp.Expr":
    """`CAST(value AS to)`, also where SQLGlot thinks that the value has the type already."""
    from sqlglot import exp

    return exp.Cast(this=value, to=_type(to).copy())


@lru_cache
def _type(text: str) -> "exp.DataType":
    """Parsing a type's name takes longer than all else that a cast needs."""
    from sqlglot import exp

    return exp.DataType.build(text)


def call(function: str, *arguments: "exp.Expr") -> "exp.Expr":
    """A call of an engine's own function, by its name."""
    from sqlglot import exp

    return exp.Anonymous(this=function, expressions=list(arguments))


def _digits(value: int | Decimal) -> str:
    if isinstance(value, Decimal) and not value.is_finite():
        raise WrongType(f"{value} isn't a finite number.", value=str(value))
    text = f"{value:f}" if isinstance(value, Decimal) and value.adjusted() <= MAX_DIGITS else str(value)
    if not text.lstrip("-").replace(".", "", 1).isdigit() or len(text.lstrip("-0.").replace(".", "")) > MAX_DIGITS:
        raise OutOfBounds(f"A number may have {MAX_DIGITS} digits.", value=str(value))
    whole, point, fraction = text.partition(".")
    if len(fraction) > MAX_DIGITS:
        raise OutOfBounds(f"A number may have {MAX_DIGITS} digits after the point.", value=str(value))
    return whole + point + fraction


def _text(value: str) -> str:
    if "\0" in value:
        raise WrongType("A text can't hold the character U+0000.", value=value)
    return value


def _stamp(value: datetime) -> str:
    return value.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")
