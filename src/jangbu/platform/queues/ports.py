"""The port of the queues: named, durable, at least once.

A message is received under a lease. Who receives it deletes it when its work is done, releases it for another try, or parks it
with a reason. A lease that ends, because its holder is dead or stands still, makes the message visible again; the former holder's
receipt is void from then on. A name is all that a queue needs: it is there from its first message on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from jangbu.kernel.errors import OutOfBounds

NOW: Final = timedelta(0)
LONGEST: Final = timedelta(hours=12)
"""The longest lease or delay. (SQS has the same limit for leases.)"""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What adapters differ in; an adapter names where it does less than these."""

    is_ordered: bool = True
    """Messages without a delay are received in the order in which they were sent. One that is released or whose lease has ended
    keeps its place; it holds up none behind it."""
    remembers: timedelta = NOW
    """How long an id that was sent is known, though its message may be gone."""
    knows_what_is_there: bool = True
    """An id is known for as long as its message is there too, parked or not. Else for `remembers` only."""
    tells_new: bool = True
    """`send` tells how many messages were new. Else how many there were."""
    sends_whole: bool = True
    """What is sent together is there as a whole or not at all. Else a `send` that fails may have put some of it there; the same
    sent again within `remembers` puts the rest."""
    counts_delays: bool = True
    """A message that was released with a delay is counted as waiting. Else as held, until its time has come."""
    tells_age: bool = True
    """`Depth.oldest` is told."""
    fineness: timedelta = timedelta(microseconds=1)
    """Leases and delays are rounded up to a multiple of it."""
    longest_body: int | None = None
    """Bytes of a body in UTF-8; none has no limit."""
    keeps: timedelta | None = None
    """How long a message is kept, parked or not; none is for ever."""
    rests: timedelta = timedelta(seconds=0.25)
    """How long a consumer that finds nothing may rest at most: where each look costs something, longer."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send. The same `id` sent again to its queue is the same message: nothing happens while it is there, parked or
    not, and for `Capabilities.remembers` after it was sent."""

    id: str
    body: str
    delay: timedelta = NOW


@dataclass(frozen=True, slots=True)
class Received:
    """A message under a lease. `receipt` is this lease's; `tries` is how often the message was received, this time included."""

    queue: str
    id: str
    body: str
    receipt: str
    tries: int
    sent_at: datetime


@dataclass(frozen=True, slots=True)
class Parked:
    """A message that was given up, until somebody retries or purges it."""

    queue: str
    id: str
    body: str
    tries: int
    sent_at: datetime
    parked_at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Depth:
    """How full a queue is: messages that wait (for a consumer, or for their time), that are held under a lease, that are parked.
    `oldest` is the age of the oldest one that waits or is held; None where the adapter can't tell."""

    waiting: int = 0
    held: int = 0
    parked: int = 0
    oldest: timedelta | None = NOW


class Queues(Protocol):
    """Safe for any number of threads and processes."""

    @property
    def capabilities(self) -> Capabilities:
        """What it does otherwise than others."""

    def send(self, queue: str, messages: Sequence[Outgoing]) -> int:
        """Put messages on a queue, all or none; they are durable when this returns. How many were new.

        Raises:
            OutOfBounds: a delay that is negative or longer than `LONGEST`, a body longer than `Capabilities.longest_body`, a name
                that no queue may have. Nothing was sent.
            Unavailable: the queues can't be reached; this holds for every method.
        """

    def receive(self, queue: str, *, lease: timedelta, limit: int = 1) -> tuple[Received, ...]:
        """At most `limit` visible messages, each held until it is deleted, released, parked, or the lease ends. Doesn't wait.

        Raises:
            OutOfBounds: a lease that isn't longer than nothing, or longer than `LONGEST`.
        """

    def renew(self, message: Received, lease: timedelta) -> bool:
        """Hold the message for `lease` from now on. False: it isn't held under this receipt any more."""

    def delete(self, message: Received) -> bool:
        """The work is done. False as for `renew`: others may do it again."""

    def release(self, message: Received, delay: timedelta = NOW, *, counted: bool = True) -> bool:
        """Let others have it, after `delay`. Where it isn't `counted`, as nothing was tried, the adapter takes the try back if it
        can. False as for `renew`."""

    def park(self, message: Received, reason: str) -> bool:
        """Give it up until somebody decides. False as for `renew`."""

    def parked(self, queue: str | None = None, *, offset: int = 0, limit: int = 100) -> tuple[Parked, ...]:
        """A page of what is parked in a queue, or in all, the earliest parked first."""

    def retry(self, queue: str, id: str) -> bool:  # noqa: A002
        """Put a parked message back on its queue, as new. False: it isn't parked there."""

    def retry_all(self, queue: str | None = None) -> int:
        """The same for all that are parked in a queue, or in all. How many there were."""

    def purge(self, queue: str | None = None) -> int:
        """Delete what is parked in a queue, or in all. How many there were."""

    def depths(self) -> Mapping[str, Depth]:
        """Every queue that has messages, by name, sorted."""

    def close(self) -> None:
        """Give everything back; the object can't be used afterwards."""


def checked(what: str, value: timedelta, *, least: timedelta = NOW) -> float:
    """A lease or a delay in seconds.

    Raises:
        OutOfBounds: it is shorter than `least`, or longer than `LONGEST`.
    """
    if not least <= value <= LONGEST:
        raise OutOfBounds(f"A {what} of {value} isn't between {least} and {LONGEST}.", value=str(value))
    return value.total_seconds()
