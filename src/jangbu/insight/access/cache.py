"""Principals that were looked up a moment ago, so that a request costs no read of the database."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from jangbu.kernel.tenancy import Principal


class PrincipalCache:
    """At most `size` principals by their secret's hash, each for `ttl` seconds of `timer`. Safe among threads."""

    def __init__(self, ttl: float, size: int = 1024, timer: Callable[[], float] = time.monotonic) -> None:
        self._ttl, self._size, self._timer = ttl, size, timer
        self._entries: OrderedDict[str, tuple[float, Principal]] = OrderedDict()
        self._generation = 0
        self._lock = threading.Lock()

    def get(self, secret_hash: str, load: Callable[[], Principal]) -> Principal:
        """The principal, by `load` where it isn't known; what `load` raises isn't kept."""
        with self._lock:
            ends, principal = self._entries.get(secret_hash, (0.0, None))
            if principal is not None and self._timer() < ends:
                self._entries.move_to_end(secret_hash)
                return principal
            generation = self._generation
        loaded = load()
        with self._lock:
            if generation == self._generation:  # else it may have been read before a revocation that has cleared us since
                self._keep(secret_hash, loaded)
        return loaded

    def clear(self) -> None:
        """Forget all, and what is being loaded just now too."""
        with self._lock:
            self._generation += 1
            self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)

    def _keep(self, secret_hash: str, principal: Principal) -> None:
        self._entries[secret_hash] = (self._timer() + self._ttl, principal)
        self._entries.move_to_end(secret_hash)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)
