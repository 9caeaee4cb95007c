"""The character NUL, which merchants' files hold at times and PostgreSQL's texts can't: hidden behind a private character, U+E000,
on the way in, and shown again on the way out."""

import json
from collections.abc import Callable
from typing import Any, Final

_MARK: Final = "\ue000"
_HIDDEN: Final = ((_MARK, _MARK + "e"), ("\x00", _MARK + "n"))


def hidden(text: str) -> str:
    if "\x00" in text or _MARK in text:
        for plain, other in _HIDDEN:
            text = text.replace(plain, other)
    return text


def shown(text: str) -> str:
    if _MARK in text:
        for plain, other in reversed(_HIDDEN):
            text = text.replace(other, plain)
    return text


def dumps(value: Any) -> str:
    text = json.dumps(value)
    return json.dumps(_each(value, hidden)) if r"\u0000" in text or r"\ue000" in text else text


def loads(text: str | bytes) -> Any:
    value = json.loads(text)
    is_hidden = rb"\ue000" in text if isinstance(text, bytes) else r"\ue000" in text
    return _each(value, shown) if is_hidden else value


def _each(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(str(name)): _each(each, change) for name, each in value.items()}
    return [_each(each, change) for each in value] if isinstance(value, list | tuple) else value
