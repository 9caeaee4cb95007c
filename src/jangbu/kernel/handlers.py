"""Handlers of messages: plug-ins of kind "event_handler" or "command_handler", one file each.

    def recover(command: RecoverLoads, context: Context[Parts]) -> None:
        context.parts.ingest.recover()

    PLUGIN = Handler(
        kind="command_handler", name="recover_loads", summary="…", handles=RecoverLoads, open=recover,
        jobs=(Job("recover_loads", timedelta(minutes=5), RecoverLoads()),),
    )

A message is delivered at least once. A handler whose effect is a unit of work on our database makes it happen once:

    with context.parts.database.transaction() as work:
        if work.first_time(context):
            ...
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

from jangbu.kernel.discovery import Plugin
from jangbu.kernel.messages import Command, Event, Message

P_co = TypeVar("P_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Context(Generic[P_co]):
    """What a handler gets beside the message. `parts` is the application, of which a handler names what it needs in a Protocol of
    its own; `handler` is its name; `message` is the message's id, the same at each delivery; `tries` counts this one; `sent_at`
    (aware, UTC) is when the message was put on its queue."""

    parts: P_co
    handler: str
    message: str
    tries: int
    sent_at: datetime


@dataclass(frozen=True, slots=True)
class Job:
    """A command that is sent periodically, for the first time one period after a scheduler first sees it."""

    name: str
    every: timedelta
    command: Command

    def __post_init__(self) -> None:
        if self.every <= timedelta(0):
            raise ValueError(f"The job {self.name!r} is to be done every {self.every}; a period is longer than nothing.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler(Plugin):
    """`open` is called with the message and a `Context` for each delivery. What it raises makes the message come again, later."""

    handles: type[Message]
    jobs: tuple[Job, ...] = ()

    def __post_init__(self) -> None:
        if not issubclass(self.handles, _HANDLED[self.kind]):
            raise TypeError(f"The {self.kind} {self.name!r} can't handle {self.handles.__name__}.")


_HANDLED: Final[dict[str, type[Message]]] = {"event_handler": Event, "command_handler": Command}
