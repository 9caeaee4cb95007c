"""The access context's rows, and nothing of their meaning."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from jangbu.insight.access.contracts import ApiKey, Tenant, TenantState
from jangbu.insight.access.tables import api_key_tenants, api_keys, tenants
from jangbu.kernel.tenancy import TenantId

_AT_ONCE = 500
"""Parameters of one statement; SQLite takes 32,766, other databases fewer."""


def add_tenant(connection: Connection, tenant: Tenant, now: datetime) -> None:
    values = {"name": tenant.name, "zone": tenant.zone, "currency": tenant.currency, "pinned_now": tenant.pinned_now}
    connection.execute(insert(tenants).values(id=tenant.id, created_at=now, state=tenant.state.value, **values))


def forget_tenant(connection: Connection, tenant: str) -> None:
    """Its row, and with it what is known of its id."""
    connection.execute(delete(tenants).where(tenants.c.id == tenant))


def set_state(connection: Connection, tenant: str, state: TenantState, now: datetime) -> None:
    values: dict[str, Any] = {"state": state.value, "state_since": now}
    connection.execute(update(tenants).where(tenants.c.id == tenant, tenants.c.state != state.value).values(**values))


def empty_tenant(connection: Connection, tenant: str) -> int:
    """Its row without all but its id, its state and its times. How many rows had more."""
    nothing: dict[str, Any] = {"name": "", "zone": "", "currency": "", "pinned_now": None}
    return connection.execute(update(tenants).where(tenants.c.id == tenant, tenants.c.zone != "").values(**nothing)).rowcount


def states(connection: Connection, ids: Collection[str]) -> Mapping[TenantId, TenantState]:
    """The states of those of the ids that are there."""
    found: dict[TenantId, TenantState] = {}
    wanted = sorted(ids)
    for start in range(0, len(wanted), _AT_ONCE):
        chosen = select(tenants.c.id, tenants.c.state).where(tenants.c.id.in_(wanted[start : start + _AT_ONCE]))
        found.update((TenantId(row.id), TenantState(row.state)) for row in connection.execute(chosen))
    return found


def tenants_in(connection: Connection, wanted: Collection[TenantState]) -> tuple[TenantId, ...]:
    chosen = select(tenants.c.id).where(tenants.c.state.in_([state.value for state in wanted])).order_by(tenants.c.id)
    return tuple(TenantId(each) for each in connection.execute(chosen).scalars())


def find_tenant(connection: Connection, tenant: str) -> Tenant | None:
    row = connection.execute(select(tenants).where(tenants.c.id == tenant)).one_or_none()
    return None if row is None else _tenant(row)


def tenants_named(connection: Connection, ids: Sequence[str]) -> Iterator[Tenant]:
    """Those of the ids that are there, in no order."""
    for start in range(0, len(ids), _AT_ONCE):
        chosen = select(tenants).where(tenants.c.id.in_(ids[start : start + _AT_ONCE]))
        yield from (_tenant(row) for row in connection.execute(chosen))


def list_tenants(connection: Connection, wanted: Collection[TenantState], offset: int, limit: int) -> tuple[Tenant, ...]:
    chosen = select(tenants).where(tenants.c.state.in_([state.value for state in wanted]))
    return tuple(_tenant(row) for row in connection.execute(chosen.order_by(tenants.c.id).offset(offset).limit(limit)))


def tenant_ids(connection: Connection, limit: int) -> tuple[str, ...]:
    there = select(tenants.c.id).where(tenants.c.state != TenantState.DELETED.value)
    return tuple(connection.execute(there.order_by(tenants.c.id).limit(limit)).scalars())


def add_key(connection: Connection, key: ApiKey, secret_hash: str) -> None:
    values = {"name": key.name, "prefix": key.prefix, "roles": list(key.roles), "created_at": key.created_at}
    connection.execute(insert(api_keys).values(id=key.id, secret_hash=secret_hash, **values))
    held = [{"api_key": key.id, "tenant": tenant, "position": position} for position, tenant in enumerate(key.tenants)]
    connection.execute(insert(api_key_tenants), held)


def find_key(connection: Connection, key: str) -> ApiKey | None:
    return _one_key(connection, connection.execute(select(api_keys).where(api_keys.c.id == key)).one_or_none())


def find_key_by_hash(connection: Connection, secret_hash: str) -> ApiKey | None:
    return _one_key(connection, connection.execute(select(api_keys).where(api_keys.c.secret_hash == secret_hash)).one_or_none())


def list_keys(connection: Connection, offset: int, limit: int) -> tuple[ApiKey, ...]:
    rows = connection.execute(select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id).offset(offset).limit(limit)).all()
    return _keys(connection, rows)


def keys_of(connection: Connection, tenant: str) -> tuple[ApiKey, ...]:
    """The keys that hold the tenant, the oldest first."""
    mine = select(api_key_tenants.c.api_key).where(api_key_tenants.c.tenant == tenant)
    query = select(api_keys).where(api_keys.c.id.in_(mine)).order_by(api_keys.c.created_at, api_keys.c.id)
    return _keys(connection, connection.execute(query).all())


def remove_keys(connection: Connection, keys: Sequence[str]) -> None:
    for start in range(0, len(keys), _AT_ONCE):
        some = keys[start : start + _AT_ONCE]
        connection.execute(delete(api_key_tenants).where(api_key_tenants.c.api_key.in_(some)))
        connection.execute(delete(api_keys).where(api_keys.c.id.in_(some)))


def take_from_keys(connection: Connection, tenant: str) -> int:
    """How many keys held the tenant."""
    return connection.execute(delete(api_key_tenants).where(api_key_tenants.c.tenant == tenant)).rowcount


def revoke(connection: Connection, key: str, now: datetime) -> None:
    connection.execute(update(api_keys).where(api_keys.c.id == key, api_keys.c.revoked_at.is_(None)).values(revoked_at=now))


def _one_key(connection: Connection, row: Row[Any] | None) -> ApiKey | None:
    return None if row is None else _keys(connection, [row])[0]


def _keys(connection: Connection, rows: Sequence[Row[Any]]) -> tuple[ApiKey, ...]:
    held = _held(connection, (row.id for row in rows))
    return tuple(
        ApiKey(row.id, row.name, row.prefix, tuple(held.get(row.id, ())), tuple(row.roles), row.created_at, row.revoked_at)
        for row in rows
    )


def _held(connection: Connection, keys: Iterable[str]) -> dict[str, list[TenantId]]:
    found: dict[str, list[TenantId]] = {}
    query = select(api_key_tenants).where(api_key_tenants.c.api_key.in_(list(keys))).order_by(api_key_tenants.c.position)
    for row in connection.execute(query):
        found.setdefault(row.api_key, []).append(TenantId(row.tenant))
    return found


def _tenant(row: Row[Any]) -> Tenant:
    state = TenantState(row.state)
    return Tenant(TenantId(row.id), row.name, row.zone, row.currency, row.pinned_now, state, row.state_since)
