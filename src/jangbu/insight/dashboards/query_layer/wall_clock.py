"""Time in SQL: buckets and parts of the wall clock, by the zone's constant offsets between its transitions."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from sqlglot import exp

from jangbu.insight.catalog.contracts import TimeField
from jangbu.insight.dashboards.query_layer.conditions import moment
from jangbu.insight.dashboards.query_layer.zones import DAY, WIDTHS, Piece, pieces
from jangbu.kernel.errors import InvalidTime
from jangbu.kernel.types import FieldType, Frequency
from jangbu.platform.engines.ports import Emitter

_DATE_PARTS = {"weekday": "weekday", "day_of_month": "day", "month_of_year": "month"}


@dataclass(frozen=True, slots=True)
class WallClock:
    """`bounds`: the first and last micros that the column may hold; None where there are no rows."""

    zone: str
    bounds: tuple[int, int] | None
    emitter: Emitter

    def bucket(self, column: exp.Expr, source: TimeField, frequency: Frequency) -> exp.Expr:
        """The start of the bucket: a DATE for a day and coarser; finer, an instant (or, of a LOCAL field, a local timestamp)."""
        if not frequency.is_finer_than_day:
            day = self.day(column, source)
            return day if frequency is Frequency.DAY else self.emitter.truncate_date(day, frequency.value)
        width = WIDTHS[frequency]
        micros = self.emitter.micros(column)
        if source.type is not FieldType.INSTANT:
            return self.emitter.local_of(self.emitter.floor_micros(micros, width))
        if all(piece.offset % width == 0 for piece in self._pieces):
            return self.emitter.instant_of(self.emitter.floor_micros(micros, width))
        return self.emitter.instant_of(self._by_piece(column, lambda piece: self._floor(micros.copy(), piece, width)))

    def day(self, column: exp.Expr, source: TimeField) -> exp.Expr:
        """The DATE on the wall clock."""
        if source.type is FieldType.DATE:
            return column
        return self.emitter.date_of(self.local_micros(column, source))

    def part(self, column: exp.Expr, source: TimeField, function: str) -> exp.Expr:
        """`hour_of_day` (0 to 23), `weekday` (1 Monday to 7 Sunday), `day_of_month`, `month_of_year`, as a bigint.

        Raises:
            InvalidTime: the hour of a field that holds days.
        """
        if function in _DATE_PARTS:
            return self.emitter.part_of_date(self.day(column, source), _DATE_PARTS[function])
        if source.type is FieldType.DATE:
            raise InvalidTime(f"{source.name!r} holds days, which have no hour.", value=source.name)
        local = self.local_micros(column, source)
        since_midnight = exp.Sub(this=local, expression=self.emitter.floor_micros(local.copy(), DAY))
        hour = self.emitter.floor_micros(exp.paren(since_midnight, copy=False), WIDTHS[Frequency.HOUR])
        return self.emitter.integer(exp.IntDiv(this=hour, expression=exp.Literal.number(WIDTHS[Frequency.HOUR])))

    def local_micros(self, column: exp.Expr, source: TimeField) -> exp.Expr:
        micros = self.emitter.micros(column)
        if source.type is not FieldType.INSTANT:
            return micros
        return exp.paren(exp.Add(this=micros, expression=self._offset(column)), copy=False)

    def _floor(self, micros: exp.Expr, piece: Piece, width: int) -> exp.Expr:
        """UTC micros of the bucket's start by one piece's offset; what a change of the clock cuts begins at the change."""
        local = exp.paren(exp.Add(this=micros, expression=_number(piece.offset)), copy=False)
        start = exp.Sub(this=self.emitter.floor_micros(local, width), expression=exp.paren(_number(piece.offset), copy=False))
        if piece == self._pieces[0]:
            return start
        return exp.Greatest(this=start, expressions=[_number(piece.start)])

    def _offset(self, column: exp.Expr) -> exp.Expr:
        return self._by_piece(column, lambda piece: _number(piece.offset))

    def _by_piece(self, column: exp.Expr, value: Callable[[Piece], exp.Expr]) -> exp.Expr:
        """What `value` gives for the piece that the instant lies in."""
        if len(self._pieces) == 1:
            return value(self._pieces[0])
        case = exp.Case(ifs=[])
        for before, after in pairwise(self._pieces):
            until = moment(after.start, FieldType.INSTANT, self.emitter)
            case.append("ifs", exp.If(this=exp.LT(this=column.copy(), expression=until), true=value(before)))
        case.set("default", value(self._pieces[-1]))
        return case

    @property
    def _pieces(self) -> tuple[Piece, ...]:
        return pieces(self.zone, *(self.bounds or (0, 0)))


def _number(value: int) -> exp.Expr:
    return exp.Literal.number(value) if value >= 0 else exp.Neg(this=exp.Literal.number(-value))
