"""DuckDB inside this process: the embedded engine, locked down and bounded.

It reads Parquet below the given roots and nothing else: no other file, no other host, no change of its configuration.
The predicate that separates tenants is `texts.separation`.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from jangbu.kernel.discovery import Plugin
from jangbu.kernel.errors import EngineError, InvalidRequest, JangbuError, StorageError
from jangbu.kernel.stores import ObjectStore, is_remote
from jangbu.platform.engines.emitter import StandardEmitter, call, cast
from jangbu.platform.engines.limits import Bound, Slots, Watcher
from jangbu.platform.engines.parquet_scans import DELETED, SHOWN_FILES, listed, source, type_name
from jangbu.platform.engines.ports import CancelToken, Capabilities, Engine, Scan, Statement
from jangbu.platform.engines.remote import check_sources, open_store, unreachable
from jangbu.platform.engines.spill import SpillFolder
from jangbu.platform.engines.texts import identifier, quoted, separation

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from sqlglot import exp

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
    capabilities = Capabilities(dialect="duckdb", finishes=True, interrupts=True, memory=True, foreign=True)

    def __init__(
        self, connection: "duckdb.DuckDBPyConnection", spill: SpillFolder, *, running: int, waiting: int, remote: bool
    ) -> None:
        self.emitter = DuckDBEmitter()
        self._connection = connection
        self._remote = remote
        self._spill = spill
        self._slots = Slots(running, waiting)
        self._watcher = Watcher("duckdb-watcher")

    def render(self, tree: "exp.Expr") -> str:
        return tree.sql(dialect="duckdb", identify=True, comments=False, copy=False)

    def sql(self, statement: Statement) -> str:
        sources = {scan.name: _shown(scan) for scan in statement.scans}
        return _whole(statement, sources)

    def run(self, statement: Statement, *, timeout: float, cancel: CancelToken | None = None) -> "pa.Table":
        registered = {scan.name: f"jangbu_{uuid4().hex}" for scan in statement.scans}
        text = _whole(statement, {scan.name: source(scan, registered[scan.name]) for scan in statement.scans})
        bound = Bound.of(timeout, cancel)
        with self._slots.take(bound), self._cursor() as cursor:
            for scan in statement.scans:
                if (rows := _in_memory(scan)) is not None:
                    cursor.register(registered[scan.name], rows)
            if self._remote:
                self._check(cursor, statement)
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

    def _check(self, cursor: "duckdb.DuckDBPyConnection", statement: Statement) -> None:
        import duckdb

        try:
            check_sources(cursor, statement.body, {scan.name for scan in statement.scans})
        except duckdb.Error as error:
            raise _translated(error) from error

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
    outside: Sequence[str | Path] = (),
    memory_mb: int | None = None,
    spill_mb: int = 20_000,
    threads: int | None = None,
    running: int = 4,
    waiting: int = 32,
    store: ObjectStore | None = None,
) -> Engine:
    """A DuckDB that may read below `roots`, folders or `s3://bucket/prefix` (reached as `store` says), and spill below `spill` (a
    subfolder of its own there, removed at the end or, where the process was killed, by the next one).

    Files below `outside` are others', which may put other ones in their place: it reads them too, and then looks at each file's
    time before it trusts what it has kept of it.

    `memory_mb` is 60 % of the machine's by default, `threads` its cores; `running` statements go at once, `waiting` more queue.
    """
    import duckdb

    places = [_place(root) for root in (*roots, *outside)]
    buckets = [place for place in places if is_remote(place)]
    own = SpillFolder.below(Path(spill).absolute(), "duckdb-")
    connection = duckdb.connect(":memory:")
    limits = _limits(own.path, memory_mb or _most_memory_mb(), spill_mb, threads or os.cpu_count() or 1)
    try:
        _set(connection, limits)
        if buckets:
            open_store(connection, buckets, store or ObjectStore())
        _set(connection, _locks(places, others=bool(outside)))
    except BaseException:
        connection.close()
        own.remove()
        raise
    return DuckDBEngine(connection, own, running=running, waiting=waiting, remote=bool(buckets))


def _place(root: str | Path) -> str:
    return f"{root}".rstrip("/") + "/" if is_remote(root) else f"{Path(root).absolute()}/"


def _set(connection: "duckdb.DuckDBPyConnection", settings: Iterator[tuple[str, str]]) -> None:
    for setting, value in settings:
        connection.execute(f"SET GLOBAL {setting} = {value}")


def _limits(spill: Path, memory_mb: int, spill_mb: int, threads: int) -> Iterator[tuple[str, str]]:
    yield "TimeZone", "'UTC'"
    yield "memory_limit", f"'{memory_mb}MB'"
    yield "threads", str(threads)
    yield "temp_directory", quoted(str(spill))
    yield "max_temp_directory_size", f"'{spill_mb}MB'"
    yield "autoinstall_known_extensions", "false"
    yield "autoload_known_extensions", "false"
    yield "allow_community_extensions", "false"
    yield "allow_persistent_secrets", "false"
    yield "python_enable_replacements", "false"


def _locks(places: Sequence[str], *, others: bool) -> Iterator[tuple[str, str]]:
    """In this order: external access goes last but for the lock."""
    # Our data files never change, so what was read of one stays true: 200 warm files take 14 ms, not 22.
    yield "parquet_metadata_cache", "true"
    yield "validate_external_file_cache", "'VALIDATE_ALL'" if others else "'NO_VALIDATION'"
    yield "allowed_directories", listed(places)
    yield "enable_external_access", "false"
    yield "lock_configuration", "true"


def _most_memory_mb() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 6 // 10 // 1_000_000


def _whole(statement: Statement, sources: Mapping[str, str]) -> str:
    if not statement.scans:
        return statement.body
    parts = (f"{identifier(scan.name)} AS NOT MATERIALIZED ({_relation(scan, sources[scan.name])})" for scan in statement.scans)
    return f"WITH {', '.join(parts)} {statement.body}"


def _relation(scan: Scan, files: str) -> str:
    return " ".join(("SELECT", ", ".join(map(identifier, scan.columns)), "FROM", _cast(scan, files), separation(scan))).rstrip()


def _cast(scan: Scan, files: str) -> str:
    """The source with those columns converted that its files store as another type. The predicate sees what they became."""
    foreign = scan.files.foreign if scan.files is not None and scan.files.files else None
    if scan.files is None or foreign is None or not foreign.casts:
        return files
    types = {field.name: type_name(field.type) for field in scan.files.schema if field.name in foreign.casts}
    read = dict.fromkeys([*scan.columns, *([scan.tenant_column] if scan.tenant_column else [])])
    columns = (
        f"CAST({identifier(name)} AS {types[name]}) AS {identifier(name)}" if name in types else identifier(name) for name in read
    )
    return f"(SELECT {', '.join(columns)} FROM {files})"


def _shown(scan: Scan) -> str:
    return source(scan, DELETED if scan.rows is None else scan.name, shown=SHOWN_FILES)


def _in_memory(scan: Scan) -> "pa.Table | None":
    """What the scan reads of this process' memory: its rows, or which rows of its files are deleted."""
    if scan.rows is not None or scan.files is None or scan.files.deleted is None:
        return scan.rows
    return scan.files.deleted.read()


def _only_select(cursor: "duckdb.DuckDBPyConnection", text: str) -> "duckdb.Statement":
    import duckdb

    statements = cursor.extract_statements(text)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise EngineError("A statement is one SELECT; this one isn't.")
    return statements[0]


_DATA_FILE = re.compile(r"""['"][^'"]*?([^/'"]+\.parquet)['"]""")
"""How DuckDB names a file that it can't read."""


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
    if (ours := unreachable(error)) is not None:
        return ours
    if not isinstance(error, duckdb.PermissionException) and (file := _DATA_FILE.search(message)):
        return StorageError(
            f"The data file {file[1]!r} is gone, torn or was damaged.",
            value=file[1],
            hint="`jangbu tables verify` tells of which table it is.",
        )
    if isinstance(error, duckdb.IOException):
        return EngineError("DuckDB couldn't read a data file.")
    hint = "Where it goes on, `jangbu tables verify` tells whether a stored file is damaged."
    return EngineError(f"DuckDB failed ({type(error).__name__}).", hint=hint)


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
