"""A run is committed once, and an attempt that was given up never: looked at within the optimistic commit itself.

A commit only succeeds on the snapshot that it was planned from, and every time a table is read anew its snapshots are looked
through; so nobody's commit can slip in between the look and the commit.
"""

from typing import Final

from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from jangbu.kernel.errors import Conflict

MARKER: Final = "jangbu.run"
GIVEN_UP: Final = "jangbu.given-up"
"""In the summary of an empty snapshot: the attempt that may not commit after it."""


class AlreadyCommitted(Exception):
    """The run's marker is in the table, in `snapshot` for the last time."""

    def __init__(self, table: Table, snapshot: Snapshot) -> None:
        super().__init__(f"The run was committed by the snapshot {snapshot.snapshot_id}.")
        self.table, self.snapshot = table, snapshot


class GuardedTable(Table):
    """A table to commit a run to. PyIceberg calls `refresh` before it tries a commit again.

    Raises:
        AlreadyCommitted: the run is in the table. It may be this very commit, of which only the answer was lost.
        Conflict: the attempt was given up.
    """

    def __init__(self, table: Table, run: str, attempt: str) -> None:
        super().__init__(table.name(), table.metadata, table.metadata_location, table.io, table.catalog, table.config)
        self._run, self._attempt = run, attempt
        self._check()

    def refresh(self) -> Table:
        super().refresh()
        self._check()
        return self

    def _check(self) -> None:
        if (found := last_with(self, MARKER, self._run)) is not None:
            raise AlreadyCommitted(self, found)
        if self._attempt and last_with(self, GIVEN_UP, self._attempt) is not None:
            raise Conflict(
                f"This attempt of the run {self._run!r} stood still for so long that it was given up; nothing was changed.",
                value=self._run,
                hint="Load it again.",
            )


def last_with(table: Table, key: str, value: str) -> Snapshot | None:
    """The last snapshot whose summary says so."""
    for snapshot in reversed(table.metadata.snapshots):
        if snapshot.summary is not None and snapshot.summary[key] == value:
            return snapshot
    return None
