"""What the access context tells the others: tenants and who holds them."""

from dataclasses import dataclass
from datetime import datetime

from jangbu.kernel.clock import Clock, PinnedClock, SystemClock
from jangbu.kernel.tenancy import TenantId


@dataclass(frozen=True, slots=True)
class Tenant:
    """A merchant. `zone` is an IANA time zone, `currency` ISO 4217. `pinned_now` (aware) stops its clock, as the demo's is."""

    id: TenantId
    name: str
    zone: str
    currency: str
    pinned_now: datetime | None = None

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
