"""Rows that couldn't be loaded, kept with reason and payload until they are replayed, dismissed, or of no matter any more."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, or_, select, update

from jangbu.insight.ingest.contracts import BadRow, QuarantinedRow, QuarantineState
from jangbu.insight.ingest.intents import Intent, span_texts
from jangbu.insight.ingest.tables import quarantine
from jangbu.kernel.tenancy import TenantId

_NEW: Final = "new"
_REPLAYING: Final = "replaying"
_VISIBLE: Final = (*(state.value for state in QuarantineState), _REPLAYING)
_AT_ONCE: Final = 500


def add(connection: Connection, intent: Intent, rows: Sequence[BadRow], now: datetime) -> None:
    """Keep the rows for the load that is about to be committed; nobody sees them before its end."""
    if not rows:
        return
    start, end = span_texts(intent.key.span)
    same = {
        "data_source": intent.key.data_source,
        "tenant": intent.key.tenant,
        "run": intent.run,
        "span_start": start,
        "span_end": end,
        "state": _NEW,
        "attempt": intent.attempt,
        "set_aside_at": now,
    }
    connection.execute(
        insert(quarantine),
        [
            same
            | {"number": row.number, "column": row.column, "reason": row.reason, "value": row.value, "payload": dict(row.payload)}
            for row in rows
        ],
    )


def settle(connection: Connection, attempt: str, now: datetime) -> None:
    """The attempt was committed: its bad rows wait from now on, those that it replayed are settled."""
    mine = quarantine.c.attempt == attempt
    waiting = {"state": QuarantineState.WAITING.value, "attempt": None}
    connection.execute(update(quarantine).where(mine, quarantine.c.state == _NEW).values(**waiting))
    replayed = {"state": QuarantineState.REPLAYED.value, "attempt": None, "settled_at": now}
    connection.execute(update(quarantine).where(mine, quarantine.c.state == _REPLAYING).values(**replayed))


def drop(connection: Connection, attempt: str) -> None:
    """The attempt wasn't committed: its bad rows are nobody's, those that it was to replay wait again."""
    mine = quarantine.c.attempt == attempt
    connection.execute(delete(quarantine).where(mine, quarantine.c.state == _NEW))
    connection.execute(update(quarantine).where(mine).values(state=QuarantineState.WAITING.value, attempt=None))


def supersede(connection: Connection, intent: Intent, now: datetime) -> None:
    """Rows that wait of earlier loads within the range that this one replaces are of no matter any more."""
    key = intent.key
    earlier = (
        quarantine.c.data_source == key.data_source,
        quarantine.c.tenant == key.tenant,
        quarantine.c.state == QuarantineState.WAITING.value,
        quarantine.c.run != intent.run,
    )
    query = update(quarantine).where(*earlier)
    if key.span is not None:
        start, end = span_texts(key.span)
        query = query.where(quarantine.c.span_start >= start, quarantine.c.span_end <= end)
    connection.execute(query.values(state=QuarantineState.SUPERSEDED.value, settled_at=now))


def claim(connection: Connection, ids: Collection[int], attempt: str) -> bool:
    """Take rows that wait, to replay them; False, and none taken, where one of them waits no more."""
    for some in _some(sorted(ids)):
        mine = (quarantine.c.id.in_(some), quarantine.c.state == QuarantineState.WAITING.value)
        taken = connection.execute(update(quarantine).where(*mine).values(state=_REPLAYING, attempt=attempt)).rowcount
        if taken < len(some):
            connection.execute(
                update(quarantine).where(quarantine.c.attempt == attempt).values(state=QuarantineState.WAITING.value, attempt=None)
            )
            return False
    return True


def judge_again(connection: Connection, rows: Iterable[tuple[int, BadRow]]) -> None:
    """What is wrong with rows that were tried again."""
    for id_, row in rows:
        found = {"column": row.column, "reason": row.reason, "value": row.value}
        connection.execute(update(quarantine).where(quarantine.c.id == id_).values(**found))


def dismiss(connection: Connection, tenant: TenantId | None, run: str, now: datetime) -> int:
    """How many rows waited."""
    mine = (quarantine.c.run == run, quarantine.c.tenant == tenant, quarantine.c.state == QuarantineState.WAITING.value)
    gone = {"state": QuarantineState.DISMISSED.value, "settled_at": now}
    return connection.execute(update(quarantine).where(*mine).values(**gone)).rowcount


def find(
    connection: Connection,
    tenants: Collection[TenantId | None],
    data_sources: Collection[str] | None,
    run: str | None,
    state: QuarantineState | None,
    offset: int,
    limit: int,
) -> tuple[QuarantinedRow, ...]:
    """A page, the newest load's rows first, in their order."""
    query = select(quarantine).where(quarantine.c.tenant.in_(list(tenants)), quarantine.c.state.in_(_VISIBLE))
    if data_sources is not None:
        query = query.where(quarantine.c.data_source.in_(list(data_sources)))
    if run is not None:
        query = query.where(quarantine.c.run == run)
    if state is QuarantineState.WAITING:
        query = query.where(or_(quarantine.c.state == state.value, quarantine.c.state == _REPLAYING))
    elif state is not None:
        query = query.where(quarantine.c.state == state.value)
    ordered = query.order_by(quarantine.c.set_aside_at.desc(), quarantine.c.id)
    return tuple(_row(row) for row in connection.execute(ordered.offset(offset).limit(limit)))


def _row(row: Row[Any]) -> QuarantinedRow:
    state = QuarantineState.WAITING if row.state == _REPLAYING else QuarantineState(row.state)
    bad = BadRow(row.number, row.column, row.reason, row.value, row.payload)
    return QuarantinedRow(row.id, row.tenant, row.data_source, row.run, bad, state, row.set_aside_at, row.settled_at)


def _some(ids: Sequence[int]) -> Iterable[Sequence[int]]:
    return (ids[at : at + _AT_ONCE] for at in range(0, len(ids), _AT_ONCE))
