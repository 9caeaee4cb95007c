"""Spark's SQL of what is done to tables. Names and texts are quoted here; columns and tables come from our own catalog."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.maintenance import Alike, Area, Filling, Joining, Name, Question, Staying
from jangbu.platform.lakehouse.ports import TableColumn, TimeRange, Within

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TYPES: Mapping[FieldType, str] = {
    FieldType.TEXT: "STRING",
    FieldType.INTEGER: "BIGINT",
    FieldType.DOUBLE: "DOUBLE",
    FieldType.BOOLEAN: "BOOLEAN",
    FieldType.DATE: "DATE",
    FieldType.INSTANT: "TIMESTAMP",
    FieldType.LOCAL: "TIMESTAMP_NTZ",
}


def identifier(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def table_of(catalog: str, name: Name) -> str:
    return ".".join(map(identifier, (catalog, *name)))


def type_of(column: TableColumn) -> str:
    return f"DECIMAL({column.precision}, {column.scale})" if column.type is FieldType.DECIMAL else _TYPES[column.type]


def joining(catalog: str, table: Name, how: Joining) -> str:
    options = {
        "min-input-files": how.enough,
        "min-file-size-bytes": how.small_bytes,
        "target-file-size-bytes": how.target_bytes,
        "max-file-size-bytes": how.target_bytes * 2,
        "delete-file-threshold": 1,
        "remove-dangling-deletes": "true",
        "partial-progress.enabled": "true",
    }
    arguments = {"strategy": quoted("sort" if how.is_sorted else "binpack"), "options": _map(options)}
    return _call(catalog, "rewrite_data_files", table, arguments)


def joining_deletes(catalog: str, table: Name) -> str:
    return _call(catalog, "rewrite_position_delete_files", table, {"options": _map({"rewrite-all": "true"})})


def joining_manifests(catalog: str, table: Name) -> str:
    return _call(catalog, "rewrite_manifests", table, {"use_caching": "false"})


def forgetting(catalog: str, table: Name, snapshots: Sequence[int]) -> str:
    """Only these: without `older_than` those of five days ago would go, too."""
    arguments = {
        "snapshot_ids": f"array({', '.join(f'{each}L' for each in snapshots)})",
        "older_than": "TIMESTAMP '1970-01-01 00:00:00'",
        "stream_results": "true",
    }
    return _call(catalog, "expire_snapshots", table, arguments)


def finding_orphans(catalog: str, table: Name, before: datetime, *, by_prefix: bool) -> str:
    arguments = {"older_than": _moment(before), "dry_run": "true", **({"prefix_listing": "true"} if by_prefix else {})}
    return _call(catalog, "remove_orphan_files", table, arguments)


def looking(catalog: str, question: Question) -> str:
    source, keys = table_of(catalog, question.source), [identifier(key) for key in question.keys]
    columns = ["count(*) AS rows"]
    if (time := question.time) is not None:
        micros = _micros(identifier(time.name), time.type)
        columns += [f"count_if({identifier(time.name)} IS NULL) AS timeless", f"min({micros}) AS first", f"max({micros}) AS last"]
    if keys:
        columns.append(f"count_if({' OR '.join(f'{key} IS NULL' for key in keys)}) AS keyless")
        twice = f"SELECT 1 FROM {source} GROUP BY {', '.join(keys)} HAVING count(*) > 1"
        columns.append(f"(SELECT count(*) FROM ({twice})) AS repeated")
    return f"SELECT {', '.join(columns)} FROM {source}"


def filling(catalog: str, what: Filling) -> str:
    parts = list(_parts(catalog, what))
    return f"INSERT INTO {table_of(catalog, what.into)} {' UNION ALL '.join(parts)}"


def _parts(catalog: str, what: Filling) -> Iterator[str]:
    names = ", ".join(identifier(column.name) for column in what.columns)
    if what.source is not None:
        yield f"SELECT {names} FROM ({_source(catalog, what)}) AS source"
    if what.staying is not None:
        yield f"SELECT {names} FROM {_staying(catalog, what, what.staying)}"


def _source(catalog: str, what: Filling) -> str:
    """The new rows in the table's columns. A cast that would lose something fails, as the server keeps to ANSI's rules."""
    shown = (
        f"CAST({quoted(what.constants[column.name]) if column.name in what.constants else identifier(column.name)}"
        f" AS {type_of(column)}) AS {identifier(column.name)}"
        for column in what.columns
    )
    return f"SELECT {', '.join(shown)} FROM {table_of(catalog, what.source or ('', ''))}"


def _staying(catalog: str, what: Filling, staying: Staying) -> str:
    rows = f"{_version(catalog, what, staying)} AS held"
    within = " AND ".join(_area(catalog, staying.area)) or "TRUE"
    match staying.drop:
        case Within():
            return f"{rows} WHERE {within} AND NOT coalesce({_dropped(staying.drop, staying.area)}, FALSE)"
        case Alike(tenant, keys):
            column = staying.area.tenant_column
            same = [f"held.{identifier(key)} = source.{identifier(key)}" for key in keys]
            if column is not None and tenant is not None:
                same.append(f"held.{identifier(column)} = {quoted(tenant)}")
            # Filtered within, as nothing of the right side can be named behind an anti join.
            held = f"(SELECT * FROM {rows} WHERE {within}) AS held"
            return f"{held} LEFT ANTI JOIN ({_source(catalog, what)}) AS source ON {' AND '.join(same)}"


def _version(catalog: str, what: Filling, staying: Staying) -> str:
    """The snapshot, which is read by its own schema, in the table's columns of today."""
    pinned = f"{table_of(catalog, staying.table)} VERSION AS OF {staying.snapshot_id}"
    if staying.renamed is None:
        return pinned
    found = [(column, staying.renamed[column.name]) for column in what.columns]
    shown = [
        f"CAST({identifier(old) if old is not None else 'NULL'} AS {type_of(column)}) AS {identifier(column.name)}"
        for column, old in found
    ]
    return f"(SELECT {', '.join(shown)} FROM {pinned})"


def _area(catalog: str, which: Area) -> Iterator[str]:
    """Conditions on the columns that partitions are of; Iceberg leaves the other partitions unread by them."""
    if which.buckets is not None and which.tenant_column is not None:
        bucket = f"{identifier(catalog)}.system.bucket({which.bucket_count}, held.{identifier(which.tenant_column)})"
        yield f"{bucket} IN ({', '.join(map(str, which.buckets)) or 'NULL'})"
    if which.months is not None and which.time is not None:
        time, type_ = f"held.{identifier(which.time.name)}", which.time.type
        parts = [f"({time} >= {_literal(first, type_)} AND {time} < {_literal(end, type_)})" for first, end in which.months]
        yield f"({' OR '.join([*parts, *([f'{time} IS NULL'] if which.timeless else [])]) or 'FALSE'})"


def _dropped(drop: Within, where: Area) -> str:
    parts: list[str] = []
    if drop.tenant is not None and where.tenant_column is not None:
        parts.append(f"held.{identifier(where.tenant_column)} = {quoted(drop.tenant)}")
    if drop.span is not None and where.time is not None:
        parts.append(_in_span(f"held.{identifier(where.time.name)}", drop.span))
    return " AND ".join(parts) or "TRUE"


def _in_span(column: str, span: TimeRange) -> str:
    return f"({column} >= {_moment(span.start)} AND {column} < {_moment(span.end)})"


def _moment(time: datetime) -> str:
    if time.tzinfo is None:
        return f"TIMESTAMP_NTZ '{time.isoformat(sep=' ', timespec='microseconds')}'"
    return f"TIMESTAMP_LTZ '{time.astimezone(UTC).replace(tzinfo=None).isoformat(sep=' ', timespec='microseconds')}Z'"


def _micros(column: str, type_: FieldType) -> str:
    match type_:
        case FieldType.DATE:
            return f"CAST(unix_date({column}) AS BIGINT) * 86400000000"
        case FieldType.LOCAL:
            return f"unix_micros(CAST({column} AS TIMESTAMP))"
    return f"unix_micros({column})"


def _call(catalog: str, procedure: str, table: Name, arguments: Mapping[str, str]) -> str:
    given = {"table": quoted(table_of(catalog, table)), **arguments}
    return f"CALL {identifier(catalog)}.system.{procedure}({', '.join(f'{name} => {value}' for name, value in given.items())})"


def _map(options: Mapping[str, object]) -> str:
    return f"map({', '.join(f'{quoted(name)}, {quoted(str(value))}' for name, value in options.items())})"


def _literal(micros: int, type_: FieldType) -> str:
    """Micros since 1970 as a constant of the type."""
    moment = _EPOCH + timedelta(microseconds=micros)
    if type_ is FieldType.DATE:
        return f"DATE '{moment.date().isoformat()}'"
    return _moment(moment if type_ is FieldType.INSTANT else moment.replace(tzinfo=None))
