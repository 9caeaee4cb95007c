"""Keeps tables light in the background."""

from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from jangbu.insight.ingest.commands import UpkeepTable
from jangbu.kernel.handlers import Context, Handler, Job
from jangbu.platform.cache.ports import Key, Standing

if TYPE_CHECKING:
    from jangbu.insight.ingest.facade import Ingest
    from jangbu.platform.cache.ports import Cache

_ALONE: Final = timedelta(minutes=15)
"""So long one of a table keeps others off; who works for longer may meet another, which costs both time and no row."""


class Parts(Protocol):
    @property
    def cache(self) -> "Cache": ...

    @property
    def ingest(self) -> "Ingest": ...


def upkeep(command: UpkeepTable, context: Context[Parts]) -> None:
    """Done again, it finds nothing to do. Tables that others are at are left to them."""
    if command.table is not None:
        _keep(context.parts, command.table, whenever=False)
        return
    for table in context.parts.ingest.upkeep.tables():
        _keep(context.parts, table, whenever=True)


def _keep(parts: Parts, table: str, *, whenever: bool) -> None:
    """`whenever`: though it isn't due, and with what nobody needs removed."""
    lease = parts.cache.acquire(Key(None, "upkeep", table), _ALONE)
    if lease.standing is Standing.OTHERS:
        return
    try:
        if whenever:
            parts.ingest.upkeep.run(table, remove=True)
        elif parts.ingest.upkeep.is_due(table):
            parts.ingest.upkeep.run(table)
    finally:
        parts.cache.release(lease)


PLUGIN = Handler(
    kind="command_handler",
    name="upkeep_table",
    summary="Joins small files, forgets old snapshots, removes files that nobody needs.",
    handles=UpkeepTable,
    open=upkeep,
    jobs=(Job("upkeep_tables", timedelta(hours=1), UpkeepTable()),),
)
