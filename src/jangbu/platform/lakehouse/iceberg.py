"""The lakehouse as Iceberg tables, through PyIceberg's SqlCatalog: SQLite and a local folder by default.

The catalog may be shared by several processes. Every table is ours alone: each change goes through `append` and `replace`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from jangbu.kernel.discovery import Plugin
from jangbu.kernel.errors import Conflict, NotFound, Unavailable, unknown_name
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.lakehouse.ports import Lakehouse, Snapshot, Staged, TableFiles, TableSpec, TimeRange

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.table import Table

    from jangbu.platform.lakehouse.tables.layout import Layout

NAMESPACE = "jangbu"
CATALOG = "jangbu"
BUSY_TIMEOUT = 30
"""Seconds that a process waits for another's write to the SQLite catalog."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_KEPT_METADATA = 64
_TRIES = 5

_PROPERTIES: Mapping[str, str] = MappingProxyType(
    {
        "write.parquet.compression-codec": "zstd",
        "write.parquet.row-group-limit": "122880",
        "write.metadata.previous-versions-max": "5",
        "write.metadata.delete-after-commit.enabled": "true",
        "commit.manifest-merge.enabled": "true",
        "commit.retry.num-retries": "8",
        "commit.retry.min-wait-ms": "20",
        "commit.retry.max-wait-ms": "1000",
    }
)
"""An append costs 10 times as much after 300 commits without the merge of manifests and with all old metadata kept."""


class IcebergLakehouse:
    """See `Lakehouse`. Safe between threads; what has been read of immutable files is kept."""

    def __init__(self, catalog: "SqlCatalog", root: str) -> None:
        from jangbu.platform.lakehouse.tables.planning import Planner

        self._catalog = catalog
        self._root = root
        self._planner = Planner()
        self._loaded = lru_cache(_KEPT_METADATA)(self._load)

    def create(self, spec: TableSpec) -> None:
        from pyiceberg.exceptions import TableAlreadyExistsError

        from jangbu.platform.lakehouse.tables import layout

        if not _NAME.fullmatch(spec.name):
            raise ValueError(f"{spec.name!r} can't be a table's name: use a-z, 0-9 and '_', beginning with a letter.")
        schema = layout.iceberg_schema(spec)
        if spec.name not in self.tables():
            full = {f"write.metadata.metrics.column.{spec.tenant_column}": "full"} if spec.tenant_column else {}
            try:
                self._catalog.create_table(
                    (NAMESPACE, spec.name),
                    schema,
                    partition_spec=layout.partition_spec(spec, schema),
                    sort_order=layout.sort_order(spec, schema),
                    properties={**_PROPERTIES, **full},
                )
            except TableAlreadyExistsError:
                pass
            else:
                return
        _check_same(spec, layout.layout_of(self._table(spec.name)))

    def tables(self) -> tuple[str, ...]:
        return tuple(sorted(identifier[-1] for identifier in self._catalog.list_tables(NAMESPACE)))

    def stage(self, table: str, batches: "Iterable[pa.RecordBatch] | pa.Table", run: str) -> Staged:
        import pyarrow as pa

        from jangbu.platform.lakehouse.tables.casting import cast_rows
        from jangbu.platform.lakehouse.tables.writing import FileWriter

        writer = FileWriter(self._table(table))
        if isinstance(batches, pa.Table):
            # An empty table has no batches whose columns would be looked at.
            cast_rows(batches.slice(0, 0), writer.layout, table)
            batches = batches.to_batches()
        rows = writer.write(batches)
        return Staged(table, run, rows, tuple(writer.files))

    def append(self, staged: Staged) -> Snapshot:
        from jangbu.platform.lakehouse.tables import commits

        return self._commit(staged, lambda table: commits.append(table, _files(staged), staged.run))

    def replace(self, staged: Staged, tenant: TenantId | None, span: TimeRange | None) -> Snapshot:
        from jangbu.platform.lakehouse.tables import commits
        from jangbu.platform.lakehouse.tables.layout import layout_of
        from jangbu.platform.lakehouse.tables.spans import span_of

        layout = layout_of(self._table(staged.table))
        if (tenant is None) != (layout.tenant is None):
            raise ValueError(f"The table {staged.table!r} is {'shared' if layout.tenant is None else 'of tenants'}: {tenant!r}.")
        within = span_of(span, layout, staged.table) if span is not None else None
        return self._commit(staged, lambda table: commits.replace(table, _files(staged), staged.run, tenant, within))

    def give_up(self, table: str, run: str, attempt: str) -> bool:
        from jangbu.platform.lakehouse.tables import commits
        from jangbu.platform.lakehouse.tables.guard import AlreadyCommitted

        try:
            self._change(Staged(table, run, 0, (), attempt), lambda loaded: commits.give_up(loaded, attempt))
        except AlreadyCommitted:
            return False
        except Conflict:
            return True  # it was given up before
        return True

    def discard(self, staged: Staged) -> None:
        """Raises Conflict where the run was committed: its files belong to snapshots."""
        from jangbu.platform.lakehouse.tables.writing import remove_files

        if self.find_run(staged.table, staged.run) is not None:
            raise Conflict(
                f"The run {staged.run!r} was committed to {staged.table!r}; its files can't be discarded.", value=staged.run
            )
        remove_files(self._table(staged.table), (file.file_path for file in _files(staged)))

    def find_run(self, table: str, run: str) -> Snapshot | None:
        from jangbu.platform.lakehouse.tables.guard import MARKER, last_with

        loaded = self._table(table)
        found = last_with(loaded, MARKER, run)
        return None if found is None else Snapshot(table, loaded.metadata_location, found.snapshot_id)

    def current(self, table: str) -> Snapshot:
        return _snapshot(self._table(table), table)

    def files(self, snapshot: Snapshot, tenants: tuple[TenantId, ...] | None, span: TimeRange | None) -> TableFiles:
        from jangbu.platform.lakehouse.tables.layout import layout_of
        from jangbu.platform.lakehouse.tables.spans import span_of

        table = self._table_with(snapshot)
        layout = layout_of(table)
        within = span_of(span, layout, snapshot.table) if span is not None else None
        if snapshot.snapshot_id is None:
            return TableFiles(snapshot, (), layout.arrow, layout.tenant)
        found = self._planner.files(table, layout, snapshot.snapshot_id, tenants, within)
        return TableFiles(snapshot, found, layout.arrow, layout.tenant)

    def root(self) -> str:
        return self._root

    def close(self) -> None:
        self._catalog.close()

    def _commit(self, staged: Staged, change: "Callable[[Table], Table]") -> Snapshot:
        from jangbu.platform.lakehouse.tables.commits import remove_unused
        from jangbu.platform.lakehouse.tables.guard import AlreadyCommitted

        try:
            return _snapshot(self._change(staged, change), staged.table)
        except AlreadyCommitted as committed:
            remove_unused(committed, _files(staged))
            return Snapshot(staged.table, committed.table.metadata_location, committed.snapshot.snapshot_id)

    def _change(self, staged: Staged, change: "Callable[[Table], Table]") -> "Table":
        from jangbu.platform.lakehouse.tables.commits import with_retries
        from jangbu.platform.lakehouse.tables.guard import GuardedTable

        def attempt() -> "Table":
            return change(GuardedTable(self._catalog.load_table((NAMESPACE, staged.table)), staged.run, staged.attempt))

        return with_retries(attempt, staged.table)

    def _table(self, name: str) -> "Table":
        """The newest metadata of a table, read again only where its pointer has moved."""
        for _ in range(_TRIES):
            try:
                return self._loaded(name, self._pointer(name))
            except FileNotFoundError:
                # Others committed so often since the pointer was read that the old metadata are gone.
                continue
        raise Unavailable(f"The table {name!r} changes too fast to be read.")

    def _table_with(self, snapshot: Snapshot) -> "Table":
        """The metadata that the snapshot was pinned with, or the newest, which know it too, where those are gone."""
        try:
            return self._loaded(snapshot.table, snapshot.metadata_location)
        except FileNotFoundError:
            return self._table(snapshot.table)

    def _pointer(self, name: str) -> str:
        from pyiceberg.catalog.sql import IcebergTables
        from sqlalchemy import select

        query = select(IcebergTables.metadata_location).where(
            IcebergTables.catalog_name == self._catalog.name,
            IcebergTables.table_namespace == NAMESPACE,
            IcebergTables.table_name == name,
        )
        with self._catalog.engine.connect() as connection:
            location = connection.execute(query).scalar()
        if location is None:
            missing = unknown_name("table", name, self.tables())
            raise NotFound(missing.detail, value=name, known=missing.known)
        return str(location)

    def _load(self, name: str, location: str) -> "Table":
        from pyiceberg.io import load_file_io
        from pyiceberg.serializers import FromInputFile
        from pyiceberg.table import Table

        io = load_file_io(self._catalog.properties, location)
        metadata = FromInputFile.table_metadata(io.new_input(location))
        return Table((NAMESPACE, name), metadata, location, io, self._catalog)


def open_lakehouse(*, warehouse: str | Path, catalog_uri: str | None = None) -> Lakehouse:
    """The lakehouse in the folder `warehouse`; its catalog is `catalog.db` beside the tables, or the SQLAlchemy URI given."""
    root = Path(warehouse).absolute()
    root.mkdir(parents=True, exist_ok=True)
    uri = catalog_uri or _sqlite(root / "catalog.db")
    return IcebergLakehouse(_open_catalog(uri, str(root)), str(root))


def _sqlite(file: Path) -> str:
    import sqlite3
    from contextlib import closing
    from urllib.parse import quote

    with closing(sqlite3.connect(file, timeout=BUSY_TIMEOUT)) as connection:
        # Kept in the file: readers don't wait for a writer.
        connection.execute("PRAGMA journal_mode = WAL")
    return f"sqlite:///{quote(str(file))}?timeout={BUSY_TIMEOUT}"


def _open_catalog(uri: str, warehouse: str) -> "SqlCatalog":
    from pyiceberg.catalog.sql import SqlCatalog
    from sqlalchemy.exc import IntegrityError, OperationalError

    for attempt in range(_TRIES):
        try:
            catalog = SqlCatalog(CATALOG, uri=uri, warehouse=warehouse)
            catalog.create_namespace_if_not_exists(NAMESPACE)
        except (OperationalError, IntegrityError):
            # Another process is making the same tables, or the same namespace.
            if attempt == _TRIES - 1:
                raise
        else:
            return catalog
    raise AssertionError("unreachable")


def _files(staged: Staged) -> tuple[Any, ...]:
    if not isinstance(staged.handle, tuple):
        raise TypeError("These files were staged by another lakehouse.")
    return staged.handle


def _snapshot(table: "Table", name: str) -> Snapshot:
    return Snapshot(name, table.metadata_location, table.metadata.current_snapshot_id)


def _check_same(spec: TableSpec, layout: "Layout") -> None:
    there, asked = ({column.name: column for column in columns} for columns in (layout.columns, spec.columns))
    different = [name for name in {**there, **asked} if there.get(name) != asked.get(name)]
    if (layout.tenant, layout.time) != (spec.tenant_column, spec.time_column):
        different.append("(its tenant and time columns)")
    if not different and layout.columns != spec.columns:
        different.append("(their order)")
    if different:
        raise Conflict(
            f"The table {spec.name!r} is there with other columns: {', '.join(different)}.",
            value=spec.name,
            hint="Give it another name, or bring the definition in line.",
        )


_FIELDS: Mapping[str, Any] = MappingProxyType(
    {
        "warehouse": {"type": "string", "description": "The folder that holds the tables."},
        "catalog_uri": {"type": "string", "description": "SQLAlchemy URI of the catalog; SQLite in the warehouse by default."},
    }
)

PLUGIN = Plugin(
    kind="lakehouse",
    name="iceberg",
    summary="Iceberg tables in a local folder, with a catalog in SQLite.",
    open=open_lakehouse,
    fields=_FIELDS,
    requires=("pyiceberg", "pyarrow"),
)
