"""From the queues to the handlers: what becomes of a message that was received.

An event is fanned out: one delivery for each of its handlers, which is retried and parked by itself. A command has one handler.
What can't be understood is parked at once; what fails is tried again after a pause that doubles, and parked after so many tries.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from time import perf_counter
from typing import Any, Final, Protocol

import structlog

from jangbu.kernel.errors import ConfigurationError, JangbuError, OutOfBounds, unknown_name
from jangbu.kernel.handlers import Context, Handler
from jangbu.kernel.messages import Message, message_of
from jangbu.platform.queues.envelope import DELIVERIES, EVENTS, Envelope, opened
from jangbu.platform.queues.ports import Outgoing, Queues, Received
from jangbu.platform.telemetry import tracing
from jangbu.platform.telemetry.logs import without_keys

_LONGEST_REASON: Final = 1_000
"""Characters."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Handlers:
    """What a process can do: its handlers by name, and every message that it knows, by name.

    Raises:
        ConfigurationError: two handlers of one command.
    """

    events: Mapping[str, Handler]
    commands: Mapping[str, Handler]
    messages: Mapping[str, type[Message]]
    _of_command: dict[type[Message], Handler] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for handler in self.commands.values():
            first = self._of_command.setdefault(handler.handles, handler)
            if first is not handler:
                raise ConfigurationError(
                    f"The command {handler.handles.__name__} has two handlers, {first.name!r} and {handler.name!r}.",
                    value=handler.name,
                    hint="Leave one.",
                )

    def read(self, envelope: Envelope) -> Message:
        """The message in an envelope.

        Raises:
            UnknownName: there is none of this name.
            Unsupported, WrongType: it has another form than this release's.
        """
        if envelope.name not in self.messages:
            raise unknown_name("message", envelope.name, self.messages)
        return message_of(self.messages[envelope.name], envelope.schema_version, envelope.payload)

    def hearing(self, event: Message) -> tuple[Handler, ...]:
        """The handlers of an event, sorted by name."""
        return tuple(handler for handler in self.events.values() if handler.handles is type(event))

    def for_command(self, command: Message) -> Handler:
        """Raises:
        UnknownName: a command that nobody handles.
        """
        if type(command) not in self._of_command:
            known = (handler.handles.__name__ for handler in self.commands.values())
            raise unknown_name("command with a handler", type(command).__name__, known)
        return self._of_command[type(command)]

    def for_delivery(self, event: Message, name: str | None) -> Handler:
        """Raises:
        UnknownName: the event has no such handler, or not any more.
        """
        found = {handler.name: handler for handler in self.hearing(event)}
        if name not in found:
            raise unknown_name(f"handler of {type(event).__name__}", str(name), found)
        return found[name]


@dataclass(frozen=True, slots=True)
class Backoff:
    """The pause after a failed try: `first` doubled for each try before, at most `longest`, less up to half of it by chance, so
    that what failed together isn't tried together again."""

    first: timedelta = timedelta(seconds=2)
    longest: timedelta = timedelta(minutes=15)

    def pause(self, tries: int) -> timedelta:
        doubled: timedelta = self.first * (1 << min(max(tries, 1) - 1, 30))
        return min(self.longest, doubled) * random.uniform(0.5, 1.0)  # noqa: S311  # jitter isn't a secret


class Counts(Protocol):
    """What is counted. `outcome` is `handled`, `failed` (it will be tried again) or `parked`; `seconds` the handler's time."""

    def message(self, handler: str, outcome: str, seconds: float | None) -> None: ...


class Bus:
    """`parts` is what handlers get at; `tries` is after how many a message is parked."""

    def __init__(
        self, queues: Queues, handlers: Handlers, parts: Any, counts: Counts, *, tries: int = 8, backoff: Backoff | None = None
    ) -> None:
        self._queues, self._handlers, self._parts, self._counts = queues, handlers, parts, counts
        self._tries, self._backoff = tries, backoff or Backoff()

    def take(self, message: Received) -> None:
        """Do what a message of `envelope.NAMES` asks for, and settle it with its queue. A handler's failure isn't raised.

        Raises:
            Unavailable: the queues are; the message comes again when its lease ends.
        """
        try:
            envelope = opened(message.body)
            content = self._handlers.read(envelope)
            handler = None if message.queue == EVENTS else self._handler(message.queue, envelope, content)
        except JangbuError as error:
            self._park(message, "none", str(error), None)
            return
        if handler is None:
            self._fan_out(message, envelope, content)
        else:
            about: dict[str, str | int] = {"message": envelope.name, "tries": message.tries}
            with tracing.span(f"handle {handler.name}", "consumer", envelope.trace, **about) as span:
                self._run(message, content, handler, span)

    def _handler(self, queue: str, envelope: Envelope, content: Message) -> Handler:
        if queue == DELIVERIES:
            return self._handlers.for_delivery(content, envelope.handler)
        return self._handlers.for_command(content)

    def _fan_out(self, message: Received, envelope: Envelope, event: Message) -> None:
        deliveries = [
            Outgoing(f"{message.id}/{handler.name}", envelope.addressed(handler.name).body())
            for handler in self._handlers.hearing(event)
        ]
        try:
            self._queues.send(DELIVERIES, deliveries)
        except OutOfBounds as error:  # a delivery is a little longer than its event
            self._park(message, "none", str(error), None)
        else:
            self._queues.delete(message)

    def _run(self, message: Received, content: Message, handler: Handler, span: tracing.Span) -> None:
        if message.tries > self._tries:
            self._park(message, handler.name, f"{message.tries - 1} tries ended without telling how: was the worker killed?", None)
            return
        began = perf_counter()
        try:
            handler.check()
            handler.open(content, Context(self._parts, handler.name, message.id, message.tries, message.sent_at))
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises is a failed try, SystemExit too
            span.fail(error.code if isinstance(error, JangbuError) else type(error).__name__)
            self._failed(message, handler, error, perf_counter() - began)
        else:
            self._counts.message(handler.name, "handled", perf_counter() - began)
            if not self._queues.delete(message):
                _log.warning("message done after its lease", handler=handler.name, message=message.id)

    def _failed(self, message: Received, handler: Handler, error: BaseException, seconds: float) -> None:
        reason = str(error) if isinstance(error, JangbuError) else f"{type(error).__name__}: {error}"
        if message.tries >= self._tries:
            self._park(message, handler.name, reason, seconds, error)
            return
        pause = self._backoff.pause(message.tries)
        _log.warning(
            "message failed",
            handler=handler.name,
            message=message.id,
            tries=message.tries,
            again_in=pause.total_seconds(),
            exc_info=error,
        )
        self._counts.message(handler.name, "failed", seconds)
        self._queues.release(message, pause)

    def _park(
        self, message: Received, handler: str, reason: str, seconds: float | None, error: BaseException | None = None
    ) -> None:
        shown = without_keys(reason)[:_LONGEST_REASON]
        _log.error("message parked", handler=handler, message=message.id, queue=message.queue, reason=shown, exc_info=error)
        self._counts.message(handler, "parked", seconds)
        self._queues.park(message, shown)
