"""All rows of a database carried over to another one, whatever the two are: in bounded batches, each of which is there as a whole,
so that a copy that was interrupted goes on behind the last one; and checksums by which both are seen to hold the same."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    MetaData,
    Table,
    Text,
    bindparam,
    delete,
    func,
    insert,
    inspect,
    select,
    text,
    tuple_,
)

from jangbu.kernel.errors import Conflict
from jangbu.platform.database.ports import Database
from jangbu.platform.database.schema import METADATA

BATCH: Final = 1_000
"""Rows a unit of work."""

_CLAIM: Final = Table("carried_over", MetaData(), Column("source", Text, nullable=False))
"""In a database that is being filled: by which store. It is gone when all is there."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sum:
    """How many rows a table has, and the sum of their hashes, which is the same in any order."""

    rows: int
    checksum: str


def tables() -> tuple[Table, ...]:
    """Every table, those first that others refer to."""
    return tuple(METADATA.sorted_tables)


def check_known(connection: Connection) -> None:
    """Raises RuntimeError where the database has tables that nobody has declared: a context isn't imported, and its rows would stay
    behind."""
    known = {table.name for table in tables()} | {_CLAIM.name, "alembic_version"}
    if unknown := set(inspect(connection).get_table_names()) - known:
        raise RuntimeError(f"Tables that nobody declares: {', '.join(sorted(unknown))}.")


def counted(connection: Connection) -> Mapping[str, int]:
    """The rows of each table."""
    return {each.name: connection.execute(select(func.count()).select_from(each)).scalar_one() for each in tables()}


def claim(target: Database, source: str) -> None:
    """Take an empty database for the store `source`, unless it has done so before.

    Raises:
        Conflict: another store has taken it, or it holds rows.
    """
    with target.transaction() as work:
        connection = work.connection
        if inspect(connection).has_table(_CLAIM.name):
            found = connection.execute(select(_CLAIM.c.source)).scalar()
            if found not in (None, source):
                raise Conflict("Another store is being carried over to that database.", hint="Name another database.")
        if not inspect(connection).has_table(_CLAIM.name) or found is None:
            if held := {name: rows for name, rows in counted(connection).items() if rows}:
                shown = ", ".join(f"{name}: {rows:,} rows" for name, rows in held.items())
                raise Conflict(f"That database holds data already ({shown}).", hint="Name an empty database, or empty it.")
            _CLAIM.create(connection, checkfirst=True)
            connection.execute(insert(_CLAIM).values(source=source))


def release(target: Database) -> None:
    """All is there: the database is like any other."""
    with target.transaction() as work:
        _CLAIM.drop(work.connection, checkfirst=True)


def emptied(target: Database) -> None:
    """Without the rows that were copied of an earlier state. Only for a database that was claimed."""
    with target.transaction() as work:
        for table in reversed(tables()):
            work.connection.execute(delete(table))


def copy(source: Database, target: Database, table: Table, told: Callable[[int], None]) -> None:
    """Copy the rows that the target hasn't yet, and let its numbers go on where the source's would. `told` hears how many rows each
    batch had."""
    with target.reading() as connection:
        last = _last(connection, table)
    with source.reading() as connection:
        for batch in _batches(connection, table, last):
            with target.transaction() as work:
                for rows in _alike(batch):
                    work.connection.execute(insert(table), rows)
            told(len(batch))
        number = _number(connection, table)
    if number is not None:
        with target.transaction() as work:
            _go_on_after(work.connection, table, number)


def summed(database: Database, table: Table) -> Sum:
    """What the table holds, every value of every row."""
    rows, total = 0, 0
    with database.reading() as connection:
        for batch in _batches(connection, table, None):
            rows += len(batch)
            total += sum(int.from_bytes(_hash(row)) for row in batch)
    return Sum(rows, f"{total % (1 << 256):064x}")


def _batches(connection: Connection, table: Table, after: Sequence[Any] | None) -> Iterator[list[Row]]:
    """By key. A column that holds SQL's NULL isn't in its row: one of JSON tells that from its own null."""
    keys = list(table.primary_key.columns)
    absent = [column.is_(None).label(f"no {column.name}") for column in table.columns if _is_json(column)]
    query = select(*table.columns, *absent).order_by(*keys).limit(BATCH)
    while True:
        page = query if after is None else query.where(tuple_(*keys) > tuple_(*_bound(keys, after)))
        found = [dict(row._mapping) for row in connection.execute(page)]
        if found:
            yield [_present(table, row) for row in found]
            after = [found[-1][key.name] for key in keys]
        if len(found) < BATCH:
            return


def _present(table: Table, row: Row) -> Row:
    return {
        column.name: row[column.name]
        for column in table.columns
        if not (row[f"no {column.name}"] if _is_json(column) else row[column.name] is None and column.nullable)
    }


def _is_json(column: Column[Any]) -> bool:
    return isinstance(column.type, JSON)


def _bound(keys: Sequence[Column[Any]], values: Sequence[Any]) -> list[Any]:
    return [bindparam(None, value, key.type, unique=True) for key, value in zip(keys, values, strict=True)]


def _alike(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Rows with the same columns, which one statement inserts."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row), []).append(row)
    yield from groups.values()


def _last(connection: Connection, table: Table) -> Sequence[Any] | None:
    keys = list(table.primary_key.columns)
    found = connection.execute(select(*keys).order_by(*(key.desc() for key in keys)).limit(1)).one_or_none()
    return None if found is None else list(found)


def _hash(row: Row) -> bytes:
    said = json.dumps(row, sort_keys=True, ensure_ascii=True, default=_plain)
    return sha256(said.encode()).digest()


def _plain(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _number(connection: Connection, table: Table) -> int | None:
    """The last number that was given, be its row gone; None: the rows have keys of their own."""
    if not table.dialect_options["sqlite"]["autoincrement"]:
        return None
    (key,) = table.primary_key.columns
    highest = connection.execute(select(func.max(key))).scalar() or 0
    if connection.dialect.name == "sqlite":
        given = connection.execute(text("SELECT seq FROM sqlite_sequence WHERE name = :name"), {"name": table.name}).scalar()
        highest = max(highest, given or 0)
    return highest or None


def _go_on_after(connection: Connection, table: Table, number: int) -> None:
    (key,) = table.primary_key.columns
    match connection.dialect.name:
        case "postgresql":
            connection.execute(
                text("SELECT setval(pg_get_serial_sequence(:table, :key), :number)"),
                {"table": table.name, "key": key.name, "number": number},
            )
        case "sqlite":
            connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), {"name": table.name})
            given = {"name": table.name, "number": number}
            connection.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :number)"), given)
        case _:
            quoted = connection.dialect.identifier_preparer.format_table(table)
            connection.exec_driver_sql(f"ALTER TABLE {quoted} AUTO_INCREMENT = {number + 1}")
