"""An answer in the terminal."""

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from jangbu.client import Column, Result
from jangbu.entrypoints.cli import tables

META = {"as_of": {"sales": "2018-01-01T00:00:00-05:00"}, "legs": [{"ms": 3.5}, {"ms": 1}], "truncated": False, "warnings": []}


def column(
    name: str = "revenue", role: str = "measure", type_: str = "decimal", format_: str | None = "money", unit: str | None = None
) -> Column:
    return Column(name, type_, role, unit, format_, None, None)


DEPARTMENT = column("department", "dimension", "text", None)


def printed(
    capsys: pytest.CaptureFixture[str],
    columns: list[Column],
    values: list[list[Any]],
    *,
    charts: bool = True,
    totals: tuple | None = None,
    **meta: Any,
) -> list[str]:
    table = pa.table({each.name: value for each, value in zip(columns, values, strict=True)})
    tables.print_result(Result(tuple(columns), totals, META | meta, table), charts=charts)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("described", "value", "text"),
    [
        (column(), None, "–"),
        (column(), Decimal(0), "0.00"),
        (column(), Decimal("1234567.8912"), "1,234,567.89"),
        (column(format_="integer", type_="integer"), 1234567, "1,234,567"),
        (column(format_="percent", type_="double"), 0.1234, "12.3%"),
        (column(role="change", format_="percent", type_="double"), 0.1234, "+12.3%"),
        (column(role="change", format_="percent", type_="double"), -0.05, "-5.0%"),
        (DEPARTMENT, "식품", "식품"),
        (DEPARTMENT, "red \x1b[31m", "red �[31m"),
        (column("time", "time", "date"), date(2017, 3, 1), "2017-03-01"),
        (
            column("time", "time", "instant"),
            datetime(2017, 11, 5, 1, tzinfo=timezone(timedelta(hours=-4))),
            "2017-11-05 01:00-04:00",
        ),
        (column("loyal", "dimension", "boolean"), True, "yes"),
    ],
)
def test_a_value_is_shown_as_people_read_it(described: Column, value: object, text: str) -> None:
    assert tables.shown(described, value) == text


def test_categories_have_bars_from_zero(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, [DEPARTMENT, column()], [["A", "B", None, "D"], [Decimal(8), Decimal(4), None, Decimal(-3)]])
    assert lines[:5] == [
        "department  revenue",
        "A              8.00  ████████████████████████",
        "B              4.00  ████████████",
        "–                 –",
        "D             -3.00",
    ]


def test_without_charts_there_is_only_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert not any(
        "█" in line for line in printed(capsys, [DEPARTMENT, column()], [["A", "B"], [Decimal(8), Decimal(4)]], charts=False)
    )


def test_time_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    days = [date(2017, 3, day) for day in (1, 2, 3, 4)]
    lines = printed(capsys, [column("time", "time", "date"), column()], [days, [Decimal(1), Decimal(8), None, Decimal(4)]])
    assert lines[5] == "revenue  ▁█ ▄  1.00 to 8.00"


def test_a_long_time_is_averaged_to_the_lines_width(capsys: pytest.CaptureFixture[str]) -> None:
    days = [date(2017, 1, 1) + timedelta(days=day) for day in range(365)]
    lines = printed(capsys, [column("time", "time", "date"), column()], [days, [Decimal(day) for day in range(365)]])
    drawn = lines[366].split("  ")[1]
    assert len(drawn) <= 60
    assert (drawn[0], drawn[-1]) == ("▁", "█")


def test_totals_stand_below(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, [DEPARTMENT, column()], [["A"], [Decimal(8)]], totals=(None, Decimal(9)))
    assert lines[2] == "               9.00"


def test_the_last_line_says_where_the_numbers_come_from(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(
        capsys, [DEPARTMENT], [["A"]], charts=False, truncated=True, range=["2017-01-01", "2017-12-31"], warnings=["odd"]
    )
    assert lines[-2:] == [
        "1 row, cut: there are more · 4 ms · 2017-01-01 to 2017-12-31 · loaded until 2018-01-01T00:00:00-05:00",
        "Warning: odd",
    ]


def test_units_stand_in_the_header_and_markup_in_data_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, [DEPARTMENT, column(unit="USD")], [["[red]A[/red]", "B"], [Decimal(1), Decimal(2)]])
    assert lines[0].split() == ["department", "revenue", "(USD)"]
    assert lines[1].startswith("[red]A[/red]")
