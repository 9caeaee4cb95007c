"""Texts and yes or no."""

import json
from typing import Any, Final

import pyarrow as pa

from jangbu.insight.ingest.converting.outcome import Outcome, Reason, Rule, Values, each

_TRUE: Final = frozenset({"true", "t", "yes", "y", "1", "예", "네", "참", "o"})
_FALSE: Final = frozenset({"false", "f", "no", "n", "0", "아니오", "아니요", "거짓", "x"})
BOOLEANS: Final = _TRUE | _FALSE


def booleans(texts: Values, rule: Rule) -> Outcome:
    """Yes or no, in English or Korean, in letters of any case."""
    return each(texts, pa.bool_(), lambda text: boolean(text, rule))


def boolean(text: str, rule: Rule) -> bool | Reason | None:
    word = text.strip().lower()
    if not word or word in rule.nulls:
        return None
    return word in _TRUE if word in BOOLEANS else Reason.NOT_A_BOOLEAN


def decoded(values: Values) -> Outcome:
    """Texts from bytes of UTF-8."""
    try:
        return Outcome(values.cast(pa.string()))
    except pa.ArrowInvalid:
        return each(values, pa.string(), _decoded)


def _decoded(value: bytes) -> str | Reason:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return Reason.BAD_ENCODING


def as_texts(values: Values) -> Values:
    """Values of any type as texts: whole numbers without a point, times in ISO 8601, lists and objects as JSON."""
    given = values.type
    if pa.types.is_floating(given):
        values = values.cast(pa.float64())
        return each(values, pa.string(), _number_text).values
    if pa.types.is_decimal(given):
        return each(values, pa.string(), lambda value: format(value, "f")).values
    if pa.types.is_nested(given):
        return pa.array([None if value is None else _json(value) for value in values.to_pylist()], pa.string())
    if pa.types.is_timestamp(given) or pa.types.is_date(given):
        return each(values, pa.string(), lambda value: value.isoformat()).values
    return values.cast(pa.string())


def _number_text(value: float) -> str | None:
    if value != value:
        return None
    return str(int(value)) if value.is_integer() and abs(value) < 2**63 else repr(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def plain(values: Values) -> Values:
    """The values without a dictionary or a view, in Arrow's usual types."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    given = values.type
    if pa.types.is_large_string(given) or pa.types.is_string_view(given):
        return values.cast(pa.string())
    if pa.types.is_large_binary(given) or pa.types.is_binary_view(given) or pa.types.is_fixed_size_binary(given):
        return values.cast(pa.binary())
    return values
