"""The embedded cache: within this process, bounded by bytes; what was used longest ago goes first."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from heapq import heappop, heappush
from time import monotonic
from typing import Final, Generic, TypeVar
from uuid import uuid4

from jangbu.kernel.discovery import Plugin
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.cache.ports import Counts, Key, Lease, Standing, Uncounted, seconds

OVERHEAD: Final = 400
"""Bytes that an entry takes besides its value and its name, about."""
Held = TypeVar("Held")


@dataclass(frozen=True, slots=True)
class _Until(Generic[Held]):
    held: Held
    ends: float


class _Timed(Generic[Held]):
    """Small things until their time is over. Unlike values they aren't pushed out: a counter that is gone lets through what it was
    to hold up. Each is dropped when anything is put in after its end."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.there: dict[Key, _Until[Held]] = {}
        self._ends: list[tuple[float, int, Key]] = []
        self._number = 0

    def get(self, key: Key) -> Held | None:
        found = self.there.get(key)
        return found.held if found is not None and found.ends > self._now() else None

    def put(self, key: Key, held: Held, ttl: float) -> None:
        now = self._now()
        self.there[key] = _Until(held, now + ttl)
        self._number += 1
        heappush(self._ends, (now + ttl, self._number, key))
        while self._ends and self._ends[0][0] <= now:
            _, _, late = heappop(self._ends)
            if late in self.there and self.there[late].ends <= now:
                del self.there[late]

    def keep(self, key: Key, held: Held) -> None:
        """Another content, until the same end."""
        self.there[key] = replace(self.there[key], held=held)


class MemoryCache:
    """Values take at most `longest` bytes with their names, a single one at most `longest_value`. `now` is a clock in seconds that
    never goes back."""

    is_shared = False

    def __init__(
        self, *, longest: int, longest_value: int, counts: Counts | None = None, now: Callable[[], float] = monotonic
    ) -> None:
        self._longest, self._longest_value, self._now = longest, longest_value, now
        self._counts = counts if counts is not None else Uncounted()
        self._values: OrderedDict[Key, _Until[bytes]] = OrderedDict()
        self._bytes = 0
        self._counters, self._leases = _Timed[int](now), _Timed[str](now)
        self._lock = threading.Lock()

    def get(self, keys: Collection[Key]) -> dict[Key, bytes]:
        with self._lock:
            found = {key: held for key in keys if (held := self._found(key)) is not None}
        self._counts.cache("get", "hit", len(found))
        self._counts.cache("get", "miss", len(set(keys)) - len(found))
        return found

    def set(self, values: Mapping[Key, bytes], ttl: timedelta) -> int:
        lives = seconds(ttl)
        fitting = {key: value for key, value in values.items() if self._fits(key, value)}
        with self._lock:
            ends = self._now() + lives
            for key in values:
                self._drop(key)
            for key, value in fitting.items():
                self._values[key] = _Until(bytes(value), ends)
                self._bytes += _size(key, value)
            evicted = self._make_room()
            kept = sum(key in self._values for key in fitting)
        self._counts.cache("set", "done", len(fitting))
        self._counts.cache("set", "too_long", len(values) - len(fitting))
        self._counts.cache("set", "evicted", evicted)
        return kept

    def delete(self, keys: Collection[Key]) -> bool:
        with self._lock:
            for key in keys:
                self._drop(key)
        self._counts.cache("delete", "done", len(keys))
        return True

    def increase(self, key: Key, ttl: timedelta, by: int = 1) -> int | None:
        lives = seconds(ttl)
        with self._lock:
            before = self._counters.get(key)
            if before is None:
                self._counters.put(key, by, lives)
            else:
                self._counters.keep(key, before + by)
        self._counts.cache("increase", "done")
        return (before or 0) + by

    def acquire(self, key: Key, ttl: timedelta) -> Lease:
        lives, token = seconds(ttl), uuid4().hex
        with self._lock:
            is_free = self._leases.get(key) is None
            if is_free:
                self._leases.put(key, token, lives)
        standing = Standing.HELD if is_free else Standing.OTHERS
        self._counts.cache("acquire", standing)
        return Lease(key, token, standing)

    def renew(self, lease: Lease, ttl: timedelta) -> Standing:
        lives = seconds(ttl)
        with self._lock:
            is_mine = self._leases.get(lease.key) == lease.token
            if is_mine:
                self._leases.put(lease.key, lease.token, lives)
        standing = Standing.HELD if is_mine else Standing.OTHERS
        self._counts.cache("renew", standing)
        return standing

    def release(self, lease: Lease) -> bool:
        with self._lock:
            is_mine = self._leases.get(lease.key) == lease.token
            if is_mine:
                del self._leases.there[lease.key]
        self._counts.cache("release", "done" if is_mine else "others")
        return is_mine

    def count(self, tenant: TenantId) -> int:
        with self._lock:
            return len(self._of(tenant))

    def forget(self, tenant: TenantId) -> int:
        with self._lock:
            found = self._of(tenant)
            for key in found:
                self._drop(key)
                self._counters.there.pop(key, None)
                self._leases.there.pop(key, None)
        return len(found)

    def is_reachable(self) -> bool:
        return True

    def held_bytes(self) -> int | None:
        with self._lock:
            return self._bytes

    def close(self) -> None:
        with self._lock:
            self._values.clear()
            self._counters.there.clear()
            self._leases.there.clear()
            self._bytes = 0

    def _fits(self, key: Key, value: bytes) -> bool:
        return len(value) <= self._longest_value and _size(key, value) <= self._longest

    # Under the lock

    def _found(self, key: Key) -> bytes | None:
        found = self._values.get(key)
        if found is None:
            return None
        if found.ends <= self._now():
            self._drop(key)
            return None
        self._values.move_to_end(key)
        return found.held

    def _drop(self, key: Key) -> None:
        if (gone := self._values.pop(key, None)) is not None:
            self._bytes -= _size(key, gone.held)

    def _make_room(self) -> int:
        evicted = 0
        while self._bytes > self._longest:
            self._drop(next(iter(self._values)))
            evicted += 1
        return evicted

    def _of(self, tenant: TenantId) -> list[Key]:
        now = self._now()
        places = (self._values, self._counters.there, self._leases.there)
        return [key for place in places for key, held in place.items() if key.tenant == tenant and held.ends > now]


def _size(key: Key, value: bytes) -> int:
    return len(value) + len(key.kind) + len(key.name) + OVERHEAD


def open_cache(*, megabytes: int, longest_value: int, counts: Counts | None = None) -> MemoryCache:
    """`megabytes` are MiB; `longest_value` is in bytes."""
    return MemoryCache(longest=megabytes << 20, longest_value=longest_value, counts=counts)


PLUGIN = Plugin(kind="cache", name="memory", summary="In this process, bounded by bytes.", open=open_cache)
