"""What the access context tells the others: tenants and who holds them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from jangbu.kernel.clock import Clock, PinnedClock, SystemClock
from jangbu.kernel.tenancy import TenantId


class TenantState(StrEnum):
    """`SUSPENDED`: its data are kept, but neither asked for nor loaded. `ERASING`: its data are on their way out, for good.
    `DELETED`: all that is left of it is its id and when it came and went."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    ERASING = "erasing"
    DELETED = "deleted"

    @property
    def reason(self) -> str:
        """What is said after "The tenant …"."""
        return {"active": "is active", "suspended": "is suspended", "erasing": "is being erased", "deleted": "has been deleted"}[
            self
        ]


@dataclass(frozen=True, slots=True)
class Tenant:
    """A merchant. `zone` is an IANA time zone, `currency` ISO 4217. `pinned_now` (aware) stops its clock, as the demo's is.
    `since` (aware) is when it came to be in its state, None where it has always been. Of a deleted one, the texts are empty."""

    id: TenantId
    name: str
    zone: str
    currency: str
    pinned_now: datetime | None = None
    state: TenantState = TenantState.ACTIVE
    since: datetime | None = None

    @property
    def clock(self) -> Clock:
        return PinnedClock(self.pinned_now) if self.pinned_now else SystemClock()


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret. `prefix` (the first characters) tells keys apart in lists."""

    id: str
    name: str
    prefix: str
    tenants: tuple[TenantId, ...]
    roles: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None = None
