"""Answers as bytes, one file a representation: each a pure function of the answer."""

from typing import Final, NamedTuple

from jangbu.entrypoints.api.serialize import arrow, csv, json
from jangbu.insight.dashboards.contracts import Answer

JSON: Final = "application/json"
ARROW: Final = "application/vnd.apache.arrow.stream"
CSV: Final = "text/csv"


class Represented(NamedTuple):
    """`content_type` is the whole header, with its charset where the type has one."""

    content_type: str
    body: bytes


MEDIA_TYPES: Final = (JSON, ARROW, CSV)
"""What an answer can be had as, the preferred one first."""

_CONTENT_TYPES: Final = {JSON: JSON, ARROW: ARROW, CSV: "text/csv; charset=utf-8; header=present"}
_WRITERS: Final = {JSON: json.write, ARROW: arrow.write, CSV: csv.write}


def represent(answer: Answer, media_type: str) -> Represented:
    """The answer as one of `MEDIA_TYPES`."""
    return Represented(_CONTENT_TYPES[media_type], _WRITERS[media_type](answer))
