"""The access context's door: tenants, API keys, and who a secret belongs to."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final
from uuid import uuid4

from sqlalchemy import Connection

from jangbu.insight.access import checks, repository
from jangbu.insight.access.cache import PrincipalCache
from jangbu.insight.access.contracts import ApiKey, Tenant
from jangbu.insight.access.secret import Secret
from jangbu.kernel.clock import Clock
from jangbu.kernel.errors import Conflict, InvalidRequest, InvalidTime, NotFound, Unauthenticated, unknown_name
from jangbu.kernel.tenancy import Principal, TenantId, tenant_id
from jangbu.platform.database.ports import Database

__all__ = ["REVOKED_WITHIN", "Access", "Secret"]

REVOKED_WITHIN: Final = 5.0
"""Seconds after which a revoked key is refused by every process; in the one that revoked it, at once."""

_NAMED: Final = 100
"""Tenants that an error names as known."""


class Access:
    """Tenants and the keys that hold them. `timer` counts seconds for the cache of principals."""

    def __init__(self, database: Database, clock: Clock, *, timer: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._principals = PrincipalCache(REVOKED_WITHIN, timer=timer)

    def create_tenant(self, id: str, name: str, zone: str, currency: str, pinned_now: datetime | None = None) -> Tenant:  # noqa: A002
        """The tenant, made where it isn't there yet. `zone` is an IANA name, `currency` ISO 4217, `pinned_now` aware.

        Raises:
            Conflict: it is there and differs.
            WrongType, InvalidTime, InvalidRequest: a value of another form.
        """
        if pinned_now is not None and pinned_now.tzinfo is None:
            raise InvalidTime("A pinned time needs its offset.", path="/pinned_now", value=pinned_now.isoformat())
        tenant = Tenant(tenant_id(id), checks.name(name), checks.zone(zone), checks.currency(currency), pinned_now)
        with self._database.transaction() as work:
            found = repository.find_tenant(work.connection, tenant.id)
            if found is None:
                repository.add_tenant(work.connection, tenant, self._clock.now())
        if found not in (None, tenant):
            raise _differs(found, tenant)
        return tenant

    def tenant(self, id: str) -> Tenant:  # noqa: A002
        """Raises NotFound where there is none of this id."""
        with self._database.reading() as connection:
            found = repository.find_tenant(connection, id)
            known = () if found else repository.tenant_ids(connection, _NAMED)
        if found is None:
            raise NotFound(f"There is no tenant {id[:80]!r}.", value=id, known=known)
        return found

    def tenants_named(self, ids: Sequence[TenantId]) -> tuple[Tenant, ...]:
        """These tenants, in this order, by few reads.

        Raises:
            NotFound: one isn't there; no other is named, as the asker may not hold them.
        """
        with self._database.reading() as connection:
            found = {tenant.id: tenant for tenant in repository.tenants_named(connection, ids)}
        for tenant in ids:
            if tenant not in found:
                raise NotFound(f"There is no tenant {tenant[:80]!r} any more.", value=tenant)
        return tuple(found[tenant] for tenant in ids)

    def tenants(self, offset: int = 0, limit: int = 100) -> tuple[Tenant, ...]:
        """A page of tenants, by id. At most 1,000 at once."""
        checks.page(offset, limit)
        with self._database.reading() as connection:
            return repository.list_tenants(connection, offset, limit)

    def create_key(self, name: str, tenants: Sequence[str], roles: Sequence[str] = ()) -> tuple[ApiKey, Secret]:
        """A new key and its secret, which can't be had again.

        Raises:
            InvalidRequest: no tenants; UnknownName: one that doesn't exist; WrongType: a name or role of another form.
        """
        held = tuple(dict.fromkeys(TenantId(tenant) for tenant in tenants))
        if not held:
            raise InvalidRequest("A key holds at least one tenant.", path="/tenants")
        wanted = tuple(dict.fromkeys(checks.role(role) for role in roles))
        secret = Secret.new()
        key = ApiKey(uuid4().hex, checks.name(name), secret.prefix, held, wanted, self._clock.now())
        with self._database.transaction() as work:
            for position, tenant in enumerate(held):
                _require_tenant(work.connection, tenant, f"/tenants/{position}")
            repository.add_key(work.connection, key, secret.hash())
        return key, secret

    def keys(self, offset: int = 0, limit: int = 100) -> tuple[ApiKey, ...]:
        """A page of keys, revoked ones too, the oldest first. At most 1,000 at once."""
        checks.page(offset, limit)
        with self._database.reading() as connection:
            return repository.list_keys(connection, offset, limit)

    def revoke_key(self, id: str) -> ApiKey:  # noqa: A002
        """The key, which is refused from now on: here at once, elsewhere within `REVOKED_WITHIN` seconds. Revoking it again changes
        nothing.

        Raises:
            NotFound: there is no such key.
        """
        with self._database.transaction() as work:
            repository.revoke(work.connection, id, self._clock.now())
            found = repository.find_key(work.connection, id)
        self._principals.clear()
        if found is None:
            raise _no_key(id)
        return found

    def authenticate(self, secret: str | Secret) -> Principal:
        """Who holds the secret. Found by its hash, so that the time it takes tells nothing of other secrets.

        Raises:
            Unauthenticated: it is no key's, or a revoked one's; doesn't say which, nor repeats it.
        """
        given = secret if isinstance(secret, Secret) else Secret(secret)
        if not given.is_well_formed:
            raise _unauthenticated()
        hashed = given.hash()
        return self._principals.get(hashed, lambda: self._principal(hashed))

    def _principal(self, secret_hash: str) -> Principal:
        with self._database.reading() as connection:
            key = repository.find_key_by_hash(connection, secret_hash)
        if key is None or key.revoked_at is not None:
            raise _unauthenticated()
        return Principal(tenants=key.tenants, roles=frozenset(key.roles), name=key.name)


def _require_tenant(connection: Connection, tenant: str, path: str) -> None:
    if repository.find_tenant(connection, tenant) is None:
        raise unknown_name("tenant", tenant, repository.tenant_ids(connection, _NAMED), path=path)


def _differs(found: Tenant, wanted: Tenant) -> Conflict:
    fields = ("name", "zone", "currency", "pinned_now")
    different = [field for field in fields if getattr(found, field) != getattr(wanted, field)]
    shown = ", ".join(f"{field} {getattr(found, field)}" for field in different)
    return Conflict(f"The tenant {found.id!r} is there already, with {shown}.", value=found.id, path="/" + different[0])


def _no_key(given: str) -> NotFound:
    hint = "List the keys to see their ids."
    if given.startswith("jb_"):
        return NotFound("That is a secret, not a key's id.", hint=hint)  # unnamed, or it would stand in a log next
    return NotFound(f"There is no key {given[:80]!r}.", value=given, hint=hint)


def _unauthenticated() -> Unauthenticated:
    return Unauthenticated("The API key isn't known, or has been revoked.", hint="Send it as 'Authorization: Bearer jb_…'.")
