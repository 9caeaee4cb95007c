"""An answer as an Arrow stream."""

import json
from collections.abc import Callable

import pyarrow as pa

from jangbu.client import Result
from jangbu.entrypoints.api.serialize import arrow
from jangbu.entrypoints.api.serialize import json as as_json
from jangbu.insight.dashboards.contracts import Answer


def test_the_stream_holds_the_rows_as_they_are(make_answer: Callable[..., Answer]) -> None:
    answer = make_answer(rows=3)
    assert pa.ipc.open_stream(arrow.write(answer)).read_all().equals(answer.table)


def test_its_metadata_say_what_the_json_says(make_answer: Callable[..., Answer]) -> None:
    answer = make_answer()
    described = json.loads(pa.ipc.open_stream(arrow.write(answer)).schema.metadata[b"jangbu"])
    told = json.loads(as_json.write(answer))
    assert described == {name: told[name] for name in ("columns", "totals", "meta")}


def test_the_client_reads_it(make_answer: Callable[..., Answer]) -> None:
    answer = make_answer()
    result = Result.of(arrow.write(answer))
    assert result.arrow().equals(answer.table)
    assert [column.role for column in result.columns] == ["time", "dimension", "measure"]
