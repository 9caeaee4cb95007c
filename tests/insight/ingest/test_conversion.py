"""Rows as files have them become rows of a table, or are set aside with a reason."""

import json
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from jangbu.insight.catalog.contracts import ColumnReading, Reading
from jangbu.insight.ingest.conversion import Converted, convert
from jangbu.kernel.errors import LoadError
from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.ports import TableColumn

SEOUL, NEW_YORK = "Asia/Seoul", "America/New_York"


def clock(*parts: int) -> datetime:
    """What a clock without a zone shows."""
    return datetime(*parts)  # noqa: DTZ001


def converted(
    values: list[Any], kind: FieldType, given_type: pa.DataType | None = None, *, zone: str | None = SEOUL, **reading: Any
) -> Converted:
    rules = Reading(zone=zone, columns={"x": ColumnReading(**reading)})
    return convert(pa.record_batch({"x": pa.array(values, given_type)}), [TableColumn("x", kind)], rules)


def outcome(values: list[Any], kind: FieldType, given_type: pa.DataType | None = None, **reading: Any) -> list[Any]:
    """Each value as it became, or the reason why it didn't."""
    done = converted(values, kind, given_type, **reading)
    bad, good = {row.number: row.reason.value for row in done.bad}, iter(done.batch.column(0).to_pylist())
    return [bad[number] if number in bad else next(good) for number in range(1, len(values) + 1)]


# Numbers


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1234.5", "1234.5"),
        ("1,234.50", "1234.5"),
        ("1 234.5", "1234.5"),
        (" 7 ", "7"),
        ("+7", "7"),
        ("-₩5,000", "-5000"),
        ("$-5", "-5"),
        ("1,234원", "1234"),
        ("USD 3", "3"),
        ("(1,200)", "-1200"),
        ("△3", "-3"),
        ("12.5%", "0.125"),
        ("3만 2천", "32000"),
        ("1억 2,000만", "120000000"),
        ("1.5만원", "15000"),
        ("만", "10000"),
        ("０１２", "12"),
        ("1e3", "1000"),
        ("", None),
        ("-", None),
        ("(not set)", None),
    ],
)
def test_a_number_is_read_as_people_write_it(text: str, number: str | None) -> None:
    assert outcome([text], FieldType.DECIMAL) == [None if number is None else Decimal(number)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1,23", "not_a_number"),
        ("12,5", "not_a_number"),
        ("-(5)", "not_a_number"),
        ("(-5)", "not_a_number"),
        ("2만 3억", "not_a_number"),
        ("five", "not_a_number"),
        ("inf", "not_a_number"),
        ("1e999999999", "not_a_number"),
        ("2.00001", "too_precise"),
        ("100000000000000", "out_of_range"),
    ],
)
def test_what_isnt_surely_a_number_that_fits_is_set_aside(text: str, reason: str) -> None:
    assert outcome(["1", text, "2"], FieldType.DECIMAL) == [1, reason, 2]


def test_whole_numbers_arent_cut_and_have_no_other_base() -> None:
    texts = ["1", "1.0", "1.5", "0x1A", "9223372036854775807", "9223372036854775808", None]
    expected = [1, 1, "too_precise", "not_a_number", 2**63 - 1, "out_of_range", None]
    assert outcome(texts, FieldType.INTEGER) == expected


def test_a_decimal_comma_is_declared() -> None:
    assert outcome(["1.234,5", "12,5"], FieldType.DECIMAL, decimal_sign=",") == [Decimal("1234.5"), Decimal("12.5")]


@given(some.decimals(places=4, min_value=-(10**13), max_value=10**13, allow_nan=False))
@settings(max_examples=60, deadline=None)
def test_every_decimal_comes_back_however_it_is_written(number: Decimal) -> None:
    texts = [str(number), f"{number:,f}", f"₩{abs(number):,f}", f"({abs(number):,f})"]
    if abs(number) >= 10**14:
        return
    assert outcome(texts, FieldType.DECIMAL) == [number, number, abs(number), -abs(number)]


@given(some.lists(some.floats(allow_nan=False), max_size=20))
@settings(max_examples=60, deadline=None)
def test_a_double_is_the_decimal_that_it_prints_as_or_set_aside(doubles: list[float]) -> None:
    for double, result in zip(doubles, outcome(doubles, FieldType.DECIMAL, pa.float64()), strict=True):
        if isinstance(result, Decimal):
            assert abs(float(result) - double) <= abs(double) * 2**-50
        else:
            assert result in ("too_precise", "out_of_range", "not_a_number")


def test_the_noise_of_a_spreadsheets_sum_isnt_a_digit() -> None:
    given_doubles = [0.1 + 0.2, 2.55, float("nan"), 0.12345, 1e17]
    assert outcome(given_doubles, FieldType.DECIMAL) == [Decimal("0.3"), Decimal("2.55"), None, "too_precise", "out_of_range"]


def test_typed_numbers_that_dont_fit_are_set_aside() -> None:
    big = [Decimal("1.2"), Decimal("12345678901234567890.1"), Decimal("1.23456")]
    assert outcome(big, FieldType.DECIMAL) == [Decimal("1.2"), "out_of_range", "too_precise"]
    assert outcome([2**64 - 1, 5], FieldType.INTEGER, pa.uint64()) == ["out_of_range", 5]
    assert outcome([1.0, 2.5, 1e19], FieldType.INTEGER) == [1, "too_precise", "out_of_range"]
    assert outcome([2**53, 2**53 + 1], FieldType.DOUBLE) == [2.0**53, "too_precise"]


def test_an_identifier_is_text_whatever_the_file_stores() -> None:
    assert outcome([17850.0, None, float("nan")], FieldType.TEXT) == ["17850", None, None]
    assert outcome([17850], FieldType.TEXT) == ["17850"]
    assert outcome(["007"], FieldType.TEXT) == ["007"]
    assert outcome([{"a": [1]}], FieldType.TEXT) == ['{"a": [1]}']


def test_yes_and_no_are_read_in_both_languages() -> None:
    assert outcome(["예", "FALSE", "maybe", "1", ""], FieldType.BOOLEAN) == [True, False, "not_a_boolean", True, None]


def test_bytes_that_arent_text_are_set_aside() -> None:
    assert outcome([b"a", b"\xff"], FieldType.TEXT, pa.binary()) == ["a", "bad_encoding"]


# Times


def test_a_time_is_read_in_its_formats() -> None:
    assert outcome(["12/1/2010 8:26", "13/1/2010 8:26", "2/30/2010 8:26"], FieldType.LOCAL, formats=("%m/%d/%Y %H:%M",)) == [
        clock(2010, 12, 1, 8, 26),
        "not_a_time",
        "not_a_time",
    ]
    korean = ("%Y. %m. %d. %p %I:%M", "%Y.%m.%d", "%d %b %Y")
    assert outcome(["2010. 12. 1. 오후 1:05", "2010.12.01", "1 Dec 2010"], FieldType.LOCAL, formats=korean) == [
        clock(2010, 12, 1, 13, 5),
        clock(2010, 12, 1),
        clock(2010, 12, 1),
    ]


def test_epochs_are_instants() -> None:
    expected = datetime(2010, 12, 1, 8, 26, tzinfo=UTC)
    assert outcome(["1291191960", "-1", "x"], FieldType.INSTANT, formats=("epoch_s",)) == [
        expected,
        datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
        "not_a_time",
    ]
    assert outcome([1291191960000], FieldType.INSTANT, formats=("epoch_ms",)) == [expected]
    assert outcome(["999999999999999"], FieldType.INSTANT, formats=("epoch_s",)) == ["out_of_range"]


def test_an_offset_in_the_text_goes_before_the_zone() -> None:
    texts = ["2010-12-01 08:26", "2010-12-01T08:26:00Z", "2010-12-01T08:26:00.25+0530"]
    assert outcome(texts, FieldType.INSTANT) == [
        datetime(2010, 11, 30, 23, 26, tzinfo=UTC),
        datetime(2010, 12, 1, 8, 26, tzinfo=UTC),
        datetime(2010, 12, 1, 2, 56, 0, 250_000, tzinfo=UTC),
    ]


def test_a_day_has_no_time_of_day() -> None:
    assert outcome(["2010-12-01", "2010-12-01 00:00", "2010-12-01 00:01"], FieldType.DATE) == [
        date(2010, 12, 1),
        date(2010, 12, 1),
        "not_a_date",
    ]


def test_a_clock_that_is_left_out_takes_the_offset_before_and_one_that_comes_twice_is_the_first() -> None:
    texts = ["2021-03-14 02:30:00", "2021-11-07 01:30:00"]
    assert outcome(texts, FieldType.INSTANT, zone=NEW_YORK) == [
        datetime(2021, 3, 14, 7, 30, tzinfo=UTC),
        datetime(2021, 11, 7, 5, 30, tzinfo=UTC),
    ]


CLOCKS = some.datetimes(min_value=clock(1950, 1, 1), max_value=clock(2090, 1, 1))
ZONES = some.sampled_from([NEW_YORK, SEOUL, "Europe/London", "America/Sao_Paulo", "Australia/Lord_Howe", "Pacific/Apia"])


@given(some.lists(CLOCKS, min_size=1, max_size=8), ZONES)
@settings(max_examples=60, deadline=None)
def test_clocks_become_instants_as_python_has_it(clocks: list[datetime], zone: str) -> None:
    expected = [each.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) for each in clocks]
    assert outcome([each.isoformat() for each in clocks], FieldType.INSTANT, zone=zone) == expected
    assert outcome(clocks, FieldType.INSTANT, pa.timestamp("us"), zone=zone) == expected


@given(some.integers(min_value=0, max_value=4 * 365 * 24 * 2))
@settings(max_examples=60, deadline=None)
def test_each_half_hour_of_some_years_is_the_same_in_a_day_and_alone(half_hours: int) -> None:
    moment = clock(2018, 1, 1) + timedelta(minutes=30 * half_hours)
    together = outcome([moment, clock(2018, 6, 1)], FieldType.INSTANT, pa.timestamp("us"), zone="America/Sao_Paulo")
    assert together[0] == moment.replace(tzinfo=ZoneInfo("America/Sao_Paulo")).astimezone(UTC)


def test_a_zone_is_asked_for_where_one_is_needed() -> None:
    with pytest.raises(LoadError, match="need a zone"):
        converted(["2010-12-01 08:26"], FieldType.INSTANT, zone=None)
    assert outcome(["2010-12-01 08:26Z"], FieldType.INSTANT, zone=None) == [datetime(2010, 12, 1, 8, 26, tzinfo=UTC)]


def test_a_format_with_a_mistake_is_told() -> None:
    with pytest.raises(LoadError, match="There is no '%Q'"):
        converted(["2010"], FieldType.LOCAL, formats=("%Y-%Q",))
    with pytest.raises(LoadError, match="Give a year, a month and a day"):
        converted(["2010"], FieldType.LOCAL, formats=("%Y-%m",))


# Rows

NUMBERS = "1|-1|+1|1.|.5|1.5|1e3|0x1| 1|1,000|nan|inf||-|99999999999999999999|1_0|예|true"
TIMES = "2010-12-01|2010-12-01T08|2010-1-2|2010-12-01 08:26:00.1234567|2010-12-01T08:26Z|2010-02-30|0000-01-01"
TRICKY = some.sampled_from([*NUMBERS.split("|"), *TIMES.split("|")])


@given(some.lists(TRICKY, min_size=2, max_size=6), some.sampled_from(list(FieldType)))
@settings(max_examples=150, deadline=None)
def test_a_row_never_depends_on_the_rows_around_it(texts: list[str], kind: FieldType) -> None:
    assert outcome(texts, kind) == [outcome([text], kind)[0] for text in texts]


COLUMNS = [TableColumn("sku", FieldType.TEXT), TableColumn("quantity", FieldType.INTEGER), TableColumn("price", FieldType.DECIMAL)]
RENAMED = Reading(columns={"sku": ColumnReading(source="SKU"), "quantity": ColumnReading(source="수량")})


def test_columns_are_found_by_their_name_in_the_file_and_put_in_order() -> None:
    batch = pa.record_batch({"price": ["1.5"], "extra": ["x"], "수량": ["2"], "SKU": ["007"]})
    done = convert(batch, COLUMNS, RENAMED)
    assert done.batch.to_pylist() == [{"sku": "007", "quantity": 2, "price": Decimal("1.5")}]
    assert done.batch.schema.field("price").type == pa.decimal128(18, 4)


def test_a_row_that_is_set_aside_is_kept_whole_for_a_look() -> None:
    batch = pa.record_batch({"SKU": ["a", "b", "c"], "수량": ["1", "two", "3"], "price": ["1", "x", "99999999999999999"]})
    done = convert(batch, COLUMNS, RENAMED, first_row=11)
    assert done.batch.column("sku").to_pylist() == ["a"]
    assert done.kept is not None
    assert done.kept.to_pylist() == [0]
    assert [(row.number, row.column, row.reason.value, row.value) for row in done.bad] == [
        (12, "quantity", "not_a_number", "two"),
        (13, "price", "out_of_range", "99999999999999999"),
    ]
    assert done.bad[0].payload == {"SKU": "b", "수량": "two", "price": "x"}


def test_rows_have_the_numbers_that_they_are_given() -> None:
    batch = pa.record_batch({"수량": ["1", "two"]})
    assert convert(batch, COLUMNS[1:2], RENAMED, numbers=[3, 8]).bad[0].number == 8


def test_a_payload_is_json() -> None:
    batch = pa.record_batch(
        {
            "quantity": ["x"],
            "at": pa.array([datetime(2010, 12, 1, tzinfo=UTC)]),
            "sum": pa.array([Decimal("1.10")]),
            "parts": pa.array([[{"a": float("inf")}]]),
            "bytes": pa.array([b"\xff"]),
        }
    )
    payload = convert(batch, COLUMNS[1:2]).bad[0].payload
    assert json.loads(json.dumps(dict(payload)))["sum"] == "1.10"


def test_a_missing_column_is_null_or_where_it_is_required_a_reason() -> None:
    batch = pa.record_batch({"SKU": ["a", ""]})
    assert convert(batch, COLUMNS, RENAMED).batch.column("price").null_count == 2
    assert [row.reason for row in convert(batch, COLUMNS, RENAMED, required=["price"]).bad] == ["missing_column"] * 2
    missing = convert(batch, COLUMNS, RENAMED, required=["sku"])
    assert [(row.number, row.reason) for row in missing.bad] == [(2, "missing_value")]
    assert missing.batch.num_rows == 1


def test_an_empty_batch_has_the_tables_columns() -> None:
    batch = pa.record_batch({"SKU": pa.array([], pa.string())})
    assert convert(batch, COLUMNS, RENAMED).batch.schema.names == ["sku", "quantity", "price"]


def test_reasons_are_stable_codes() -> None:
    from jangbu.insight.ingest.conversion import Reason

    assert all(re.fullmatch(r"[a-z_]+", reason) for reason in Reason)
