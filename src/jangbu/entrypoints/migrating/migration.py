"""An embedded store carried over, step by step. Each step finds what an interrupted one has done, so a second run goes on.

    closed for writing → files copied → files read back → rows copied → rows compared → tables registered → messages carried → done

Reading goes on at the old place all the while. It stays closed afterwards, so that nobody writes where nobody reads any more.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from jangbu.entrypoints.bootstrap import Application
from jangbu.entrypoints.migrating import messages
from jangbu.entrypoints.migrating.journal import Journal
from jangbu.entrypoints.migrating.places import Places
from jangbu.kernel.errors import Conflict, NotFound, StorageError, Unavailable
from jangbu.platform.database import copying
from jangbu.platform.database.sqlite import SqliteDatabase
from jangbu.platform.lakehouse.iceberg import IcebergLakehouse
from jangbu.platform.lakehouse.tables.pool import for_each
from jangbu.platform.lakehouse.tables.relocating import Item, Relocation, TablePlan, check_empty
from jangbu.platform.queues.sqlite import SqliteQueues

PATIENCE: Final = 90.0
"""Seconds for which loads that are being committed are waited: longer than a lease of theirs."""
_AT_ONCE: Final = 16
_TRIES: Final = 5

Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be carried over: rows of the database by table, tables of the lakehouse, messages of the queues. None: that part
    stays where it is."""

    rows: dict[str, int]
    tables: tuple[TablePlan, ...] | None
    messages: int | None


class Migration:
    """`told` hears each step as a line.

    Raises:
        Unavailable: another process carries the store over.
    """

    def __init__(self, places: Places, told: Told, *, patience: float = PATIENCE) -> None:
        self._places, self._told, self._patience = places, told, patience
        self._closing = ExitStack()
        self._source = Application(places.source)
        if not (self._source.folder / "jangbu.db").exists():
            raise NotFound(f"There is no store in {str(self._source.folder)!r}.", value=str(self._source.folder))
        self._journal = Journal(self._source.folder)
        self._closing.callback(self._journal.close)
        self._target = Application(places.target)
        self._closing.callback(self._target.close)
        self._source.open()
        self._source.access, self._source.ingest  # noqa: B018  # the contexts declare their tables when they are imported
        with self._source.database.reading() as connection:
            copying.check_known(connection)
        self._closing.callback(self._source.close)
        self._relocation = Relocation(
            _iceberg(self._source),
            places.target.warehouse or str(self._target.folder / "lakehouse"),
            self._open_target,
            self._length,
        )

    def close(self) -> None:
        self._closing.close()

    def plan(self) -> Plan:
        """Looks at the source only."""
        with self._source.database.reading() as connection:
            rows = dict(copying.counted(connection))
        tables = self._relocation.plan() if "warehouse" in self._places.moves else None
        queues = self._queues() if "queues" in self._places.moves else None
        waiting = None if queues is None else sum(each.waiting + each.held + each.parked for each in queues.depths().values())
        return Plan(rows, tables, waiting)

    def is_done(self) -> bool:
        """Whether it was carried over to this place before.

        Raises:
            Conflict: it is being carried over to another one.
        """
        self._journal.check_target(self._places.id)
        return self._journal.fact("done") is not None

    def run(self) -> None:
        """Do what isn't done yet.

        Raises:
            Conflict: the target holds other data, or something is half done in the source and doesn't end.
            StorageError: a file of the source is damaged, or the target doesn't keep what is written.
        """
        if not self.is_done():
            self._claim()
            self._close_source()
            plans = self._settled_files() if "warehouse" in self._places.moves else ()
            self._copy_rows()
            self._compare_rows()
            for plan in plans:
                self._relocation.register(plan)
            self._carry_messages()
            self._journal.note_fact("done", "yes")
        copying.release(self._target.database)

    def reopen(self) -> None:
        """Let the source be written again."""
        self._journal.begin_anew()
        _sqlite(self._source).reopen()

    # The steps

    def _claim(self) -> None:
        """Take the target, where it is empty."""
        self._target.open()
        if self._journal.fact("claimed") is None:
            if "warehouse" in self._places.moves:
                check_empty(self._relocation.held())
            if "queues" in self._places.moves:
                messages.check_empty(self._target.queues)
        copying.claim(self._target.database, self._journal.source)
        self._journal.note_fact("claimed", "yes")
        if self._journal.fact("stale") is not None:
            copying.emptied(self._target.database)
            self._journal.forget_fact("stale")

    def _close_source(self) -> None:
        """Where nothing is half done: loads that are just being committed are waited for, those of dead processes settled."""
        database = _sqlite(self._source)
        ends = time.monotonic() + self._patience
        while not database.is_closed():
            self._source.ingest.recover()
            with database.transaction() as work:
                found = self._source.ingest.unsettled(work.connection)
                if found is None:
                    database.close_for_writing(work)
            if found is not None:
                if time.monotonic() > ends:
                    raise Conflict(f"Half done in this store is {found}; nothing was carried over.", hint="Let it end, then go on.")
                time.sleep(0.2)
        self._told("The store is closed for writing; it is read as before.")

    def _settled_files(self) -> tuple[TablePlan, ...]:
        """Upkeep, which closes nothing, may change a table's files while they are copied, though never its rows: once more then."""
        for _ in range(_TRIES):
            plans = self._relocated()
            if all(map(self._relocation.is_current, plans)):
                return plans
            self._told("Upkeep has changed files meanwhile: those are carried over, too.")
        raise Unavailable(
            "Upkeep goes on changing the files of the lakehouse.", retry_after=60, hint="End the workers, then go on."
        )

    def _relocated(self) -> tuple[TablePlan, ...]:
        """Copy the files, and read them back."""
        plans = self._relocation.plan()
        items = [item for plan in plans for item in plan.items]
        for stray in sorted(self._journal.files() - {item.target for item in items}):
            self._relocation.remove(stray)
            self._journal.forget_file(stray)
        for plan in plans:
            self._told(f"Files of {plan.name}: {len(plan.items):,}, {plan.size:,} bytes of data")
            for kind in ("data", "manifest", "list", "metadata"):  # each names those before it
                for some in messages.batches([item for item in plan.items if item.kind == kind], _AT_ONCE):
                    self._carry([item for item in some if self._journal.file(item.target) is None])
        self._told(f"Reading {len(items):,} files back")
        for some in messages.batches([item for item in items if not self._journal.is_verified(item.target)], _AT_ONCE):
            self._verify(some)
        return plans

    def _carry(self, items: Sequence[Item]) -> None:
        for item, written in zip(items, for_each(items, self._relocation.carry), strict=True):
            self._journal.note_file(item.target, written)

    def _verify(self, items: Sequence[Item]) -> None:
        damaged = self._damaged(items)
        if damaged:
            for item in damaged:
                self._told(f"Not what was written, copied again: {item.target}")
            self._carry(damaged)
            if still := self._damaged(damaged):
                raise StorageError(
                    f"The target doesn't keep what is written: {still[0].target!r}.",
                    value=still[0].target,
                    hint="Look at its store; then run it again.",
                )
        for item in items:
            self._journal.note_verified(item.target)

    def _damaged(self, items: Sequence[Item]) -> list[Item]:
        found = for_each(items, self._relocation.seen)
        return [item for item, seen in zip(items, found, strict=True) if seen != self._journal.file(item.target)]

    def _copy_rows(self) -> None:
        for table in copying.tables():
            if self._journal.table(table.name) is not None:
                continue
            copied = 0

            def told(rows: int, name: str = table.name) -> None:
                nonlocal copied
                copied += rows
                self._told(f"Rows of {name}: {copied:,}")

            copying.copy(self._source.database, self._target.database, table, told)
            found = copying.summed(self._source.database, table)
            self._journal.note_table(table.name, found.rows, found.checksum)

    def _compare_rows(self) -> None:
        """A message may be in the outbox of the target only while nobody works there."""
        for table in copying.tables():
            found = copying.summed(self._target.database, table)
            if self._journal.table(table.name) != (found.rows, found.checksum):
                rows = (self._journal.table(table.name) or (0, ""))[0]
                self._journal.begin_anew()
                raise Conflict(
                    f"The table {table.name!r} isn't the same in the target: {rows:,} rows went, {found.rows:,} are there.",
                    hint="Does somebody use the target already? Stop that; the next run copies the rows anew.",
                )
        self._told("All rows are the same in both.")

    def _carry_messages(self) -> None:
        if "queues" in self._places.moves and self._journal.fact("messages") is None:
            carried = messages.carry(self._queues(), self._target.queues)
            self._journal.note_fact("messages", "carried")
            self._told(f"Messages: {carried:,}")

    # Its parts

    def _queues(self) -> SqliteQueues:
        queues = self._source.queues
        if not isinstance(queues, SqliteQueues):
            raise TypeError("Only embedded queues are carried over.")
        return queues

    def _open_target(self) -> IcebergLakehouse:
        return _iceberg(self._target)

    def _length(self, location: str) -> int:
        found = self._journal.file(location)
        if found is None:
            raise KeyError(location)
        return found.size


@contextmanager
def opened(places: Places, told: Told) -> Iterator[Migration]:
    migration = Migration(places, told)
    try:
        yield migration
    finally:
        migration.close()


def _iceberg(application: Application) -> IcebergLakehouse:
    if not isinstance(application.lakehouse, IcebergLakehouse):
        raise TypeError("Only a lakehouse of Iceberg tables is carried over.")
    return application.lakehouse


def _sqlite(application: Application) -> SqliteDatabase:
    if not isinstance(application.database, SqliteDatabase):
        raise TypeError("Only an embedded database is carried over.")
    return application.database
