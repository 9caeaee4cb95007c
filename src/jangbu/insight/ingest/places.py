"""Where in the database something of a tenant, or of a customer, is kept; counted and removed.

The outbox' events hold ids and versions only. A tenant's go all the same: their handlers would only find that nothing is there, and
`TenantErased` tells them.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, func, select

from jangbu.insight.catalog.contracts import DataSource
from jangbu.insight.ingest import arrow
from jangbu.insight.ingest.contracts import Person, TenantErased
from jangbu.insight.ingest.tables import data_versions, load_attempts, load_intents, loads, quarantine, spool
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.database.schema import outbox

_AT_ONCE: Final = 500
Conditions = Callable[[Connection], Iterable["ColumnElement[bool]"]]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a database table: those that meet any of the conditions, no two of which meet the same row."""

    table: Table
    conditions: Conditions

    def count(self, connection: Connection) -> int:
        found = (select(func.count()).select_from(self.table).where(each) for each in self.conditions(connection))
        return sum(connection.execute(query).scalar_one() for query in found)

    def remove(self, connection: Connection) -> int:
        return sum(connection.execute(delete(self.table).where(each)).rowcount for each in list(self.conditions(connection)))


def of_tenant(tenant: TenantId, sources: Collection[DataSource]) -> Mapping[str, Rows]:
    """The rows that are the tenant's, by the table's name."""
    own = (load_intents, loads, data_versions, load_attempts, quarantine)
    places = {table.name: Rows(table, partial(_equal, table, tenant)) for table in own}
    columns = {"tenant", *filter(None, (source.separation.column for source in sources))}

    def is_mine(row: Any) -> bool:
        return any(row.payload.get(column) == tenant for column in columns)

    return places | {
        spool.name: Rows(spool, partial(_chosen, spool, None, is_mine)),
        outbox.name: Rows(
            outbox, lambda _: [and_(outbox.c.name != TenantErased.__name__, outbox.c.payload["tenant"].as_string() == tenant)]
        ),
    }


def of_person(
    tenant: TenantId, person: Person, sources: Collection[DataSource], logs: Collection[DataSource]
) -> Mapping[str, Rows]:
    """The tenant's rows that name the person, by the table's name: spooled rows of sources and logs, rows that were set aside, and
    loads that failed and say why."""
    columns = {source.name: source.personal[person.subject].column for source in sources}
    apart = {source.name: arrow.tenant_column(source) or "" for source in (*sources, *logs)}
    names, in_logs = mentions(person.value), {source.name for source in logs}

    def is_aside(row: Any) -> bool:
        column = columns.get(row.data_source)
        return column is not None and (_text(row.payload.get(column)) == person.value or _is_bad(row, column, person.value))

    def is_spooled(row: Any) -> bool:
        if row.payload.get(apart.get(row.data_source, "")) != tenant:
            return False
        own = _text(row.payload.get(columns.get(row.data_source, ""))) == person.value
        return own or (row.data_source in in_logs and any(names(value) for value in row.payload.values()))

    def is_told(row: Any) -> bool:
        return names(row.error)

    return {
        spool.name: Rows(spool, partial(_chosen, spool, None, is_spooled)),
        quarantine.name: Rows(quarantine, partial(_chosen, quarantine, tenant, is_aside)),
        load_attempts.name: Rows(load_attempts, partial(_chosen, load_attempts, tenant, is_told)),
    }


def mentions(value: str) -> Callable[[object], bool]:
    """Whether a text has the value in it, not as a part of a longer word or number."""
    pattern = re.compile(rf"(?<!\w){re.escape(value)}(?!\w)")
    return lambda text: isinstance(text, str) and pattern.search(text) is not None


def _equal(table: Table, tenant: TenantId, _: Connection) -> Sequence["ColumnElement[bool]"]:
    return [table.c.tenant == tenant]


def _chosen(
    table: Table, tenant: TenantId | None, is_wanted: Callable[[Any], bool], connection: Connection
) -> Iterator["ColumnElement[bool]"]:
    query = select(table) if tenant is None else select(table).where(table.c.tenant == tenant)
    ids = [row.id for row in connection.execute(query) if is_wanted(row)]
    for at in range(0, len(ids), _AT_ONCE):
        yield table.c.id.in_(ids[at : at + _AT_ONCE])


def _is_bad(row: Any, column: str, value: str) -> bool:
    return bool(row.column == column and row.value == value)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
