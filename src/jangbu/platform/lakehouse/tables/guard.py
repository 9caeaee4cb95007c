"""A run is committed once, and one that was given up never: looked at in the very metadata that a commit is planned from.

A commit only succeeds on the snapshot that it was planned from, and every try begins from newer metadata; so nobody's commit can
slip in between the look and the commit.
"""

from collections.abc import Mapping
from typing import Final

from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from jangbu.kernel.errors import Conflict

MARKER: Final = "jangbu.run"
GIVEN_UP: Final = "jangbu.given-up"
"""In the summary of an empty snapshot: the run that may not be committed after it."""


def given_up_mark(run: str) -> str:
    """The table property that says so once the snapshot has expired; its value is when (UTC)."""
    return f"{GIVEN_UP}.{run}"


class AlreadyCommitted(Exception):
    """The run's marker is in the table, in `snapshot`. It may be of this very commit, of which only the answer was lost."""

    def __init__(self, table: Table, snapshot: Snapshot) -> None:
        super().__init__(f"The run was committed by the snapshot {snapshot.snapshot_id}.")
        self.table, self.snapshot = table, snapshot


def check(table: Table, run: str) -> None:
    """Raises AlreadyCommitted where the run is in the table, Conflict where it was given up."""
    if (found := last_with(table, MARKER, run)) is not None:
        raise AlreadyCommitted(table, found)
    if given_up_mark(run) in table.properties or last_with(table, GIVEN_UP, run) is not None:
        raise Conflict(
            f"The run {run!r} stood still for so long that it was given up; nothing was changed.", value=run, hint="Load it again."
        )


def last_with(table: Table, key: str, value: str) -> Snapshot | None:
    """The last snapshot whose summary says so."""
    for snapshot in reversed(table.metadata.snapshots):
        if snapshot.summary is not None and snapshot.summary[key] == value:
            return snapshot
    return None


def marks_of(snapshot: Snapshot) -> Mapping[str, str]:
    """What its summary says beside the operation."""
    return snapshot.summary.additional_properties if snapshot.summary is not None else {}
