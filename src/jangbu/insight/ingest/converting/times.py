"""Days, instants and wall clocks from texts and from times of another type. Digits beyond microseconds are cut."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jangbu.insight.ingest.arrow import arrow_type
from jangbu.insight.ingest.converting.outcome import Mask, Outcome, Reason, Rule, Values, Whole, flags
from jangbu.insight.ingest.converting.patterns import EPOCHS, ISO, expression
from jangbu.insight.ingest.converting.zones import DAY, END, FIRST, to_clocks, to_instants
from jangbu.kernel.errors import LoadError
from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.ports import TableColumn

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_EPOCH: Final = r"^\s*(?P<sign>-?)(?P<whole>\d{1,18})(?:\.(?P<fraction>\d{0,12}))?\s*$"
_MICROS: Final = pa.timestamp("us")


@dataclass(frozen=True, slots=True)
class _Read:
    """Times in microseconds since 1970: `fixed` ones are instants, the others wall clocks as they were written. `found`: the text
    is a time at all."""

    micros: Whole
    fixed: Mask
    found: Mask
    within: Mask


def from_texts(texts: Values, column: TableColumn, rule: Rule) -> Outcome:
    """Times of the column's type from texts in one of the rule's formats."""
    if rule.reading.formats[0] == ISO and (quick := _cast(texts, column)) is not None:
        return from_times(quick, column, rule)
    encoded = texts.dictionary_encode()
    outcome = _fitted(_read_all(encoded.dictionary, rule.reading.formats), column, rule)
    values = outcome.values.take(encoded.indices)
    if not outcome.bad:
        return Outcome(values)
    places = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(np.isin(places, list(outcome.bad)))
    return Outcome(values, {int(row): outcome.bad[int(places[row])] for row in rows})


def from_times(times: Values, column: TableColumn, rule: Rule) -> Outcome:
    """Times of the column's type from Arrow's dates and timestamps."""
    if times.type == arrow_type(column) and not pa.types.is_date(times.type):
        return Outcome(times) if _is_within(times) else _fitted(_read_times(times), column, rule, times)
    return _fitted(_read_times(times), column, rule, times)


def _cast(texts: Values, column: TableColumn) -> Values | None:
    """All at once: instants where each has an offset, else wall clocks; None where it takes a closer look."""
    for wanted in (_MICROS, pa.timestamp("us", tz="UTC")):
        if wanted.tz and column.type is FieldType.DATE:
            return None
        try:
            times: Values = texts.cast(wanted)
        except pa.ArrowInvalid:
            continue
        return times if _is_within(times) else None
    return None


def _is_within(times: Values) -> bool:
    extremes = pc.min_max(times.cast(pa.int64()))
    first, last = extremes["min"].as_py(), extremes["max"].as_py()
    return first is None or (first >= FIRST and last < END)


def _read_times(times: Values) -> _Read:
    given = times.type
    valid = np.ones(len(times), dtype=np.bool_)
    if pa.types.is_date32(given):
        days = times.cast(pa.int32()).cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        within = (days >= FIRST // DAY) & (days < END // DAY)
        return _Read(np.where(within, days, 0) * DAY, np.zeros_like(valid), valid, within)
    if pa.types.is_date64(given):
        given = pa.timestamp("ms")
    ticks = times.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    many = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 1}[given.unit]
    within = (ticks >= FIRST // many) & (ticks < END // many) if given.unit != "ns" else valid
    micros = ticks // 1_000 if given.unit == "ns" else np.where(within, ticks, 0) * many
    return _Read(micros, np.full_like(valid, fill_value=given.tz is not None), valid, within)


def _read_all(texts: Values, formats: tuple[str, ...]) -> _Read:
    """Each text by the first format that it is written in."""
    read = _read(texts, formats[0])
    for written in formats[1:]:
        if (read.found & read.within).all():
            return read
        other, keep = _read(texts, written), read.found & read.within
        micros, fixed = np.where(keep, read.micros, other.micros), np.where(keep, read.fixed, other.fixed)
        read = _Read(micros, fixed, read.found | other.found, keep | (other.found & other.within))
    return read


def _read(texts: Values, written: str) -> _Read:
    if written in EPOCHS:
        return _read_epochs(texts, EPOCHS[written])
    parts = _Parts(pc.extract_regex(texts, expression(written)))
    days, is_day = parts.days()
    clock, is_clock = parts.clock()
    offset, has_offset, is_offset = parts.offset()
    sound = is_day & is_clock & is_offset & parts.matched
    micros = np.where(sound, days * DAY + clock - offset, 0)
    return _Read(micros, has_offset, sound, (micros >= FIRST) & (micros < END))


def _read_epochs(texts: Values, many: int) -> _Read:
    parts = _Parts(pc.extract_regex(texts, _EPOCH))
    whole = parts.number("whole")
    within = whole < END // many
    micros = np.where(within, whole, 0) * many + parts.fraction() * many // 1_000_000
    negative = parts.text("sign").to_numpy(zero_copy_only=False) == "-"
    micros = np.where(negative, -micros, micros)
    within &= (micros >= FIRST) & (micros < END)
    return _Read(np.where(within, micros, 0), np.ones_like(within), parts.matched, within)


class _Parts:
    """The groups of a regular expression over many texts; what isn't there is ''."""

    def __init__(self, found: Values) -> None:
        self.matched = flags(found.is_valid())
        self._found = found
        self._names = {field.name for field in found.type}

    def text(self, name: str) -> Values:
        if name not in self._names:
            return pa.array([""] * len(self._found), pa.string())
        text: Values = pc.struct_field(self._found, name).cast(pa.string()).fill_null("")
        return text

    def number(self, name: str, otherwise: int = 0) -> Whole:
        if name not in self._names:
            return np.full(len(self._found), otherwise, dtype=np.int64)
        text = self.text(name)
        numbers = pc.if_else(pc.equal(text, pa.scalar("")), pa.scalar(str(otherwise)), text).cast(pa.int64())
        return np.asarray(numbers.to_numpy(zero_copy_only=False), dtype=np.int64)

    def fraction(self) -> Whole:
        """The digits after the point in millionths."""
        if "fraction" not in self._names:
            return self.number("fraction")
        padded = pc.utf8_slice_codeunits(pc.utf8_rpad(self.text("fraction"), 6, "0"), 0, 6)
        return np.asarray(padded.cast(pa.int64()).to_numpy(zero_copy_only=False), dtype=np.int64)

    def days(self) -> tuple[Whole, Mask]:
        """Days since 1970, and whether there is such a day."""
        short = self.number("short_year")
        year = self.number("year") if "year" in self._names else np.where(short < 69, 2000, 1900) + short
        month, day = self._month(), self.number("day")
        sound = (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1)
        months = np.where(sound, (year - 1970) * 12 + month - 1, 0).astype("datetime64[M]")
        first = months.astype("datetime64[D]").astype(np.int64)
        length = (months + 1).astype("datetime64[D]").astype(np.int64) - first
        return first + day - 1, sound & (day <= length)

    def clock(self) -> tuple[Whole, Mask]:
        """Microseconds since midnight, and whether a clock shows it."""
        hour, minute, second = (self.number(name) for name in ("hour", "minute", "second"))
        sound = (hour < 24) & (minute < 60) & (second < 60)
        if "half" in self._names:
            sound &= (hour >= 1) & (hour <= 12)
            afternoon = flags(pc.match_substring_regex(self.text("half"), "^[Pp]|오후"))
            hour = hour % 12 + np.where(afternoon, 12, 0)
        return ((hour * 60 + minute) * 60 + second) * 1_000_000 + self.fraction(), sound

    def offset(self) -> tuple[Whole, Mask, Mask]:
        """The offset in microseconds, whether there is one, and whether it can be one."""
        if "offset" not in self._names:
            nothing = np.zeros(len(self._found), dtype=np.bool_)
            return self.number("offset"), nothing, ~nothing
        text = self.text("offset")
        signed = _Parts(pc.extract_regex(text, r"^(?P<sign>[+-])(?P<hour>\d{2}):?(?P<minute>\d{2})?$"))
        hour, minute = signed.number("hour"), signed.number("minute")
        size = (hour * 60 + minute) * 60_000_000
        negative = signed.text("sign").to_numpy(zero_copy_only=False) == "-"
        return np.where(negative, -size, size), flags(pc.not_equal(text, pa.scalar(""))), (hour < 24) & (minute < 60)

    def _month(self) -> Whole:
        if "month_name" not in self._names:
            return self.number("month")
        short = pc.utf8_slice_codeunits(pc.utf8_lower(self.text("month_name")), 0, 3)
        places = pc.index_in(short, value_set=pa.array(_MONTHS)).fill_null(-1)
        return np.asarray(places.to_numpy(zero_copy_only=False), dtype=np.int64) + 1


def _fitted(read: _Read, column: TableColumn, rule: Rule, given: Values | None = None) -> Outcome:
    """Times as the column keeps them. Where a zone is needed and there is none, it is asked for."""
    sound = read.found & read.within
    fixed, micros = read.fixed & sound, np.where(sound, read.micros, 0)
    missing = flags(given.is_null()) if given is not None else np.zeros_like(sound)
    if column.type is FieldType.INSTANT:
        micros = _moved(micros, sound & ~fixed & ~missing, to_instants, column, rule)
    else:
        micros = _moved(micros, fixed & ~missing, to_clocks, column, rule)
    within = read.within & (micros >= FIRST) & (micros < END)
    whole = (micros % DAY == 0) if column.type is FieldType.DATE else within
    kept = read.found & within & whole & ~missing
    bad = {int(row): Reason.NOT_A_TIME for row in np.flatnonzero(~read.found & ~missing)}
    bad |= {int(row): Reason.OUT_OF_RANGE for row in np.flatnonzero(read.found & ~within & ~missing)}
    bad |= {int(row): Reason.NOT_A_DATE for row in np.flatnonzero(read.found & within & ~whole & ~missing)}
    return Outcome(_array(micros, kept, column), bad)


def _moved(micros: Whole, which: Mask, move: Any, column: TableColumn, rule: Rule) -> Whole:
    if not which.any():
        return micros
    if rule.zone is None:
        raise LoadError(
            f"The times of {column.name!r} need a zone.",
            value=column.name,
            hint="Give one, e.g. --zone Asia/Seoul, or in 'reading'.",
        )
    moved = micros.copy()
    moved[which] = move(micros[which], rule.zone)
    return moved


def _array(micros: Whole, kept: Mask, column: TableColumn) -> Values:
    if column.type is FieldType.DATE:
        return pa.array((micros // DAY).astype(np.int32), mask=~kept).cast(pa.date32())
    return pa.array(micros, mask=~kept).cast(arrow_type(column))
