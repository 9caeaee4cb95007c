"""Bounds, slots and the watcher, without an engine."""

import threading
import time
from time import monotonic

import pytest

from jangbu.kernel.errors import Cancelled, TimedOut, Unavailable
from jangbu.platform.engines.limits import Bound, Slots, Watcher
from jangbu.platform.engines.ports import CancelToken


def test_a_bound_says_why_it_was_reached() -> None:
    cancel = CancelToken.new()
    assert Bound.of(10, cancel).error() is None
    assert isinstance(Bound.of(0, None).error(), TimedOut)
    cancel.cancel()
    assert isinstance(Bound.of(10, cancel).error(), Cancelled)


def test_a_slot_that_was_given_up_with_an_error_is_free_again() -> None:
    slots = Slots(running=1, waiting=0)
    with pytest.raises(RuntimeError), slots.take(Bound.of(1, None)):
        raise RuntimeError
    with slots.take(Bound.of(1, None)), pytest.raises(Unavailable), slots.take(Bound.of(1, None)):
        pass


def test_who_gives_up_waiting_frees_the_queue() -> None:
    slots = Slots(running=1, waiting=1)
    with slots.take(Bound.of(1, None)):
        for _ in range(3):
            with pytest.raises(TimedOut), slots.take(Bound.of(0.01, None)):
                pass


def test_an_interrupt_is_repeated_until_the_statement_ends_and_never_after() -> None:
    watcher, interrupts, enough = Watcher("test"), [], threading.Event()

    def interrupt() -> None:
        interrupts.append(monotonic())
        if len(interrupts) == 3:
            enough.set()

    with watcher.watch(interrupt, Bound.of(0.01, None)) as watch:
        assert enough.wait(5)
    ended = len(interrupts)
    time.sleep(0.1)
    assert isinstance(watch.error, TimedOut)
    assert len(interrupts) == ended
    watcher.close()


def test_a_closed_watcher_takes_no_more() -> None:
    watcher = Watcher("test")
    watcher.close()
    with pytest.raises(Unavailable), watcher.watch(lambda: None, Bound.of(1, None)):
        pass
