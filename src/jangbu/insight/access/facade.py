"""The access context's door: tenants and their states, API keys, and who a secret belongs to.

The functions of a connection are for contexts that change what they own together with a tenant's state, in one unit of work.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final
from uuid import uuid4

from sqlalchemy import Connection

from jangbu.insight.access import checks, repository
from jangbu.insight.access.cache import PrincipalCache
from jangbu.insight.access.contracts import ApiKey, Tenant, TenantState
from jangbu.insight.access.secret import Secret
from jangbu.kernel.clock import Clock
from jangbu.kernel.errors import Conflict, InvalidRequest, InvalidTime, NotFound, Unauthenticated, unknown_name
from jangbu.kernel.tenancy import Principal, TenantId, tenant_id
from jangbu.platform.database.ports import Database

__all__ = [
    "REVOKED_WITHIN",
    "Access",
    "Secret",
    "bury",
    "empty",
    "holdings",
    "mark_erasing",
    "new_tenant",
    "states_of",
    "tenants_in",
]

REVOKED_WITHIN: Final = 5.0
"""Seconds after which a revoked key is refused by every process, and a suspended tenant too; in the one that did it, at once."""

_THERE: Final = tuple(state for state in TenantState if state is not TenantState.DELETED)

_NAMED: Final = 100
"""Tenants that an error names as known."""


def new_tenant(id: str, name: str, zone: str, currency: str, pinned_now: datetime | None = None) -> Tenant:  # noqa: A002
    """A tenant as it would be made. Raises WrongType, InvalidTime or InvalidRequest for a value of another form."""
    if pinned_now is not None and pinned_now.tzinfo is None:
        raise InvalidTime("A pinned time needs its offset.", path="/pinned_now", value=pinned_now.isoformat())
    return Tenant(tenant_id(id), checks.name(name), checks.zone(zone), checks.currency(currency), pinned_now)


class Access:
    """Tenants and the keys that hold them. `timer` counts seconds for the cache of principals."""

    def __init__(self, database: Database, clock: Clock, *, timer: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._principals = PrincipalCache(REVOKED_WITHIN, timer=timer)

    def create_tenant(
        self,
        id: str,  # noqa: A002
        name: str,
        zone: str,
        currency: str,
        pinned_now: datetime | None = None,
        *,
        again: bool = False,
    ) -> Tenant:
        """The tenant, made where it isn't there yet. `zone` is an IANA name, `currency` ISO 4217, `pinned_now` aware. `again`: it
        may have the id of one that was deleted.

        Raises:
            Conflict: it is there and differs, or its id was a deleted one's.
            WrongType, InvalidTime, InvalidRequest: a value of another form.
        """
        tenant = new_tenant(id, name, zone, currency, pinned_now)
        with self._database.transaction() as work:
            found = repository.find_tenant(work.connection, tenant.id)
            if found is not None and found.state is TenantState.DELETED:
                if not again:
                    raise _was_deleted(found)
                repository.forget_tenant(work.connection, tenant.id)
                found = None
            if found is None:
                repository.add_tenant(work.connection, tenant, self._clock.now())
        if found is not None and (different := _different(found, tenant)):
            raise _differs(found, different)
        return found or tenant

    def suspend_tenant(self, id: str) -> Tenant:  # noqa: A002
        """Its data are kept, but can't be asked for or loaded: here at once, elsewhere within `REVOKED_WITHIN` seconds; loads are
        refused everywhere at once. Suspending it again changes nothing.

        Raises:
            NotFound: there is none; Conflict: it is being erased.
        """
        return self._change(id, TenantState.SUSPENDED)

    def resume_tenant(self, id: str) -> Tenant:  # noqa: A002
        """The opposite of `suspend_tenant`; raises as it does."""
        return self._change(id, TenantState.ACTIVE)

    def remembers(self) -> bool:
        """Whether this process knows who holds some key."""
        return len(self._principals) > 0

    def forget_principals(self) -> None:
        """Look every key up again."""
        self._principals.clear()

    def tenant(self, id: str) -> Tenant:  # noqa: A002
        """Raises NotFound where there is none of this id, or no more."""
        with self._database.reading() as connection:
            return _found(connection, id)

    def tenants_named(self, ids: Sequence[TenantId]) -> tuple[Tenant, ...]:
        """These tenants, in this order, by few reads.

        Raises:
            NotFound: one isn't there; no other is named, as the asker may not hold them.
        """
        with self._database.reading(ids) as connection:
            found = {tenant.id: tenant for tenant in repository.tenants_named(connection, ids)}
        for tenant in ids:
            if tenant not in found or found[tenant].state is TenantState.DELETED:
                raise NotFound(f"There is no tenant {tenant[:80]!r} any more.", value=tenant)
        return tuple(found[tenant] for tenant in ids)

    def tenants(self, offset: int = 0, limit: int = 100, states: Collection[TenantState] = _THERE) -> tuple[Tenant, ...]:
        """A page of the tenants in these states (by default all but the deleted), by id. At most 1,000 at once."""
        checks.page(offset, limit)
        with self._database.reading() as connection:
            return repository.list_tenants(connection, states, offset, limit)

    def operator(self) -> Principal:
        """Who sits at the machine: holds every tenant."""
        with self._database.reading() as connection:
            return _principal(connection, repository.tenants_in(connection, _THERE), frozenset(), "operator")

    def keys_of(self, tenant: TenantId) -> tuple[ApiKey, ...]:
        """The keys that hold the tenant, without their secrets."""
        with self._database.reading() as connection:
            return repository.keys_of(connection, tenant)

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
            return _principal(connection, key.tenants, frozenset(key.roles), key.name)

    def _change(self, id_: str, state: TenantState) -> Tenant:
        with self._database.transaction() as work:
            if _found(work.connection, id_).state is TenantState.ERASING:
                raise Conflict(f"The tenant {id_!r} is being erased; nothing can stop that.", value=id_)
            repository.set_state(work.connection, id_, state, work.now)
            changed = _found(work.connection, id_)
        self._principals.clear()
        return changed


def states_of(connection: Connection, tenants: Collection[TenantId]) -> Mapping[TenantId, TenantState]:
    """The states of those of the tenants that were ever made."""
    return repository.states(connection, tenants)


def tenants_in(connection: Connection, states: Collection[TenantState]) -> tuple[TenantId, ...]:
    """All tenants in these states."""
    return repository.tenants_in(connection, states)


def mark_erasing(connection: Connection, tenant: TenantId, now: datetime) -> None:
    """From now on nothing of it is asked for or loaded, and it can only be deleted.

    Raises:
        NotFound: there is no such tenant.
    """
    _found(connection, tenant)
    repository.set_state(connection, tenant, TenantState.ERASING, now)


def empty(connection: Connection, tenant: TenantId) -> Mapping[str, int]:
    """Remove what is known of a tenant that is being erased, but for its id and its times, and the keys that hold nobody else. How
    many rows went, by table."""
    alone = [key.id for key in repository.keys_of(connection, tenant) if set(key.tenants) == {tenant}]
    held = repository.take_from_keys(connection, tenant)
    repository.remove_keys(connection, alone)
    return {"api_key_tenants": held, "api_keys": len(alone), "tenants": repository.empty_tenant(connection, tenant)}


def holdings(connection: Connection, tenant: TenantId) -> Mapping[str, int]:
    """How many rows there are that `empty` would remove."""
    keys, found = repository.keys_of(connection, tenant), repository.find_tenant(connection, tenant)
    alone = sum(set(key.tenants) == {tenant} for key in keys)
    return {"api_key_tenants": len(keys), "api_keys": alone, "tenants": int(found is not None and found.zone != "")}


def bury(connection: Connection, tenant: TenantId, now: datetime) -> None:
    """Nothing is left of it but its id and its times."""
    repository.set_state(connection, tenant, TenantState.DELETED, now)


def _principal(connection: Connection, held: Sequence[TenantId], roles: frozenset[str], name: str) -> Principal:
    states = repository.states(connection, held)
    unasked = {tenant: states[tenant].reason for tenant in held if states[tenant] is not TenantState.ACTIVE}
    asked = tuple(tenant for tenant in held if tenant not in unasked)
    return Principal(tenants=asked, roles=roles, name=name, unasked=MappingProxyType(unasked))


def _found(connection: Connection, id_: str) -> Tenant:
    found = repository.find_tenant(connection, id_)
    if found is not None and found.state is not TenantState.DELETED:
        return found
    gone = f" It was deleted at {found.since:%Y-%m-%d %H:%M} UTC." if found is not None and found.since else ""
    raise NotFound(f"There is no tenant {id_[:80]!r}.{gone}", value=id_, known=repository.tenant_ids(connection, _NAMED))


def _require_tenant(connection: Connection, tenant: str, path: str) -> None:
    if repository.states(connection, [tenant]).get(TenantId(tenant), TenantState.DELETED) is TenantState.DELETED:
        raise unknown_name("tenant", tenant, repository.tenant_ids(connection, _NAMED), path=path)


def _different(found: Tenant, wanted: Tenant) -> list[str]:
    fields = ("name", "zone", "currency", "pinned_now")
    return [field for field in fields if getattr(found, field) != getattr(wanted, field)]


def _was_deleted(found: Tenant) -> Conflict:
    hint = "Take another id; where it is the same merchant, say so: --again."
    return Conflict(f"The id {found.id!r} was a tenant's that has been deleted.", value=found.id, path="/id", hint=hint)


def _differs(found: Tenant, different: Sequence[str]) -> Conflict:
    shown = ", ".join(f"{field} {getattr(found, field)}" for field in different)
    return Conflict(f"The tenant {found.id!r} is there already, with {shown}.", value=found.id, path="/" + different[0])


def _no_key(given: str) -> NotFound:
    hint = "List the keys to see their ids."
    if given.startswith("jb_"):
        return NotFound("That is a secret, not a key's id.", hint=hint)  # unnamed, or it would stand in a log next
    return NotFound(f"There is no key {given[:80]!r}.", value=given, hint=hint)


def _unauthenticated() -> Unauthenticated:
    return Unauthenticated("The API key isn't known, or has been revoked.", hint="Send it as 'Authorization: Bearer jb_…'.")
