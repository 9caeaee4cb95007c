"""Which representation a client gets."""

import gzip
import re

import pyarrow as pa
import pytest

from jangbu.entrypoints.api.negotiation import SMALL, encode, media_type
from jangbu.entrypoints.api.serialize import ARROW, CSV, JSON, MEDIA_TYPES
from jangbu.kernel.errors import NotAcceptable


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("text/html, */*;q=0.1", JSON),
        (ARROW, ARROW),
        ("text/csv", CSV),
        ("text/*", CSV),
        ("TEXT/CSV; q=1", CSV),
        ("application/json;q=0.5, text/csv;q=0.9", CSV),
        ("application/*;q=0.9, application/json;q=0.1", ARROW),
        ("application/json;q=0, */*", ARROW),
        ("text/csv;q=0.5, application/json;q=0.5", JSON),
        ("text/csv;q=bad, application/json;q=0.1", JSON),
    ],
)
def test_the_type_that_the_client_likes_best(accept: str | None, chosen: str) -> None:
    assert media_type(accept, MEDIA_TYPES) == chosen


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "nonsense", "*/*;q=0", "application/json;q=nan"])
def test_no_type_that_the_client_takes(accept: str) -> None:
    with pytest.raises(NotAcceptable, match=re.escape("None of the types")) as raised:
        media_type(accept, MEDIA_TYPES)
    assert raised.value.known == MEDIA_TYPES


LONG = b"0123456789" * SMALL


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("gzip, deflate, zstd", "zstd"),
        ("gzip, deflate", "gzip"),
        ("zstd;q=0.5, gzip", "gzip"),
        ("*", "zstd"),
        ("identity", None),
        ("gzip;q=0", None),
        ("identity;q=1, gzip;q=0.5", None),
        ("br", None),
        (None, None),
    ],
)
def test_a_long_body_is_packed_as_the_client_likes(accept: str | None, coding: str | None) -> None:
    body, chosen = encode(LONG, accept)
    unpack = {
        "zstd": lambda: pa.decompress(body, len(LONG), "zstd", asbytes=True),
        "gzip": lambda: gzip.decompress(body),
        None: lambda: body,
    }
    assert chosen == coding
    assert unpack[coding]() == LONG


def test_a_short_body_is_left_as_it_is() -> None:
    assert encode(b"short", "gzip") == (b"short", None)
