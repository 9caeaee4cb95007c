"""How messages of ours stand on the queues, and what the queues are called."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from jangbu.kernel.errors import JangbuError, WrongType
from jangbu.platform.queues.ports import Depth, Queues

EVENTS: Final = "events"
"""Events on their way to their handlers."""
DELIVERIES: Final = "deliveries"
"""Each event once for each of its handlers, so that one handler's failure is no other's."""
COMMANDS: Final = "commands"

NAMES: Final = (EVENTS, DELIVERIES, COMMANDS)


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message's body on a queue; `handler` is for whom a delivery is, `trace` what led to it."""

    name: str
    schema_version: int
    payload: Mapping[str, Any]
    handler: str | None = None
    trace: str | None = None

    def addressed(self, handler: str) -> "Envelope":
        return replace(self, handler=handler)

    def body(self) -> str:
        content: dict[str, Any] = {"name": self.name, "schema_version": self.schema_version, "payload": self.payload}
        content |= {name: value for name, value in (("handler", self.handler), ("trace", self.trace)) if value is not None}
        return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def depths_of(queues: Queues) -> Mapping[str, Depth]:
    """How full our queues are, also those without messages, and all others."""
    return {name: Depth() for name in NAMES} | dict(queues.depths())


def opened(body: str) -> Envelope:
    """What `Envelope.body` wrote.

    Raises:
        WrongType: it is something else.
    """
    try:
        match json.loads(body):
            case {"name": str(name), "schema_version": int(version), "payload": dict(payload), **more}:
                handler, trace = (given if isinstance(given := more.get(key), str) else None for key in ("handler", "trace"))
                return Envelope(name, version, payload, handler, trace)
    except ValueError as error:
        raise _odd(body) from error
    raise _odd(body)


def _odd(body: str) -> JangbuError:
    return WrongType("This is no message of Jangbu's.", value=body)
