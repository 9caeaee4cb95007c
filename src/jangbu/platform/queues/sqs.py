"""Queues on Amazon SQS: a FIFO queue each, and one beside it for what is parked."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import ceil
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from jangbu.kernel.clock import Clock, SystemClock
from jangbu.kernel.errors import MissingExtra, Unavailable
from jangbu.platform.queues.ports import LONGEST, NOW, Capabilities, Depth, Outgoing, Parked, Received, checked
from jangbu.platform.queues.sqs_calls import Calls, in_our_words
from jangbu.platform.queues.sqs_form import LARGEST_BATCH, LONGEST_BODY, About, Names, batches, entry, moment, opened

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

_LOOKED_THROUGH: Final = 60
"""Seconds for which what is parked is held while somebody looks through it."""
_CONNECTIONS: Final = 64
_ATTEMPTS: Final = 3
_SECOND: Final = timedelta(seconds=1)


def open_queues(
    *,
    prefix: str,
    endpoint: str | None = None,
    region: str | None = None,
    access_key: str | None = None,
    secret_key: str | None = None,
    timeout: float = 5.0,
    clock: Clock | None = None,
) -> "SqsQueues":
    """Queues whose names begin with `prefix`. Without keys, AWS's own order holds: environment, file, role. A call takes at most
    three tries of `timeout` seconds each.

    Raises:
        MissingExtra: boto3 isn't installed.
        ConfigurationError: no region.
    """
    try:
        import boto3
        from botocore.config import Config
    except ModuleNotFoundError as error:
        raise MissingExtra("SQS", "sqs") from error
    config = Config(
        connect_timeout=min(2.0, timeout),
        read_timeout=timeout,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        max_pool_connections=_CONNECTIONS,
        tcp_keepalive=True,
    )
    with in_our_words():
        client = boto3.session.Session().client(
            "sqs",
            endpoint_url=endpoint,
            region_name=region,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            config=config,
        )
    return SqsQueues(client, prefix, clock)


@dataclass(frozen=True, slots=True)
class _Hold:
    """A lease of ours; times are the monotonic clock's, in seconds."""

    began: float
    ends: float
    message: str
    """SQS's id."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What was found among the parked."""

    about: About
    body: str
    sent_at: datetime
    receipt: str

    @property
    def parked_at(self) -> datetime:
        return self.sent_at if self.about.parked_at is None else datetime.fromtimestamp(self.about.parked_at, UTC)

    def first_sent(self) -> float:
        return self.about.sent_at or self.sent_at.timestamp()


class SqsQueues:
    """Who received a message settles it through the same object: whether a lease still runs is known here, as SQS lets late calls
    pass on some servers. A message is held and delayed for 12 hours in all after it was received. What is parked is looked through
    by receiving it: of two that do so at the same time each sees a part.

    Raises:
        Unavailable, ConfigurationError: as `Calls`.
    """

    capabilities = Capabilities(
        is_ordered=False,
        remembers=timedelta(minutes=5),
        knows_what_is_there=False,
        tells_new=False,
        sends_whole=False,
        counts_delays=False,
        tells_age=False,
        fineness=_SECOND,
        longest_body=LONGEST_BODY,
        keeps=timedelta(days=14),
        rests=timedelta(seconds=2),
    )

    def __init__(self, client: "SQSClient", prefix: str, clock: Clock | None = None) -> None:
        self._calls, self._names = Calls(client), Names(prefix)
        self._clock = clock or SystemClock()
        self._held: dict[str, _Hold] = {}
        self._lock = threading.Lock()

    def send(self, queue: str, messages: Sequence[Outgoing]) -> int:
        name, now = self._names.live(queue), self._now()
        entries = [entry(About(each.id, due=_due(now, each.delay)), each.body) for each in messages]
        self._put(name, entries)
        return len({message.id for message in messages})

    def receive(self, queue: str, *, lease: timedelta, limit: int = 1) -> tuple[Received, ...]:
        seconds = _seconds("lease", lease, least=timedelta(microseconds=1))
        found: list[Received] = []
        try:
            while len(found) < limit:
                number = min(LARGEST_BATCH, limit - len(found))
                began = monotonic()
                there = self._calls.receive(self._names.live(queue), number, seconds)
                found += [taken for each in there if (taken := self._taken(queue, each, began, seconds))]
                if len(there) < number:
                    break
        except Unavailable:
            if not found:
                raise  # else those that are held already would wait for their lease's end
        return tuple(found)

    def renew(self, message: Received, lease: timedelta) -> bool:
        return self._hold(message, _seconds("lease", lease, least=timedelta(microseconds=1)), keep=True)

    def delete(self, message: Received) -> bool:
        if self._mine(message) is None:
            return False
        done = self._calls.delete(self._names.live(message.queue), message.receipt)
        self._forget(message)
        return done

    def release(self, message: Received, delay: timedelta = NOW, *, counted: bool = True) -> bool:  # noqa: ARG002
        return self._hold(message, _seconds("delay", delay), keep=False)

    def park(self, message: Received, reason: str) -> bool:
        hold = self._mine(message)
        if hold is None:
            return False
        about = About(
            message.id,
            sent_at=message.sent_at.timestamp(),
            tries=message.tries,
            reason=reason,
            parked_at=self._now(),
            origin=hold.message,
        )
        # Parked first: who dies in between parks it again, which SQS takes for the same within five minutes.
        self._put(self._names.parked(message.queue), [entry(about, message.body, once=hold.message)])
        return self.delete(message)

    def parked(self, queue: str | None = None, *, offset: int = 0, limit: int = 100) -> tuple[Parked, ...]:
        found: list[Parked] = []
        for name in self._queues(queue):
            with self._looking_through(name) as there:
                found += [_parked(name, each) for each in there]
        unique = {(each.queue, each.id): each for each in sorted(found, key=lambda each: each.parked_at, reverse=True)}
        return tuple(reversed(unique.values()))[offset : offset + limit]

    def retry(self, queue: str, id: str) -> bool:  # noqa: A002
        return self._retry(queue, id) > 0

    def retry_all(self, queue: str | None = None) -> int:
        return sum(self._retry(name) for name in self._queues(queue))

    def purge(self, queue: str | None = None) -> int:
        purged = 0
        for name in self._queues(queue):
            with self._looking_through(name) as there:
                self._calls.delete_all(self._names.parked(name), [each.receipt for each in there])
                purged += len({each.about.id for each in there})
                there.clear()
        return purged

    def depths(self) -> Mapping[str, Depth]:
        depths: dict[str, Depth] = {}
        for name in self._calls.names(self._names.prefix):
            if (ours := self._names.read(name)) is None:
                continue
            waiting, held = self._calls.counts(name)
            queue, is_parked = ours
            depth = depths.get(queue, Depth(oldest=None))
            depths[queue] = replace(depth, parked=waiting + held) if is_parked else replace(depth, waiting=waiting, held=held)
        return {name: depth for name, depth in sorted(depths.items()) if depth.waiting or depth.held or depth.parked}

    def close(self) -> None:
        self._calls.close()

    # Leases

    def _taken(self, queue: str, message: Mapping[str, Any], began: float, seconds: int) -> Received | None:
        """None: it isn't due yet, and is hidden until then. (A FIFO queue has no delay of single messages.)"""
        about, body = opened(message)
        told, receipt, now = message["Attributes"], message["ReceiptHandle"], self._now()
        if about.due and now < about.due < now + LONGEST.total_seconds():
            self._calls.hold(self._names.live(queue), receipt, ceil(about.due - now))
            return None
        hidden = bool(about.due) and int(told["ApproximateFirstReceiveTimestamp"]) / 1000 < (about.due or 0)
        with self._lock:
            late = [each for each, hold in self._held.items() if hold.ends < began]
            for each in late:
                del self._held[each]
            self._held[receipt] = _Hold(began, began + seconds, message["MessageId"])
        sent = moment(told["SentTimestamp"]) if about.sent_at is None else datetime.fromtimestamp(about.sent_at, UTC)
        return Received(queue, about.id, body, receipt, max(1, int(told["ApproximateReceiveCount"]) - hidden), sent)

    def _hold(self, message: Received, seconds: int, *, keep: bool) -> bool:
        hold = self._mine(message)
        began = monotonic()
        if hold is None:
            return False
        # SQS counts the 12 hours from when the message was received, and refuses what goes beyond.
        seconds = min(seconds, int(hold.began + LONGEST.total_seconds() - began) - 1)
        held = seconds >= 0 and self._calls.hold(self._names.live(message.queue), message.receipt, seconds)
        if not (held and keep):
            self._forget(message)
        else:
            with self._lock:
                self._held[message.receipt] = replace(hold, ends=began + seconds)
        return held

    def _mine(self, message: Received) -> _Hold | None:
        with self._lock:
            hold = self._held.get(message.receipt)
        return hold if hold is not None and hold.ends > monotonic() else None

    def _forget(self, message: Received) -> None:
        with self._lock:
            self._held.pop(message.receipt, None)

    # What is parked

    @contextmanager
    def _looking_through(self, queue: str) -> Iterator[list[_Found]]:
        """All that is parked in a queue, held meanwhile; what is left in the list afterwards is let go."""
        name, found = self._names.parked(queue), list[_Found]()
        try:
            while there := self._calls.receive(name, LARGEST_BATCH, _LOOKED_THROUGH):
                for message in there:
                    found.append(_Found(*opened(message), moment(message["Attributes"]["SentTimestamp"]), message["ReceiptHandle"]))
            yield found
        finally:
            self._calls.show_all(name, [each.receipt for each in found])

    def _retry(self, queue: str, id_: str | None = None) -> int:
        with self._looking_through(queue) as there:
            chosen = [each for each in there if id_ in (None, each.about.id)]
            entries = [
                entry(About(each.about.id, sent_at=each.first_sent()), each.body, once=f"again {each.about.origin}")
                for each in chosen
            ]
            if chosen:
                self._put(self._names.live(queue), entries)
                self._calls.delete_all(self._names.parked(queue), [each.receipt for each in chosen])
            gone = {each.receipt for each in chosen}
            there[:] = [each for each in there if each.receipt not in gone]
        return len({each.about.id for each in chosen})

    def _queues(self, queue: str | None) -> list[str]:
        """The named one, or all that have a queue for what is parked."""
        if queue is not None:
            return [queue]
        read = map(self._names.read, self._calls.names(self._names.prefix))
        return [ours[0] for ours in read if ours is not None and ours[1]]

    def _put(self, name: str, entries: Sequence[Mapping[str, Any]]) -> None:
        for batch in batches(entries):
            self._calls.send(name, batch)

    def _now(self) -> float:
        return self._clock.now().timestamp()


def _seconds(what: str, value: timedelta, *, least: timedelta = NOW) -> int:
    return ceil(checked(what, value, least=least))


def _due(now: float, delay: timedelta) -> float | None:
    return now + seconds if (seconds := checked("delay", delay)) else None


def _parked(queue: str, found: _Found) -> Parked:
    about, sent = found.about, datetime.fromtimestamp(found.first_sent(), UTC)
    return Parked(queue, about.id, found.body, about.tries or 1, sent, found.parked_at, about.reason or "")
