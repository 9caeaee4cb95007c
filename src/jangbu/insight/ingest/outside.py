"""Versions of data that others write: one number for each change that was seen, from the counters that loads count by.

Two contents never share a version: a number is above every one that a load or a look has given to the data source, and stays
with the state that it was given to.
"""

from datetime import datetime

from sqlalchemy import Connection, func, insert, select, update

from jangbu.insight.ingest.contracts import DataVersion, TenantDataUpdated
from jangbu.insight.ingest.tables import data_versions, outside_versions
from jangbu.platform.database.ports import Database, UnitOfWork


def version_of(database: Database, data_source: str, place: str, fingerprint: str, as_of: datetime) -> DataVersion:
    """The version of the rows at `place` in the state that `fingerprint` tells; a new one where another state was seen last."""
    with database.reading() as connection:
        known = _last(connection, data_source, place)
    if known is not None and known[0] == fingerprint:
        return known[1]
    with database.transaction() as work:
        return _allocated(work, data_source, place, fingerprint, as_of)


def _allocated(work: UnitOfWork, data_source: str, place: str, fingerprint: str, as_of: datetime) -> DataVersion:
    known = _last(work.connection, data_source, place)
    if known is not None and known[0] == fingerprint:
        return known[1]
    version = DataVersion(None, data_source, _highest(work.connection, data_source) + 1, as_of)
    values = {"fingerprint": fingerprint, "version": version.version, "as_of": as_of}
    key = {"data_source": data_source, "place": place}
    if known is None:
        work.connection.execute(insert(outside_versions).values(**key, **values))
    else:
        mine = (outside_versions.c.data_source == data_source, outside_versions.c.place == place)
        work.connection.execute(update(outside_versions).where(*mine).values(**values))
    work.emit(TenantDataUpdated(None, data_source, version.version))
    return version


def _last(connection: Connection, data_source: str, place: str) -> tuple[str, DataVersion] | None:
    mine = (outside_versions.c.data_source == data_source, outside_versions.c.place == place)
    row = connection.execute(select(outside_versions).where(*mine)).one_or_none()
    return None if row is None else (row.fingerprint, DataVersion(None, data_source, row.version, row.as_of))


def _highest(connection: Connection, data_source: str) -> int:
    """Of all that was ever given, whoever's."""
    tables = (data_versions, outside_versions)
    found = (select(func.max(table.c.version)).where(table.c.data_source == data_source) for table in tables)
    return max(connection.execute(query).scalar() or 0 for query in found)


def highest_outside(connection: Connection, data_sources: set[str]) -> dict[str, int]:
    """The highest version that a look gave, for data sources that were ever bound outside."""
    query = select(outside_versions.c.data_source, func.max(outside_versions.c.version)).group_by(outside_versions.c.data_source)
    rows = connection.execute(query.where(outside_versions.c.data_source.in_(data_sources)))
    return {row[0]: row[1] for row in rows}
