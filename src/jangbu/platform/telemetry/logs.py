"""Structured logs on stderr, one event a line: JSON for machines, aligned text for people. No secret passes through them."""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, TextIO

import structlog

_SECRET_NAMES: Final = frozenset({"authorization", "cookie", "set-cookie", "password", "secret", "token", "api_key", "key"})
_KEY: Final = re.compile(r"jb_[A-Za-z0-9_-]+")
_HIDDEN: Final = "[hidden]"


def configure(level: str = "info", form: str = "auto", stream: TextIO | None = None) -> None:
    """Send the logs of Jangbu and its libraries' warnings to `stream` (stderr by default). `form` is `json`, `console`, or `auto`:
    console on a terminal, else JSON."""
    stream = stream or sys.stderr
    pretty = form == "console" or (form == "auto" and stream.isatty())
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if pretty
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_COMMON,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                hide_secrets,
                renderer,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper() if level == "debug" else logging.WARNING, force=True)
    logging.getLogger("jangbu").setLevel(level.upper())
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *_COMMON, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def hide_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor: fields named like a secret lose their value, and whatever looks like a key of ours is hidden in any text."""
    return {_clean(name): _HIDDEN if name.lower() in _SECRET_NAMES else _clean(value) for name, value in event.items()}


def without_keys(text: str) -> str:
    """The text with whatever looks like a key of ours hidden."""
    return _KEY.sub(f"jb_{_HIDDEN}", text)


def _clean(value: Any) -> Any:
    match value:
        case str():
            return without_keys(value)
        case bytes():
            return _clean(value.decode(errors="replace"))
        case Mapping():
            return hide_secrets(None, "", {str(name): inner for name, inner in value.items()})
        case list() | tuple() | set() | frozenset():
            return [_clean(inner) for inner in value]
        case bool() | int() | float() | None:
            return value
    return _clean(str(value))


_COMMON: Final[list[Any]] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
