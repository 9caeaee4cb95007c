"""Asks for a table's upkeep when a load has made it due."""

from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from jangbu.insight.ingest.commands import UpkeepTable
from jangbu.insight.ingest.events import TenantDataUpdated
from jangbu.kernel.errors import NotFound, UnknownName
from jangbu.kernel.handlers import Context, Handler
from jangbu.platform.cache.ports import Key, Standing

if TYPE_CHECKING:
    from jangbu.insight.catalog.facade import CatalogFacade
    from jangbu.insight.ingest.facade import Ingest
    from jangbu.platform.cache.ports import Cache
    from jangbu.platform.database.ports import Database

_ASKED: Final = timedelta(seconds=30)
"""So long a table isn't asked for again: where upkeep is slow or fails, each load would else ask for one more."""


class Parts(Protocol):
    @property
    def cache(self) -> "Cache": ...

    @property
    def catalog(self) -> "CatalogFacade": ...

    @property
    def database(self) -> "Database": ...

    @property
    def ingest(self) -> "Ingest": ...


def watch(event: TenantDataUpdated, context: Context[Parts]) -> None:
    parts = context.parts
    try:
        table = parts.catalog.data_source(event.data_source, (event.tenant,) if event.tenant else ()).binding.table
        is_due = parts.ingest.upkeep.is_due(table)
    except (UnknownName, NotFound):
        # The data source isn't defined any more, or its table is gone: the hourly upkeep sees to what is left.
        return
    if not is_due or (lease := parts.cache.acquire(Key(None, "upkeep asked", table), _ASKED)).standing is Standing.OTHERS:
        return
    try:
        with parts.database.transaction() as work:
            if work.first_time(context):
                work.send(UpkeepTable(table))
    except BaseException:
        parts.cache.release(lease)  # the next try asks
        raise


PLUGIN = Handler(
    kind="event_handler",
    name="watch_tables",
    summary="Asks for a table's upkeep when a load has made it due.",
    handles=TenantDataUpdated,
    open=watch,
)
