"""A job is sent once when its time has come, whoever looks, however late, and wherever the clock is put."""

from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from queues_place import CloseShop, Place
from sqlalchemy import delete
from support.databases import ADAPTERS

from jangbu.kernel.handlers import Job
from jangbu.platform.database.schema import schedule
from jangbu.platform.queues.scheduler import Scheduler

pytestmark = pytest.mark.parametrize("adapter", ADAPTERS, indirect=True)

START = datetime(2026, 1, 1, 10, 7, tzinfo=UTC)
HOUR = timedelta(hours=1)
HOURLY = Job("hourly", HOUR, CloseShop("a"))
DAILY = Job("daily", timedelta(days=1), CloseShop("b"))


@pytest.fixture
def scheduler(place: Place) -> Scheduler:
    made = Scheduler(place.database, [HOURLY, DAILY])
    assert made.tick(START) == ()
    return made


def test_a_job_is_sent_one_period_after_it_was_first_seen_and_every_period_from_then_on(place: Place, scheduler: Scheduler) -> None:
    minutes = [START + timedelta(minutes=number) for number in range(25 * 60)]
    sent = [(name, moment) for moment in minutes for name in scheduler.tick(moment)]
    assert [moment for name, moment in sent if name == "hourly"] == [START + number * HOUR for number in range(1, 25)]
    assert [moment for name, moment in sent if name == "daily"] == [START + timedelta(days=1)]
    assert place.waiting() == ["CloseShop"] * 25


def test_missed_ticks_become_one_and_the_beat_is_kept(scheduler: Scheduler) -> None:
    assert scheduler.tick(START + 5.5 * HOUR) == ("hourly",)
    assert scheduler.tick(START + 5.9 * HOUR) == ()
    assert scheduler.tick(START + 6 * HOUR) == ("hourly",)


@pytest.mark.parametrize("back", [timedelta(minutes=30), timedelta(days=400)])
def test_a_clock_that_is_put_back_delays_a_job_by_one_period_at_most(scheduler: Scheduler, back: timedelta) -> None:
    assert scheduler.tick(START + HOUR) == ("hourly",)
    now = START + HOUR - back
    assert scheduler.tick(now) == ()
    assert scheduler.tick(now + HOUR) == ("hourly",)


def test_a_clock_that_jumps_ahead_and_back_sends_once_and_goes_on(scheduler: Scheduler) -> None:
    assert scheduler.tick(START + timedelta(days=3650)) == ("hourly", "daily")
    assert scheduler.tick(START) == ()
    assert scheduler.tick(START + HOUR) == ("hourly",)


def test_the_plan_outlives_the_scheduler(place: Place, scheduler: Scheduler) -> None:
    again = Scheduler(place.database, [HOURLY, DAILY])
    assert again.tick(START + HOUR / 2) == ()
    assert again.tick(START + HOUR) == ("hourly",)


def test_a_job_whose_period_became_shorter_doesnt_wait_for_the_longer_one(place: Place, scheduler: Scheduler) -> None:
    often = Scheduler(place.database, [Job("daily", HOUR, CloseShop("b"))])
    assert often.tick(START) == ()
    assert often.tick(START + HOUR) == ("daily",)


def test_of_many_schedulers_one_sends(place: Place, scheduler: Scheduler) -> None:
    start = Barrier(4)

    def run() -> None:
        mine = Scheduler(place.database, [HOURLY, DAILY])
        for number in range(1, 11):
            start.wait()
            mine.tick(START + number * HOUR)

    threads = [Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert place.waiting() == ["CloseShop"] * 10


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.integers(-3 * 60, 3 * 60), min_size=1, max_size=15))
def test_wherever_the_clock_goes_a_job_is_sent_once_a_quiet_period_has_passed(place: Place, steps: list[int]) -> None:
    with place.database.transaction() as work:
        work.connection.execute(delete(schedule))
    scheduler, now = Scheduler(place.database, [HOURLY]), START
    for step in steps:
        now += timedelta(minutes=step)
        assert len(scheduler.tick(now)) <= 1
    scheduler.tick(now)
    assert scheduler.tick(now + HOUR) == ("hourly",)
    assert scheduler.tick(now + HOUR) == ()
