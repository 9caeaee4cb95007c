"""A statement's whole text: its scans as leading CTEs. The separation of tenants is `texts.separation`."""

from typing import TYPE_CHECKING

from jangbu.kernel.errors import EngineError
from jangbu.platform.engines.ports import Scan, Statement
from jangbu.platform.engines.texts import identifier, separation
from jangbu.platform.lakehouse.ports import TableFiles

if TYPE_CHECKING:
    import pyarrow as pa


def whole(statement: Statement, catalog: str) -> str:
    """What is sent. There is always a WITH, after which Trino's grammar takes one query and nothing that changes anything."""
    parts = [f"{identifier(scan.name)} AS ({_relation(scan, catalog)})" for scan in statement.scans] or ['"no scan" AS (SELECT 1)']
    return f"WITH {', '.join(parts)} {statement.body}"


def _relation(scan: Scan, catalog: str) -> str:
    if scan.rows is not None:
        raise EngineError(f"The scan {scan.name!r} is of rows in memory, which Trino can't read.")
    if scan.files is None:
        raise ValueError(f"The scan {scan.name!r} has neither files nor rows.")
    predicate = separation(scan)
    shown = ", ".join(map(identifier, scan.columns))
    return f"SELECT {shown} FROM {_source(scan, scan.files, catalog)} {predicate}".rstrip()


def _source(scan: Scan, files: TableFiles, catalog: str) -> str:
    read = dict.fromkeys([*scan.columns, *([scan.tenant_column] if scan.tenant_column else [])])
    if not files.files:
        return f"(SELECT {', '.join(_null(files, column) for column in read)} WHERE FALSE)"
    if files.stored is None or files.snapshot.snapshot_id is None:
        raise EngineError(f"The scan {scan.name!r} is of files without a table, which Trino can't read.")
    table = ".".join(map(identifier, (catalog, files.stored.namespace, files.stored.name)))
    pinned = f"{table} FOR VERSION AS OF {files.snapshot.snapshot_id}"
    if not files.evolved:
        return pinned
    return f"(SELECT {', '.join(_evolved(files, column) for column in read)} FROM {pinned})"


def _evolved(files: TableFiles, column: str) -> str:
    """The column by what the pinned snapshot calls it, in the type that it has now; null where it came later."""
    id_ = files.ids[files.schema.get_field_index(column)]
    stored = files.stored.columns.get(id_) if files.stored is not None else None
    if stored is None:
        return _null(files, column)
    return f"CAST({identifier(stored)} AS {type_name(files.schema.field(column).type)}) AS {identifier(column)}"


def _null(files: TableFiles, column: str) -> str:
    return f"CAST(NULL AS {type_name(files.schema.field(column).type)}) AS {identifier(column)}"


def type_name(type_: "pa.DataType") -> str:
    import pyarrow as pa

    if pa.types.is_decimal(type_):
        return f"DECIMAL({type_.precision}, {type_.scale})"
    if pa.types.is_timestamp(type_):
        return "TIMESTAMP(6) WITH TIME ZONE" if type_.tz else "TIMESTAMP(6)"
    known = {pa.string(): "VARCHAR", pa.int64(): "BIGINT", pa.float64(): "DOUBLE", pa.bool_(): "BOOLEAN", pa.date32(): "DATE"}
    return known[type_]
