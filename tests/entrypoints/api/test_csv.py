"""An answer as CSV: what a spreadsheet opens without harm."""

import csv
import io
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jangbu.entrypoints.api.serialize import csv as serializer
from jangbu.insight.dashboards.contracts import Answer, AnswerColumn, Meta, Role
from jangbu.kernel.types import FieldType

META = Meta("q", "UTC", {}, {}, (), truncated=False)


def written(**columns: pa.Array) -> bytes:
    table = pa.table(columns)
    described = tuple(AnswerColumn(name, FieldType.TEXT, Role.DIMENSION) for name in columns)
    return serializer.write(Answer(described, table, None, META))


def read(body: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True))


def test_the_file_begins_with_a_byte_order_mark_and_ends_its_lines_with_crlf() -> None:
    assert (
        written(department=pa.array(["식품"]), units=pa.array([3]))
        == b"\xef\xbb\xbfdepartment,units\r\n" + "식품".encode() + b",3\r\n"
    )


def test_an_answer_without_rows_is_its_header() -> None:
    assert read(written(department=pa.array([], pa.string()))) == [["department"]]


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_text_that_a_spreadsheet_would_run_is_made_text(begin: str) -> None:
    assert read(written(cell=pa.array([begin + "cmd|' /C calc'!A0"])))[1] == ["'" + begin + "cmd|' /C calc'!A0"]


def test_a_column_named_like_a_formula_is_made_text_too() -> None:
    assert read(written(**{"=1+1": pa.array([1])}))[0] == ["'=1+1"]


def test_negative_numbers_stay_numbers() -> None:
    body = written(units=pa.array([-5]), revenue=pa.array([Decimal("-1.50")], pa.decimal128(18, 2)), share=pa.array([-0.25]))
    assert read(body)[1] == ["-5", "-1.50", "-0.25"]


def test_a_missing_value_is_empty_and_an_empty_text_is_quoted() -> None:
    assert written(cell=pa.array([None, "", "a"]), units=pa.array([None, 1, 2])).endswith(b'cell,units\r\n,\r\n"",1\r\na,2\r\n')


def test_quotes_commas_and_line_breaks_are_quoted() -> None:
    assert b'\r\n"a ""b"", c\r\nd"\r\n' in written(cell=pa.array(['a "b", c\r\nd']))


texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8) | st.text("\",\r\n =+-@\t'가", max_size=8)


@given(st.lists(st.tuples(texts, texts), max_size=10))
def test_every_text_comes_back_with_at_most_a_quote_before_it(cells: list[tuple[str, str]]) -> None:
    body = written(a=pa.array([a for a, _ in cells], pa.string()), b=pa.array([b for _, b in cells], pa.string()))
    for row, found in zip(cells, read(body)[1:], strict=True):
        for text, cell in zip(row, found, strict=True):
            assert cell == ("'" + text if text[:1] and text[0] in "=+-@\t\r\n＝＋－＠" else text)
