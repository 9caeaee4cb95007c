"""The two clients: one that blocks, one for asyncio."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

import httpx

from jangbu.client import protocol
from jangbu.client.protocol import Call
from jangbu.client.results import Result

TIMEOUT = 90.0
"""Seconds; longer than the server's own limit of a question, so that its answer to that is seen."""


class Client:
    """Asks one server. `timeout` is in seconds, for each request. Safe between threads. Close it, or use it in a `with`."""

    def __init__(
        self, url: str, key: str | None = None, *, timeout: float = TIMEOUT, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.url = url.rstrip("/")
        headers = protocol.defaults(url, key)
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=timeout, transport=transport)

    def query(self, data_source: str | Sequence[str], measures: Sequence[str], **more: Any) -> Result:
        """Ask a question of its parts: `dimensions`, `filter`, `time`, `time_frequency`, `analysis`, `totals`, `order`, `limit`, …

        Raises:
            InvalidRequest: it can't be answered as it stands; every other JangbuError that the server tells, Unavailable where it
            can't be reached, TimedOut where it is too slow.
        """
        return self.ask(protocol.query(data_source, measures, more))

    def ask(self, request: Mapping[str, Any] | str) -> Result:
        """The same for a whole request, as a mapping or JSON."""
        return Result.of(protocol.checked(self._send(protocol.ask("/v1/query", request, protocol.ARROW))).content)

    def raw(self, request: Mapping[str, Any] | str, media_type: str) -> bytes:
        """The answer's bytes in a media type of the server's."""
        return protocol.checked(self._send(protocol.ask("/v1/query", request, media_type))).content

    def explain(self, request: Mapping[str, Any] | str) -> dict[str, Any]:
        """How a request would be answered; nothing is run."""
        found: dict[str, Any] = protocol.parsed(self._send(protocol.ask("/v1/query/explain", request, "application/json")))
        return found

    def catalog(self) -> dict[str, Any]:
        """Measures, dimensions and data sources, all."""
        found: dict[str, Any] = protocol.parsed(self._send(Call("GET", "/v1/catalog")))
        return found

    def values(
        self, data_source: str, dimension: str, *, search: str | None = None, limit: int = 100, offset: int = 0
    ) -> dict[str, Any]:
        """A page of a dimension's values: `values` and `next_offset` (None on the last)."""
        call = protocol.values(data_source, dimension, {"search": search, "limit": limit, "offset": offset})
        found: dict[str, Any] = protocol.parsed(self._send(call))
        return found

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def _send(self, call: Call) -> httpx.Response:
        wait = protocol.wait_before_retry(outcome := self._once(call))
        if wait is not None:
            time.sleep(wait)
            outcome = self._once(call)
        if isinstance(outcome, httpx.HTTPError):
            raise protocol.network_error(outcome, self.url) from outcome
        return outcome

    def _once(self, call: Call) -> httpx.Response | httpx.HTTPError:
        try:
            return self._http.request(call.method, call.path, content=call.body, params=call.params, headers=call.headers)
        except httpx.HTTPError as error:
            return error


class AsyncClient:
    """`Client` for asyncio: the same methods and errors."""

    def __init__(
        self, url: str, key: str | None = None, *, timeout: float = TIMEOUT, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.url = url.rstrip("/")
        headers = protocol.defaults(url, key)
        self._http = httpx.AsyncClient(base_url=self.url, headers=headers, timeout=timeout, transport=transport)

    async def query(self, data_source: str | Sequence[str], measures: Sequence[str], **more: Any) -> Result:
        return await self.ask(protocol.query(data_source, measures, more))

    async def ask(self, request: Mapping[str, Any] | str) -> Result:
        return Result.of(protocol.checked(await self._send(protocol.ask("/v1/query", request, protocol.ARROW))).content)

    async def raw(self, request: Mapping[str, Any] | str, media_type: str) -> bytes:
        return protocol.checked(await self._send(protocol.ask("/v1/query", request, media_type))).content

    async def explain(self, request: Mapping[str, Any] | str) -> dict[str, Any]:
        call = protocol.ask("/v1/query/explain", request, "application/json")
        found: dict[str, Any] = protocol.parsed(await self._send(call))
        return found

    async def catalog(self) -> dict[str, Any]:
        found: dict[str, Any] = protocol.parsed(await self._send(Call("GET", "/v1/catalog")))
        return found

    async def values(
        self, data_source: str, dimension: str, *, search: str | None = None, limit: int = 100, offset: int = 0
    ) -> dict[str, Any]:
        call = protocol.values(data_source, dimension, {"search": search, "limit": limit, "offset": offset})
        found: dict[str, Any] = protocol.parsed(await self._send(call))
        return found

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncClient({self.url!r})"

    async def _send(self, call: Call) -> httpx.Response:
        wait = protocol.wait_before_retry(outcome := await self._once(call))
        if wait is not None:
            await asyncio.sleep(wait)
            outcome = await self._once(call)
        if isinstance(outcome, httpx.HTTPError):
            raise protocol.network_error(outcome, self.url) from outcome
        return outcome

    async def _once(self, call: Call) -> httpx.Response | httpx.HTTPError:
        try:
            return await self._http.request(call.method, call.path, content=call.body, params=call.params, headers=call.headers)
        except httpx.HTTPError as error:
            return error
