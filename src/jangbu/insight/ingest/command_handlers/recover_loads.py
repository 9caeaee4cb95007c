"""Finishes or drops what dead processes left half done, so that nothing waits for the next start."""

from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from jangbu.insight.ingest.commands import RecoverLoads
from jangbu.kernel.handlers import Context, Handler, Job

if TYPE_CHECKING:
    from jangbu.insight.ingest.facade import Ingest


class Parts(Protocol):
    @property
    def ingest(self) -> "Ingest": ...


def recover(_: RecoverLoads, context: Context[Parts]) -> None:
    context.parts.ingest.recover()


PLUGIN = Handler(
    kind="command_handler",
    name="recover_loads",
    summary="Finishes or drops the loads that dead processes left half done.",
    handles=RecoverLoads,
    open=recover,
    jobs=(Job("recover_loads", timedelta(minutes=5), RecoverLoads()),),
)
