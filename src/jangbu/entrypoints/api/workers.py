"""Work that blocks runs in a bounded number of threads, and ends when nobody waits for it any more."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from time import monotonic, sleep
from typing import Any, TypeVar

from fastapi import Request

from jangbu.kernel.errors import Unavailable
from jangbu.platform.engines.ports import CancelToken

T = TypeVar("T")


class Workers:
    """Used from one event loop. At most `limit` jobs at once, so that none waits unseen."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._busy = 0
        self._tokens: dict[int, CancelToken] = {}
        self._pool = ThreadPoolExecutor(limit, thread_name_prefix="jangbu-request")

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises.

        Raises:
            Unavailable: all threads are busy.
        """
        return await self._submit(work)

    async def run_for(self, request: Request, work: Callable[[CancelToken], T]) -> T:
        """The same for a job that can be interrupted: its token is set when the client of `request` (whose body has been read) goes
        away, or when this task is cancelled."""
        token = CancelToken.new()
        future = self._submit(lambda: work(token))
        gone = asyncio.create_task(_disconnected(request))
        self._tokens[id(token)] = token
        try:
            futures: set[asyncio.Future[Any]] = {future, gone}
            await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
            if not future.done():
                token.cancel()
            return await future
        except asyncio.CancelledError:
            token.cancel()
            raise
        finally:
            del self._tokens[id(token)]
            gone.cancel()

    def close(self, patience: float) -> None:
        """Interrupt what still runs, and wait for it, for at most so many seconds: a job without a token can't be interrupted."""
        for token in tuple(self._tokens.values()):
            token.cancel()
        ends = monotonic() + patience
        while self._busy and monotonic() < ends:
            sleep(0.02)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _submit(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        if self._busy >= self._limit:
            raise Unavailable(f"The server is busy with {self._busy} requests.", retry_after=1)
        self._busy += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, copy_context().run, work)
        future.add_done_callback(self._done)
        return future

    def _done(self, future: "asyncio.Future[T]") -> None:
        self._busy -= 1
        if not future.cancelled():
            future.exception()  # looked at, or asyncio complains where the client has gone and nobody awaits it


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
