"""What SQS does beyond the port: its limits, its errors, and that what it holds outlives its being away."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from threading import Event
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from queues_place import CloseShop, Place, does
from services.plugin import GetService
from services.running import Running
from support.servers import aws

from jangbu.kernel.errors import ConfigurationError, OutOfBounds, Unavailable
from jangbu.platform.queues.ports import LONGEST, Outgoing
from jangbu.platform.queues.relay import Relay
from jangbu.platform.queues.sqs import SqsQueues, open_queues
from jangbu.platform.queues.sqs_form import LONGEST_BATCH, Names, batches, entry, opened
from jangbu.platform.queues.sqs_form import About as AboutOf
from jangbu.platform.queues.worker import Worker

MINUTE = timedelta(minutes=1)


def over(server: Running, prefix: str, **given: Any) -> SqsQueues:
    keys = {name: server[name] for name in ("region", "access_key", "secret_key")}
    return open_queues(prefix=prefix, endpoint=server["url"], **(keys | {"timeout": 10} | given))


@pytest.fixture
def prefix() -> str:
    return f"{uuid4().hex[:12]}-"


@pytest.fixture
def queues(service: GetService, prefix: str) -> Iterator[SqsQueues]:
    with closing(over(service("elasticmq"), prefix)) as made:
        yield made


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    ends = monotonic() + seconds
    while not condition():
        assert monotonic() < ends, "it didn't come to be"
        sleep(0.02)


# Names and forms


@pytest.mark.parametrize("queue", ["", "a b", "a.b", "한", "x" * 61, "work--parked", "work--parked-too"])
def test_a_name_that_sqs_cant_have_is_refused(queue: str) -> None:
    with pytest.raises(OutOfBounds, match="No queue can be called"):
        Names("jangbu-").live(queue)


def test_names_are_read_back_and_others_are_none_of_ours() -> None:
    names = Names("jangbu-")
    assert names.read(names.live("work")) == ("work", False)
    assert names.read(names.parked("work")) == ("work", True)
    assert names.read("jangbu-work") is None
    assert names.read("other-work.fifo") is None
    longest = "x" * (80 - len("jangbu-") - len("--parked.fifo"))
    assert len(names.parked(longest)) == 80


def test_batches_have_ten_entries_and_a_mebibyte_at_most_and_each_id_once() -> None:
    entries = [entry(AboutOf(str(number % 40)), "x" * 60_000) for number in range(45)]
    made = list(batches(entries))
    assert [each["MessageDeduplicationId"] for batch in made for each in batch] == [
        each["MessageDeduplicationId"] for each in entries[:40]
    ]
    assert all(len(batch) <= 10 for batch in made)
    assert len(list(batches([entry(AboutOf(str(number)), "x" * 400_000) for number in range(4)]))) == 2
    large = [entry(AboutOf(str(number)), "장" * 170_000) for number in range(4)]
    assert [sum(len(each["MessageBody"].encode()) for each in batch) <= LONGEST_BATCH for batch in batches(large)] == [True, True]


def test_what_others_put_there_is_a_message_too() -> None:
    for attribute in ("{}", "[]", "no JSON", '{"id": "x", "more": 1}'):
        given = {"MessageId": "theirs", "Body": "b", "MessageAttributes": {"jangbu": {"StringValue": attribute}}}
        assert (opened(given)[0].id, opened(given)[1]) == ("theirs", "b")
    assert opened({"MessageId": "theirs", "Body": "b"}) == (AboutOf("theirs"), "b")


# Settings and errors


def test_keys_are_in_no_error_and_no_repr(service: GetService, prefix: str) -> None:
    with closing(
        open_queues(
            prefix=prefix, endpoint="http://127.0.0.1:9", region="x", access_key="AKIASEEN", secret_key="s3cr3t-seen", timeout=0.2
        )
    ) as away:
        with pytest.raises(Unavailable, match=r"SQS can't be reached: \w+\.") as raised:
            away.send("work", [Outgoing("a", "b")])
        assert "seen" not in (str(raised.value) + str(raised.value.problem()) + repr(away) + repr(vars(away))).lower()


def test_a_region_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "nothing")
    with pytest.raises(ConfigurationError, match="region"):
        open_queues(prefix="x-")


class Answering:
    """In place of boto3's client: answers as AWS does in cases that can't be had from a server here."""

    def __init__(self, answer: Exception | dict[str, Any]) -> None:
        self._answer = answer

    def get_queue_url(self, **_: Any) -> dict[str, Any]:
        return {"QueueUrl": "http://queue"}

    def send_message_batch(self, **_: Any) -> dict[str, Any]:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    receive_message = send_message_batch


def refused(code: str, status: int = 400, message: str = "It holds AKIASEEN.") -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}, "SendMessageBatch"
    )  # type: ignore[arg-type,typeddict-item]


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (refused("RequestThrottled", 403), Unavailable, "SQS is busy: RequestThrottled"),
        (refused("ThrottlingException"), Unavailable, "SQS is busy"),
        (refused("OverLimit", 403), Unavailable, "SQS is busy"),
        (refused("Odd", 503), Unavailable, "SQS is busy"),
        (ReadTimeoutError(endpoint_url="http://queue"), Unavailable, "can't be reached: ReadTimeoutError"),
        (refused("AccessDenied", 403), ConfigurationError, "SQS refuses: AccessDenied"),
        (refused("InvalidClientTokenId", 403), ConfigurationError, "SQS refuses: InvalidClientTokenId"),
        (refused("BatchRequestTooLong"), OutOfBounds, "too long for this SQS"),
        ({"Failed": [{"Id": "0", "SenderFault": False, "Code": "InternalError"}]}, Unavailable, "didn't take 1 messages"),
        ({"Failed": [{"Id": "0", "SenderFault": True, "Code": "InvalidMessageContents"}]}, OutOfBounds, "refuses 1 messages"),
    ],
)
def test_what_aws_answers_is_said_in_our_words(answer: Any, error: type[Exception], words: str) -> None:
    queues = SqsQueues(Answering(answer), "x-")  # type: ignore[arg-type]
    with pytest.raises(error, match=words) as raised:
        queues.send("work", [Outgoing("a", "b")])
    assert "AKIASEEN" not in str(raised.value)


@pytest.mark.services("elasticmq")
def test_prefixes_dont_meet(service: GetService, prefix: str) -> None:
    with closing(over(service("elasticmq"), f"{prefix}one-")) as one, closing(over(service("elasticmq"), f"{prefix}two-")) as two:
        one.send("work", [Outgoing("a", "b")])
        one.park(one.receive("work", lease=MINUTE)[0], "odd")
        assert (two.depths(), two.parked(), two.purge(), two.retry_all()) == ({}, (), 0, 0)
        assert len(one.parked()) == 1


@pytest.mark.services("elasticmq")
def test_a_queue_that_was_deleted_is_made_anew(service: GetService, queues: SqsQueues, prefix: str) -> None:
    queues.send("work", [Outgoing("a", "b")])
    client = aws(service("elasticmq"), "sqs")
    client.delete_queue(QueueUrl=client.get_queue_url(QueueName=f"{prefix}work.fifo")["QueueUrl"])
    assert queues.receive("work", lease=MINUTE) == ()
    assert queues.send("work", [Outgoing("b", "b")]) == 1
    assert queues.receive("work", lease=MINUTE)[0].id == "b"


@pytest.mark.services("elasticmq")
def test_a_delay_goes_beyond_what_sqs_allows_and_isnt_a_try(queues: SqsQueues) -> None:
    queues.send("work", [Outgoing("late", "b", LONGEST), Outgoing("soon", "b", timedelta(seconds=1))])
    found: list[Any] = []
    until(lambda: found.extend(queues.receive("work", lease=MINUTE, limit=5)) or found)
    assert [(each.id, each.tries) for each in found] == [("soon", 1)]
    assert queues.release(found[0])
    assert queues.receive("work", lease=MINUTE)[0].tries == 2


@pytest.mark.services("elasticmq")
def test_a_message_is_held_for_twelve_hours_in_all(queues: SqsQueues) -> None:
    queues.send("work", [Outgoing("a", "b")])
    (message,) = queues.receive("work", lease=MINUTE)
    sleep(1)
    assert queues.renew(message, LONGEST)
    assert queues.release(message, LONGEST)


# Faults


@pytest.fixture
def start(place: Place) -> Iterator[Callable[..., Worker]]:
    started: list[Worker] = []

    def start_(queues: SqsQueues, done: list[str]) -> Worker:
        place.queues = queues  # type: ignore[assignment]
        bus = place.bus(does("close", lambda command, _: done.append(command.shop)), tries=8)
        worker = Worker(bus, queues, Relay(place.database, queues), threads=4, lease=timedelta(seconds=5), pause=0.05)
        worker.start()
        started.append(worker)
        return worker

    yield start_
    for worker in started:
        worker.stop(5)


@pytest.mark.slow
@pytest.mark.services("elasticmq", own=True)
def test_a_worker_goes_on_by_itself_when_sqs_answers_again_and_nothing_is_lost(
    own_service: GetService, place: Place, start: Callable[..., Worker], prefix: str
) -> None:
    server, done = own_service("elasticmq"), list[str]()
    with closing(over(server, prefix, timeout=0.5)) as queues:
        worker = start(queues, done)
        place.send(*(CloseShop(f"{number:03}") for number in range(50)))
        until(lambda: len(done) > 5)
        for turn in range(1, 3):
            server.freeze()
            place.send(*(CloseShop(f"{turn}{number:02}") for number in range(50)))
            with pytest.raises(Unavailable):
                queues.depths()
            sleep(2)
            server.thaw()
            until(lambda: set(done) >= {f"{turn}{number:02}" for number in range(50)}, 60)  # noqa: B023 - called at once
        until(place.is_empty, 60)
        assert set(done) == {f"{number:03}" for number in range(50)} | {f"{turn}{n:02}" for turn in (1, 2) for n in range(50)}
        worker.stop(5)


@pytest.mark.slow
@pytest.mark.services("elasticmq", own=True)
def test_a_worker_outlives_a_killed_server_and_uses_the_queues_of_its_successor(
    own_service: GetService, place: Place, start: Callable[..., Worker], prefix: str
) -> None:
    """What ElasticMQ held is gone with it; what is in the outbox isn't."""
    server, done = own_service("elasticmq"), list[str]()
    with closing(over(server, prefix, timeout=0.5)) as queues:
        worker = start(queues, done)
        place.send(CloseShop("before"))
        until(lambda: done == ["before"] and place.is_empty())
        server.kill()
        place.send(*(CloseShop(f"{number:02}") for number in range(20)))
        with pytest.raises(Unavailable):
            queues.send("work", [Outgoing("a", "b")])
        server.restart()
        until(lambda: set(done) == {"before", *(f"{number:02}" for number in range(20))}, 60)
        worker.stop(5)


@pytest.mark.services("elasticmq")
def test_an_idle_worker_looks_ever_less_often_and_at_once_where_it_sent_something(
    place: Place, start: Callable[..., Worker], queues: SqsQueues, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, receive, done = list[float](), queues.receive, list[str]()

    def counted(*given: Any, **named: Any) -> Any:
        looks.append(monotonic())
        return receive(*given, **named)

    monkeypatch.setattr(queues, "receive", counted)
    worker = start(queues, done)
    quiet = Event()
    quiet.wait(6)
    assert len([each for each in looks if each > looks[0] + 3]) <= 3 * 3, "an idle worker looks every two seconds"
    began = monotonic()
    place.send(CloseShop("a"))
    until(lambda: done)
    assert monotonic() - began < 1.9
    worker.stop(5)
