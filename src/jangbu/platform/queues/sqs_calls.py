"""The calls of SQS that the queues need, with its errors in our words."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from jangbu.kernel.errors import ConfigurationError, JangbuError, OutOfBounds, Unavailable
from jangbu.platform.queues.sqs_form import ATTRIBUTE, LARGEST_BATCH

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

_NEW: Final = {
    "FifoQueue": "true",
    "DeduplicationScope": "messageGroup",  # these two lift the limit of 300 calls a second: each message is a group
    "FifoThroughputLimit": "perMessageGroupId",
    "MessageRetentionPeriod": str(14 * 24 * 3600),
}
_BUSY: Final = {
    "RequestThrottled",
    "Throttling",
    "ThrottlingException",
    "OverLimit",
    "AWS.SimpleQueueService.OverLimit",
    "KmsThrottled",
    "RequestTimeout",
    "ServiceUnavailable",
    "InternalError",
    "InternalFailure",
}
_MISSING: Final = {"QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"}
_VOID: Final = {
    "ReceiptHandleIsInvalid",
    "MessageNotInflight",
    "AWS.SimpleQueueService.MessageNotInflight",
    "InvalidParameterValue",  # "The receipt handle has expired": a FIFO queue's words
}
_TOO_LONG: Final = {"BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong"}


class NoQueue(Unavailable):
    """There is no queue of this name (any more)."""


class Void(ConfigurationError):
    """A receipt that holds nothing any more, or a parameter that SQS refuses: it has one code for both."""


class Calls:
    """Queues by their names there. `client` is boto3's; its time-outs and retries are what bounds a call.

    Raises:
        Unavailable: SQS can't be reached, is busy, or asks for fewer calls.
        ConfigurationError: it refuses us: credentials, permissions, region.
    """

    def __init__(self, client: "SQSClient") -> None:
        self._client = client
        self._urls: dict[str, str] = {}
        self._lock = threading.Lock()

    def send(self, name: str, entries: Sequence[Mapping[str, Any]]) -> None:
        """Send a batch to a queue, which is made if it isn't there."""
        with self._on(name, make=True) as url:
            answer = self._client.send_message_batch(QueueUrl=url, Entries=entries)  # type: ignore[arg-type]  # plain dicts
        _all_done(answer)

    def receive(self, name: str, number: int, seconds: int) -> list[Mapping[str, Any]]:
        """Up to `number` messages, at most ten, held for `seconds`; none where there is no such queue."""
        try:
            with self._on(name) as url:
                answer = self._client.receive_message(
                    QueueUrl=url,
                    MaxNumberOfMessages=number,
                    VisibilityTimeout=seconds,
                    MessageSystemAttributeNames=["All"],
                    MessageAttributeNames=[ATTRIBUTE],
                    # A retry within this call then gets what the lost answer held.
                    ReceiveRequestAttemptId=uuid4().hex,
                )
        except NoQueue:
            return []
        return list(answer.get("Messages", ()))

    def hold(self, name: str, receipt: str, seconds: int) -> bool:
        """Hide a message for `seconds` from now on. False: the receipt is void."""
        with self._settling() as done, self._on(name) as url:
            self._client.change_message_visibility(QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=seconds)
            done.append(True)
        return bool(done)

    def delete(self, name: str, receipt: str) -> bool:
        """False: the receipt is void."""
        with self._settling() as done, self._on(name) as url:
            self._client.delete_message(QueueUrl=url, ReceiptHandle=receipt)
            done.append(True)
        return bool(done)

    def delete_all(self, name: str, receipts: Sequence[str]) -> None:
        for some in _tens(receipts):
            entries = [{"Id": str(number), "ReceiptHandle": receipt} for number, receipt in enumerate(some)]
            with self._on(name) as url:
                answer = self._client.delete_message_batch(QueueUrl=url, Entries=entries)  # type: ignore[arg-type]  # plain dicts
            _all_done(answer)

    def show_all(self, name: str, receipts: Sequence[str]) -> None:
        """Let held messages be seen again; what can't be is so when its time is over."""
        for some in _tens(receipts):
            entries = [{"Id": str(number), "ReceiptHandle": each, "VisibilityTimeout": 0} for number, each in enumerate(some)]
            with self._on(name) as url:
                self._client.change_message_visibility_batch(QueueUrl=url, Entries=entries)  # type: ignore[arg-type]  # plain dicts

    def names(self, prefix: str) -> list[str]:
        """Names of the queues that begin so."""
        found: list[str] = []
        with in_our_words():
            for page in self._client.get_paginator("list_queues").paginate(
                QueueNamePrefix=prefix, PaginationConfig={"PageSize": 1000}
            ):
                for url in page.get("QueueUrls", ()):
                    name = url.rpartition("/")[2]
                    self._urls[name] = url
                    found.append(name)
        return sorted(found)

    def counts(self, name: str) -> tuple[int, int]:
        """How many messages can be seen or wait for their time, and how many are held; about, SQS says."""
        try:
            with self._on(name) as url:
                told = self._client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        except NoQueue:
            return 0, 0
        held = told["ApproximateNumberOfMessagesNotVisible"]
        return int(told["ApproximateNumberOfMessages"]) + int(told["ApproximateNumberOfMessagesDelayed"]), int(held)

    def close(self) -> None:
        self._client.close()

    @contextmanager
    def _on(self, name: str, *, make: bool = False) -> Iterator[str]:
        """The queue's address. One that was deleted meanwhile is made anew by the next call.

        Raises:
            NoQueue: it isn't there, and isn't to be made.
        """
        try:
            with in_our_words():
                yield self._url(name, make=make)
        except NoQueue:
            with self._lock:
                self._urls.pop(name, None)
            if make:
                raise Unavailable(f"The queue {name!r} was deleted meanwhile.") from None
            raise

    def _url(self, name: str, *, make: bool) -> str:
        with self._lock:
            known = self._urls.get(name)
        if known is None:
            try:
                known = self._client.get_queue_url(QueueName=name)["QueueUrl"]
            except self._client.exceptions.QueueDoesNotExist:
                if not make:
                    raise
                known = self._client.create_queue(QueueName=name, Attributes=_NEW)["QueueUrl"]  # type: ignore[arg-type]  # our names
            with self._lock:
                self._urls[name] = known
        return known

    @contextmanager
    def _settling(self) -> Iterator[list[bool]]:
        """Leaves the list empty where the receipt is void, or the queue is gone."""
        try:
            yield []
        except (NoQueue, Void):
            return


@contextmanager
def in_our_words() -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError, PartialCredentialsError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        raise _said(error.response) from None
    except (NoCredentialsError, PartialCredentialsError, NoRegionError) as error:
        raise ConfigurationError(f"SQS: {error}.", hint="See docs/settings.md, JANGBU_SQS_REGION.") from None
    except (BotoCoreError, ResponseParserError) as error:
        raise Unavailable(f"SQS can't be reached: {type(error).__name__}.") from error


def _said(response: Mapping[str, Any]) -> JangbuError:
    """Only the code is repeated: the sentence may hold a key's name or what was signed."""
    told = response.get("Error", {})
    code, status = str(told.get("Code", "")), response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _MISSING:
        return NoQueue("SQS has no such queue.")
    if code in _VOID:
        return Void(f"SQS refuses: {code}.", value=code)
    if code in _TOO_LONG or "MessageTooLong" in str(told.get("Message", "")):
        return OutOfBounds("A message is too long for this SQS.", value=code)
    if code in _BUSY or status >= 500 or status == 429:
        return Unavailable(f"SQS is busy: {code}.", retry_after=1)
    return ConfigurationError(f"SQS refuses: {code}.", value=code, hint="See docs/settings.md, JANGBU_SQS_REGION.")


def _all_done(answer: Mapping[str, Any]) -> None:
    """An answer of success may hold entries that failed."""
    failed = answer.get("Failed", ())
    if failed:
        raise _of_entry(failed[0], len(failed))


def _of_entry(entry: Mapping[str, Any], number: int) -> JangbuError:
    if entry.get("SenderFault") and entry["Code"] not in _BUSY:
        return OutOfBounds(f"SQS refuses {number} messages: {entry['Code']}.", value=entry["Code"])
    return Unavailable(f"SQS didn't take {number} messages: {entry['Code']}.")


def _tens(given: Iterable[str]) -> Iterator[list[str]]:
    rest = list(given)
    for start in range(0, len(rest), LARGEST_BATCH):
        yield rest[start : start + LARGEST_BATCH]
