"""Loads what was spooled, though nobody asks for it."""

from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from jangbu.insight.ingest.commands import FlushSpool
from jangbu.kernel.handlers import Context, Handler, Job

if TYPE_CHECKING:
    from jangbu.insight.catalog.facade import CatalogFacade
    from jangbu.insight.ingest.facade import Ingest


class Parts(Protocol):
    @property
    def catalog(self) -> "CatalogFacade": ...

    @property
    def ingest(self) -> "Ingest": ...


def flush(command: FlushSpool, context: Context[Parts]) -> None:
    """A load takes so many rows at most; the rest is the next ones'."""
    source = context.parts.catalog.data_source(command.data_source)
    while context.parts.ingest.flush_spool(source):
        pass


PLUGIN = Handler(
    kind="command_handler",
    name="flush_spool",
    summary="Loads the rows of a data source that were spooled.",
    handles=FlushSpool,
    open=flush,
    # The query log's rows are loaded when it is asked for, and in batches; these are the last ones before a quiet time.
    jobs=(Job("flush_query_log", timedelta(minutes=10), FlushSpool("query_log")),),
)
