"""What a column is, from its name and its values, each guess with its evidence."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from jangbu.insight.catalog.contracts import NULL_WORDS, ColumnReading, Text
from jangbu.insight.ingest.converting.outcome import flags
from jangbu.insight.ingest.inferring import words
from jangbu.insight.ingest.inferring.profiles import Profile, is_text
from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.ports import TableColumn

_TOLERATED: Final = 100
"""One value of so many may not fit; its row will be set aside."""
_LONG: Final = 15
"""Digits from which on a number counts nothing: it is an identifier."""
_BOOLEANS: Final = frozenset({"true", "false", "yes", "no", "y", "n", "t", "f", "예", "아니오", "아니요", "참", "거짓"})
_CLOCKS: Final = ("", " %H:%M:%S", " %H:%M", " %p %I:%M:%S", " %p %I:%M", " %I:%M:%S %p", " %I:%M %p")
_DAYS: Final = (
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%Y. %m. %d.",
    "%Y년 %m월 %d일",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%d.%m.%Y",
    "%d-%m-%Y",
    "%d %b %Y",
    "%b %d, %Y",
)
_EPOCHS: Final = (("epoch_s", 10**9, 4 * 10**9), ("epoch_ms", 10**12, 4 * 10**12))


@dataclass(frozen=True, slots=True)
class Guess:
    """A column as it was understood. `evidence` says why, for people; `identifier` where it names things, `distinct` how many of
    them there are in the sample."""

    name: str
    original: str
    column: TableColumn
    reading: ColumnReading
    label: Text
    evidence: str
    identifier: bool = False
    distinct: int = 0
    missing: int = 0
    rows: int = 0


@dataclass(frozen=True, slots=True)
class _Found:
    type: FieldType
    why: str
    reading: ColumnReading = ColumnReading()  # noqa: RUF009 - frozen
    precision: int = 18
    scale: int = 4
    identifier: bool = False


def guess(name: str, original: str, profile: Profile, zone: str) -> Guess:
    """What the column is."""
    found = _found(name, profile, zone)
    nulls = None
    if found.type is FieldType.TEXT and words.NAMED_NA.search(name) and "NA" in profile.words:
        nulls = tuple(word for word in NULL_WORDS if word != "NA")
    source = None if original == name else original
    reading = replace(found.reading, source=source, nulls=nulls)
    column = TableColumn(name, found.type, found.precision, found.scale)
    evidence = "; ".join(part for part in (found.why, *_told(profile, column, reading, zone)) if part)
    label = words.label(name, original)
    return Guess(
        name, original, column, reading, label, evidence, found.identifier, profile.distinct, profile.missing, profile.rows
    )


def _told(profile: Profile, column: TableColumn, reading: ColumnReading, zone: str) -> Iterator[str]:
    if profile.missing:
        yield f"{profile.missing / profile.rows:.1%} empty"
    if profile.words:
        kept = " (kept as they are)" if reading.nulls is not None else ""
        yield f"{', '.join(map(repr, profile.words[:3]))} taken for missing{kept}"
    lost = profile.misfits(column, reading, zone) if column.type is not FieldType.TEXT and profile.filled else 0
    if lost:
        yield f"{lost:,} of {profile.filled:,} values don't fit: their rows will be set aside"


def _found(name: str, profile: Profile, zone: str) -> _Found:
    if not profile.filled:
        return _Found(FieldType.TEXT, "no value in the sample")
    if not is_text(profile.given):
        return _typed(name, profile, zone)
    return (
        _identifier(name, profile)
        or _boolean(profile)
        or _epoch(name, profile)
        or _day_number(name, profile, zone)
        or (_number(profile, zone) or _time(profile, zone) or _Found(FieldType.TEXT, f"{profile.distinct:,} different texts"))
    )


def _typed(name: str, profile: Profile, zone: str) -> _Found:
    given, told = profile.given, f"{profile.given} in the file"
    if pa.types.is_boolean(given):
        return _Found(FieldType.BOOLEAN, told)
    if pa.types.is_date32(given):
        return _Found(FieldType.DATE, told)
    if pa.types.is_timestamp(given) or pa.types.is_date(given):
        return _Found(
            FieldType.INSTANT, told if pa.types.is_timestamp(given) and given.tz else f"{told}, without a zone; read as {zone}"
        )
    if pa.types.is_integer(given) or pa.types.is_floating(given) or pa.types.is_decimal(given):
        found = _identifier(name, profile) or _epoch(name, profile) or _number(profile, zone) or _Found(FieldType.DOUBLE, "")
        return replace(found, why=f"{told}; {found.why}" if found.why else told)
    return _Found(FieldType.TEXT, told)


def _identifier(name: str, profile: Profile) -> _Found | None:
    digits = _share(profile, r"^[0-9]+$")
    if words.IDENTIFIERS.search(name):
        return _Found(FieldType.TEXT, "looks like an identifier by its name", identifier=True)
    if digits == 1 and _share(profile, r"^0[0-9]+$") > 0 and _share(profile, r"^0[0-9]+\.") == 0:
        return _Found(FieldType.TEXT, "looks like an identifier: numbers with leading zeros", identifier=True)
    if digits == 1 and _share(profile, rf"^[0-9]{{{_LONG},}}$") > 0:
        return _Found(FieldType.TEXT, "looks like an identifier: numbers of many digits", identifier=True)
    if _share(profile, r"^(\+82|0)[0-9]{1,2}-?[0-9]{3,4}-?[0-9]{4}$") > 0.9:
        return _Found(FieldType.TEXT, "looks like phone numbers", identifier=True)
    return None


def _share(profile: Profile, pattern: str) -> float:
    """The part of the different values that a pattern describes."""
    return int(flags(pc.match_substring_regex(profile.values, pattern)).sum()) / profile.distinct


def _boolean(profile: Profile) -> _Found | None:
    if profile.distinct > len(_BOOLEANS):
        return None
    found = {str(value).strip().lower() for value in profile.values.to_pylist()}
    return _Found(FieldType.BOOLEAN, f"only {', '.join(sorted(found))}") if found <= _BOOLEANS else None


def _epoch(name: str, profile: Profile) -> _Found | None:
    if not words.MOMENT.search(name) or _share(profile, r"^[0-9]{10}([0-9]{3})?$") < 1:
        return None
    smallest, largest = (int(value) for value in (min(profile.examples(profile.distinct)), max(profile.examples(profile.distinct))))
    for written, low, high in _EPOCHS:
        if low <= smallest and largest < high:
            unit = "seconds" if written == "epoch_s" else "milliseconds"
            return _Found(FieldType.INSTANT, f"{unit} since 1970", ColumnReading(formats=(written,)))
    return None


def _day_number(name: str, profile: Profile, zone: str) -> _Found | None:
    """Days as eight digits, where the name says that it is a day."""
    if not words.MOMENT.search(name) or _share(profile, r"^(19|20)[0-9]{6}$") < 1:
        return None
    reading = ColumnReading(formats=("%Y%m%d",))
    fits = _fits(profile, TableColumn("value", FieldType.DATE), reading, zone)
    return _Found(FieldType.DATE, "days such as 20240131", reading) if fits else None


def _fits(profile: Profile, column: TableColumn, reading: ColumnReading, zone: str) -> bool:
    return profile.misfits(column, reading, zone) * _TOLERATED <= profile.filled


def _number(profile: Profile, zone: str) -> _Found | None:
    for sign in (".", ","):
        reading = ColumnReading(decimal_sign=sign)
        if not _fits(profile, TableColumn("value", FieldType.DOUBLE), reading, zone):
            continue
        return replace(_kind_of_number(profile, reading, zone), reading=reading)
    return None


def _kind_of_number(profile: Profile, reading: ColumnReading, zone: str) -> _Found:
    sign = re.escape(reading.decimal_sign)
    note = f", written e.g. {profile.examples(1)[0]!r}" if _share(profile, rf"^-?[0-9]+({sign}[0-9]+)?$") < 1 else ""
    whole = _share(profile, rf"{sign}[0-9]+[^0-9]*$|%") == 0 or pa.types.is_floating(profile.given)
    if whole and _fits(profile, TableColumn("value", FieldType.INTEGER), reading, zone):
        return _Found(FieldType.INTEGER, f"whole numbers{note}")
    for precision in (18, 38):
        if _fits(profile, TableColumn("value", FieldType.DECIMAL, precision), reading, zone):
            return _Found(FieldType.DECIMAL, f"numbers of at most four digits after the point{note}", precision=precision)
    return _Found(FieldType.DOUBLE, f"numbers with more digits than a decimal keeps{note}")


def _time(profile: Profile, zone: str) -> _Found | None:
    if _share(profile, r"[0-9].*[0-9]") < 0.9:
        return None
    fitting = [
        written for written in ("iso", *(day + clock for day in _DAYS for clock in _CLOCKS)) if _is_written(profile, written, zone)
    ]
    if not fitting:
        return None
    written = fitting[0]
    both = [other for other in fitting[1:] if other[:2] != written[:2]]
    if both and zone and not zone.startswith("America/"):
        written, both = both[0], [written]
    doubt = f"; {both[0]} would fit too, edit 'format' if it is that" if both else ""
    reading = ColumnReading(formats=(written,))
    shown = f"times written e.g. {profile.examples(1)[0]!r}"
    if _fits(profile, TableColumn("value", FieldType.DATE), reading, zone) and not _share(
        profile, r"([Zz]|[+-][0-9]{2}:?[0-9]{2})$"
    ):
        return _Found(FieldType.DATE, f"days written e.g. {profile.examples(1)[0]!r}{doubt}", reading)
    offset = _share(profile, r":[0-9.]+\s*(Z|UTC|[+-][0-9]{2}(:?[0-9]{2})?)$") == 1
    return _Found(FieldType.INSTANT, f"{shown}, {'with an offset' if offset else f'read in the zone {zone}'}{doubt}", reading)


def _is_written(profile: Profile, written: str, zone: str) -> bool:
    return _fits(profile, TableColumn("value", FieldType.LOCAL), ColumnReading(formats=(written,)), zone)
