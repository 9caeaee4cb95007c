"""CSV for spreadsheets: UTF-8 with a byte order mark (Excel needs it for Hangul), CRLF, RFC 4180 quotes, and no cell that a
spreadsheet would take for a formula."""

from collections.abc import Iterator

import pyarrow as pa

from jangbu.entrypoints.api.serialize import cells
from jangbu.entrypoints.api.serialize.cells import Column, pc
from jangbu.insight.dashboards.contracts import Answer

_BOM = b"\xef\xbb\xbf"
_FORMULA = r"^[=+\-@\t\r\n＝＋－＠]"
"""Text that begins so is a formula to some spreadsheet (the full-width signs in East Asian locales); a leading ' makes it text."""
_NEEDS_QUOTES = r'[",\r\n]|^\s|\s$|^$'
"""The empty text is quoted too, which tells it from a missing value."""


def write(answer: Answer) -> bytes:
    """The whole file: a line of names, then the rows. A missing value is an empty cell; totals are not in it."""
    names = pa.array([column.name for column in answer.columns], pa.string())
    header = ",".join(map(str, _text(names).to_pylist())).encode()
    return b"".join((_BOM, header, b"\r\n", *_lines(answer.table)))


def _lines(table: "pa.Table") -> Iterator[bytes]:
    for batch in cells.batches(table):
        yield cells.joined(batch, _values, "\r\n")
        yield b"\r\n"


def _values(column: Column) -> Column:
    text = cells.by_value(column, _text) if cells.is_text(column.type) else cells.plain(column)
    return pc.fill_null(text, "") if text.null_count else text


def _text(values: Column) -> Column:
    """Cells of text: formulas made harmless, then quoted where RFC 4180 asks for it. Nulls stay null."""
    text = cells.plain(values)
    formula = pc.match_substring_regex(text, _FORMULA)
    if pc.any(formula).as_py():
        text = pc.if_else(formula, pc.binary_join_element_wise("'", text, ""), text)
    quoted = pc.match_substring_regex(text, _NEEDS_QUOTES)
    if not pc.any(quoted).as_py():
        return text
    doubled = pc.replace_substring(text, '"', '""')
    return pc.if_else(quoted, pc.binary_join_element_wise('"', doubled, '"', ""), text)
