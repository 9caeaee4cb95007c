"""Run by the tests as a process of its own: `python crash_erasing.py FOLDER STEP` begins to erase a tenant and kills itself.

STEP is a method of the lakehouse after which it does (commit, purge), one of the database (scrub), or `note`: a place is noted.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from ingest_place import SALES, LakehouseWith, Place

from jangbu.insight.ingest import erasures
from jangbu.insight.ingest.facade import Ingest
from jangbu.kernel.tenancy import TenantId


def deadly(method: Any) -> Any:
    def call(*arguments: Any, **more: Any) -> None:
        method(*arguments, **more)
        os.kill(os.getpid(), signal.SIGKILL)

    return call


def main(folder: str, step: str) -> None:
    place = Place(Path(folder))
    database: Any = place.database
    lakehouse: Any = place.lakehouse
    if step == "note":
        erasures.note = deadly(erasures.note)
    elif step == "scrub":
        database.scrub = deadly(database.scrub)
    else:
        lakehouse = LakehouseWith(place.lakehouse, **{step: deadly(getattr(place.lakehouse, step))})
    Ingest(database, lakehouse, place.clock).erase_tenant(TenantId("gone-shop"), asked_by="tester", sources=[SALES])


if __name__ == "__main__":
    main(*sys.argv[1:])
