"""Several processes that do the same at the same time."""

import subprocess
import sys
from pathlib import Path

import pytest
from ingest_place import SALES, Place

SAME_LOAD = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from ingest_place import *
from jangbu.insight.ingest.contracts import LoadMode
place = Place(Path(sys.argv[2]))
place.lakehouse.create(place.ingest.table_spec(SALES))
print("ready", flush=True)
input()
for number in range(1, 6):
    rows = sales((f"p{number}", "1", day(number)))
    mode = LoadMode.REPLACE if number % 2 else LoadMode.APPEND
    span = days(number, number + 1)
    result = place.ingest.load(SALES, tenant=SHOP, batches=rows, mode=mode, span=span)
    print(result.changed, flush=True)
"""
FLUSH = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from ingest_place import *
place = Place(Path(sys.argv[2]))
place.lakehouse.create(place.ingest.table_spec(SALES))
print("ready", flush=True)
input()
for number in range(10):
    place.ingest.spool(SALES, [{"tenant": tenant, "product": f"{sys.argv[3]}-{number}"} for tenant in ("shop", "other")])
    print(sum(result.rows for result in place.ingest.flush_spool(SALES)), flush=True)
"""


def at_once(script: str, place: Place, number: int) -> list[list[str]]:
    """What each of several processes prints that are let go together."""
    command = [sys.executable, "-c", script, str(Path(__file__).parent), str(place.folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    processes = [subprocess.Popen([*command, str(index)], text=True, **pipes) for index in range(number)]  # type: ignore[call-overload]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    printed = [process.communicate(timeout=120)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0] * number
    return printed


@pytest.mark.slow
def test_of_the_same_load_exactly_one_wins(place: Place) -> None:
    printed = at_once(SAME_LOAD, place, 3)
    assert [sorted(changed) for changed in zip(*printed, strict=True)] == [["False", "False", "True"]] * 5
    assert place.products() == [f"p{number}" for number in range(1, 6)]
    assert place.version() == 5
    assert len(place.events()) == 5


@pytest.mark.slow
def test_rows_spooled_and_flushed_by_several_are_there_once(place: Place) -> None:
    at_once(FLUSH, place, 3)
    place.ingest.flush_spool(SALES)
    expected = sorted(f"{process}-{number}" for process in range(3) for number in range(10))
    assert place.products("shop") == place.products("other") == expected
    assert sum(load.rows for load in place.ingest.loads(["shop", "other"])) == 60
