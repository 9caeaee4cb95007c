"""A tenant, or a customer of one, erased: from tables, what is kept of the past, the database, and wherever else it is told of.

The tenant is marked first, so that no load of it can begin; what had begun is waited for. Then one place after the other is looked
at, emptied and noted, so that an erasure that was interrupted, however it was, goes on when it is asked for again. At the end every
place is looked at once more: only where nothing is found is there a report.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, TypeAlias
from uuid import uuid4

import pyarrow as pa
from sqlalchemy import Connection

from jangbu import __version__
from jangbu.insight.access import facade as access
from jangbu.insight.access.contracts import TenantState
from jangbu.insight.catalog.contracts import DataSource
from jangbu.insight.ingest import erasures, places, repository
from jangbu.insight.ingest.commits import PATIENCE, Commits, check_states
from jangbu.insight.ingest.contracts import CustomerErased, Erasure, Found, LoadMode, Person, TenantErased
from jangbu.insight.ingest.erasures import Going
from jangbu.insight.ingest.intents import Intent, LoadKey
from jangbu.insight.ingest.packages import Needless, Package, Share
from jangbu.insight.ingest.ports import Elsewhere
from jangbu.kernel.clock import Clock
from jangbu.kernel.errors import Conflict, Unavailable, unknown_name
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.database.ports import Database, UnitOfWork
from jangbu.platform.lakehouse.ports import Drop, Keyed, Lakehouse, Purge, Within

Sources: TypeAlias = Collection[DataSource]
Told: TypeAlias = Callable[[str], None]

_STATES: Final = (TenantState.ACTIVE, TenantState.SUSPENDED)
_FILES: Final = "every data file of the table's folder read; rows dropped in a snapshot, older snapshots and their files removed"
_ROWS: Final = "deleted; the file vacuumed and its log cut"


class Erasing:
    """`elsewhere` are the places that other contexts keep."""

    def __init__(self, database: Database, lakehouse: Lakehouse, clock: Clock, commits: Commits) -> None:
        self._database, self._lakehouse, self._clock, self._commits = database, lakehouse, clock, commits

    def tenant(self, tenant: TenantId, asked_by: str, sources: Sources, elsewhere: Sequence[Elsewhere], told: Told) -> Erasure:
        with self._database.transaction() as work:
            access.mark_erasing(work.connection, tenant, work.now)
            going = erasures.begin(work.connection, tenant, None, asked_by, work.now, keep_rows=False)
        self._drain(tenant)
        tables = {table: (Within(tenant),) for table in self._tables()}
        for table, drops in tables.items():
            told(f"table {table}")
            self._empty(going, table, drops, partial(self._drop, going, table, drops))
        rows = places.of_tenant(tenant, sources)
        told("database")
        with self._database.transaction() as work:
            self._remove_rows(work, going, rows)
            self._remove_holdings(work, going)
        self._elsewhere(going, elsewhere, tenant, None, told)
        return self._proved(going, tables, rows, elsewhere, None, told)

    def customer(
        self,
        tenant: TenantId,
        person: Person,
        asked_by: str,
        sources: Sources,
        logs: Sources,
        elsewhere: Sequence[Elsewhere],
        told: Told,
        *,
        keep_rows: bool,
    ) -> Erasure:
        with self._database.transaction() as work:
            check_states(work.connection, [tenant], _STATES)
            going = erasures.begin(work.connection, tenant, person, asked_by, work.now, keep_rows=keep_rows)
        mine = [source for source in sources if person.subject in source.personal]
        rows = places.of_person(tenant, person, mine, logs)
        told("database")
        with self._database.transaction() as work:
            self._remove_rows(work, going, rows)
        for source in mine:
            told(f"table {source.binding.table}")
            drops = self._drops_of(source, tenant, person)
            change = partial(self._change, going, source, drops, person if going.keep_rows else None)
            self._empty(going, source.binding.table, drops, change)
        for source in logs:
            told(f"table {source.binding.table}")
            drops = self._mentions(source, tenant, person)
            self._empty(going, source.binding.table, drops, partial(self._change, going, source, drops, None))
        self._elsewhere(going, elsewhere, tenant, person, told)
        tables: dict[str, tuple[Drop, ...]] = {}
        for source in mine:
            tables[source.binding.table] = (*tables.get(source.binding.table, ()), *self._drops_of(source, tenant, person))
        for source in logs:
            tables[source.binding.table] = (*tables.get(source.binding.table, ()), *self._mentions(source, tenant, person))
        return self._proved(going, tables, rows, elsewhere, person, told)

    # Tables

    def _tables(self) -> Iterator[str]:
        """Those that keep tenants apart, whether or not a definition names them."""
        for table in self._lakehouse.tables():
            if self._lakehouse.files(self._lakehouse.current(table), (), None).tenant_column is not None:
                yield table

    def _empty(self, going: Going, table: str, drops: Sequence[Drop], change: Callable[[], None]) -> None:
        """Drop the rows and what is kept of them, unless there never were any. One that was begun is begun again."""
        name = _table_place(table)
        begun = going.places.get(name, {"before": 0})["before"] > 0
        if table not in self._lakehouse.tables():
            return
        remains = self._lakehouse.find_rows(table, drops)
        before, files = remains.rows, remains.files
        snapshots = self._lakehouse.state(table).snapshots
        looked = Found(name, "rows", before, 0, None, f"{_FILES} ({remains.looked_at} files looked at)")
        self._note(going, looked, _files(table, files, 0), _past(table, snapshots, 0))
        if before or begun or remains.unreadable:  # a torn file may hold anything; one in the tenant's place goes
            purged = self._purged(table, drops, change)
            self._note(going, _files(table, files, purged.files), _past(table, snapshots, purged.snapshots))
        self._note(going, replace(looked, removed=going.places[name]["before"]))

    def _purged(self, table: str, drops: Sequence[Drop], change: Callable[[], None]) -> Purge:
        """Drop and purge, again where rows came meanwhile; loads that are about to end are waited for."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                change()
                purged = self._lakehouse.purge(table, drops, runs=partial(self._settled, table))
            except (Conflict, Unavailable):
                if time.monotonic() > deadline:
                    raise
            else:
                if not purged.left.rows or time.monotonic() > deadline:
                    return purged
            time.sleep(0.05)

    def _drop(self, going: Going, table: str, drops: Sequence[Drop]) -> None:
        """As an attempt of its own, with its marker. Nobody else can begin one for the tenant."""
        snapshot = self._lakehouse.current(table)
        nothing = self._lakehouse.files(snapshot, (going.tenant,), None).schema.empty_table()
        self._lakehouse.commit(self._lakehouse.stage(table, nothing, f"erasure-{going.id}"), drops)

    def _change(self, going: Going, source: DataSource, drops: Sequence[Drop], kept: Person | None) -> None:
        """As a load of its own, between those of others. `kept`: the rows stay, without what is personal."""
        while isinstance(self._commits.commit(self._package(going, source, drops, kept)), Needless):
            if not self._live(source.binding.table, drops):
                return

    def _package(self, going: Going, source: DataSource, drops: Sequence[Drop], kept: Person | None) -> Package:
        tenant, table, now = going.tenant, source.binding.table, self._clock.now()
        with self._database.reading() as connection:
            version = repository.find_versions(connection, [tenant], [source.name]).get((tenant, source.name))
        snapshot = self._lakehouse.current(table)
        rows = [self._lakehouse.files(snapshot, (tenant,), None).schema.empty_table()]
        if kept is not None:
            rows += [_without(each, source, kept) for drop in drops for each in self._lakehouse.rows(snapshot, drop)]
        staged = self._lakehouse.stage(table, pa.concat_tables(rows), f"staged-{uuid4().hex}")

        def is_unchanged(work: UnitOfWork, _: str) -> bool:
            """Nothing was loaded since the rows were read: else it might be taken back."""
            return repository.find_versions(work.connection, [tenant], [source.name]).get((tenant, source.name)) == version

        key = LoadKey(source.name, tenant, LoadMode.ERASE, None, f"erasure-{going.id}-{uuid4().hex}")
        share = Share(key, staged.rows, version.as_of if version else now, now)
        return Package(staged, (share,), tuple(drops), is_unchanged, _STATES)

    def _live(self, table: str, drops: Sequence[Drop]) -> bool:
        snapshot = self._lakehouse.current(table)
        return any(any(True for _ in self._lakehouse.rows(snapshot, drop)) for drop in drops)

    def _drops_of(self, source: DataSource, tenant: TenantId, person: Person) -> tuple[Drop, ...]:
        """The person's rows, where the identifier can be a value of the column at all."""
        return self._keyed(source, tenant, source.personal[person.subject].column, [person.value])

    def _mentions(self, source: DataSource, tenant: TenantId, person: Person) -> tuple[Drop, ...]:
        """The rows of a log of which some text names the person."""
        table, found = source.binding.table, dict[str, set[str]]()
        if table not in self._lakehouse.tables():
            return ()
        names = places.mentions(person.value)
        for rows in self._lakehouse.rows(self._lakehouse.current(table), Within(tenant)):
            for field in rows.schema:
                if pa.types.is_string(field.type) and field.name != source.separation.column:
                    said = (str(text) for text in rows.column(field.name).unique().to_pylist() if names(text))
                    found.setdefault(field.name, set()).update(said)
        keyed = [self._keyed(source, tenant, column, sorted(values)) for column, values in found.items() if values]
        return tuple(drop for drops in keyed for drop in drops)

    def _keyed(self, source: DataSource, tenant: TenantId, column: str, values: Sequence[str]) -> tuple[Drop, ...]:
        table, apart = source.binding.table, source.separation.column
        if table not in self._lakehouse.tables() or apart is None:
            return ()
        schema = self._lakehouse.files(self._lakehouse.current(table), (tenant,), None).schema
        kind = schema.field(column).type
        if pa.types.is_integer(kind):
            values = [value for value in values if "x" not in value.lower()]  # Arrow would take 0x10 for 16
        try:
            keys = pa.array(values, pa.string()).cast(kind)
        except pa.ArrowInvalid:
            return ()
        return (Keyed(pa.table({apart: pa.repeat(pa.scalar(str(tenant)), len(keys)), column: keys})),)

    # Intents

    def _drain(self, tenant: TenantId) -> None:
        """Return when no commit of the tenant is about to happen."""
        deadline = time.monotonic() + PATIENCE
        while intents := self._intents(lambda each: each.key.tenant == tenant):
            self._commits.wait(intents[0], deadline)

    def _settled(self, table: str) -> tuple[str, ...]:
        """No runs, once those are settled that were about to be committed to the table when this was called. What begins later has
        no marker yet in what was read of the table before, so loads that follow each other closely don't hold an erasure up."""
        deadline = time.monotonic() + PATIENCE
        for intent in self._intents(lambda each: each.lakehouse_table == table):
            self._commits.wait(intent, deadline)
        return ()

    def _intents(self, wanted: Callable[[Intent], bool]) -> list[Intent]:
        with self._database.reading() as connection:
            return [intent for intent in repository.open_intents(connection) if wanted(intent)]

    # The database, and elsewhere

    def _remove_rows(self, work: UnitOfWork, going: Going, rows: Mapping[str, places.Rows]) -> None:
        found = []
        for name, each in rows.items():
            before = each.count(work.connection)
            found.append(Found(_database_place(name), "rows", before, each.remove(work.connection), None, _ROWS))
        erasures.note(work.connection, going, *found)

    def _remove_holdings(self, work: UnitOfWork, going: Going) -> None:
        before = access.holdings(work.connection, going.tenant)
        removed = access.empty(work.connection, going.tenant)
        method = {"tenants": "name, zone, currency and clock removed; the id and its times stay"}
        found = [
            Found(_database_place(name), "rows", before[name], removed[name], None, method.get(name, _ROWS)) for name in before
        ]
        erasures.note(work.connection, going, *found)

    def _elsewhere(self, going: Going, elsewhere: Sequence[Elsewhere], tenant: TenantId, person: Person | None, told: Told) -> None:
        for place in elsewhere:
            told(place.name)
            before = place.count(tenant, person)
            self._note(going, Found(place.name, place.unit, before, place.remove(tenant, person), None, place.method))

    def _note(self, going: Going, *found: Found) -> None:
        with self._database.transaction() as work:
            erasures.note(work.connection, going, *found)

    # The proof

    def _proved(
        self,
        going: Going,
        tables: Mapping[str, Sequence[Drop]],
        rows: Mapping[str, places.Rows],
        elsewhere: Sequence[Elsewhere],
        person: Person | None,
        told: Told,
    ) -> Erasure:
        """Every place is looked at again.

        Raises:
            Unavailable: something is there, as where it came meanwhile.
        """
        told("the proof")
        self._database.scrub()
        there = set(self._lakehouse.tables())
        after = {
            _table_place(table): self._lakehouse.find_rows(table, drops).rows for table, drops in tables.items() if table in there
        }
        after |= {place.name: place.count(going.tenant, person) for place in elsewhere}
        with self._database.transaction() as work:
            after |= self._rows_after(work.connection, going, rows)
            for name, count in after.items():
                if name in going.places:
                    going.places[name]["after"] = count
            if left := [name for name, count in after.items() if count]:
                raise Unavailable(f"Something is left in {', '.join(left)}: it came meanwhile.", hint="Ask for the erasure again.")
            if person is None:
                access.bury(work.connection, going.tenant, work.now)
                work.emit(TenantErased(going.tenant))
            else:
                work.emit(CustomerErased(going.tenant, going.id))
            return erasures.end(work.connection, going, work.now, __version__)

    def _rows_after(self, connection: Connection, going: Going, rows: Mapping[str, places.Rows]) -> dict[str, int]:
        counts = {name: each.count(connection) for name, each in rows.items()}
        if going.subject is None:
            counts |= access.holdings(connection, going.tenant)
        return {_database_place(name): count for name, count in counts.items()}


def check_subject(subject: str, sources: Sources) -> None:
    """Raises UnknownName where no data source declares the identity."""
    known = {name for source in sources for name in source.personal}
    if subject not in known:
        hint = "Declare it in a data source: `personal: {household: {column: household}}`."
        raise unknown_name("identity of a customer", subject, known, path="/subject", hint=hint)


def _without(rows: pa.Table, source: DataSource, person: Person) -> pa.Table:
    personal = source.personal[person.subject]
    for column in (personal.column, *personal.also):
        at, field = rows.schema.get_field_index(column), rows.schema.field(column)
        rows = rows.set_column(at, field, pa.nulls(len(rows), field.type))
    return rows


def _table_place(table: str) -> str:
    return f"lakehouse table {table}"


def _files(table: str, holding: int, removed: int) -> Found:
    return Found(f"files of {table}", "files", holding, removed, None, "before: those that held rows; others' rows written anew")


def _past(table: str, there: int, removed: int) -> Found:
    return Found(f"snapshots of {table}", "snapshots", there, removed, None, "before: all of them; all older ones forgotten")


def _database_place(name: str) -> str:
    return f"database table {name}"
