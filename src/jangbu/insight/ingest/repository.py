"""The ingest context's rows: intents, the history of loads, versions."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, insert, or_, select, update

from jangbu.insight.ingest.contracts import DataVersion, Load, LoadMode
from jangbu.insight.ingest.intents import Intent, LoadKey, span_of, span_texts
from jangbu.insight.ingest.tables import data_versions, load_intents, loads
from jangbu.kernel.tenancy import TenantId


def open_intents(connection: Connection, attempt: str | None = None) -> tuple[Intent, ...]:
    """Every open intent, or those of one attempt."""
    query = select(load_intents).order_by(load_intents.c.started_at, load_intents.c.tenant)
    if attempt is not None:
        query = query.where(load_intents.c.attempt == attempt)
    return tuple(_intent(row) for row in connection.execute(query))


def blocking_intent(connection: Connection, data_source: str, tenants: Collection[TenantId | None]) -> Intent | None:
    """An open intent on any of these."""
    where = _concerns(load_intents, tenants, [data_source])
    row = connection.execute(select(load_intents).where(where).limit(1)).one_or_none()
    return None if row is None else _intent(row)


def has_open_intent(connection: Connection, tenants: Collection[TenantId | None], data_sources: Collection[str]) -> bool:
    where = _concerns(load_intents, tenants, data_sources)
    return connection.execute(select(load_intents.c.run).where(where).limit(1)).first() is not None


def add_intents(connection: Connection, intents: Iterable[Intent]) -> None:
    connection.execute(insert(load_intents), [_intent_values(intent) for intent in intents])


def renew_lease(connection: Connection, attempt: str, ends: datetime) -> None:
    connection.execute(update(load_intents).where(load_intents.c.attempt == attempt).values(lease_ends_at=ends))


def close_intents(connection: Connection, attempt: str) -> bool:
    """Whether there were any to close."""
    return connection.execute(delete(load_intents).where(load_intents.c.attempt == attempt)).rowcount > 0


def loads_of_run(connection: Connection, run: str) -> tuple[Load, ...]:
    return tuple(_load(row) for row in connection.execute(select(loads).where(loads.c.run == run).order_by(loads.c.id)))


def latest_overlapping(connection: Connection, key: LoadKey) -> tuple[int, Load] | None:
    """The last completed load of the tenant and data source that may have touched the key's range, and its number."""
    query = select(loads).where(loads.c.data_source == key.data_source, loads.c.tenant == key.tenant)
    if key.span is not None:
        start, end = span_texts(key.span)
        query = query.where(or_(loads.c.span_start.is_(None), and_(loads.c.span_start < end, loads.c.span_end > start)))
    row = connection.execute(query.order_by(loads.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else (row.id, _load(row))


def add_load(connection: Connection, intent: Intent, version: DataVersion, now: datetime) -> None:
    values = _key_values(intent.key) | {"run": intent.run, "rows": intent.rows, "started_at": intent.started_at}
    connection.execute(insert(loads).values(**values, version=version.version, as_of=version.as_of, completed_at=now))


def list_loads(
    connection: Connection, tenants: Collection[TenantId | None], data_sources: Collection[str] | None, offset: int, limit: int
) -> tuple[Load, ...]:
    """The newest first."""
    query = select(loads).where(_concerns(loads, tenants, data_sources)).order_by(loads.c.id.desc())
    return tuple(_load(row) for row in connection.execute(query.offset(offset).limit(limit)))


def find_versions(
    connection: Connection, tenants: Collection[TenantId | None], data_sources: Collection[str]
) -> Mapping[tuple[TenantId | None, str], DataVersion]:
    rows = connection.execute(select(data_versions).where(_concerns(data_versions, tenants, data_sources)))
    return {(row.tenant, row.data_source): DataVersion(row.tenant, row.data_source, row.version, row.as_of) for row in rows}


def next_version(connection: Connection, intent: Intent) -> DataVersion:
    """Allocate version n+1. A load of a range never makes the data look older; one in the place of everything may."""
    key = intent.key
    where = (data_versions.c.data_source == key.data_source, data_versions.c.tenant == key.tenant)
    row = connection.execute(select(data_versions).where(*where)).one_or_none()
    if row is None:
        found = DataVersion(key.tenant, key.data_source, 1, intent.as_of)
        values = {"tenant": key.tenant, "data_source": key.data_source, "version": 1, "as_of": found.as_of}
        connection.execute(insert(data_versions).values(values))
        return found
    all_anew = key.mode is LoadMode.REPLACE and key.span is None
    found = DataVersion(key.tenant, key.data_source, row.version + 1, intent.as_of if all_anew else max(intent.as_of, row.as_of))
    connection.execute(update(data_versions).where(*where).values(version=found.version, as_of=found.as_of))
    return found


def _concerns(table: Any, tenants: Collection[TenantId | None], data_sources: Collection[str] | None) -> ColumnElement[bool]:
    mine = table.c.tenant.in_(list(tenants))
    return mine if data_sources is None else and_(table.c.data_source.in_(list(data_sources)), mine)


def _key_values(key: LoadKey) -> dict[str, Any]:
    start, end = span_texts(key.span)
    span = {"span_start": start, "span_end": end}
    return {"data_source": key.data_source, "tenant": key.tenant, "mode": key.mode.value, "content": key.content, **span}


def _intent_values(intent: Intent) -> dict[str, Any]:
    names = ("run", "attempt", "lakehouse_table", "rows", "as_of", "owner", "lease_ends_at", "started_at")
    return _key_values(intent.key) | {name: getattr(intent, name) for name in names}


def _intent(row: Row[Any]) -> Intent:
    return Intent(
        LoadKey(row.data_source, row.tenant, LoadMode(row.mode), span_of(row.span_start, row.span_end), row.content),
        row.run,
        row.attempt,
        row.lakehouse_table,
        row.rows,
        row.as_of,
        row.owner,
        row.lease_ends_at,
        row.started_at,
    )


def _load(row: Row[Any]) -> Load:
    return Load(
        row.run,
        row.tenant,
        row.data_source,
        LoadMode(row.mode),
        span_of(row.span_start, row.span_end),
        row.content,
        row.rows,
        row.version,
        row.as_of,
        row.started_at,
        row.completed_at,
    )
