"""The lakehouse as Iceberg tables, through PyIceberg: a catalog in SQLite and a local folder by default, or a catalog in PostgreSQL
or behind Iceberg's REST interface and a bucket of S3.

The catalog may be shared by several processes, and by other engines that write its tables in format 2. Each change of ours goes
through `commit`, `create` and upkeep.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from jangbu.kernel.discovery import Plugin
from jangbu.kernel.errors import Conflict, NotFound, Unavailable, unknown_name
from jangbu.kernel.stores import CatalogAccess, ObjectStore, is_remote
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.lakehouse.ports import (
    Compaction,
    Drop,
    Lakehouse,
    Purge,
    RowsFound,
    Snapshot,
    Staged,
    TableFiles,
    TableSpec,
    TableState,
    TimeRange,
    Verified,
)
from jangbu.platform.lakehouse.tables.handles import Filled, files_of, replaced_of

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table

    from jangbu.platform.lakehouse.maintenance import Backfill, Maintainer
    from jangbu.platform.lakehouse.tables.planning import Source

NAMESPACE = "jangbu"
CATALOG = "jangbu"

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_KEPT_METADATA, _TRIES = 64, 5


@contextmanager
def _failures_are_said() -> Iterator[None]:
    """Around each method: what the state of the files, of their store or of the catalog makes impossible."""
    from jangbu.platform.lakehouse.tables.failures import are_said

    with are_said("the lakehouse wasn't changed"):
        yield


class IcebergLakehouse:
    """See `Lakehouse`. Safe between threads; what has been read of immutable files is kept."""

    def __init__(self, catalog: "Catalog", root: str) -> None:
        from jangbu.platform.lakehouse.tables.catalogs import pointers, vends_keys
        from jangbu.platform.lakehouse.tables.planning import Planner

        self._catalog, self._root = catalog, root
        self._pointer = pointers(catalog, NAMESPACE)
        self._planner = Planner()
        self._unsure: dict[tuple[str, str], frozenset[int | None]] = {}
        """Runs of which it isn't known whether they were committed, and the snapshots on which they may have been."""
        self._vends = vends_keys(catalog)  # a table holds the keys to its files then
        self._loaded = self._load if self._vends else lru_cache(_KEPT_METADATA)(self._load)

    @_failures_are_said()
    def create(self, spec: TableSpec) -> None:
        from pyiceberg.exceptions import TableAlreadyExistsError

        from jangbu.platform.lakehouse.tables.commits import with_retries
        from jangbu.platform.lakehouse.tables.evolving import evolution_of, evolve
        from jangbu.platform.lakehouse.tables.making import make

        if not _NAME.fullmatch(spec.name):
            raise ValueError(f"{spec.name!r} can't be a table's name: use a-z, 0-9 and '_', beginning with a letter.")
        if spec.name not in self.tables():
            try:
                with_retries(
                    lambda: make(self._catalog, (NAMESPACE, spec.name), spec, f"{self._root}/{NAMESPACE}/{spec.name}"), spec.name
                )
            except TableAlreadyExistsError:
                pass
            else:
                return
        if evolution_of(self._table(spec.name), spec):
            with_retries(lambda: evolve(self._catalog.load_table((NAMESPACE, spec.name)), spec), spec.name)

    @_failures_are_said()
    def tables(self) -> tuple[str, ...]:
        return tuple(sorted(identifier[-1] for identifier in self._catalog.list_tables(NAMESPACE)))

    @_failures_are_said()
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

    def join(self, staged: Sequence[Staged], run: str) -> Staged:
        files = tuple(file for each in staged for file in files_of(each))
        (table,) = {each.table for each in staged}
        replaced = tuple(one for each in staged for one in replaced_of(each))
        return Staged(table, run, sum(each.rows for each in staged), Filled(files, replaced) if replaced else files)

    @_failures_are_said()
    def backfill(self, table: str, what: "Backfill", run: str, by: "Maintainer") -> Staged:
        from jangbu.platform.lakehouse.tables import filling

        filled, rows = filling.fill(self._catalog, lambda: self._table(table), self._planner, by, what)
        return Staged(table, run, rows, filled)

    @_failures_are_said()
    def commit(self, staged: Staged, drops: Sequence[Drop] = ()) -> Snapshot:
        from jangbu.platform.lakehouse.tables.commits import Change, with_retries
        from jangbu.platform.lakehouse.tables.dropping import check_drops
        from jangbu.platform.lakehouse.tables.guard import AlreadyCommitted
        from jangbu.platform.lakehouse.tables.planning import Source
        from jangbu.platform.lakehouse.tables.reaching import remove_unneeded

        if drops:
            check_drops(drops, self._table(staged.table))
        files = files_of(staged)
        change = Change(self._planner, files, staged.run, drops, replaced_of(staged))
        try:
            committed = with_retries(lambda: change.attempt(self._table(staged.table)), staged.table)
            return _snapshot(self._loaded(Source((staged.table, committed.metadata_location), committed)), staged.table)
        except AlreadyCommitted as found:
            unsure = [*change.left(), *(file.file_path for file in files)]
            remove_unneeded(lambda: self._table(staged.table), self._planner, unsure)
            return Snapshot(staged.table, found.table.metadata_location, found.snapshot.snapshot_id)
        except BaseException:
            if bases := change.unsure():
                self._unsure[staged.table, staged.run] = bases
            else:
                remove_unneeded(lambda: self._table(staged.table), self._planner, change.left())
            raise

    @_failures_are_said()
    def give_up(self, table: str, run: str) -> bool:
        from jangbu.platform.lakehouse.tables import commits
        from jangbu.platform.lakehouse.tables.guard import AlreadyCommitted

        try:
            commits.with_retries(lambda: commits.give_up(self._table(table), run), table)
        except AlreadyCommitted:
            return False
        except Conflict:
            return True  # it was given up before
        return True

    @_failures_are_said()
    def discard(self, staged: Staged) -> None:
        """Raises Conflict where the run was committed: its files belong to snapshots. Unavailable: that can't be known yet."""
        from jangbu.platform.lakehouse.tables.writing import remove_files

        if self.find_run(staged.table, staged.run) is not None:
            raise Conflict(
                f"The run {staged.run!r} was committed to {staged.table!r}; its files can't be discarded.", value=staged.run
            )
        remove_files(self._table(staged.table), (file.file_path for file in files_of(staged)))

    @_failures_are_said()
    def find_run(self, table: str, run: str) -> Snapshot | None:
        from jangbu.platform.lakehouse.tables.guard import MARKER, last_with

        loaded = self._settled(table, run) if (table, run) in self._unsure else self._table(table)
        found = last_with(loaded, MARKER, run)
        return None if found is None else Snapshot(table, loaded.metadata_location, found.snapshot_id)

    @_failures_are_said()
    def current(self, table: str) -> Snapshot:
        return _snapshot(self._table(table), table)

    @_failures_are_said()
    def files(self, snapshot: Snapshot, tenants: tuple[TenantId, ...] | None, span: TimeRange | None) -> TableFiles:
        from jangbu.platform.lakehouse.tables.deleting import deleted
        from jangbu.platform.lakehouse.tables.layout import layout_of, stored_as
        from jangbu.platform.lakehouse.tables.spans import span_of

        table = self._table_with(snapshot)
        layout = layout_of(table)
        within = span_of(span, layout, snapshot.table) if span is not None else None
        columns = (layout.arrow, layout.tenant, layout.field_ids, layout.evolved)
        if snapshot.snapshot_id is None:
            return TableFiles(snapshot, (), *columns)
        found = self._planner.files(table, layout, snapshot.snapshot_id, tenants, within)
        stored = stored_as(table, snapshot.snapshot_id)
        gone = deleted(table, self._planner, found)
        if gone is not None:
            gone = replace(gone, read=_failures_are_said()(gone.read))
        return TableFiles(snapshot, tuple(each.file for each in found), *columns, stored=stored, deleted=gone)

    @_failures_are_said()
    def state(self, table: str, *, on_disk: bool = False) -> TableState:
        from jangbu.platform.lakehouse.tables import upkeep

        return upkeep.state(self._table(table), self._planner, on_disk=on_disk)

    @_failures_are_said()
    def compact(self, table: str, *, whole: bool = False, by: "Maintainer | None" = None) -> Compaction:
        from jangbu.platform.lakehouse.tables import compacting, delegating

        if by is None:
            return compacting.compact(lambda: self._table(table), self._planner, whole=whole)
        return delegating.compact(lambda: self._table(table), by, whole=whole)

    @_failures_are_said()
    def expire(
        self,
        table: str,
        *,
        keep: int,
        runs: Callable[[], Collection[str]] = tuple,
        now: datetime | None = None,
        by: "Maintainer | None" = None,
        retired: timedelta = timedelta(days=1),
    ) -> int:
        from jangbu.platform.lakehouse.tables import delegating, upkeep
        from jangbu.platform.lakehouse.tables.commits import with_retries

        moment = now or datetime.now(UTC)
        done = delegating.expire(lambda: self._table(table), by, keep, runs, retired, moment) if by is not None else 0
        return done + with_retries(lambda: upkeep.expire(self._table(table), self._planner, keep, runs, moment), table)

    @_failures_are_said()
    def collect(
        self, table: str, *, retired: timedelta, orphaned: timedelta, now: datetime | None = None, by: "Maintainer | None" = None
    ) -> int:
        from jangbu.platform.lakehouse.tables import delegating, upkeep

        moment, loaded = now or datetime.now(UTC), self._table(table)
        orphans = delegating.orphans(self._catalog, loaded, by, orphaned, moment) if by is not None else None
        return upkeep.collect(loaded, self._planner, retired, orphaned, moment, orphans)

    def rows(self, snapshot: Snapshot, drop: Drop) -> "Iterator[pa.Table]":
        from jangbu.platform.lakehouse.tables import picking

        if snapshot.snapshot_id is None:
            return
        with _failures_are_said():
            yield from picking.rows(self._table_with(snapshot), self._planner, snapshot.snapshot_id, drop)

    @_failures_are_said()
    def purge(
        self, table: str, drops: Sequence[Drop], *, runs: Callable[[], Collection[str]] = tuple, now: datetime | None = None
    ) -> Purge:
        from jangbu.platform.lakehouse.tables import purging

        return purging.purge(lambda: self._table(table), self._planner, drops, runs, now or datetime.now(UTC))

    @_failures_are_said()
    def find_rows(self, table: str, drops: Sequence[Drop]) -> RowsFound:
        from jangbu.platform.lakehouse.tables import searching
        from jangbu.platform.lakehouse.tables.dropping import dropper
        from jangbu.platform.lakehouse.tables.layout import layout_of

        loaded = self._table(table)
        return searching.find_rows(loaded, [dropper(drop, layout_of(loaded), table) for drop in drops])

    @_failures_are_said()
    def told_of(self, files: Sequence[str]) -> tuple[tuple[str, int, datetime], ...]:
        from jangbu.platform.lakehouse.tables.listing import told_of

        return tuple(told_of(self._catalog.properties, file) for file in files)

    @_failures_are_said()
    def verify(self, table: str) -> Verified:
        from jangbu.platform.lakehouse.tables import verifying

        return verifying.verify(self._table(table), self._planner)

    def root(self) -> str:
        return self._root

    @property
    def catalog(self) -> "Catalog":
        """For what carries the whole lakehouse to another place."""
        return self._catalog

    def close(self) -> None:
        self._catalog.close()

    def _table(self, name: str) -> "Table":
        """The newest metadata of a table, read again only where its pointer has moved."""
        from jangbu.platform.lakehouse.tables.planning import Source

        missing = ""
        for _ in range(_TRIES):
            pointer, table = self._pointed(name)
            try:
                return self._loaded(Source((name, pointer), table))
            except FileNotFoundError:
                # Others committed so often since the pointer was read that the old metadata are gone.
                if pointer == missing:
                    raise
                missing = pointer
        raise Unavailable(f"The table {name!r} changes too fast to be read.")

    def _table_with(self, snapshot: Snapshot) -> "Table":
        """The metadata that the snapshot was pinned with, or the newest, which mostly know it too, where those are gone."""
        from pyiceberg.table import Table

        from jangbu.platform.lakehouse.tables.planning import Source

        if isinstance(snapshot.handle, Table):
            return snapshot.handle
        try:
            return self._loaded(Source((snapshot.table, snapshot.metadata_location), None))
        except FileNotFoundError:
            return self._table(snapshot.table)

    def _settled(self, name: str, run: str) -> "Table":
        from jangbu.platform.lakehouse.tables.settling import settle

        table = settle(lambda: self._table(name), run, self._unsure[name, run], name)
        self._unsure.pop((name, run), None)
        return table

    def _pointed(self, name: str) -> "tuple[str, Table | None]":
        found = self._pointer(name)
        if found is None:
            missing = unknown_name("table", name, self.tables())
            raise NotFound(missing.detail, value=name, known=missing.known)
        return found

    def _load(self, source: "Source[tuple[str, str], Table | None]") -> "Table":
        from pyiceberg.io import load_file_io
        from pyiceberg.serializers import FromInputFile
        from pyiceberg.table import Table

        from jangbu.kernel import storage

        if source.read_from is not None:
            return source.read_from
        name, location = source.key
        io = self._table(name).io if self._vends else load_file_io(self._catalog.properties, location)
        with storage.reading(location, name):
            metadata = FromInputFile.table_metadata(io.new_input(location))
        return Table((NAMESPACE, name), metadata, location, io, self._catalog)


def open_lakehouse(
    *, warehouse: str | Path, catalog_uri: str | None = None, catalog: CatalogAccess | None = None, store: ObjectStore | None = None
) -> Lakehouse:
    """The lakehouse in the folder `warehouse`; its catalog is `catalog.db` beside the tables, or at the address given: a SQLAlchemy
    URI (SQLite, PostgreSQL), or the http address of a REST catalog, which `catalog` opens. `warehouse` may be `s3://bucket/prefix`
    instead, reached as `store` says.

    Raises:
        ConfigurationError: a bucket has no catalog beside it, or there is no such kind of one. MissingExtra: its driver is missing.
        Unavailable: the catalog can't be reached.
    """
    from jangbu.platform.lakehouse.tables.catalogs import file_properties, open_catalog, place_of

    root, uri = place_of(warehouse, catalog_uri)
    properties = file_properties(store or ObjectStore()) if is_remote(root) else {}
    with _failures_are_said():
        return IcebergLakehouse(open_catalog(CATALOG, uri, root, NAMESPACE, properties, catalog), root)


def _snapshot(table: "Table", name: str) -> Snapshot:
    return Snapshot(name, table.metadata_location, table.metadata.current_snapshot_id, handle=table)


_FIELDS: Mapping[str, Any] = MappingProxyType(
    {
        "warehouse": {"type": "string", "description": "The folder that holds the tables, or s3://bucket/prefix."},
        "catalog_uri": {"type": "string", "description": "SQLAlchemy URI of the catalog, or a REST catalog's; SQLite by default."},
    }
)

PLUGIN = Plugin(
    kind="lakehouse",
    name="iceberg",
    summary="Iceberg tables in a local folder or on S3, with a catalog in SQLite, PostgreSQL or behind REST.",
    open=open_lakehouse,
    fields=_FIELDS,
    requires=("pyiceberg", "pyarrow"),
)
