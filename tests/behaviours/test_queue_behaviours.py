"""What every queue adapter does. An adapter is added to `OPENERS`; where it does less, its `Capabilities` say so."""

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from jangbu.kernel.errors import OutOfBounds
from jangbu.platform.queues.ports import LONGEST, Outgoing, Queues, Received
from jangbu.platform.queues.sqlite import SqliteQueues


def _sqs(folder: Path) -> Queues:
    from jangbu.platform.queues.sqs import open_queues

    server = json.loads((folder / "server.json").read_text())
    given = {name: server[name] for name in ("region", "access_key", "secret_key")}
    return open_queues(prefix=f"{sha256(str(folder).encode()).hexdigest()[:12]}-", endpoint=server["url"], timeout=30, **given)


OPENERS: Mapping[str, Callable[[Path], Queues]] = {
    "sqlite": lambda folder: SqliteQueues(folder / "queues.db", patience=20),
    "sqs": _sqs,
}
SERVERS = {"sqs": "elasticmq"}
"""The server that an adapter needs; its addresses are in the folder's server.json, where processes find them too."""

LONG = timedelta(minutes=5)
SHORT = timedelta(seconds=0.2)
"""A lease that a test can wait for. Nothing here fails because a machine is slow: tests wait for the end, not for a time."""


def _given(name: str) -> Any:
    return pytest.param(name, marks=pytest.mark.services(SERVERS[name])) if name in SERVERS else name


@pytest.fixture(params=[_given(name) for name in sorted(OPENERS)])
def adapter(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param in SERVERS:
        server = request.getfixturevalue("service")(SERVERS[request.param])
        (tmp_path / "server.json").write_text(json.dumps(dict(server.addresses)))
    return str(request.param)


@pytest.fixture
def queues(adapter: str, tmp_path: Path) -> Iterator[Queues]:
    opened = OPENERS[adapter](tmp_path)
    yield opened
    opened.close()


def put(queues: Queues, *ids: str, queue: str = "work") -> int:
    return queues.send(queue, [Outgoing(each, f"body of {each}") for each in ids])


def take(queues: Queues, limit: int = 10, *, queue: str = "work", lease: timedelta = LONG) -> tuple[Received, ...]:
    return queues.receive(queue, lease=lease, limit=limit)


def ids(messages: tuple[Received, ...]) -> list[str]:
    """Sorted: what the order of sending is worth has a test of its own."""
    return sorted(message.id for message in messages)


def rounded(queues: Queues, lease: timedelta) -> float:
    """How many seconds a lease or a delay of this length takes."""
    fineness = queues.capabilities.fineness
    return (-(-lease // fineness) * fineness).total_seconds()


def awaited(queues: Queues, seconds: float = 10) -> Received:
    """The next message, when it becomes visible."""
    ends = monotonic() + seconds
    while monotonic() < ends:
        if found := take(queues, 1):
            return found[0]
        sleep(0.01)
    raise AssertionError("nothing became visible")


def test_a_message_arrives_as_it_was_sent(queues: Queues) -> None:
    before = datetime.now(UTC)
    assert put(queues, "한", "two") == 2
    one, two = sorted(take(queues), key=lambda message: message.id, reverse=True)
    assert (one.queue, one.id, one.body, one.tries) == ("work", "한", "body of 한", 1)
    assert two.receipt != one.receipt
    assert before - timedelta(seconds=1) < one.sent_at <= datetime.now(UTC)


def test_queues_dont_meet(queues: Queues) -> None:
    put(queues, "same")
    put(queues, "same", queue="other")
    assert ids(take(queues)) == ids(take(queues, queue="other")) == ["same"]
    assert take(queues, queue="empty") == ()


def test_messages_arrive_in_the_order_of_sending_where_that_is_promised(queues: Queues) -> None:
    if not queues.capabilities.is_ordered:
        pytest.skip("this adapter promises no order")
    put(queues, *"dbca")
    put(queues, *"zy")
    assert [message.id for message in take(queues, 3)] == ["d", "b", "c"]
    assert [message.id for message in take(queues)] == ["a", "z", "y"]


def test_what_is_held_is_nobody_elses(queues: Queues) -> None:
    put(queues, "a", "b")
    (first,) = take(queues, 1)
    assert ids(take(queues)) == sorted({"a", "b"} - {first.id})
    assert take(queues) == ()


def test_what_is_deleted_is_gone(queues: Queues) -> None:
    put(queues, "a")
    (message,) = take(queues, lease=SHORT)
    assert queues.delete(message)
    assert not queues.delete(message)
    sleep(rounded(queues, SHORT) * 1.5)
    assert take(queues) == ()
    assert queues.depths() == {}


@pytest.mark.parametrize("state", ["waiting", "held", "parked", "deleted"])
def test_an_id_that_is_sent_again_is_the_same_message(queues: Queues, state: str) -> None:
    assert put(queues, "a") == 1
    if state != "waiting":
        (message,) = take(queues)
        {"held": lambda _: True, "parked": lambda m: queues.park(m, "odd"), "deleted": queues.delete}[state](message)
    assert put(queues, "a", "b", "a") == (1 if queues.capabilities.tells_new else 2)
    assert ids(take(queues)) == (["a", "b"] if state == "waiting" else ["b"])


def test_an_id_is_known_for_longer_than_a_relay_that_died_needs_to_send_it_again(queues: Queues) -> None:
    assert queues.capabilities.remembers >= timedelta(minutes=5)


def test_a_lease_that_ends_lets_others_have_the_message(queues: Queues) -> None:
    put(queues, "a")
    (first,) = take(queues, lease=SHORT)
    second = awaited(queues)
    assert (second.id, second.tries) == ("a", 2)
    assert not queues.renew(first, LONG)
    assert not queues.delete(first)
    assert not queues.release(first)
    assert not queues.park(first, "late")
    assert queues.delete(second)


def test_a_renewed_lease_holds_on(queues: Queues) -> None:
    put(queues, "a")
    (message,) = take(queues, lease=timedelta(seconds=1))
    assert queues.renew(message, LONG)
    sleep(1.5)
    assert take(queues) == ()
    assert queues.delete(message)


def test_a_released_message_comes_again_and_was_tried(queues: Queues) -> None:
    put(queues, "a")
    assert queues.release(take(queues)[0])
    (again,) = take(queues)
    assert again.tries == 2


def test_a_message_that_nobody_tried_can_be_given_back(queues: Queues) -> None:
    put(queues, "a")
    assert queues.release(take(queues)[0], counted=False)
    assert take(queues)[0].tries in (1, 2)  # an adapter may be unable to take the try back


def test_delays_are_kept(queues: Queues) -> None:
    delay = timedelta(seconds=0.3)
    began = monotonic()
    queues.send("work", [Outgoing("a", "", delay)])
    assert take(queues) == ()
    message = awaited(queues)
    assert message.tries == 1
    assert monotonic() - began >= 0.3
    began = monotonic()
    queues.release(message, delay)
    assert awaited(queues).tries == 2
    assert monotonic() - began >= 0.3


def test_a_delayed_message_holds_up_none_behind_it(queues: Queues) -> None:
    queues.send("work", [Outgoing("a", "", LONG), Outgoing("b", "")])
    assert ids(take(queues)) == ["b"]


def test_parked_messages_are_listed_with_their_reason(queues: Queues) -> None:
    put(queues, *"abc")
    for message in sorted(take(queues), key=lambda message: message.id):
        assert queues.park(message, f"no {message.id}")
    put(queues, "x", queue="other")
    queues.park(take(queues, queue="other")[0], "no x")
    assert take(queues) == ()
    assert [(each.queue, each.id, each.reason) for each in queues.parked()] == [
        ("work", "a", "no a"),
        ("work", "b", "no b"),
        ("work", "c", "no c"),
        ("other", "x", "no x"),
    ]
    assert [each.id for each in queues.parked("work", offset=1, limit=1)] == ["b"]
    first = queues.parked("work")[0]
    assert (first.body, first.tries) == ("body of a", 1)
    assert first.sent_at <= first.parked_at
    assert queues.parked() == queues.parked(), "whoever looks leaves it as it is"


def test_a_parked_message_is_retried_as_new(queues: Queues) -> None:
    put(queues, *"ab")
    for message in take(queues):
        queues.park(message, "odd")
    assert not queues.retry("other", "a")
    assert not queues.retry("work", "c")
    assert queues.retry("work", "a")
    assert not queues.retry("work", "a")
    assert [(each.id, each.tries) for each in take(queues)] == [("a", 1)]
    assert [each.id for each in queues.parked()] == ["b"]


def test_all_parked_messages_are_retried_or_purged_in_one_queue_or_in_all(queues: Queues) -> None:
    for queue in ("work", "other"):
        put(queues, *"ab", queue=queue)
        for message in take(queues, queue=queue):
            queues.park(message, "odd")
    assert queues.retry_all("work") == 2
    assert ids(take(queues)) == ["a", "b"]
    assert queues.purge("work") == 0
    assert queues.purge() == 2
    assert queues.retry_all() == 0
    assert queues.parked() == ()


def test_depths_tell_what_waits_what_is_held_and_what_is_parked(queues: Queues) -> None:
    put(queues, *"abcd")
    queues.send("later", [Outgoing("e", "", LONG)])
    held, parked = take(queues, 2)
    queues.park(parked, "odd")
    depths = queues.depths()
    assert list(depths) == ["later", "work"]
    assert [(depth.waiting, depth.held, depth.parked) for depth in depths.values()] == [(1, 0, 0), (2, 1, 1)]
    oldest = depths["work"].oldest
    if queues.capabilities.tells_age:
        assert oldest is not None
        assert timedelta(0) <= oldest < timedelta(minutes=1)
    else:
        assert oldest is None
    queues.delete(held)
    assert queues.depths()["work"].held == 0


def test_what_was_released_with_a_delay_is_counted_as_the_adapter_says(queues: Queues) -> None:
    put(queues, "a")
    queues.release(take(queues)[0], LONG)
    depth = queues.depths()["work"]
    assert (depth.waiting, depth.held) == ((1, 0) if queues.capabilities.counts_delays else (0, 1))


def test_what_lies_outside_the_limits_is_refused(queues: Queues) -> None:
    with pytest.raises(OutOfBounds, match="delay of"):
        queues.send("work", [Outgoing("a", ""), Outgoing("b", "", LONGEST * 2)])
    put(queues, "c")
    for lease in (timedelta(0), LONGEST * 2):
        with pytest.raises(OutOfBounds, match="lease of"):
            queues.receive("work", lease=lease)
    (message,) = take(queues)
    assert message.id == "c"
    for call in (queues.renew, queues.release):
        with pytest.raises(OutOfBounds):
            call(message, LONGEST * 2)


def test_a_body_that_is_too_long_is_refused_with_its_size_and_sends_nothing(queues: Queues) -> None:
    longest = queues.capabilities.longest_body
    if longest is None:
        queues.send("work", [Outgoing("a", "장" * 1_000_000)])
        assert len(take(queues)[0].body) == 1_000_000
        return
    with pytest.raises(OutOfBounds, match=f"{longest + 1:,} bytes is too long.* {longest:,} is the limit"):
        queues.send("work", [Outgoing("a", "short"), Outgoing("b", "x" * (longest + 1))])
    assert take(queues) == ()


def test_a_body_may_be_as_long_as_is_said_and_is_parked_and_retried_whole(queues: Queues) -> None:
    longest = queues.capabilities.longest_body or 2_000_000
    queues.send("work", [Outgoing(each, each * longest) for each in "ab"])
    found = sorted((*take(queues, 1), *take(queues, 1)), key=lambda message: message.id)
    assert [message.body == message.id * longest for message in found] == [True, True]
    assert queues.park(found[0], "장" * 1_000)
    assert queues.parked()[0].body == found[0].body
    assert queues.retry("work", "a")
    assert take(queues)[0].body == found[0].body


@pytest.mark.parametrize("text", ["", "\x00\x01", "\ufffe", "line\r\n\ttab", "장부 😀", '"quoted"', "x" * 1_000])
def test_any_text_arrives_as_it_is(queues: Queues, text: str) -> None:
    queues.send("work", [Outgoing(f"id {text}"[:1_000], text)])
    (message,) = take(queues)
    assert (message.id, message.body) == (f"id {text}"[:1_000], text)
    assert queues.park(message, text)
    (parked,) = queues.parked()
    assert (parked.id, parked.body, parked.reason) == (message.id, text, text)
    assert queues.retry("work", message.id)
    assert take(queues)[0].body == text


def test_many_are_sent_and_received_at_once(queues: Queues) -> None:
    names = [f"{number:03}" for number in range(250)]
    assert put(queues, *names) == 250
    assert ids(take(queues, 1_000)) == names


def test_a_message_that_is_parked_again_is_not_lost(queues: Queues) -> None:
    put(queues, "a")
    for number in range(3):
        (message,) = take(queues)
        assert (message.id, message.tries) == ("a", 1)
        assert queues.park(message, f"no {number}")
        assert [each.reason for each in queues.parked()] == [f"no {number}"]
        assert queues.retry("work", "a")
    assert queues.parked() == ()


def test_every_message_goes_to_one_of_many_threads(queues: Queues) -> None:
    put(queues, *map(str, range(60)))

    def consume(_: int) -> list[str]:
        mine = []
        while found := take(queues, 3):
            mine += ids(found)
            assert all(map(queues.delete, found))
        return mine

    with ThreadPoolExecutor(6) as pool:
        done = Counter(each for mine in pool.map(consume, range(6)) for each in mine)
    assert done == Counter(map(str, range(60)))


# Processes

CONSUMER = """
import runpy, sys
from pathlib import Path
module = runpy.run_path(sys.argv[1])
queues = module["OPENERS"][sys.argv[2]](Path(sys.argv[3]))
print("ready", flush=True)
sys.stdin.readline()
module[sys.argv[4]](queues)
queues.close()
"""


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def consume_all(queues: Queues) -> None:
    while found := take(queues, 2):
        for message in found:
            say(message.id)
            queues.delete(message)


def send_all(queues: Queues) -> None:
    """The same messages as the others do, in parts."""
    for start in range(0, 40, 5):
        put(queues, *(str(number) for number in range(start, start + 5)))


def hold_one(queues: Queues) -> None:
    say(take(queues, 1, lease=timedelta(seconds=4))[0].id)
    sleep(60)


def start(adapter: str, folder: Path, work: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", CONSUMER, __file__, adapter, str(folder), work]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def let_go(*processes: "subprocess.Popen[str]") -> None:
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


def at_once(adapter: str, folder: Path, work: str, number: int) -> list[list[str]]:
    """What each of several processes prints that are let go together."""
    processes = [start(adapter, folder, work) for _ in range(number)]
    let_go(*processes)
    printed = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0] * number
    return printed


@pytest.mark.slow
def test_processes_that_open_and_send_the_same_at_once_send_it_once(adapter: str, tmp_path: Path) -> None:
    at_once(adapter, tmp_path, "send_all", 3)
    queues = OPENERS[adapter](tmp_path)
    assert sorted(ids(take(queues, 100))) == sorted(map(str, range(40)))
    queues.close()


@pytest.mark.slow
def test_every_message_goes_to_one_of_many_processes(adapter: str, tmp_path: Path, queues: Queues) -> None:
    put(queues, *map(str, range(60)))
    printed = at_once(adapter, tmp_path, "consume_all", 3)
    assert Counter(each for mine in printed for each in mine) == Counter(map(str, range(60)))


@pytest.mark.slow
def test_what_a_killed_process_held_goes_to_another(adapter: str, tmp_path: Path, queues: Queues) -> None:
    put(queues, "a")
    process = start(adapter, tmp_path, "hold_one")
    let_go(process)
    assert process.stdout is not None
    assert process.stdout.readline() == "a\n"
    assert take(queues) == ()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    message = awaited(queues)
    assert (message.id, message.tries) == ("a", 2)
    assert queues.delete(message)


@pytest.mark.slow
def test_what_was_sent_outlives_its_senders_kill(adapter: str, tmp_path: Path) -> None:
    for number in count():
        process = start(adapter, tmp_path, "send_all")
        let_go(process)
        sleep(0.002 * number)
        process.kill()
        process.communicate()
        queues = OPENERS[adapter](tmp_path)
        there = {int(each.id) for each in take(queues, 100)}
        whole = queues.capabilities.sends_whole
        queues.close()
        if there:
            break
    if whole:
        assert len(there) % 5 == 0, "a part of what is sent together is there without the rest"
    queues = OPENERS[adapter](tmp_path)
    send_all(queues)
    rest = {int(each.id) for each in take(queues, 100)}
    queues.close()
    assert (there & rest, there | rest) == (set(), set(range(40))), "sending again puts the rest there, once"
