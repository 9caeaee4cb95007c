"""A worker: what is committed gets done, long work keeps its lease, and a stop leaves nothing held."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from threading import Event, Lock
from time import monotonic, sleep
from typing import Any

import pytest
from queues_place import CloseShop, Place, ShopOpened, does, hears

from jangbu.kernel.errors import Unavailable
from jangbu.kernel.handlers import Handler
from jangbu.platform.queues.worker import Worker

Start = Callable[..., Worker]


@pytest.fixture
def start(place: Place) -> Iterator[Start]:
    """Starts workers with these handlers, and stops them."""
    started: list[Worker] = []

    def start_(*given: Handler, threads: int = 2, lease: timedelta = timedelta(minutes=1)) -> Worker:
        worker = Worker(place.bus(*given), place.queues, place.relay, threads=threads, lease=lease, pause=0.01)
        worker.start()
        started.append(worker)
        return worker

    yield start_
    for worker in started:
        worker.stop(5)


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    ends = monotonic() + seconds
    while not condition():
        assert monotonic() < ends, "it didn't come to be"
        sleep(0.005)


def test_what_is_committed_gets_done(place: Place, start: Start) -> None:
    done: list[Any] = []
    start(hears("one", lambda event, _: done.append(event)), does("close", lambda command, _: done.append(command)))
    place.emit(ShopOpened("a"))
    place.send(CloseShop("b"))
    until(lambda: len(done) == 2 and place.is_empty())
    assert set(done) == {ShopOpened("a"), CloseShop("b")}


def test_as_many_at_once_as_there_are_threads(place: Place, start: Start) -> None:
    inside, most, lock, go_on = [0], [0], Lock(), Event()

    def handle(*_: Any) -> None:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        assert go_on.wait(10)
        with lock:
            inside[0] -= 1

    start(hears("one", handle), threads=3)
    place.emit(*(ShopOpened(str(number)) for number in range(7)))
    until(lambda: inside[0] == 3)
    sleep(0.1)
    held = place.queues.depths()["deliveries"].held
    go_on.set()
    until(place.is_empty)
    assert (held, most[0]) == (3, 3)


def test_commands_that_take_long_leave_a_thread_to_events(place: Place, start: Start) -> None:
    closing, heard, go_on = [0], Event(), Event()

    def close(*_: Any) -> None:
        closing[0] += 1
        assert go_on.wait(10)

    start(does("close", close), hears("one", lambda *_: heard.set()), threads=3)
    place.send(*(CloseShop(str(number)) for number in range(5)))
    until(lambda: closing[0] == 2)
    place.emit(ShopOpened("a"))
    assert heard.wait(10)
    assert place.queues.depths()["commands"].held == 2
    go_on.set()
    until(place.is_empty)
    assert closing[0] == 5


def test_no_queue_starves_another(place: Place, start: Start) -> None:
    heard = Event()
    place.send(*(CloseShop(str(number)) for number in range(200)))
    place.emit(ShopOpened("a"))
    start(does("close", lambda *_: sleep(0.01)), hears("one", lambda *_: heard.set()), threads=1)
    assert heard.wait(10)
    assert place.queues.depths()["commands"].waiting > 100


def test_a_handler_that_ends_its_process_fails_as_any_other_and_costs_no_thread(place: Place, start: Start) -> None:
    heard = Event()

    def leave(*_: Any) -> None:
        raise SystemExit(2)

    start(does("close", leave), hears("one", lambda *_: heard.set()), threads=2)
    place.send(CloseShop("a"), CloseShop("b"))
    until(lambda: sum(depth.parked for depth in place.queues.depths().values()) == 2, 60)
    place.emit(ShopOpened("a"))
    assert heard.wait(10)


def test_the_lease_of_long_work_is_renewed(place: Place, start: Start) -> None:
    tries: list[int] = []

    def handle(_: Any, context: Any) -> None:
        tries.append(context.tries)
        sleep(1.5)

    for _ in range(2):
        start(does("close", handle), lease=timedelta(seconds=0.6))
    place.send(CloseShop("a"))
    until(lambda: bool(tries) and place.is_empty())
    assert tries == [1]


def test_a_stop_lets_what_runs_finish_and_takes_nothing_more(place: Place, start: Start) -> None:
    began, done = Event(), []

    def handle(command: Any, _: Any) -> None:
        began.set()
        sleep(0.3)
        done.append(command.shop)

    worker = start(does("close", handle), threads=1)
    place.send(CloseShop("a"), CloseShop("b"))
    assert began.wait(10)
    worker.stop(10)
    assert done == ["a"]
    depth = place.queues.depths()["commands"]
    assert (depth.waiting, depth.held) == (1, 0)


def test_what_doesnt_finish_in_time_is_released_for_others(place: Place, start: Start) -> None:
    began, go_on = Event(), Event()

    def handle(*_: Any) -> None:
        began.set()
        assert go_on.wait(10)

    worker = start(does("close", handle), threads=1)
    place.send(CloseShop("a"))
    assert began.wait(10)
    before = monotonic()
    worker.stop(0.1)
    assert monotonic() - before < 5
    (message,) = place.queues.receive("commands", lease=timedelta(minutes=1))
    assert message.tries == 1
    go_on.set()
    until(lambda: place.counted.outcomes == [("close", "handled")])
    assert place.queues.renew(message, timedelta(minutes=1)), "the stopped worker deleted what is another's"


def test_it_outlives_queues_that_fail(place: Place, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    done, failed = Event(), Event()
    start(does("close", lambda *_: done.set()))

    def broken(*_: Any, **__: Any) -> Any:
        failed.set()
        raise Unavailable("The queues are busy.")

    with monkeypatch.context() as patch:
        patch.setattr(place.queues, "receive", broken)
        patch.setattr(place.queues, "send", broken)
        place.send(CloseShop("a"))
        assert failed.wait(10)
    assert done.wait(10)
