"""The port of the cache: bytes for a while, counters, leases. All of it may be gone at any time, and no call fails because the
cache can't be reached: what is asked for is missing then, what is given is dropped, and who wants a lease hears that nobody knows.

Keys hold whose the data are and which version of them, so that nothing has to be taken back when data change.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Final, Protocol
from urllib.parse import quote

from jangbu.kernel.errors import OutOfBounds
from jangbu.kernel.tenancy import TenantId

LONGEST: Final = timedelta(days=30)
"""The longest that anything is kept."""
SHORTEST: Final = timedelta(milliseconds=1)
NOBODYS: Final = "*"
"""Stands where a tenant's id would; no tenant can be called so."""
_LONGEST_NAME: Final = 200
"""Characters of a name that stands in its key as it is."""


@dataclass(frozen=True, slots=True)
class Key:
    """`tenant` is whose it is, None only for what is of no tenant; `kind` says what it is, `name` which: the data's versions, the
    question. Two keys that differ anywhere never meet."""

    tenant: TenantId | None
    kind: str
    name: str

    def text(self) -> str:
        """As a cache keeps it: printable ASCII, of bounded length."""
        return f"{self.tenant or NOBODYS}:{_part(self.kind)}:{_part(self.name)}"


def _part(text: str) -> str:
    shown = quote(text, safe=" /,=+@", errors="surrogatepass")
    # A sign that quoting never leaves there tells the digest from what looks like one.
    return shown if len(shown) <= _LONGEST_NAME else "#" + sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Standing(StrEnum):
    """How it stands with a lease."""

    HELD = "held"
    """By who asks."""
    OTHERS = "others"
    """By another, or by nobody any more."""
    UNKNOWN = "unknown"
    """The cache can't be reached: perhaps by who asks, until its time is over."""


@dataclass(frozen=True, slots=True)
class Lease:
    """What `acquire` said. `token` is this holder's alone."""

    key: Key
    token: str
    standing: Standing


class Cache(Protocol):
    """Safe for any number of threads; an adapter over a server also for processes.

    A lease keeps work from being done twice; it is no proof that nobody else does it: a holder that stands still outlives its
    lease, and a server that dies may forget it. What must happen once needs a mark where it happens.

    Raises, each method:
        OutOfBounds: a time to live that isn't between `SHORTEST` and `LONGEST`.
    """

    @property
    def is_shared(self) -> bool:
        """Whether other processes see the same."""

    def get(self, keys: Collection[Key]) -> dict[Key, bytes]:
        """What is there."""

    def set(self, values: Mapping[Key, bytes], ttl: timedelta) -> int:
        """Keep these, in place of what is there; how many are kept. What is longer than the cache's limit is not, and what was
        there in its place is gone too."""

    def delete(self, keys: Collection[Key]) -> bool:
        """False: some may still be there, as the cache can't be reached."""

    def increase(self, key: Key, ttl: timedelta, by: int = 1) -> int | None:
        """A counter after `by` was added to it. It begins at 0, and again when `ttl` is over since its first increase. None: the
        cache can't be reached. A counter is no value: `get` doesn't see it."""

    def acquire(self, key: Key, ttl: timedelta) -> Lease:
        """Take a lease until it is released or `ttl` is over. Doesn't wait. A lease is no value: `get` doesn't see it."""

    def renew(self, lease: Lease, ttl: timedelta) -> Standing:
        """Hold it for `ttl` from now on, where it is still held."""

    def release(self, lease: Lease) -> bool:
        """False: it wasn't held any more, or the cache can't be reached."""

    def count(self, tenant: TenantId) -> int:
        """How many values, counters and leases there are of a tenant.

        Raises:
            Unavailable: the cache can't be reached.
        """

    def forget(self, tenant: TenantId) -> int:
        """Delete all that is there of a tenant; how many. Raises as `count`."""

    def is_reachable(self) -> bool:
        """Whether the last calls reached it. Doesn't ask."""

    def held_bytes(self) -> int | None:
        """Bytes that it holds in this process; None: it holds them elsewhere."""

    def close(self) -> None:
        """Give everything back; the object can't be used afterwards."""


class Counts(Protocol):
    """What is counted: `operation` is a method's name; `outcome` `hit`, `miss`, `done`, `held`, `others`, `too_long`, `evicted` or
    `unreachable`."""

    def cache(self, operation: str, outcome: str, number: int = 1) -> None: ...


class Uncounted:
    def cache(self, operation: str, outcome: str, number: int = 1) -> None:
        """Nobody asks."""


def seconds(ttl: timedelta) -> float:
    """A time to live.

    Raises:
        OutOfBounds: it isn't between `SHORTEST` and `LONGEST`.
    """
    if not SHORTEST <= ttl <= LONGEST:
        raise OutOfBounds(f"A time to live of {ttl} isn't between {SHORTEST} and {LONGEST}.", value=str(ttl))
    return ttl.total_seconds()
