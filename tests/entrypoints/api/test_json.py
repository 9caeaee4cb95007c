"""An answer as JSON: exact digits, whatever the cells hold."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jangbu.entrypoints.api.serialize import json as serializer
from jangbu.insight.dashboards.contracts import Answer, AnswerColumn, LegReport, Meta, Role
from jangbu.kernel.types import FieldType

META = Meta("q", "UTC", {}, {}, (), truncated=False)
NEW_YORK = ZoneInfo("America/New_York")
AWKWARD = "\"\\/\b\f\n\r\t\x00\x1f\x7f\u2028가나다한글🛒'=,"


def written(table: pa.Table, totals: pa.Table | None = None, meta: Meta = META) -> dict:
    columns = tuple(AnswerColumn(name, FieldType.TEXT, Role.DIMENSION) for name in table.column_names)
    return json.loads(serializer.write(Answer(columns, table, totals, meta)), parse_float=Decimal)


def rows_of(**columns: pa.Array) -> list:
    return written(pa.table(columns))["rows"]


texts = st.text(st.characters(codec="utf-8"), max_size=8) | st.text(AWKWARD, max_size=8)
decimals = st.decimals(-(10**13), 10**13, places=4, allow_nan=False, allow_infinity=False)
instants = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001  # wall clock
rows = st.lists(
    st.tuples(
        st.none() | texts,
        st.none() | decimals,
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.floats(allow_nan=False, allow_infinity=False),
        st.none() | st.booleans(),
        st.none() | st.dates(),
        st.none() | instants,
        st.none() | instants,
    ),
    max_size=12,
)


@given(rows)
def test_every_cell_comes_back_as_it_was(cells: list[tuple]) -> None:
    kinds = [
        pa.string(),
        pa.decimal128(18, 4),
        pa.int64(),
        pa.float64(),
        pa.bool_(),
        pa.date32(),
        pa.timestamp("us", "America/New_York"),
        pa.timestamp("us"),
    ]
    columns = list(zip(*cells, strict=True)) or [()] * len(kinds)
    columns[6] = tuple(value and value.replace(tzinfo=UTC) for value in columns[6])
    table = pa.table(
        {f"c{index}": pa.array(list(column), kind) for index, (column, kind) in enumerate(zip(columns, kinds, strict=True))}
    )

    def expected(index: int, value: object) -> object:
        if value is None:
            return None
        if index == 6:
            return value.replace(tzinfo=UTC).astimezone(NEW_YORK).isoformat()  # type: ignore[attr-defined]
        return value.isoformat() if index in (5, 7) else value  # type: ignore[attr-defined]

    found = [
        [float(value) if index == 3 and value is not None else value for index, value in enumerate(row)]
        for row in written(table)["rows"]
    ]
    assert found == [[expected(index, value) for index, value in enumerate(row)] for row in cells]


def test_a_decimal_keeps_all_its_digits() -> None:
    table = pa.table(
        {"revenue": pa.array([Decimal("12345678901234.5678"), Decimal("0.0000"), Decimal("-0.1000")], pa.decimal128(18, 4))}
    )
    assert b'"rows":[[12345678901234.5678],[0.0000],[-0.1000]]' in serializer.write(
        Answer((AnswerColumn("revenue", FieldType.DECIMAL, Role.MEASURE),), table, None, META)
    )


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_double_is_read_back_as_the_same_double(value: float) -> None:
    table = pa.table({"share": pa.array([value])})
    columns = (AnswerColumn("share", FieldType.DOUBLE, Role.MEASURE),)
    assert json.loads(serializer.write(Answer(columns, table, None, META)))["rows"] == [[value]]


def test_what_json_has_no_number_for_is_missing() -> None:
    assert rows_of(share=pa.array([float("nan"), float("inf"), -float("inf"), 0.5])) == [[None], [None], [None], [Decimal("0.5")]]


def test_both_hours_at_the_end_of_summer_time_are_told_apart() -> None:
    first = datetime(2017, 11, 5, 5, tzinfo=UTC)
    hours = pa.array([first, first + timedelta(hours=1)], pa.timestamp("us", "America/New_York"))
    assert rows_of(time=hours) == [["2017-11-05T01:00:00-04:00"], ["2017-11-05T01:00:00-05:00"]]


def test_a_day_and_a_wall_clock_time_have_no_offset() -> None:
    found = rows_of(
        day=pa.array([date(2017, 3, 1)], pa.date32()),
        wall=pa.array([datetime.fromisoformat("2017-03-01T09:30")], pa.timestamp("us")),
    )
    assert found == [["2017-03-01", "2017-03-01T09:30:00"]]


def test_a_time_beyond_the_calendar_is_missing() -> None:
    assert rows_of(time=pa.array([2**63 - 1, -(2**63) + 1, 0], pa.int64()).cast(pa.timestamp("us", "UTC"))) == [
        [None],
        [None],
        ["1970-01-01T00:00:00+00:00"],
    ]


@pytest.mark.parametrize("rows", [0, 1, 65_536, 70_000])
def test_many_rows_and_none_are_one_list(rows: int) -> None:
    found = rows_of(number=pa.array(range(rows), pa.int64()))
    assert len(found) == rows
    assert found[-1:] == ([[rows - 1]] if rows else [])


def test_a_chunked_table_and_text_in_a_dictionary_are_read_too() -> None:
    words = pa.chunked_array([pa.array(["a", None]).dictionary_encode(), pa.array(['"b"']).dictionary_encode()])
    assert rows_of(word=words) == [["a"], [None], ['"b"']]


def test_totals_are_aligned_with_the_columns() -> None:
    table = pa.table({"department": ["A"], "revenue": pa.array([Decimal("1.10")], pa.decimal128(18, 2))})
    totals = pa.table({"department": pa.array([None], pa.string()), "revenue": pa.array([Decimal("9.90")], pa.decimal128(18, 2))})
    assert written(table, totals)["totals"] == [None, Decimal("9.90")]
    assert written(table)["totals"] is None


def test_meta_tells_times_in_the_answers_zone_and_leaves_out_what_there_is_not() -> None:
    meta = Meta(
        query_id="q1",
        zone="America/New_York",
        as_of={"sales": datetime(2018, 1, 1, 5, tzinfo=UTC), "visits": None},
        data_versions={"sales": 3, "visits": {"alpha": 1, "beta": 2}},
        legs=(LegReport("sales", "duckdb", 7, 1.23456, purpose="compare"),),
        truncated=True,
        warnings=("slow",),
        now=datetime(2018, 1, 1, 4, 59, 59, tzinfo=UTC),
        range=("2017-01-01", "2017-12-31"),
        cuts={"x": 1.5, "y": None},
    )
    assert serializer.meta_of(meta) == {
        "query_id": "q1",
        "zone": "America/New_York",
        "as_of": {"sales": "2018-01-01T00:00:00-05:00", "visits": None},
        "data_versions": {"sales": 3, "visits": {"alpha": 1, "beta": 2}},
        "legs": [{"data_source": "sales", "server": "duckdb", "rows": 7, "ms": 1.235, "cache": "none", "purpose": "compare"}],
        "warnings": ["slow"],
        "truncated": True,
        "now": "2017-12-31T23:59:59-05:00",
        "range": ["2017-01-01", "2017-12-31"],
        "cuts": {"x": 1.5, "y": None},
    }
    assert not {"now", "range", "compare_range", "cuts"} & serializer.meta_of(META).keys()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("1.50"), b"1.50"),
        (date(2017, 1, 1), b'"2017-01-01"'),
        ('식"', '"식\\""'.encode()),
        (None, b"null"),
        (True, b"true"),
        (7, b"7"),
    ],
)
def test_a_single_value(value: object, text: bytes) -> None:
    assert serializer.scalar(value) == text
