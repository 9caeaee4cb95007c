"""A look that hangs: who asks is told in time, and one thread hangs, not many."""

from threading import Event, active_count

import pytest

from jangbu.kernel.errors import Unavailable
from jangbu.platform.telemetry.glance import Glance


def test_what_is_found_is_found_anew_each_time() -> None:
    numbers = iter(range(9))
    glance = Glance(lambda: next(numbers))
    assert [glance.take(5), glance.take(5)] == [0, 1]


def test_many_who_ask_what_hangs_are_told_in_time_and_cost_one_thread() -> None:
    go_on, looked = Event(), []

    def look() -> int:
        looked.append(1)
        assert go_on.wait(10)
        return len(looked)

    glance = Glance(look)
    before = active_count()
    for _ in range(5):
        with pytest.raises(Unavailable, match=r"doesn't answer within 0\.05 s"):
            glance.take(0.05)
    assert active_count() == before + 1
    go_on.set()
    assert glance.take(5) >= 1


@pytest.mark.parametrize("error", [ValueError("torn"), TimeoutError("the server's")])
def test_what_a_look_raises_is_raised(error: Exception) -> None:
    def look() -> None:
        raise error

    with pytest.raises(type(error), match=str(error)):
        Glance(look).take(5)
