"""Files of every format are read as they are written; what is torn is told."""

import gzip
import os
from datetime import date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jangbu.insight.catalog.contracts import Reading
from jangbu.insight.ingest.files.opening import OpenFiles, formats, open_files
from jangbu.kernel.errors import LoadError

ORDERS = "주문번호,상품명,금액\n1,사과,1000\n2,배,2500\n"


def written(folder: Path, name: str, data: bytes | str) -> Path:
    file = folder / name
    file.write_bytes(data.encode() if isinstance(data, str) else data)
    return file


def rows_of(opened: OpenFiles) -> list[dict[str, Any]]:
    plain = [row for rows in opened.read() for row in rows.batch.to_pylist()]
    return [{name: value.decode() if isinstance(value, bytes) else value for name, value in row.items()} for row in plain]


def torn_of(opened: OpenFiles) -> list[tuple[int, str]]:
    return [(torn.number, torn.text) for rows in opened.read() for torn in rows.torn]


def numbers_of(opened: OpenFiles) -> list[int]:
    return [number for rows in opened.read() for number in rows.numbers]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949", "utf-16"])
def test_the_encoding_is_told_by_the_bytes(tmp_path: Path, encoding: str) -> None:
    opened = open_files(written(tmp_path, "orders.csv", ORDERS.encode(encoding)))
    assert opened.options.encoding == encoding
    assert rows_of(opened)[1] == {"주문번호": "2", "상품명": "배", "금액": "2500"}
    assert encoding in opened.notes[0]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_told_by_the_rows(tmp_path: Path, delimiter: str) -> None:
    text = f'a{delimiter}b\n1{delimiter}"x, y; z"\n2{delimiter}z\n'
    opened = open_files(written(tmp_path, "orders.csv", text))
    assert opened.options.delimiter == delimiter
    assert rows_of(opened)[0] == {"a": "1", "b": "x, y; z"}


def test_a_quoted_field_may_have_line_ends_and_quotes(tmp_path: Path) -> None:
    opened = open_files(written(tmp_path, "orders.csv", 'a,"b\nc"\n1,"x\ny ""z"""\n'))
    assert opened.names == ("a", "b c")
    assert rows_of(opened) == [{"a": "1", "b c": 'x\ny "z"'}]


def test_ragged_rows_are_torn_and_the_others_keep_their_numbers(tmp_path: Path) -> None:
    opened = open_files(written(tmp_path, "orders.csv", "a,b\n1,2\n3\n4,5,6\n7,8\n9"))
    assert torn_of(opened) == [(2, "3"), (3, "4,5,6"), (5, "9")]
    assert numbers_of(opened) == [1, 4]


def test_a_file_of_torn_rows_alone_tells_them(tmp_path: Path) -> None:
    assert torn_of(open_files(written(tmp_path, "orders.csv", "a,b\n1\n"))) == [(1, "1")]


def test_a_byte_of_no_letter_stays_one_for_the_conversion_to_see(tmp_path: Path) -> None:
    text = ORDERS.encode("cp949").replace("배".encode("cp949"), b"\xff")
    opened = open_files(written(tmp_path, "orders.csv", text), Reading(encoding="cp949"))
    values = [value for rows in opened.read() for value in rows.batch.column("상품명").to_pylist()]
    assert values == ["사과".encode(), b"\xff"]


def test_names_are_mended_and_told(tmp_path: Path) -> None:
    opened = open_files(written(tmp_path, "orders.csv", "a,,a, b \n1,2,3,4\n"))
    assert opened.names == ("a", "column 2", "a 2", "b")
    assert opened.notes[1:] == (
        "Column 2 has no name; it is called 'column 2'.",
        "Two columns are called 'a'; column 3 is called 'a 2'.",
    )


def test_parquet_is_read_typed(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1, 2], "b": [0.5, None]}), tmp_path / "orders.parquet")
    opened = open_files(tmp_path / "orders.parquet")
    assert (opened.rows, rows_of(opened)) == (2, [{"a": 1, "b": 0.5}, {"a": 2, "b": None}])


def test_json_lines_keep_their_digits(tmp_path: Path) -> None:
    text = '{"a": 1.50, "b": {"c": [1]}}\n\n{"a": \n[1]\n{"z": true}\n'
    opened = open_files(written(tmp_path, "orders.jsonl.gz", gzip.compress(text.encode())))
    assert rows_of(opened) == [{"a": "1.50", "b": '{"c": [1]}', "z": None}, {"a": None, "b": None, "z": "true"}]
    assert [number for number, _ in torn_of(opened)] == [3, 4]


def workbook(folder: Path) -> Path:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "주문"
    for row in (
        [],
        ["번호", "날짜", "시각", "금액"],
        ["007", date(2024, 1, 2), datetime(2024, 1, 2, 3, 4), 0.1 + 0.2],  # noqa: DTZ001
        [],
        [8, None, None, 5.0],
    ):
        sheet.append(row)
    book.create_sheet("비고").append(["a"])
    book.save(folder / "orders.xlsx")
    return folder / "orders.xlsx"


def test_a_sheet_of_excel_is_read_as_the_program_shows_it(tmp_path: Path) -> None:
    opened = open_files(workbook(tmp_path))
    assert opened.names == ("번호", "날짜", "시각", "금액")
    assert [list(row.values()) for row in rows_of(opened)] == [
        ["007", "2024-01-02", "2024-01-02T03:04:00", "0.3"],
        ["8", None, None, "5"],
    ]
    assert numbers_of(opened) == [1, 3]
    assert open_files(tmp_path / "orders.xlsx", Reading(sheet="비고")).names == ("a",)
    with pytest.raises(LoadError, match="no sheet '없음'"):
        open_files(tmp_path / "orders.xlsx", Reading(sheet="없음"))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("torn.csv.gz", gzip.compress(b"a,b\n1,2\n" * 1000, mtime=0)[:-20]),
        ("torn.parquet", b"PAR1 and nothing more"),
        ("torn.xlsx", b"PK\x03\x04 and nothing more"),
        ("torn.csv", b'a,b\n1,"x\n2,y\n'),
    ],
)
def test_a_torn_file_is_an_error(tmp_path: Path, name: str, data: bytes) -> None:
    with pytest.raises(LoadError, match=r"is torn.*Nothing was loaded") as told:
        rows_of(open_files(written(tmp_path, name, data)))
    assert name in str(told.value)


@pytest.mark.parametrize(
    ("name", "message"), [("empty.csv", "is empty"), ("empty.jsonl", "no objects"), ("empty.bin", "can't be told")]
)
def test_a_file_with_nothing_to_load_is_an_error(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(LoadError, match=message):
        open_files(written(tmp_path, name, ""))


def test_a_folder_is_its_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    written(tmp_path, "b.csv", "a,c\n3,4\n")
    written(tmp_path, "a.csv", "a,b\n1,2\n9\n")
    written(tmp_path, ".hidden", "x")
    opened = open_files(tmp_path)
    assert opened.names == ("a", "b", "c")
    assert numbers_of(opened) == [1, 3]
    assert "b.csv has no 'b'; it is missing in its rows." in opened.notes
    written(tmp_path, "c.jsonl", '{"a": 1}')
    with pytest.raises(LoadError, match="several formats"):
        open_files(tmp_path)


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="There is no file"):
        open_files(tmp_path / "nothing.csv")
    (tmp_path / "bare").mkdir()
    with pytest.raises(LoadError, match="no files"):
        open_files(tmp_path / "bare")


def test_the_content_is_the_bytes_and_how_they_are_read(tmp_path: Path) -> None:
    first = open_files(written(tmp_path, "a.csv", ORDERS))
    second = open_files(written(tmp_path, "b.csv", ORDERS))
    other = open_files(written(tmp_path, "c.csv", ORDERS + "3,귤,1\n"))
    assert first.content(Reading()) == second.content(Reading())
    assert len({first.content(Reading()), other.content(Reading()), first.content(Reading(zone="UTC"))}) == 3


def test_every_format_is_a_plug_in() -> None:
    assert set(formats()) == {"csv", "excel", "jsonl", "parquet"}


@pytest.mark.parametrize("blank", ["\n\n", "\r\n", "\n"])
def test_blank_lines_before_the_names_are_no_rows(tmp_path: Path, blank: str) -> None:
    opened = open_files(written(tmp_path, "orders.csv", f"{blank}a,b\n1,2\n\n3\n4,5\n"))
    assert rows_of(opened) == [{"a": "1", "b": "2"}, {"a": "4", "b": "5"}]
    assert (numbers_of(opened), torn_of(opened)) == ([1, 3], [(2, "3")])


def test_a_torn_row_with_a_broken_byte_is_a_torn_row(tmp_path: Path) -> None:
    opened = open_files(written(tmp_path, "orders.csv", b"a,b\n1,2\n\xff\n3,\xff\n"))
    assert torn_of(opened) == [(2, "�")]
    assert [row for rows in opened.read() for row in rows.batch.to_pylist()][1] == {"a": b"3", "b": b"\xff"}


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.csv.gz", b"\x1f\x8b\x08" + b"\0" * 7 + b"no blocks of deflate", "torn"),
        ("a.csv", b"x" * 200_000 + b",b\n1,2\n", "too long to hold names"),
        ("a.csv", b"a,b\n1,2\n3," + b"x" * (20 << 20) + b"\n", "longer than 8,388,608 bytes"),
        ("a.jsonl", b'{"a": "' + b"x" * (9 << 20) + b'"}\n', "longer than 8,388,608 bytes"),
    ],
)
def test_what_cant_be_read_is_told(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    file = written(tmp_path, name, data)
    with pytest.raises(LoadError, match=said):
        rows_of(open_files(file))


def test_a_long_value_is_one(tmp_path: Path) -> None:
    opened = open_files(written(tmp_path, "orders.csv", "a,b\n1,2\n3," + "x" * 5_000_000 + "\n"))
    assert [len(row["b"]) for row in rows_of(opened)] == [1, 5_000_000]


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(LoadError, match="neither a file nor a folder"):
        open_files(tmp_path / "pipe.csv")
    with pytest.raises(LoadError, match="can't be looked at"):
        open_files(tmp_path / ("x" * 300))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "a.xlsx"])
def test_a_file_that_goes_while_it_is_read_is_told(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    match file.suffix:
        case ".parquet":
            pq.write_table(pa.table({"a": [1]}), file)
        case ".xlsx":
            book = openpyxl.Workbook()
            book.active.append(["a"])
            book.save(file)
        case suffix:
            file.write_text("a\n1\n" if suffix == ".csv" else '{"a": 1}\n')
    opened = open_files(file)
    file.unlink()
    with pytest.raises(LoadError, match=name):
        rows_of(opened)


def test_a_zero_is_no_letter_and_loses_no_row(tmp_path: Path) -> None:
    opened = open_files(written(tmp_path, "orders.csv", b"a\0,b\n1,2\n3,x\0y\n"))
    assert opened.names == ("a", "b")
    assert [row["b"] for rows in opened.read() for row in rows.batch.to_pylist()] == [b"2", b"x\xffy"]


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, "orders.csv", "a,b\n1,2\n")
    opened = open_files(file)
    with file.open("a") as more:
        more.write("3,4\n")
    with pytest.raises(LoadError, match=r"orders.csv was changed while it was read\."):
        rows_of(opened)


@pytest.mark.parametrize("encoding", ["nonsense", "hex"])
def test_an_encoding_that_there_isnt_is_told(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(LoadError, match=f"no encoding '{encoding}'"):
        open_files(written(tmp_path, "orders.csv", "a,b\n1,2\n"), Reading(encoding=encoding))


def test_names_have_only_letters_that_print_and_an_end(tmp_path: Path) -> None:
    opened = open_files(written(tmp_path, "orders.csv", f"a\0b,\x1b[31mred,{'x' * 1000},{'x' * 999}\n1,2,3,4\n"))
    assert opened.names == ("a b", "[31mred", "x" * 200, "x" * 200 + " 2")
    assert any("cut to 200 characters" in note for note in opened.notes)
    assert open_files(written(tmp_path, "a.jsonl", '{"\\ud800": 1, "": 2}\n')).names == ("column 1", "column 2")


def test_jsons_odd_values_stay_as_they_are_written(tmp_path: Path) -> None:
    digits = "1" + "0" * 5_000
    text = f'{{"a": "\\ud800", "b": [{digits}, 0.10, {{"c": "가"}}], "c": {digits}}}\n{"[" * 90_000}\n'
    opened = open_files(written(tmp_path, "a.jsonl", text))
    (row,) = [row for rows in opened.read() for row in rows.batch.to_pylist()]
    assert row == {"a": b"\xed\xa0\x80", "b": f'[{digits}, 0.10, {{"c": "가"}}]'.encode(), "c": digits.encode()}
    assert [number for number, _ in torn_of(opened)] == [2]


def test_a_cell_far_away_ends_no_more_than_its_reader(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active["A1"], book.active["XFD1048576"] = "a", "far"
    book.save(tmp_path / "far.xlsx")
    with pytest.raises(LoadError, match="too much memory or time"):
        open_files(tmp_path / "far.xlsx")


def test_a_workbook_is_read_by_the_readers_own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = openpyxl.Workbook()
    book.active.append(["a"])
    book.active.append([1])
    book.save(tmp_path / "a.xlsx")
    written(tmp_path, "json.py", "raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    assert rows_of(open_files(tmp_path / "a.xlsx")) == [{"a": "1"}]
