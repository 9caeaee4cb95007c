"""Which stored types are read as which of ours."""

import pyarrow as pa
import pytest

from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.ports import TableColumn
from jangbu.platform.outside.columns import is_converted

STORED = {
    "text": pa.string(),
    "words": pa.dictionary(pa.int32(), pa.string()),
    "short": pa.int32(),
    "long": pa.int64(),
    "huge": pa.uint64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "money": pa.decimal128(12, 2),
    "fine": pa.decimal128(12, 6),
    "whole": pa.decimal128(12, 0),
    "boolean": pa.bool_(),
    "day": pa.date32(),
    "instant": pa.timestamp("ns", tz="Asia/Seoul"),
    "local": pa.timestamp("ms"),
    "bytes": pa.binary(),
    "list": pa.list_(pa.int64()),
}


@pytest.mark.parametrize(
    ("wanted", "read"),
    [
        (FieldType.TEXT, {"text", "words", "short", "long", "huge", "whole"}),
        (FieldType.INTEGER, {"short", "long", "whole"}),
        (FieldType.DECIMAL, {"short", "long", "float", "double", "money", "whole"}),
        (FieldType.DOUBLE, {"short", "float", "double"}),
        (FieldType.BOOLEAN, {"boolean"}),
        (FieldType.DATE, {"day"}),
        (FieldType.INSTANT, {"instant"}),
        (FieldType.LOCAL, {"local"}),
    ],
)
def test_only_what_keeps_every_value_is_converted(wanted: FieldType, read: set[str]) -> None:
    column = TableColumn("x", wanted)
    assert {name for name, stored in STORED.items() if is_converted(stored, column)} == read
