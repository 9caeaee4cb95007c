"""What the ingest context can be told to do."""

from dataclasses import dataclass

from jangbu.kernel.messages import Command


@dataclass(frozen=True, slots=True)
class RecoverLoads(Command):
    """Finish or drop the loads that dead processes left half done."""


@dataclass(frozen=True, slots=True)
class FlushSpool(Command):
    """Load the rows of a data source that were spooled."""

    data_source: str


@dataclass(frozen=True, slots=True)
class UpkeepTable(Command):
    """Join small files of a lakehouse table, forget old snapshots and remove files that nobody needs, if it is due. `table` None:
    of every table, and files are looked for to remove though nothing else is due."""

    table: str | None = None
