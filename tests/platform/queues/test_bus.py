"""Commands are done by one handler, events are heard by each of theirs; what fails comes again, what can't be done is parked."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from queues_place import CloseShop, Place, ShopClosed, ShopOpened, does, handlers, hears, shops

from jangbu.kernel.errors import ConfigurationError, OutOfBounds, Unavailable
from jangbu.kernel.handlers import Context
from jangbu.platform.queues.bus import Backoff
from jangbu.platform.queues.ports import Outgoing


def failing(error: Exception, times: int = 1000) -> Callable[..., None]:
    left = [times]

    def handle(*_: Any) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise error

    return handle


def test_an_event_is_heard_by_each_of_its_handlers_and_no_other(place: Place) -> None:
    heard: dict[str, list[Any]] = {"one": [], "two": [], "other": []}
    bus = place.bus(
        hears("one", lambda event, _: heard["one"].append(event)),
        hears("two", lambda event, _: heard["two"].append(event)),
        hears("other", lambda event, _: heard["other"].append(event), ShopClosed),
    )
    place.emit(ShopOpened("a"), ShopOpened("b"))
    place.run(bus)
    assert heard == {"one": [ShopOpened("a"), ShopOpened("b")], "two": [ShopOpened("a"), ShopOpened("b")], "other": []}
    assert place.is_empty()


def test_an_event_that_nobody_hears_is_gone(place: Place) -> None:
    place.emit(ShopOpened("a"))
    place.run(place.bus())
    assert place.is_empty()


def test_a_handler_that_fails_neither_stops_nor_repeats_the_others(place: Place) -> None:
    heard: list[Any] = []
    bus = place.bus(
        hears("after", lambda event, _: heard.append(event)),
        hears("fails", failing(ZeroDivisionError("by nothing"))),
        hears("before", lambda event, _: heard.append(event)),
    )
    place.emit(ShopOpened("a"))
    place.run(bus)
    assert shops(heard) == ["a", "a"]
    assert place.parked() == [("deliveries", "ZeroDivisionError: by nothing")]
    assert sorted(place.counted.outcomes) == [
        ("after", "handled"),
        ("before", "handled"),
        ("fails", "failed"),
        ("fails", "failed"),
        ("fails", "parked"),
    ]


def test_an_event_that_is_fanned_out_twice_is_delivered_once(place: Place) -> None:
    heard: list[Any] = []
    bus = place.bus(hears("one", lambda event, _: heard.append(event)))
    place.emit(ShopOpened("a"))
    place.relay.run()
    (event,) = place.receive()
    bus.take(event)
    bus.take(event)
    place.run(bus)
    assert shops(heard) == ["a"]


def test_an_event_whose_delivery_is_too_long_for_the_queue_is_parked(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = place.bus(hears("one", lambda *_: None))
    place.emit(ShopOpened("a"))
    assert place.relay.run() == 1

    def too_long(*_: Any) -> int:
        raise OutOfBounds("A message of 2 bytes is too long.")

    with monkeypatch.context() as patch:
        patch.setattr(place.queues, "send", too_long)
        place.run(bus)
    assert place.parked() == [("events", "A message of 2 bytes is too long.")]


def test_a_command_is_done_by_its_handler(place: Place) -> None:
    done: list[tuple[Any, Context[Any]]] = []
    place.send(CloseShop("a"))
    place.run(place.bus(does("close", lambda *given: done.append(given))))
    ((command, context),) = done
    assert command == CloseShop("a")
    assert (context.parts, context.handler, context.tries) == (place, "close", 1)
    assert abs(datetime.now(UTC) - context.sent_at) < timedelta(minutes=1)
    assert place.is_empty()


def test_two_handlers_of_one_command_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="CloseShop has two handlers, 'one' and 'two'"):
        handlers(does("one", print), does("two", print))


def test_a_command_that_fails_is_tried_again(place: Place) -> None:
    place.send(CloseShop("a"))
    place.run(place.bus(does("close", failing(Unavailable("The till is busy."), times=2))))
    assert place.counted.outcomes == [("close", "failed"), ("close", "failed"), ("close", "handled")]
    assert place.is_empty()


def test_a_command_that_always_fails_is_parked_with_its_last_reason_and_can_be_retried(place: Place) -> None:
    place.send(CloseShop("a"))
    place.run(place.bus(does("close", failing(Unavailable("The till is busy.")))))
    assert place.parked() == [("commands", "The till is busy. Try again in 1 s.")]
    (parked,) = place.queues.parked()
    assert parked.tries == 3
    place.queues.retry("commands", parked.id)
    place.run(place.bus(does("close", lambda *_: None)))
    assert place.is_empty()


def test_a_failed_message_waits_for_its_next_try(place: Place) -> None:
    place.send(CloseShop("a"))
    place.run(place.bus(does("close", failing(Unavailable("Busy."))), first=timedelta(minutes=10)))
    assert place.queues.depths()["commands"].waiting == 1
    assert place.counted.outcomes == [("close", "failed")]


def test_a_message_whose_worker_always_dies_is_parked(place: Place) -> None:
    done: list[Any] = []
    place.send(CloseShop("a"))
    place.relay.run()
    for _ in range(3):
        place.queues.release(place.receive()[0])  # as if its lease had ended
    place.run(place.bus(does("close", lambda *given: done.append(given))))
    assert done == []
    assert place.parked() == [("commands", "3 tries ended without telling how: was the worker killed?")]


@pytest.mark.parametrize(
    ("queue", "body", "reason"),
    [
        ("events", "not JSON", "This is no message of Jangbu's."),
        ("events", '{"name": "ShopOpened"}', "This is no message of Jangbu's."),
        (
            "events",
            '{"name": "Sale", "schema_version": 1, "payload": {}}',
            "There is no message 'Sale'.",
        ),
        (
            "events",
            '{"name": "ShopOpened", "schema_version": 3, "payload": {"shop": "a"}}',
            "ShopOpened has schema_version 3; this release knows it up to 2. Run the release that wrote it, or a newer one.",
        ),
        ("events", '{"name": "ShopOpened", "schema_version": 1, "payload": {}}', "The fields of this ShopOpened don't fit: shop."),
        (
            "commands",
            '{"name": "ShopOpened", "schema_version": 1, "payload": {"shop": "a"}}',
            "There is no command with a handler 'ShopOpened'.",
        ),
        (
            "deliveries",
            '{"name": "ShopOpened", "schema_version": 1, "payload": {"shop": "a"}, "handler": "vanished"}',
            "There is no handler of ShopOpened 'vanished'.",
        ),
        (
            "deliveries",
            '{"name": "ShopClosed", "schema_version": 1, "payload": {"shop": "a"}, "handler": "one"}',
            "There is no handler of ShopClosed 'one'.",
        ),
    ],
)
def test_what_cant_be_understood_is_parked_at_once(place: Place, queue: str, body: str, reason: str) -> None:
    place.queues.send(queue, [Outgoing("m1", body)])
    place.run(place.bus(hears("one", print), does("close", print)))
    assert place.parked() == [(queue, reason)]
    assert place.counted.outcomes == [("none", "parked")]


def test_no_key_stands_in_a_reason_or_the_log(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.send(CloseShop("a"))
    with caplog.at_level(logging.WARNING):
        place.run(place.bus(does("close", failing(ValueError("jb_secret1 isn't known"))), tries=1))
    assert place.parked() == [("commands", "ValueError: jb_[hidden] isn't known")]


def test_the_effect_of_a_message_that_comes_again_is_there_once(place: Place) -> None:
    done: list[bool] = []

    def once(_: Any, context: Context[Place]) -> None:
        with context.parts.database.transaction() as work:
            done.append(work.first_time(context))
        if len(done) < 3:
            raise Unavailable("It was committed, and then something failed.")

    place.send(CloseShop("a"))
    place.run(place.bus(does("close", once)))
    assert done == [True, False, False]
    assert place.is_empty()


def test_pauses_double_up_to_the_longest() -> None:
    backoff = Backoff(first=timedelta(seconds=2), longest=timedelta(seconds=60))
    for tries, whole in ((1, 2), (2, 4), (3, 8), (6, 60), (1000, 60)):
        pauses = {backoff.pause(tries).total_seconds() for _ in range(50)}
        assert whole / 2 <= min(pauses) < max(pauses) <= whole
