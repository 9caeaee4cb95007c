"""Shops that open and close, and a place with a database and queues."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import select

sys.path.append(str(Path(__file__).parents[2]))

from support.database_at import database_at

from jangbu.kernel.handlers import Handler
from jangbu.kernel.messages import Command, Event, Message
from jangbu.platform.database.schema import outbox
from jangbu.platform.queues.bus import Backoff, Bus, Handlers
from jangbu.platform.queues.envelope import NAMES
from jangbu.platform.queues.ports import Received
from jangbu.platform.queues.relay import Relay
from jangbu.platform.queues.sqlite import SqliteQueues

LEASE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class ShopOpened(Event):
    schema_version: ClassVar[int] = 2
    shop: str


@dataclass(frozen=True, slots=True)
class ShopClosed(Event):
    shop: str


@dataclass(frozen=True, slots=True)
class CloseShop(Command):
    shop: str


MESSAGES: dict[str, type[Message]] = {kind.__name__: kind for kind in (ShopOpened, ShopClosed, CloseShop)}


def hears(name: str, handle: Callable[..., Any], event: type[Message] = ShopOpened) -> Handler:
    return Handler(kind="event_handler", name=name, summary="A test's.", handles=event, open=handle)


def does(name: str, handle: Callable[..., Any]) -> Handler:
    return Handler(kind="command_handler", name=name, summary="A test's.", handles=CloseShop, open=handle)


def handlers(*given: Handler) -> Handlers:
    by_kind: dict[str, dict[str, Handler]] = {"event_handler": {}, "command_handler": {}}
    for handler in given:
        by_kind[handler.kind][handler.name] = handler
    return Handlers(by_kind["event_handler"], by_kind["command_handler"], MESSAGES)


@dataclass
class Counted:
    """What was counted: (handler, outcome)."""

    outcomes: list[tuple[str, str]] = field(default_factory=list)

    def message(self, handler: str, outcome: str, seconds: float | None) -> None:
        self.outcomes.append((handler, outcome))


@dataclass
class Place:
    folder: Path
    counted: Counted = field(default_factory=Counted)

    def __post_init__(self) -> None:
        self.database = database_at(self.folder)
        self.database.migrate()
        self.queues = SqliteQueues(self.folder / "queues.db")
        self.relay = Relay(self.database, self.queues)

    def emit(self, *events: Event) -> None:
        with self.database.transaction() as work:
            work.emit(*events)

    def send(self, *commands: Command) -> None:
        with self.database.transaction() as work:
            work.send(*commands)

    def bus(self, *given: Handler, tries: int = 3, first: timedelta = timedelta(0)) -> Bus:
        return Bus(self.queues, handlers(*given), self, self.counted, tries=tries, backoff=Backoff(first=first))

    def receive(self) -> list[Received]:
        return [message for name in NAMES for message in self.queues.receive(name, lease=LEASE, limit=100)]

    def run(self, bus: Bus) -> None:
        """All that there is to do, until nothing is left that can be seen."""
        while self.relay.run():
            pass
        while found := self.receive():
            for message in found:
                bus.take(message)

    def waiting(self) -> list[str]:
        """Names of the outbox's messages."""
        with self.database.reading() as connection:
            return list(connection.execute(select(outbox.c.name).order_by(outbox.c.id)).scalars())

    def parked(self) -> list[tuple[str, str]]:
        """(queue, reason) of what is parked."""
        return [(message.queue, message.reason) for message in self.queues.parked()]

    def is_empty(self) -> bool:
        return self.queues.depths() == {} and self.waiting() == []

    def close(self) -> None:
        self.queues.close()
        self.database.close()


def shops(events: Iterable[Any]) -> list[str]:
    return [event.shop for event in events]
