"""The ingest context's rows: intents, the history of loads, versions."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, delete, func, insert, or_, select, update

from jangbu.insight.ingest.contracts import DataVersion, Load, LoadMode
from jangbu.insight.ingest.intents import Intent, LoadKey, span_of, span_texts
from jangbu.insight.ingest.outside import highest_outside
from jangbu.insight.ingest.tables import data_versions, erasures, load_intents, loads
from jangbu.kernel.tenancy import TenantId

_AT_ONCE: Final = 500
"""Parameters of one statement; SQLite takes 32,766, other databases fewer."""


def open_intents(connection: Connection, attempt: str | None = None) -> tuple[Intent, ...]:
    """Every open intent, or those of one attempt."""
    query = select(load_intents).order_by(load_intents.c.started_at, load_intents.c.tenant)
    if attempt is not None:
        query = query.where(load_intents.c.attempt == attempt)
    return tuple(_intent(row) for row in connection.execute(query))


def unsettled(connection: Connection) -> str | None:
    """A commit that is about to happen or an erasure that hasn't ended, in words; None: there is neither."""
    if intents := open_intents(connection):
        return f"a load of {intents[0].key.data_source!r} (run {intents[0].run[:12]})"
    tenant = connection.execute(select(erasures.c.tenant).where(erasures.c.ended_at.is_(None)).limit(1)).scalar()
    return None if tenant is None else f"an erasure at the tenant {tenant!r}"


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


def loads_of_runs(connection: Connection, runs: Sequence[str]) -> dict[str, Load]:
    """The load of each run that was completed; a run is of one tenant."""
    found: dict[str, Load] = {}
    for at in range(0, len(runs), _AT_ONCE):
        rows = connection.execute(select(loads).where(loads.c.run.in_(runs[at : at + _AT_ONCE])).order_by(loads.c.id.desc()))
        found |= {row.run: _load(row) for row in rows}
    return found


def runs_that_begin(connection: Connection, beginning: str, tenants: Collection[TenantId | None]) -> tuple[str, ...]:
    """A few of them."""
    mine = (loads.c.run.startswith(beginning, autoescape=True), loads.c.tenant.in_(list(tenants)))
    return tuple(connection.execute(select(loads.c.run).where(*mine).distinct().order_by(loads.c.run).limit(5)).scalars())


def latest_overlapping(connection: Connection, keys: Sequence[LoadKey]) -> dict[LoadKey, tuple[int, Load]]:
    """For each key the last completed load of its tenant and data source that may have touched its range, and that load's
    number."""
    found: dict[LoadKey, tuple[int, Load]] = {}
    alike = groupby(sorted(keys, key=_alike), key=_alike)
    for _, group in alike:
        some = list(group)
        for at in range(0, len(some), _AT_ONCE):
            found |= _latest_of(connection, some[at : at + _AT_ONCE])
    return found


def _alike(key: LoadKey) -> tuple[str, str, str]:
    start, end = span_texts(key.span)
    return key.data_source, start or "", end or ""


def _latest_of(connection: Connection, keys: Sequence[LoadKey]) -> dict[LoadKey, tuple[int, Load]]:
    """For keys of one data source and range."""
    start, end = span_texts(keys[0].span)
    mine = [loads.c.data_source == keys[0].data_source, loads.c.tenant.in_([key.tenant for key in keys])]
    if start is not None:
        mine.append(or_(loads.c.span_start.is_(None), and_(loads.c.span_start < end, loads.c.span_end > start)))
    last = select(func.max(loads.c.id)).where(*mine).group_by(loads.c.tenant)
    by_tenant = {row.tenant: (row.id, _load(row)) for row in connection.execute(select(loads).where(loads.c.id.in_(last)))}
    return {key: by_tenant[key.tenant] for key in keys if key.tenant in by_tenant}


def add_loads(connection: Connection, done: Iterable[tuple[Intent, DataVersion]], now: datetime) -> None:
    names = ("run", "rows", "started_at", "bad", "repeated")
    values = [
        _key_values(intent.key)
        | {name: getattr(intent, name) for name in names}
        | {"version": version.version, "as_of": version.as_of, "completed_at": now}
        for intent, version in done
    ]
    connection.execute(insert(loads), values)


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


def was_loaded(connection: Connection, data_source: str) -> bool:
    """Whether anybody's rows were."""
    found = select(data_versions.c.version).where(data_versions.c.data_source == data_source).limit(1)
    return connection.execute(found).first() is not None


def next_versions(connection: Connection, intents: Sequence[Intent]) -> tuple[DataVersion, ...]:
    """Allocate version n+1 for each. A load of a range never makes the data look older; one in the place of everything may."""
    sources = {intent.key.data_source for intent in intents}
    known = find_versions(connection, [intent.key.tenant for intent in intents], sources)
    above = highest_outside(connection, sources)
    found = tuple(
        _next_version(intent, known.get((intent.key.tenant, intent.key.data_source)), above.get(intent.key.data_source, 0))
        for intent in intents
    )
    if changed := [_version_values(each, "of_tenant", "of_source") for each in found if (each.tenant, each.data_source) in known]:
        mine = (data_versions.c.tenant == bindparam("of_tenant"), data_versions.c.data_source == bindparam("of_source"))
        now: dict[str, Any] = {"version": bindparam("version"), "as_of": bindparam("as_of")}
        connection.execute(update(data_versions).where(*mine).values(**now), changed)
    if new := [_version_values(each, "tenant", "data_source") for each in found if (each.tenant, each.data_source) not in known]:
        connection.execute(insert(data_versions), new)
    return found


def _version_values(version: DataVersion, tenant: str, data_source: str) -> dict[str, Any]:
    return {tenant: version.tenant, data_source: version.data_source, "version": version.version, "as_of": version.as_of}


def _next_version(intent: Intent, known: DataVersion | None, above: int) -> DataVersion:
    """Above the data source's own number and `above`, what it had while it was bound outside."""
    key = intent.key
    if known is None:
        return DataVersion(key.tenant, key.data_source, above + 1, intent.as_of)
    all_anew = key.mode is LoadMode.REPLACE and key.span is None
    number = max(known.version, above) + 1
    return DataVersion(key.tenant, key.data_source, number, intent.as_of if all_anew else max(intent.as_of, known.as_of))


def _concerns(table: Any, tenants: Collection[TenantId | None], data_sources: Collection[str] | None) -> ColumnElement[bool]:
    mine = table.c.tenant.in_(list(tenants))
    return mine if data_sources is None else and_(table.c.data_source.in_(list(data_sources)), mine)


def _key_values(key: LoadKey) -> dict[str, Any]:
    start, end = span_texts(key.span)
    span = {"span_start": start, "span_end": end}
    return {
        "data_source": key.data_source,
        "tenant": key.tenant,
        "mode": key.mode.value,
        "content": key.content,
        "keys": list(key.keys),
        **span,
    }


def _intent_values(intent: Intent) -> dict[str, Any]:
    names = ("run", "attempt", "lakehouse_table", "rows", "as_of", "owner", "lease_ends_at", "started_at", "bad", "repeated")
    return _key_values(intent.key) | {name: getattr(intent, name) for name in names}


def _intent(row: Row[Any]) -> Intent:
    return Intent(
        _key(row),
        row.run,
        row.attempt,
        row.lakehouse_table,
        row.rows,
        row.as_of,
        row.owner,
        row.lease_ends_at,
        row.started_at,
        row.bad,
        row.repeated,
    )


def _key(row: Row[Any]) -> LoadKey:
    span = span_of(row.span_start, row.span_end)
    keys: list[str] = row._asdict()["keys"]  # a row has a method of this name
    return LoadKey(row.data_source, row.tenant, LoadMode(row.mode), span, row.content, tuple(keys))


def _load(row: Row[Any]) -> Load:
    key = _key(row)
    return Load(
        row.run,
        key.tenant,
        key.data_source,
        key.mode,
        key.span,
        key.content,
        row.rows,
        row.version,
        row.as_of,
        row.started_at,
        row.completed_at,
        key.keys,
        row.bad,
        row.repeated,
    )
