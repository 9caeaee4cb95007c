"""Who fails is asked less; one caller at a time finds out that it answers again."""

from dataclasses import dataclass

import pytest

from jangbu.platform.cache.breaker import Breaker


@dataclass
class MovableClock:
    at: float = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def breaker(clock: MovableClock) -> Breaker:
    return Breaker(failures=3, pause=1, longest=4, now=clock)


def opened(breaker: Breaker) -> None:
    assert [breaker.failed() for _ in range(3)] == [False, False, True]


def test_it_opens_after_so_many_failures_in_a_row(breaker: Breaker) -> None:
    breaker.failed()
    breaker.failed()
    assert not breaker.succeeded()
    assert breaker.allows()
    opened(breaker)
    assert breaker.is_open
    assert not breaker.allows()


def test_one_caller_tries_when_the_pause_is_over_and_its_success_lets_all_in(breaker: Breaker, clock: MovableClock) -> None:
    opened(breaker)
    clock.at += 1
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    assert breaker.succeeded()
    assert [breaker.allows() for _ in range(3)] == [True, True, True]


def test_pauses_double_up_to_the_longest_and_begin_anew(breaker: Breaker, clock: MovableClock) -> None:
    opened(breaker)
    for pause in (1, 2, 4, 4):
        clock.at += pause - 0.01
        assert not breaker.allows()
        clock.at += 0.01
        assert breaker.allows()
        assert not breaker.failed()
    breaker.succeeded()
    opened(breaker)
    clock.at += 1
    assert breaker.allows()


def test_a_trier_that_never_comes_back_holds_up_nobody(breaker: Breaker, clock: MovableClock) -> None:
    opened(breaker)
    clock.at += 1
    assert breaker.allows()
    clock.at += 1
    assert breaker.allows()
