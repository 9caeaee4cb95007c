"""Messages of the queues carried over. They keep their ids: the inbox knows one that was sent twice, or was done before."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final, TypeVar

from jangbu.kernel.errors import Conflict
from jangbu.platform.queues.ports import Outgoing, Parked, Queues
from jangbu.platform.queues.sqlite import SqliteQueues

_LEASE: Final = timedelta(minutes=2)
_AT_ONCE: Final = 10
_LOOKS: Final = 50

Item = TypeVar("Item")


def check_empty(target: Queues) -> None:
    """Raises Conflict where messages are there."""
    if held := {name: depth for name, depth in target.depths().items() if depth.waiting or depth.held or depth.parked}:
        raise Conflict(f"Those queues hold messages already ({', '.join(held)}).", hint="Name others: sqs_prefix, or the folder.")


def carry(source: SqliteQueues, target: Queues) -> int:
    """All messages that aren't done, those that are parked first, as they have to be received to be parked again; how many. What a
    worker holds just now is carried, too: it can't be done any more where the database is closed."""
    parked = list(_all_parked(source))
    done = {(each.queue, each.id) for each in _all_parked(target)}
    for queue in sorted({each.queue for each in parked}):
        _park([each for each in parked if each.queue == queue and (queue, each.id) not in done], queue, target)
    waiting = source.waiting()
    for queue in sorted({name for name, _ in waiting}):
        for some in batches([message for name, message in waiting if name == queue], _AT_ONCE):
            target.send(queue, some)
    return len(parked) + len(waiting)


def _park(messages: Sequence[Parked], queue: str, target: Queues) -> None:
    reasons = {each.id: each.reason for each in messages}
    for some in batches(messages, _AT_ONCE):
        target.send(queue, [Outgoing(each.id, each.body) for each in some])
    for _ in range(_LOOKS + len(messages)):
        if not reasons:
            return
        for message in target.receive(queue, lease=_LEASE, limit=_AT_ONCE):
            if reason := reasons.pop(message.id, None):
                target.park(message, reason)
            else:
                target.release(message, counted=False)
    raise Conflict(f"{len(reasons)} parked messages of {queue!r} weren't seen again.", hint="Run it again in a few minutes.")


def _all_parked(queues: Queues) -> Iterator[Parked]:
    offset = 0
    while page := queues.parked(offset=offset):
        yield from page
        offset += len(page)


def batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[at : at + size] for at in range(0, len(items), size))
