"""How our messages stand in SQS, and the limits that SQS has for them."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

from jangbu.kernel.errors import OutOfBounds

LONGEST_BATCH: Final = 1 << 20
"""Bytes of one message, and of all that are sent at once."""
LARGEST_BATCH: Final = 10
"""Messages that are sent, received or deleted at once."""
OURS: Final = 16 << 10
"""Bytes that are kept free for what stands beside a body: ids, and the reason when it is parked."""
LONGEST_BODY: Final = LONGEST_BATCH - OURS
ATTRIBUTE: Final = "jangbu"

_NOT_TAKEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that SQS refuses."""
_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_PARKED: Final = "--parked"
_FIFO: Final = ".fifo"
_LONGEST_NAME: Final = 80
_LONGEST_ID: Final = 1_000
"""Characters of an id of ours."""


@dataclass(frozen=True, slots=True)
class About:
    """What SQS has no place for. `due` is when it may be seen, `sent_at` when it was first sent where it was moved since, both in
    seconds since 1970; `origin` is SQS's id of the message that was parked."""

    id: str
    is_json: bool = False
    due: float | None = None
    sent_at: float | None = None
    tries: int | None = None
    reason: str | None = None
    parked_at: float | None = None
    origin: str | None = None

    def text(self) -> str:
        """ASCII, so that SQS takes it whatever stands in an id."""
        return json.dumps({name: value for name, value in asdict(self).items() if value or name == "id"}, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Names:
    """What our queues are called there: all begin with `prefix`."""

    prefix: str

    def live(self, queue: str) -> str:
        """Raises:
        OutOfBounds: SQS has no such name for a queue.
        """
        name = f"{self.prefix}{queue}{_FIFO}"
        if not _NAME.fullmatch(queue) or _PARKED in queue or len(name) + len(_PARKED) > _LONGEST_NAME:
            most = _LONGEST_NAME - len(self.prefix) - len(_PARKED) - len(_FIFO)
            raise OutOfBounds(
                f"No queue can be called {queue!r} on SQS.",
                value=queue,
                hint=f"Use 1 to {most} letters, digits, '-' and '_', without {_PARKED!r}.",
            )
        return name

    def parked(self, queue: str) -> str:
        return self.live(queue).removesuffix(_FIFO) + _PARKED + _FIFO

    def read(self, name: str) -> tuple[str, bool] | None:
        """Our name of a queue of theirs, and whether it is that of the parked; None: it is none of ours."""
        if not (name.startswith(self.prefix) and name.endswith(_FIFO)):
            return None
        ours = name.removeprefix(self.prefix).removesuffix(_FIFO)
        return ours.removesuffix(_PARKED), ours.endswith(_PARKED)


def entry(about: About, body: str, *, once: str = "") -> dict[str, Any]:
    """A message to send, without its number in the batch. Each is a group of its own, so that none waits for another; the same id
    is known for five minutes, `once` makes it another one.

    Raises:
        OutOfBounds: it is too long.
    """
    known = digest(about.id, once)
    shown, is_json = packed(body)
    if (size := len(shown.encode())) > LONGEST_BODY:
        raise OutOfBounds(f"A message of {size:,} bytes is too long for SQS; {LONGEST_BODY:,} is the limit.", value=size)
    if len(about.id) > _LONGEST_ID:
        raise OutOfBounds(f"A message's id has {len(about.id):,} characters; {_LONGEST_ID:,} is the limit.", value=len(about.id))
    text = About(**{**asdict(about), "is_json": is_json}).text()
    return {
        "MessageBody": shown,
        "MessageGroupId": digest(about.id),
        "MessageDeduplicationId": known,
        "MessageAttributes": {ATTRIBUTE: {"DataType": "String", "StringValue": text}},
    }


def packed(body: str) -> tuple[str, bool]:
    """A body as SQS takes it, and whether it had to be written as JSON: empty, or with characters that SQS refuses."""
    return (json.dumps(body), True) if not body or _NOT_TAKEN.search(body) else (body, False)


def opened(message: Mapping[str, Any]) -> tuple[About, str]:
    """What `entry` wrote. What somebody else put there is a message as well; its id is SQS's."""
    found = message.get("MessageAttributes", {}).get(ATTRIBUTE, {}).get("StringValue")
    try:
        about = About(**json.loads(found)) if found else About(message["MessageId"])
        return about, json.loads(message["Body"]) if about.is_json else message["Body"]
    except (TypeError, ValueError):
        return About(message["MessageId"]), message["Body"]


def batches(entries: Iterable[Mapping[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """In order, each within SQS's limits, numbered; of what has the same id, the first."""
    unique: dict[str, Mapping[str, Any]] = {}
    for each in entries:
        unique.setdefault(each["MessageDeduplicationId"], each)
    batch: list[dict[str, Any]] = []
    size = 0
    for each in unique.values():
        length = len(each["MessageBody"].encode()) + len(each["MessageAttributes"][ATTRIBUTE]["StringValue"]) + 100
        if batch and (len(batch) == LARGEST_BATCH or size + length > LONGEST_BATCH):
            yield batch
            batch, size = [], 0
        batch.append({"Id": str(len(batch)), **each})
        size += length
    if batch:
        yield batch


def digest(*parts: str) -> str:
    """An id within the characters and the length that SQS allows."""
    return sha256(json.dumps(parts).encode()).hexdigest()


def moment(milliseconds: str) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)
