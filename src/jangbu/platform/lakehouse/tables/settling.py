"""Whether a change was made of which the catalog's answer was lost: found out so that it stays so."""

from collections.abc import Callable, Collection

from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation

from jangbu.platform.lakehouse.tables.commits import with_retries
from jangbu.platform.lakehouse.tables.compacting import UPKEEP
from jangbu.platform.lakehouse.tables.guard import MARKER, last_with
from jangbu.platform.lakehouse.tables.producing import Edit, Producer


def settle(newest: Callable[[], Table], run: str, bases: Collection[int | None], name: str) -> Table:
    """The table, in which the run's marker is by now or never will be: where a commit on one of the snapshots `bases` may still be
    under way, an empty snapshot takes its place.

    Raises:
        Unavailable: the catalog doesn't answer yet.
    """

    def attempt() -> Table:
        table = newest()
        if last_with(table, MARKER, run) is None and table.metadata.current_snapshot_id in bases:
            return Producer(table, Edit(Operation.APPEND, {UPKEEP: "settling"})).commit_to(table)
        return table

    return with_retries(attempt, name)
