"""Run by the tests as a process of its own: `python crash.py FOLDER KIND STEP` begins a load and kills itself at a step of it.

KIND is append, replace or flush; STEP is staged, intent, commit or finished.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from ingest_place import SALES, SHOP, LakehouseWith, Place, day, days, sales

from jangbu.insight.ingest.contracts import LoadMode, LoadResult
from jangbu.insight.ingest.facade import Ingest

NEW = (("new", "2.50", day(2)), ("newer", "0.01", day(3)))


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before(*_: object) -> Any:
    die()


def after(method: Any) -> Any:
    def call(*arguments: object) -> None:
        method(*arguments)
        die()

    return call


def run(ingest: Ingest, kind: str) -> LoadResult | tuple[LoadResult, ...]:
    if kind == "flush":
        return ingest.flush_spool(SALES)
    mode, span = (LoadMode.APPEND, None) if kind == "append" else (LoadMode.REPLACE, days(1, 10))
    return ingest.load(SALES, tenant=SHOP, batches=sales(*NEW), mode=mode, span=span)


def main(folder: str, kind: str, step: str) -> None:
    place = Place(Path(folder))
    real = place.lakehouse
    methods: dict[str, dict[str, Any]] = {
        "staged": {"stage": after(real.stage)},
        "intent": {"commit": before},
        "commit": {"commit": after(real.commit)},
        "finished": {},
    }
    run(Ingest(place.database, LakehouseWith(real, **methods[step]), place.clock), kind)  # type: ignore[arg-type]  # a stand-in
    die()


if __name__ == "__main__":
    main(*sys.argv[1:])
