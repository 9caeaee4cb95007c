"""Messages: what has happened (events) and what is to be done (commands).

A message is a frozen dataclass that a context declares in its `events.py` or `commands.py`:

    @dataclass(frozen=True, slots=True)
    class TenantDataUpdated(Event):
        tenant: TenantId | None
        data_source: str
        version: int

Its class's name is the message's. Its fields are JSON's values: texts, numbers, booleans, None, tuples and mappings of them.
`schema_version` counts changes of its form. A field that is added has a default, so that messages of the form before can be read.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from types import ModuleType
from typing import Any, ClassVar, TypeVar

from jangbu.kernel.errors import Unsupported, WrongType


@dataclass(frozen=True, slots=True)
class Message:
    schema_version: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class Event(Message):
    """Something that happened. Any number of handlers hear of it, none of them included."""


@dataclass(frozen=True, slots=True)
class Command(Message):
    """Something to be done, by the one handler that there is for it."""


M = TypeVar("M", bound=Message)


def payload_of(message: Message) -> dict[str, Any]:
    """The message's fields as JSON's values.

    Raises:
        WrongType: a field's value isn't one.
    """
    return {field.name: _plain(getattr(message, field.name), type(message).__name__, field.name) for field in fields(message)}


def message_of(kind: type[M], schema_version: int, payload: Mapping[str, Any]) -> M:
    """The message that `payload_of` made `payload` of. Lists come back as tuples.

    Raises:
        Unsupported: its form is newer than this release's.
        WrongType: fields are missing, or aren't the message's.
    """
    if schema_version > kind.schema_version:
        raise Unsupported(
            f"{kind.__name__} has schema_version {schema_version}; this release knows it up to {kind.schema_version}.",
            value=schema_version,
            hint="Run the release that wrote it, or a newer one.",
        )
    known = {field.name for field in fields(kind)}
    needed = {field.name for field in fields(kind) if field.default is MISSING and field.default_factory is MISSING}
    if odd := sorted((needed - payload.keys()) | (payload.keys() - known)):
        raise WrongType(f"The fields of this {kind.__name__} don't fit: {', '.join(odd)}.", value=odd[0])
    return kind(**{name: _frozen(value) for name, value in payload.items()})


def declared_in(module: ModuleType) -> Mapping[str, type[Message]]:
    """The events and commands that a module declares, by name."""
    found = (value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Event | Command))
    return {kind.__name__: kind for kind in found if kind.__module__ == module.__name__}


def _plain(value: Any, message: str, field: str) -> Any:
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return str(value)
        case list() | tuple():
            return [_plain(inner, message, field) for inner in value]
        case Mapping():
            return {str(name): _plain(inner, message, field) for name, inner in value.items()}
    raise WrongType(
        f"{message}.{field} is of type {type(value).__name__}, which a message can't carry.",
        value=value,
        hint="Give text, numbers, booleans, None, or tuples and mappings of them.",
    )


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
