"""Numbers from texts and from numbers of another type: nothing is rounded, and what doesn't fit is told.

A text may have thousands separators, a currency's sign or code, `%` (a hundredth), brackets or △ for less than zero, and Korean
units (`1억 2,000만`, `3만원`). A double stands for the decimal that is nearest at the column's scale, if only the noise of its last
bits lies between them.
"""

import re
import unicodedata
from decimal import Context, Decimal, InvalidOperation
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from jangbu.insight.ingest.arrow import arrow_type
from jangbu.insight.ingest.converting.outcome import Outcome, Reason, Rule, Values, each, flags, replaced
from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.ports import TableColumn

_EXACT: Final = Context(prec=120)
_NOISE: Final = 2.0**-50
"""How far, as a part of it, a double may lie from the decimal that it stands for."""
_SURE: Final = 1e11
"""Below it a double has the four digits after the point that a decimal column may have."""
_LONGEST: Final = 400
"""Characters of a number's text at most."""

_WORDS: Final = re.compile(r"KRW|USD|EUR|GBP|JPY|CNY|US\$|[₩$€£¥元]|[원개건명]$", re.IGNORECASE)
_PLAIN: Final = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:E[-+]?\d{1,3})?", re.ASCII)
_GROUPED: Final = re.compile(r"\d{1,3}(?:(?:,\d{3})+|(?:[ ']\d{3})+)(?:\.\d+)?", re.ASCII)
_KOREAN: Final = re.compile(r"(\d[\d,]*(?:\.\d+)?)?\s*([십백천만억조]|$)", re.ASCII)
_SMALL: Final = {"십": 10, "백": 100, "천": 1000}
_LARGE: Final = {"만": 10**4, "억": 10**8, "조": 10**12}


def from_texts(texts: Values, column: TableColumn, rule: Rule) -> Outcome:
    """Numbers of the column's type from texts."""
    wanted = arrow_type(column)
    if rule.reading.decimal_sign == "." and (quick := _cast(texts, column)) is not None:
        return Outcome(quick)
    plain = flags(pc.match_substring_regex(texts, _safe(column, rule.reading.decimal_sign)), missing=True)
    rest = pa.array(~plain)
    safe = pc.if_else(pa.array(plain), texts, pa.scalar(None, pa.string())).cast(wanted)
    return replaced(safe, rest, each(texts.filter(rest), wanted, lambda text: _fit(number(text, rule), column)))


def from_numbers(numbers: Values, column: TableColumn) -> Outcome:
    """Numbers of the column's type from those of another; NaN is a missing value."""
    if pa.types.is_floating(numbers.type):
        numbers = numbers.cast(pa.float64())
        numbers = pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)
    if (quick := _recast(numbers, column)) is not None:
        return Outcome(quick)
    return each(numbers, arrow_type(column), lambda value: _fit(_exact(value, column), column))


def number(text: str, rule: Rule) -> Decimal | Reason | None:
    """The number that a text means; None where it is blank or a word for a missing value."""
    body = unicodedata.normalize("NFKC", text).strip()
    if not body or body in rule.nulls:
        return None
    if len(body) > _LONGEST:
        return Reason.NOT_A_NUMBER
    if rule.reading.decimal_sign == ",":
        body = body.translate({ord("."): ",", ord(","): "."})
    found = _signed(body)
    return Reason.NOT_A_NUMBER if found is None else found


def _signed(body: str) -> Decimal | None:
    """A number with its sign, unit and currency, normalized."""
    negative = body.startswith("(") and body.endswith(")")
    body = _WORDS.sub("", body[1:-1] if negative else body, count=2).strip()
    if body[:1] in "+-−△" and body:
        if negative:
            return None
        negative, body = body[0] != "+", body[1:].strip()
    body = _WORDS.sub("", body, count=1).strip()
    percent = body.endswith("%")
    found = _unsigned(body[:-1].strip() if percent else body)
    if found is None:
        return None
    found = found.scaleb(-2, _EXACT) if percent else found
    return found.copy_negate() if negative else found


def _unsigned(body: str) -> Decimal | None:
    if _PLAIN.fullmatch(body.upper()):
        return Decimal(body)
    if _GROUPED.fullmatch(body):
        return Decimal(re.sub(r"[, ']", "", body))
    return _korean(body) if body and any(unit in body for unit in (*_SMALL, *_LARGE)) else None


def _korean(body: str) -> Decimal | None:
    """`1억 2,000만`: large units fall, small ones stand before them."""
    total, section, place, ceiling = Decimal(0), Decimal(0), 0, 10**16
    while place < len(body):
        found = _KOREAN.match(body, place)
        if found is None or not found[0].strip():
            return None
        amount = Decimal(found[1].replace(",", "")) if found[1] else None
        unit, place = found[2], found.end() + len(body[found.end() :]) - len(body[found.end() :].lstrip())
        if unit in _SMALL:
            section += (amount if amount is not None else 1) * _SMALL[unit]
        elif unit in _LARGE:
            if _LARGE[unit] >= ceiling:
                return None
            ceiling = _LARGE[unit]
            total, section = total + (section + (amount or 0) or 1) * ceiling, Decimal(0)
        else:
            section += amount or 0
    return total + section


def _fit(value: Decimal | Reason | None, column: TableColumn) -> Any:
    """The value as the column keeps it, or why it doesn't."""
    if value is None or isinstance(value, Reason):
        return value
    if column.type is FieldType.DOUBLE:
        double = float(value)
        return Reason.OUT_OF_RANGE if double in (float("inf"), float("-inf")) else double
    scale, digits = (0, 19) if column.type is FieldType.INTEGER else (column.scale, column.precision)
    try:
        kept = value.quantize(Decimal(1).scaleb(-scale), context=_EXACT)
    except InvalidOperation:
        return Reason.OUT_OF_RANGE
    if kept != value:
        return Reason.TOO_PRECISE
    if column.type is FieldType.INTEGER:
        return int(kept) if -(2**63) <= kept < 2**63 else Reason.OUT_OF_RANGE
    return kept if kept.adjusted() < digits - scale else Reason.OUT_OF_RANGE


def _exact(value: Any, column: TableColumn) -> Decimal | Reason:
    if not isinstance(value, float):
        exact = value if isinstance(value, Decimal) else Decimal(value)
        return Reason.TOO_PRECISE if column.type is FieldType.DOUBLE and Decimal(float(exact)) != exact else exact
    if value in (float("inf"), float("-inf")):
        return Reason.NOT_A_NUMBER
    if column.type is not FieldType.DECIMAL:
        return Decimal(value)
    exact = Decimal(value)
    try:
        nearest = exact.quantize(Decimal(1).scaleb(-column.scale), context=_EXACT)
    except InvalidOperation:
        return Reason.OUT_OF_RANGE
    return nearest if abs(nearest - exact) <= abs(exact) * Decimal(_NOISE) else exact


def _cast(texts: Values, column: TableColumn) -> Values | None:
    """All at once, None where a value isn't plainly such a number."""
    if column.type is FieldType.INTEGER and (_any_has(texts, "x") or _any_has(texts, "X")):
        return None
    try:
        values: Values = texts.cast(arrow_type(column))
    except pa.ArrowInvalid:
        return None
    if column.type is FieldType.DOUBLE and not pc.all(pc.is_finite(values)).as_py() and values.null_count < len(values):
        return None
    return values


def _any_has(texts: Values, part: str) -> bool:
    return bool(pc.any(pc.match_substring(texts, part)).as_py())


def _recast(numbers: Values, column: TableColumn) -> Values | None:
    """All at once, None where a value may not fit."""
    wanted, given = arrow_type(column), numbers.type
    if pa.types.is_floating(given):
        return _from_doubles(numbers, column)
    if column.type is FieldType.DOUBLE and pa.types.is_decimal(given):
        return None
    try:
        values: Values = numbers.cast(wanted)
    except pa.ArrowInvalid:
        return None
    return values


def _from_doubles(numbers: Values, column: TableColumn) -> Values | None:
    if len(numbers) == numbers.null_count:
        return numbers.cast(arrow_type(column))
    size = pc.abs(numbers)
    if column.type is FieldType.DOUBLE:
        return numbers if pc.all(pc.is_finite(numbers)).as_py() else None
    if not pc.max(size).as_py() < min(
        _SURE, 10.0 ** (column.precision - column.scale) if column.type is FieldType.DECIMAL else _SURE
    ):
        return None
    rounded = pc.round(numbers, column.scale if column.type is FieldType.DECIMAL else 0)
    near = pc.less_equal(
        pc.abs(pc.subtract(rounded, numbers)), pc.multiply(size, _NOISE if column.type is FieldType.DECIMAL else 0.0)
    )
    return rounded.cast(arrow_type(column)) if pc.all(near).as_py() else None


def _safe(column: TableColumn, decimal_sign: str) -> str:
    """A pattern (RE2) of texts that Arrow's cast takes and that surely fit."""
    match column.type:
        case FieldType.INTEGER:
            return r"^-?[0-9]{1,18}$"
        case FieldType.DECIMAL if decimal_sign == ".":
            whole = max(column.precision - column.scale, 0)
            fraction = rf"(\.[0-9]{{1,{column.scale}}})?" if column.scale else ""
            return rf"^-?[0-9]{{1,{whole}}}{fraction}$" if whole else r"^\b\B$"
        case FieldType.DOUBLE if decimal_sign == ".":
            return r"^-?[0-9]{1,15}(\.[0-9]{1,15})?$"
        case _:
            return r"^[0-9]{1,15}$" if column.type is FieldType.DOUBLE else r"^[0-9]{1,4}$"
