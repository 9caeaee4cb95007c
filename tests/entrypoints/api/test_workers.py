"""The threads of requests, when their time ends."""

import asyncio
from threading import Event
from time import monotonic

from jangbu.entrypoints.api.workers import Workers


def test_a_job_that_cant_be_interrupted_holds_up_no_end() -> None:
    async def ended() -> float:
        workers, began, go_on = Workers(2), Event(), Event()

        def work() -> None:
            began.set()
            go_on.wait(10)

        job = asyncio.create_task(workers.run(work))
        await asyncio.to_thread(began.wait, 10)
        start = monotonic()
        await asyncio.to_thread(workers.close, 0.2)
        seconds = monotonic() - start
        go_on.set()
        await job
        return seconds

    assert asyncio.run(ended()) < 5


def test_what_ends_in_time_is_waited_for() -> None:
    async def done() -> bool:
        workers, go_on = Workers(2), Event()
        job = asyncio.create_task(workers.run(lambda: go_on.wait(10)))
        await asyncio.sleep(0.05)
        closing = asyncio.create_task(asyncio.to_thread(workers.close, 10))
        go_on.set()
        await closing
        return job.done()

    assert asyncio.run(done())
