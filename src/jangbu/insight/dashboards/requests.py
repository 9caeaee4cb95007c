"""From bytes to a checked request: every mistake is a 4xx that names its place."""

import json
import math
import re
from decimal import Decimal
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from jangbu.insight.dashboards.contracts import QueryRequest
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

_MAX_NESTING = 200
_MAX_DIGITS = 60
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_request(body: bytes | str) -> QueryRequest:
    """The request of a JSON body. Numbers keep their digits (Decimal).

    Raises:
        MalformedBody: not JSON in UTF-8, a text with half a character, or not an object.
        InvalidRequest: an unknown key, a wrong type, a value outside its limits; with its JSON Pointer.
    """
    try:
        data = json.loads(body, parse_float=_decimal, parse_int=_integer, parse_constant=_no_constant, object_pairs_hook=_object)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise MalformedBody(f"The body isn't JSON: {error}.") from error
    except RecursionError as error:
        raise OutOfBounds(f"The body is nested deeper than {_MAX_NESTING} levels.") from error
    if _SURROGATE.search(body if isinstance(body, str) else body.decode("latin-1")):
        _check_characters(data)
    if not isinstance(data, dict):
        raise MalformedBody('The body is a JSON object: {"data_source": …, "measures": […]}.')
    return request_of(data)


def request_of(data: dict[str, Any]) -> QueryRequest:
    """The request of parsed JSON; raises as `parse_request` does."""
    try:
        return QueryRequest.model_validate(data)
    except ValidationError as error:
        raise _translated(error) from error
    except RecursionError as error:
        raise OutOfBounds(f"The body is nested deeper than {_MAX_NESTING} levels.") from error


def _check_characters(data: object) -> None:
    """A lone surrogate is legal in JSON's text, but no character; nothing below could store, send or print it."""
    try:
        json.dumps(data, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as error:
        raise MalformedBody("A text holds half a character, a lone surrogate.", value=repr(error.object[error.start])) from error


def _decimal(text: str) -> Decimal:
    value = Decimal(text)
    if len(text) > _MAX_DIGITS or abs(value.adjusted()) > _MAX_DIGITS:
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


def _translated(error: ValidationError) -> JangbuError:
    """Our error for pydantic's first one. Union branches (`CompareRange`, `list[str]`, …) are left out of the pointer."""
    first = _first(error)
    known_keys = _keys(QueryRequest.model_json_schema(), first["loc"])
    path = pointer(
        *(part for part in first["loc"] if isinstance(part, int) or part in known_keys or first["type"] == "extra_forbidden")
    )
    value = first["input"]
    if first["type"] == "extra_forbidden":
        return unknown_name("key", str(first["loc"][-1]), known_keys, path=path)
    if first["type"] == "missing":
        return InvalidRequest(f"{first['loc'][-1]!r} is missing.", path=path, known=sorted(known_keys))
    if first["type"] in ("enum", "literal_error"):
        known = [name.strip(" '") for name in first["ctx"]["expected"].replace(" or ", ", ").split(",")]
        return UnknownName(f"There is no {first['loc'][-1]} {value!r}.", path=path, value=value, known=known)
    if first["type"] in ("greater_than_equal", "less_than_equal", "too_short", "too_long"):
        return OutOfBounds(f"{path.removeprefix('/')}: {_sentence(first['msg'])}", path=path, value=_scalar(value))
    return WrongType(f"{path.removeprefix('/')}: {_sentence(first['msg'])}", path=path, value=_scalar(value))


def _first(error: ValidationError) -> ErrorDetails:
    """The first mistake; in a union, that of the branch whose type fits."""
    errors = error.errors(include_url=False)
    same = [each for each in errors if each["loc"][0] == errors[0]["loc"][0]]
    return next((each for each in same if not each["type"].endswith("_type")), same[0])


def _sentence(message: str) -> str:
    return message.rstrip(".").replace("Input should", "it should") + "."


def _scalar(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _keys(schema: dict[str, Any], loc: tuple[int | str, ...]) -> set[str]:
    """Every property name on the way to `loc`'s place, so that a mistake can name its neighbours."""
    definitions = schema.get("$defs", {})
    names = {name for model in (schema, *definitions.values()) for name in model.get("properties", {})}
    if len(loc) <= 1:
        return set(schema["properties"])
    parents = {"time": "TimeRequest", "order": "OrderKey", "compare": "CompareRange"}
    owner = next((parents[str(part)] for part in reversed(loc[:-1]) if part in parents), None)
    if owner is None:
        return names
    return set(definitions[owner]["properties"]) | {str(part) for part in loc[:-1] if part in names}
