"""From the options of `jangbu query` to a request."""

import json
import re
from decimal import Decimal
from typing import Any

import typer

from jangbu.client.protocol import encode

_RANGE = re.compile(r"\s*(\S+?)\s*(?:\.\.|,|\s)\s*(\d{4}-\S+)\s*")


def request(given: str | None, parts: dict[str, Any], time: dict[str, Any]) -> str:
    """The request as JSON: what is `given`, and the parts that aren't None in the place of its own."""
    if given is not None and all(part is None for part in (*parts.values(), *time.values())):
        return given
    asked = parsed(given, "REQUEST") if given is not None else {}
    if not isinstance(asked, dict):
        raise typer.BadParameter("The request is a JSON object.", param_hint="REQUEST")
    asked |= {name: part for name, part in parts.items() if part is not None}
    whole_time = (asked.get("time") or {}) | {name: part for name, part in time.items() if part is not None}
    return encode(asked | ({"time": whole_time} if whole_time else {})).decode()


def parsed(text: str | None, option: str) -> Any:
    """JSON with its digits."""
    if text is None:
        return None
    try:
        return json.loads(text, parse_float=Decimal)
    except ValueError as error:
        raise typer.BadParameter(f"That isn't JSON: {error}.", param_hint=option) from None


def names(text: str | None, *, alone: bool = False) -> list[str] | str | None:
    """Names separated by commas; a single one is no list where `alone`."""
    if text is None:
        return None
    found = [name.strip() for name in text.split(",") if name.strip()]
    return found[0] if alone and len(found) == 1 else found


def order(text: str | None) -> list[dict[str, str]] | None:
    """`revenue desc, department`."""
    if text is None:
        return None
    keys = []
    for part in text.split(","):
        field, _, direction = part.strip().rpartition(" ")
        if not field or direction.lower() not in ("asc", "desc"):
            field, direction = part.strip(), "asc"
        keys.append({"field": field.strip(), "direction": direction.lower()})
    return keys


def range_(text: str | None) -> str | list[str] | None:
    """Two dates or instants (`a..b`, `a,b`, `a b`) are a list; anything else is a calendar word."""
    if text is None:
        return None
    found = _RANGE.fullmatch(text)
    return list(found.groups()) if found and found[1][0].isdecimal() else text.strip()


def compare(text: str | None) -> Any:
    if text is None or text.startswith("previous_"):
        return text
    return {"range": range_(text)}
