"""DuckDB inside this process: the embedded engine, locked down and bounded.

It reads Parquet below the given roots and nothing else: no other file, no network, no extension, no change of its configuration.
The predicate that separates tenants is added here, in `_predicate`, and nowhere else.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from jangbu.kernel.discovery import Plugin
from jangbu.kernel.errors import EngineError, InvalidRequest, JangbuError
from jangbu.platform.engines.emitter import StandardEmitter, call, cast
from jangbu.platform.engines.limits import Bound, Slots, Watcher
from jangbu.platform.engines.ports import CancelToken, Capabilities, Engine, Scan, Statement
from jangbu.platform.engines.spill import SpillFolder

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from sqlglot import exp

SHOWN_FILES = 2
"""Files of a scan that `sql` names; the rest are counted."""

_RE2_ERRORS = (
    "invalid escape sequence", "invalid character class", "missing ]", "missing )", "unexpected )", "trailing \\",
    "no argument for repetition operator", "invalid repetition size", "bad repetition operator", "invalid perl operator",
    "invalid UTF-8", "invalid named capture group", "pattern too large",
)  # fmt: skip


class DuckDBEmitter(StandardEmitter):
    """DuckDB's few differences."""

    def floor_micros(self, micros: "exp.Expr", width: int) -> "exp.Expr":
        # `//` truncates toward zero. One division takes 0.85 of the time of the standard's two remainders.
        from sqlglot import exp

        below = exp.Case().when(exp.paren(micros.copy()) < 0, exp.Literal.number(width - 1)).else_(exp.Literal.number(0))
        shifted = exp.paren(exp.Sub(this=exp.paren(micros, copy=False), expression=below), copy=False)
        units = exp.paren(exp.IntDiv(this=shifted, expression=exp.Literal.number(width)), copy=False)
        return exp.paren(exp.Mul(this=units, expression=exp.Literal.number(width)), copy=False)

    def instant_of(self, micros: "exp.Expr") -> "exp.Expr":
        return call("make_timestamptz", micros)

    def truncate_date(self, day: "exp.Expr", unit: str) -> "exp.Expr":
        # Arithmetic on the DATE: date_trunc goes by a timestamp and back, three times as slow for a month.
        from sqlglot import exp

        first = exp.Literal.number(1)
        match unit:
            case "week":
                return self._days_before(day, exp.Sub(this=call("isodow", day.copy()), expression=first))
            case "sunday_week":
                return self._days_before(day, call("dayofweek", day.copy()))
            case "month":
                return self._days_before(day, exp.Sub(this=call("day", day.copy()), expression=first))
            case "quarter":
                return call("make_date", call("year", day.copy()), call("quarter", day) * 3 - 2, first)
            case "year":
                return call("make_date", call("year", day), first, first.copy())
        return super().truncate_date(day, unit)

    def _days_before(self, day: "exp.Expr", days: "exp.Expr") -> "exp.Expr":
        from sqlglot import exp

        return exp.paren(exp.Sub(this=exp.paren(day, copy=False), expression=cast(days, "int")), copy=False)


class DuckDBEngine:
    """One in-memory instance; each statement runs on a cursor of its own, so an interrupt hits that statement only."""

    name = "duckdb"
    capabilities = Capabilities(dialect="duckdb", finishes=True, interrupts=True, memory=True)

    def __init__(self, connection: "duckdb.DuckDBPyConnection", spill: SpillFolder, *, running: int, waiting: int) -> None:
        self.emitter = DuckDBEmitter()
        self._connection = connection
        self._spill = spill
        self._slots = Slots(running, waiting)
        self._watcher = Watcher("duckdb-watcher")

    def render(self, tree: "exp.Expr") -> str:
        return tree.sql(dialect="duckdb", identify=True, comments=False, copy=False)

    def sql(self, statement: Statement) -> str:
        return _whole(statement, {scan.name: _source(scan, scan.name, shown=SHOWN_FILES) for scan in statement.scans})

    def run(self, statement: Statement, *, timeout: float, cancel: CancelToken | None = None) -> "pa.Table":
        registered = {scan.name: f"jangbu_{uuid4().hex}" for scan in statement.scans if scan.rows is not None}
        sources = {scan.name: _source(scan, registered.get(scan.name, scan.name)) for scan in statement.scans}
        text = _whole(statement, sources)
        bound = Bound.of(timeout, cancel)
        with self._slots.take(bound), self._cursor() as cursor:
            for scan in statement.scans:
                if scan.rows is not None:
                    cursor.register(registered[scan.name], scan.rows)
            return self._execute(cursor, text, bound)

    def close(self) -> None:
        self._watcher.close()
        self._connection.close()
        self._spill.remove()

    @contextmanager
    def _cursor(self) -> "Iterator[duckdb.DuckDBPyConnection]":
        cursor = self._connection.cursor()
        try:
            yield cursor
        finally:
            # Closing drops what was registered, too: views of Arrow tables belong to their cursor.
            cursor.close()

    def _execute(self, cursor: "duckdb.DuckDBPyConnection", text: str, bound: Bound) -> "pa.Table":
        import duckdb

        with self._watcher.watch(cursor.interrupt, bound) as watch:
            try:
                return cursor.execute(_only_select(cursor, text)).to_arrow_table()
            except (duckdb.Error, RuntimeError) as error:
                raise (watch.error or _translated(error)) from error


def open_engine(
    *,
    roots: Sequence[str | Path],
    spill: str | Path,
    memory_mb: int | None = None,
    spill_mb: int = 20_000,
    threads: int | None = None,
    running: int = 4,
    waiting: int = 32,
) -> Engine:
    """A DuckDB that may read below `roots` and spill below `spill` (a subfolder of its own there, removed at the end or,
    where the process was killed, by the next one).

    `memory_mb` is 60 % of the machine's by default, `threads` its cores; `running` statements go at once, `waiting` more queue.
    """
    import duckdb

    own = SpillFolder.below(Path(spill).absolute(), "duckdb-")
    connection = duckdb.connect(":memory:")
    for setting, value in _settings(roots, own.path, memory_mb or _most_memory_mb(), spill_mb, threads or os.cpu_count() or 1):
        connection.execute(f"SET GLOBAL {setting} = {value}")
    return DuckDBEngine(connection, own, running=running, waiting=waiting)


def _settings(roots: Sequence[str | Path], spill: Path, memory_mb: int, spill_mb: int, threads: int) -> Iterator[tuple[str, str]]:
    """In this order: external access goes last but for the lock."""
    yield "TimeZone", "'UTC'"
    yield "memory_limit", f"'{memory_mb}MB'"
    yield "threads", str(threads)
    yield "temp_directory", _quoted(str(spill))
    yield "max_temp_directory_size", f"'{spill_mb}MB'"
    yield "autoinstall_known_extensions", "false"
    yield "autoload_known_extensions", "false"
    yield "allow_community_extensions", "false"
    yield "allow_persistent_secrets", "false"
    yield "python_enable_replacements", "false"
    # Data files never change, so what was read of one stays true: 200 warm files take 14 ms, not 22.
    yield "parquet_metadata_cache", "true"
    yield "validate_external_file_cache", "'NO_VALIDATION'"
    yield "allowed_directories", _listed(str(Path(root).absolute()) + "/" for root in roots)
    yield "enable_external_access", "false"
    yield "lock_configuration", "true"


def _most_memory_mb() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 6 // 10 // 1_000_000


def _whole(statement: Statement, sources: Mapping[str, str]) -> str:
    if not statement.scans:
        return statement.body
    parts = (f"{_name(scan.name)} AS NOT MATERIALIZED ({_relation(scan, sources[scan.name])})" for scan in statement.scans)
    return f"WITH {', '.join(parts)} {statement.body}"


def _relation(scan: Scan, source: str) -> str:
    return " ".join(("SELECT", ", ".join(map(_name, scan.columns)), "FROM", source, _predicate(scan))).rstrip()


def _predicate(scan: Scan) -> str:
    """The separation of tenants. A scan that names only half of it is a mistake of ours and is never run."""
    if (scan.tenant_column is None) != (scan.tenants is None) or scan.tenants == ():
        raise ValueError(f"The scan {scan.name!r} must name a tenant column and at least one tenant, or be shared.")
    if scan.tenant_column is None:
        return ""
    return f"WHERE {_name(scan.tenant_column)} IN ({', '.join(map(_quoted, scan.tenants or ()))})"


def _source(scan: Scan, registered: str, shown: int | None = None) -> str:
    if scan.rows is not None:
        return _name(registered)
    if scan.files is None:
        raise ValueError(f"The scan {scan.name!r} has neither files nor rows.")
    if not scan.files.files:
        return _nothing(scan.files.schema)
    paths = [file.path for file in scan.files.files]
    if shown is not None and len(paths) > shown:
        named = ", ".join(_quoted(path) for path in paths[:shown])
        return f"read_parquet([{named} /* and {len(paths) - shown} more */], hive_partitioning = false)"
    return f"read_parquet({_listed(paths)}, hive_partitioning = false)"


def _nothing(schema: "pa.Schema") -> str:
    columns = ", ".join(f"CAST(NULL AS {_type(field.type)}) AS {_name(field.name)}" for field in schema)
    return f"(SELECT {columns} WHERE FALSE)"


def _type(type_: "pa.DataType") -> str:
    import pyarrow as pa

    if pa.types.is_decimal(type_):
        return f"DECIMAL({type_.precision}, {type_.scale})"
    if pa.types.is_timestamp(type_):
        return "TIMESTAMPTZ" if type_.tz else "TIMESTAMP"
    known = {pa.string(): "VARCHAR", pa.int64(): "BIGINT", pa.float64(): "DOUBLE", pa.bool_(): "BOOLEAN", pa.date32(): "DATE"}
    return known[type_]


def _name(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _listed(values: Iterator[str] | Sequence[str]) -> str:
    return f"[{', '.join(map(_quoted, values))}]"


def _only_select(cursor: "duckdb.DuckDBPyConnection", text: str) -> "duckdb.Statement":
    import duckdb

    statements = cursor.extract_statements(text)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise EngineError("A statement is one SELECT; this one isn't.")
    return statements[0]


def _translated(error: Exception) -> JangbuError:
    """Ours for DuckDB's. Its text isn't repeated, as it may hold paths, or values of rows that the asker doesn't hold."""
    import duckdb

    message = str(error)
    if isinstance(error, duckdb.InvalidInputException) and (reason := next((r for r in _RE2_ERRORS if r in message), None)):
        return InvalidRequest(f"The pattern isn't a regular expression of RE2: {reason}.")
    if isinstance(error, duckdb.ConversionException):
        return InvalidRequest("A value can't be converted to the type that the question needs.")
    if isinstance(error, duckdb.OutOfRangeException):
        return InvalidRequest("A number is outside the range of its type.")
    if isinstance(error, duckdb.OutOfMemoryException):
        return EngineError("DuckDB needs more memory than it may have.", hint="Ask for a shorter range or fewer dimensions.")
    if isinstance(error, duckdb.IOException):
        return EngineError("DuckDB couldn't read a data file.")
    return EngineError(f"DuckDB failed ({type(error).__name__}).")


_FIELDS: Mapping[str, Any] = MappingProxyType(
    {
        "memory_mb": {"type": "integer", "minimum": 100, "description": "Megabytes it may use; 60 % of the machine's by default."},
        "spill_mb": {"type": "integer", "minimum": 0, "default": 20_000, "description": "Megabytes it may spill to disk."},
        "threads": {"type": "integer", "minimum": 1, "description": "Threads it may use; the cores by default."},
        "running": {"type": "integer", "minimum": 1, "default": 4, "description": "Statements that run at once."},
        "waiting": {"type": "integer", "minimum": 0, "default": 32, "description": "Statements that may wait for a slot."},
    }
)

PLUGIN = Plugin(
    kind="engine",
    name="duckdb",
    summary="DuckDB inside the process: reads the lakehouse's Parquet files, needs no server.",
    open=open_engine,
    fields=_FIELDS,
    requires=("duckdb",),
)
