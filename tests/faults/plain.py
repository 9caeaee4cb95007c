"""The plain model: what changes do to rows, told without a lakehouse, and which lists of changes are possible.

A change whose process was killed or stands still may have happened or not: then there are several possible states, and what is
read says which of them it was. The history of a tenant is the list of its changes, so version n is what the first n leave.
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import combinations
from typing import Any, TypeAlias

import pyarrow as pa
from faults.scenarios import OTHER, SHOP, TENANTS, TWIN

from jangbu.kernel.tenancy import TenantId
from jangbu.platform.lakehouse.ports import TimeRange

__all__ = ["OTHER", "SHOP", "TENANTS", "TWIN"]

FIRST = datetime(2017, 3, 1, tzinfo=UTC)
DAYS, PRODUCTS, MILLION = 60, "abcdefgh", 1_000_000

Row: TypeAlias = tuple[str, int, int]
"""Product, price, and the day since `FIRST` that it was sold on. Prices tell of which change a row is."""

KINDS = ("append", "replace", "range", "merge")


@dataclass(frozen=True)
class Change:
    """A load of one or more tenants, or rows to spool. All that it brings follows from what `content` says."""

    number: int
    kind: str
    tenants: tuple[TenantId, ...]

    @property
    def content(self) -> str:
        return f"{self.kind} {self.number} {'+'.join(self.tenants)}"

    @staticmethod
    def of(content: str) -> "Change":
        kind, number, tenants = content.split()
        return Change(int(number), kind, tuple(map(TenantId, tenants.split("+"))))

    @property
    def days(self) -> tuple[int, int]:
        """The half-open range of days that it takes the place of."""
        if self.kind != "range":
            return 0, DAYS
        chance = random.Random(f"days of {self.number}")
        first = chance.randrange(DAYS - 20)
        return first, first + chance.randint(1, 20)

    @property
    def span(self) -> TimeRange | None:
        if self.kind != "range":
            return None
        first, last = (FIRST + timedelta(days=day) for day in self.days)
        return TimeRange(first, last)

    def rows(self, tenant: str) -> list[Row]:
        chance = random.Random(f"{self.number} of {tenant}")
        products = chance.sample(PRODUCTS, chance.randint(1, 4))
        return [(each, self.number * MILLION + chance.randrange(MILLION), chance.randrange(*self.days)) for each in products]

    def after(self, rows: Sequence[Row], tenant: str) -> list[Row]:
        new, (first, last) = self.rows(tenant), self.days
        match self.kind:
            case "append" | "spool":
                kept = list(rows)
            case "merge":
                kept = [row for row in rows if row[0] not in {each[0] for each in new}]
            case _:
                kept = [row for row in rows if not first <= row[2] < last]
        return kept + new

    def is_needless(self, before: "Sequence[Entry]") -> bool:
        """An append that ever was; a replacement or a merge that was the last that touched its range."""
        if self.kind == "append":
            return self in before
        touching = [each for each in before if _touches(self, each)]
        return bool(touching) and touching[-1] == self


def _touches(change: Change, other: "Entry") -> bool:
    if change.kind != "range" or not isinstance(other, Change) or other.kind != "range":
        return True
    return change.days[0] < other.days[1] and other.days[0] < change.days[1]


@dataclass(frozen=True)
class Flushed:
    """What one flush took from the spool: these batches, told by the changes' numbers."""

    batches: frozenset[int]


Entry: TypeAlias = Change | Flushed


@dataclass(frozen=True)
class Flush:
    """Loads what waits in the spool."""


Action: TypeAlias = Change | Flush


def table_of(rows: Iterable[Row]) -> pa.Table:
    held = list(rows)
    return pa.table(
        {
            "product": pa.array([row[0] for row in held], pa.string()),
            "price": pa.array([Decimal(row[1]) for row in held], pa.decimal128(18, 4)),
            "sold_at": pa.array([sold_at(row[2]) for row in held], pa.timestamp("us", "UTC")),
        }
    )


def sold_at(day: int) -> datetime:
    return FIRST + timedelta(days=day, hours=9)


def spooled(batch: Change) -> list[dict[str, Any]]:
    return [
        {"tenant": tenant, "product": product, "price": Decimal(price), "sold_at": sold_at(day)}
        for tenant in batch.tenants
        for product, price, day in batch.rows(tenant)
    ]


def replayed(entries: Sequence[Entry], tenant: str, batches: Mapping[int, Change]) -> list[Row]:
    """The rows that a tenant's history leaves, sorted."""
    rows: list[Row] = []
    for entry in entries:
        if isinstance(entry, Change):
            rows = entry.after(rows, tenant)
        else:
            rows += [row for number in entry.batches if tenant in batches[number].tenants for row in batches[number].rows(tenant)]
    return sorted(rows)


@dataclass(frozen=True)
class State:
    """`applied` is each tenant's history, `waiting` what is spooled. Tickets that are `open` may be applied yet; `done` were, with
    the tenants that they changed, and nobody has told of it."""

    applied: tuple[tuple[Entry, ...], ...] = ((),) * len(TENANTS)
    waiting: frozenset[int] = frozenset()
    open: frozenset[int] = frozenset()
    done: frozenset[tuple[int, tuple[str, ...]]] = frozenset()

    def without(self, ticket: int) -> "State":
        return replace(self, open=self.open - {ticket}, done=frozenset(each for each in self.done if each[0] != ticket))

    def is_done(self, ticket: int) -> bool:
        return any(each == ticket for each, _ in self.done)


@dataclass
class Model:
    """Every state that is possible. A ticket is one action by one process, or its part for one tenant."""

    states: set[State] = field(default_factory=lambda: {State()})
    tickets: dict[int, Action] = field(default_factory=dict)
    whose: dict[int, tuple[TenantId, ...]] = field(default_factory=dict)
    batches: dict[int, Change] = field(default_factory=dict)

    def begin(self, action: Action, whose: tuple[TenantId, ...] = TENANTS) -> int:
        ticket = len(self.tickets) + 1
        self.tickets[ticket], self.whose[ticket] = action, whose
        if isinstance(action, Change) and action.kind == "spool":
            self.batches[action.number] = action
        self.states = {replace(state, open=state.open | {ticket}) for state in self.states}
        return ticket

    def ended(self, ticket: int, changed: Sequence[str], *, by_others: bool = False) -> None:
        """It says that it is done, and has changed these tenants' data; or (`by_others`) that others may have done it for it."""
        self._grow()
        told = (ticket, tuple(sorted(changed)))
        kept = {state.without(ticket) for state in self.states if told in state.done}
        if by_others:
            kept |= {state.without(ticket) for state in self.states if self._is_there(state, ticket, changed)}
        self._narrow(kept, f"{self.tickets[ticket]} ended, and says it changed {changed}")

    def refused(self, ticket: int) -> None:
        """It says that nothing was done, and that it never will be."""
        kept = {state.without(ticket) for state in self.states if ticket in state.open}
        self._narrow(kept, f"{self.tickets[ticket]} says it did nothing")

    def gone(self, ticket: int) -> None:
        """Nobody tells what came of it, and nothing more can."""
        self._grow()
        self.states = {state.without(ticket) for state in self.states}

    def see(self, histories: Mapping[str, Sequence[Entry]], waiting: Iterable[int]) -> None:
        """What is written down now."""
        self._grow()
        seen, spool = tuple(tuple(histories[tenant]) for tenant in TENANTS), frozenset(waiting)
        kept = {state for state in self.states if (state.applied, state.waiting) == (seen, spool)}
        self._narrow(kept, f"seen were {seen}, and spooled {sorted(spool)}")

    def rows(self) -> list[dict[str, list[Row]]]:
        """The rows that may be there: those of the states, and of what may have been committed and not written down."""
        self._grow()
        return [self.rows_of(state) for state in self.states]

    def rows_of(self, state: State) -> dict[str, list[Row]]:
        pairs = zip(TENANTS, state.applied, strict=True)
        return {tenant: replayed(entries, tenant, self.batches) for tenant, entries in pairs}

    def _narrow(self, kept: set[State], what: str) -> None:
        if not kept:
            possible = "\n".join(f"  {state}" for state in sorted(self.states, key=str)[:8])
            raise AssertionError(f"{what}; but possible are only these {len(self.states)}:\n{possible}")
        self.states = kept

    def _grow(self) -> None:
        fresh = set(self.states)
        while fresh:
            fresh = {after for state in fresh for ticket in state.open for after in self._after(state, ticket)} - self.states
            self.states |= fresh

    def _after(self, state: State, ticket: int) -> Iterator[State]:
        action = self.tickets[ticket]
        if isinstance(action, Flush):
            yield from self._after_flush(state, ticket)
        elif action.kind == "spool":
            yield _done(state, ticket, (), waiting=state.waiting | {action.number})
        else:
            pairs = list(zip(TENANTS, state.applied, strict=True))
            mine = set(action.tenants).intersection(self.whose[ticket])
            changed = [tenant for tenant, before in pairs if tenant in mine and not action.is_needless(before)]
            yield _done(state, ticket, changed, applied=tuple(_with(before, action, tenant in changed) for tenant, before in pairs))

    def _after_flush(self, state: State, ticket: int) -> Iterator[State]:
        """It takes all that waits; where another flush is under way, which may hold some of it, perhaps less."""
        others = any(isinstance(self.tickets[each], Flush) for each in state.open - {ticket})
        for count in range(0 if others else len(state.waiting), len(state.waiting) + 1):
            for taken in map(frozenset, combinations(sorted(state.waiting), count)):
                whose = {tenant for number in taken for tenant in self.batches[number].tenants}
                pairs = zip(TENANTS, state.applied, strict=True)
                applied = tuple(_with(before, Flushed(taken), tenant in whose) for tenant, before in pairs)
                yield _done(state, ticket, sorted(whose), applied=applied, waiting=state.waiting - taken)

    def _is_there(self, state: State, ticket: int, tenants: Iterable[str]) -> bool:
        """Whether a change of the same content was made."""
        action = self.tickets[ticket]
        if isinstance(action, Flush):
            return ticket in state.open
        applied = dict(zip(TENANTS, state.applied, strict=True))
        return all(action in applied[TenantId(tenant)] for tenant in tenants)


def _with(entries: tuple[Entry, ...], entry: Entry, wanted: bool) -> tuple[Entry, ...]:
    return (*entries, entry) if wanted else entries


def _done(state: State, ticket: int, changed: Iterable[str], **now: Any) -> State:
    told = (ticket, tuple(sorted(changed)))
    return replace(state, open=state.open - {ticket}, done=state.done | {told}, **now)
