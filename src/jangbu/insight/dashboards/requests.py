"""From bytes to a checked request: every mistake is a 4xx that names its place."""

import json
import math
import re
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from jangbu.insight.dashboards.contracts import CompareRange, OrderKey, QueryRequest, TimeRequest
from jangbu.kernel.errors import (
    InvalidRequest,
    JangbuError,
    MalformedBody,
    OutOfBounds,
    UnknownName,
    WrongType,
    pointer,
    unknown_name,
)

_MAX_DIGITS = 60
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_request(body: bytes | str) -> QueryRequest:
    """The request of a JSON body. Numbers keep their digits (Decimal).

    Raises:
        MalformedBody: not JSON in UTF-8, a text with half a character, or not an object.
        InvalidRequest: an unknown key, a wrong type, a value outside its limits; with its JSON Pointer.
    """
    try:
        text = body if isinstance(body, str) else body.decode()
        data = json.loads(text, parse_float=_decimal, parse_int=_integer, parse_constant=_no_constant, object_pairs_hook=_object)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise MalformedBody(f"The body isn't JSON: {error}.") from error
    except RecursionError as error:
        raise _too_deep() from error
    if _SURROGATE.search(text):
        _check_characters(data)
    if not isinstance(data, dict):
        raise MalformedBody('The body is a JSON object: {"data_source": …, "measures": […]}.')
    return request_of(data)


def request_of(data: dict[str, Any]) -> QueryRequest:
    """The request of parsed JSON; raises as `parse_request` does."""
    try:
        return QueryRequest.model_validate(data)
    except ValidationError as error:
        raise _translated(_worst(error), data) from error
    except RecursionError as error:
        raise _too_deep() from error


def _too_deep() -> OutOfBounds:
    return OutOfBounds("The body is nested too deeply.", hint="No part of a request needs more than 60 levels.")


def _check_characters(data: object) -> None:
    """A lone surrogate is legal in JSON's text, but no character; nothing below could store, send or print it."""
    try:
        json.dumps(data, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as error:
        raise MalformedBody("A text holds half a character, a lone surrogate.", value=repr(error.object[error.start])) from error


def _decimal(text: str) -> Decimal:
    try:
        value: Decimal | None = Decimal(text)
    except InvalidOperation:  # an exponent beyond all measure
        value = None
    if value is None or len(text) > _MAX_DIGITS or abs(value.adjusted()) > _MAX_DIGITS:
        raise OutOfBounds(f"A number may have {_MAX_DIGITS} digits.", value=text[:_MAX_DIGITS])
    return value


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise OutOfBounds(f"A number may have {_MAX_DIGITS} digits.", value=text[:_MAX_DIGITS])
    return int(text)


def _no_constant(text: str) -> float:
    raise MalformedBody(f"{text} isn't JSON.", value=text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        name = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # add returns None
        raise MalformedBody(f"The key {name!r} stands twice in one object.", value=name)
    return found


def _translated(error: ErrorDetails, data: object) -> JangbuError:
    """Our error for one of pydantic's."""
    kind, value = error["type"], error["input"]
    place = _place(error["loc"], data)
    path, name = pointer(*place), place[-1]
    if kind == "extra_forbidden":
        return unknown_name("key", str(name), _keys(place[:-1]), path=path)
    if kind == "missing":
        return InvalidRequest(f"{name!r} is missing.", path=path, known=sorted(_keys(place[:-1])))
    if kind in ("enum", "literal_error") and isinstance(value, str):
        known = [each.strip(" '") for each in error["ctx"]["expected"].replace(" or ", ", ").split(",")]
        return UnknownName(f"There is no {name} {value[:80]!r}.", path=path, value=value, known=known)
    sentence = f"{path.removeprefix('/')}: {_sentence(error)}"
    if kind in ("greater_than_equal", "less_than_equal", "too_short", "too_long"):
        return OutOfBounds(sentence, path=path, value=_scalar(value))
    return WrongType(sentence, path=path, value=_scalar(value))


def _worst(error: ValidationError) -> ErrorDetails:
    """The mistake to tell: a key that isn't known, else the first; in a union, that of the branch that came furthest."""
    errors = error.errors(include_url=False)
    unknown = [each for each in errors if each["type"] == "extra_forbidden"]
    same = [each for each in errors if each["loc"][0] == errors[0]["loc"][0]]
    return unknown[0] if unknown else max(same, key=lambda each: (len(each["loc"]), not each["type"].endswith("_type")))


def _place(loc: tuple[int | str, ...], data: Any) -> list[int | str]:
    """Where in the request: `loc` without the names of union branches (`CompareRange`, `list[str]`, …), which no key of the data
    bears; a key that is missing stands last."""
    found: list[int | str] = []
    for index, part in enumerate(loc):
        if _holds(data, part):
            data = data[part]
        elif not (isinstance(data, dict) and index == len(loc) - 1):
            continue
        found.append(part)
    return found


def _holds(data: object, part: int | str) -> bool:
    return isinstance(part, int) if isinstance(data, list) else isinstance(data, dict) and part in data


def _keys(place: list[int | str]) -> set[str]:
    """The keys that the object at `place` may have."""
    owners: dict[tuple[str, ...], type[BaseModel]] = {
        ("time",): TimeRequest,
        ("time", "compare"): CompareRange,
        ("order",): OrderKey,
    }
    names = tuple(part for part in place if isinstance(part, str))
    return set(owners.get(names, QueryRequest).model_fields)


def _sentence(error: ErrorDetails) -> str:
    if error["type"] in ("model_type", "dict_type"):
        return "it should be an object."
    return error["msg"].rstrip(".").replace("Input should", "it should").replace(" after validation", "") + "."


def _scalar(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
