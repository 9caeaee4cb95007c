"""Run by the tests as a process of its own: `python killed.py PLACE WHEN ARGUMENTS…` runs the command with the arguments, and kills
itself when PLACE (a function of the migration) is reached, before or after its first call; `-` kills nobody."""

import os
import signal
import sys
from typing import Any

from jangbu.entrypoints.cli import main
from jangbu.entrypoints.migrating import messages
from jangbu.entrypoints.migrating.journal import Journal
from jangbu.platform.database import copying
from jangbu.platform.database.sqlite import SqliteDatabase
from jangbu.platform.lakehouse.tables.relocating import Relocation

OWNERS: dict[str, Any] = {
    "claim": copying,
    "close_for_writing": SqliteDatabase,
    "carry": Relocation,
    "note_file": Journal,
    "seen": Relocation,
    "note_verified": Journal,
    "_go_on_after": copying,
    "note_table": Journal,
    "register": Relocation,
    "_park": messages,
    "release": copying,
}


def kill_at(place: str, when: str) -> None:
    whole = getattr(OWNERS[place], place)

    def killing(*given: Any, **named: Any) -> Any:
        if when == "after":
            whole(*given, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(OWNERS[place], place, killing)


if __name__ == "__main__":
    place, when = sys.argv[1:3]
    if place != "-":
        kill_at(place, when)
    copying.BATCH = 2  # type: ignore[misc]
    sys.argv = ["jangbu", *sys.argv[3:]]
    main()
