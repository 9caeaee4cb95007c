"""Every expression of an emitter against plain Python, over values where engines go wrong: nulls, before 1970, DST, edges."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import exp

from jangbu.kernel.errors import OutOfBounds, UnknownName, WrongType
from jangbu.platform.engines.duckdb import DuckDBEmitter, open_engine
from jangbu.platform.engines.emitter import StandardEmitter
from jangbu.platform.engines.ports import Emitter, Engine, Scan, Statement

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the wall clock's
DAY = 86_400_000_000
NEW_YORK = ZoneInfo("America/New_York")
INSTANTS = [
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(1883, 11, 18, 16, 59, 59, 999999, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(2016, 2, 29, 12, tzinfo=UTC),
    datetime(2017, 3, 12, 6, 59, 59, 999999, tzinfo=UTC),
    datetime(2017, 3, 12, 7, tzinfo=UTC),
    datetime(2017, 11, 5, 5, 30, tzinfo=UTC),
    datetime(2017, 11, 5, 6, 30, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
]
MICROS = [-62_135_596_800_000_000, -DAY - 1, -DAY, -DAY + 1, -1, 0, 1, DAY - 1, DAY, 1_489_302_000_000_000, 253_402_300_799_999_999]
DAYS = [date(1, 1, 1), date(1899, 12, 31), date(1969, 12, 28), date(1969, 12, 31), date(1970, 1, 1), date(2016, 2, 29)]
DAYS += [date(2017, 1, 1), date(2017, 4, 1), date(2017, 12, 30), date(2017, 12, 31), date(2024, 12, 30), date(9999, 12, 31)]
TEXTS = ["", "a", "A", "it's", '"', "\\", "\\'", "a%b_c", "100%", "--", "/* x */", ";", "\n", "\t"]
TEXTS += ["한글", "가", "é", "🙂", "{}", "$1", "?", ":x"]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder: Path = tmp_path_factory.mktemp("engine")
    opened = open_engine(roots=[folder], spill=folder / "spill", memory_mb=500)
    yield opened
    opened.close()


@pytest.fixture(scope="module", params=[DuckDBEmitter, StandardEmitter])
def emitter(request: pytest.FixtureRequest) -> Emitter:
    """DuckDB's, and the standard one, which DuckDB understands as well."""
    made: Emitter = request.param()
    return made


Ask = Callable[..., list[Any]]


@pytest.fixture(scope="module")
def ask(engine: Engine) -> Ask:
    """The values of an expression over the column `x` of these values."""

    def ask_(expression: exp.Expr, values: list[Any], type_: pa.DataType) -> list[Any]:
        rows = pa.table({"at": list(range(len(values))), "x": pa.array(values, type_)})
        tree = exp.select(exp.alias_(expression, "y")).from_(exp.to_table("rows")).order_by(exp.column("at"))
        scan = Scan("rows", ("at", "x"), rows=rows)
        return engine.run(Statement(engine.render(tree), (scan,)), timeout=30).column("y").to_pylist()

    return ask_


def x() -> exp.Expr:
    return exp.column("x")


def wall(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


# Time


def test_micros_of_an_instant_and_of_a_wall_clock(emitter: Emitter, ask: Ask) -> None:
    wanted = [(time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) for time in INSTANTS]
    assert ask(emitter.micros(x()), [*INSTANTS, None], pa.timestamp("us", "UTC")) == [*wanted, None]
    assert ask(emitter.micros(x()), [time.replace(tzinfo=None) for time in INSTANTS], pa.timestamp("us")) == wanted


def test_the_date_of_micros_is_floored(emitter: Emitter, ask: Ask) -> None:
    assert ask(emitter.date_of(x()), [*MICROS, None], pa.int64()) == [*(wall(micros).date() for micros in MICROS), None]


@pytest.mark.parametrize("width", [1, 60_000_000, 3_600_000_000, DAY, 7 * DAY])
def test_micros_are_floored_to_a_width(emitter: Emitter, ask: Ask, width: int) -> None:
    assert ask(emitter.floor_micros(x(), width), [*MICROS, None], pa.int64()) == [*(m // width * width for m in MICROS), None]


@given(value=st.integers(-(2**60), 2**60), width=st.sampled_from([60_000_000, 3_600_000_000, DAY]))
def test_floor_is_python_s_for_any_micros(ask: Ask, value: int, width: int) -> None:
    assert ask(DuckDBEmitter().floor_micros(x(), width), [value], pa.int64()) == [value // width * width]


def test_instants_and_local_times_of_micros(emitter: Emitter, ask: Ask) -> None:
    assert ask(emitter.instant_of(x()), [*MICROS, None], pa.int64()) == [*(wall(m).replace(tzinfo=UTC) for m in MICROS), None]
    assert ask(emitter.local_of(x()), [*MICROS, None], pa.int64()) == [*map(wall, MICROS), None]


def test_the_day_of_an_instant_in_a_zone_that_changes_its_offset(emitter: Emitter, ask: Ask) -> None:
    """The way a leg buckets: micros, the zone's offsets by pieces, the date."""
    times = [time for time in INSTANTS if time.year == 2017]
    micros = emitter.micros(x())
    spring, autumn = (emitter.literal(value) for value in (1_489_302_000_000_000, 1_509_861_600_000_000))
    offset = (
        exp.Case()
        .when(exp.and_(micros >= spring, micros < autumn), emitter.literal(-14_400_000_000))
        .else_(emitter.literal(-18_000_000_000))
    )
    found = ask(emitter.date_of(micros.copy() + offset), times, pa.timestamp("us", "UTC"))
    assert found == [time.astimezone(NEW_YORK).date() for time in times]


@pytest.mark.parametrize(
    ("unit", "start"),
    [
        ("week", lambda day: day - timedelta(day.weekday())),
        ("sunday_week", lambda day: day - timedelta(day.isoweekday() % 7)),
        ("month", lambda day: day.replace(day=1)),
        ("quarter", lambda day: day.replace(day=1, month=(day.month - 1) // 3 * 3 + 1)),
        ("year", lambda day: day.replace(day=1, month=1)),
    ],
)
def test_a_day_is_truncated(emitter: Emitter, ask: Ask, unit: str, start: Callable[[date], date]) -> None:
    days = [day for day in DAYS if unit != "sunday_week" or day.year > 1]
    assert ask(emitter.truncate_date(x(), unit), [*days, None], pa.date32()) == [*map(start, days), None]


@pytest.mark.parametrize(
    ("part", "of"),
    [
        ("weekday", date.isoweekday),
        ("day", lambda day: day.day),
        ("month", lambda day: day.month),
        ("quarter", lambda day: (day.month + 2) // 3),
        ("year", lambda day: day.year),
    ],
)
def test_a_part_of_a_day(emitter: Emitter, ask: Ask, part: str, of: Callable[[date], int]) -> None:
    assert ask(emitter.part_of_date(x(), part), [*DAYS, None], pa.date32()) == [*map(of, DAYS), None]


def test_units_and_parts_that_are_not_known_are_named(emitter: Emitter) -> None:
    with pytest.raises(UnknownName, match="weak"):
        emitter.truncate_date(x(), "weak")
    with pytest.raises(UnknownName, match="century"):
        emitter.part_of_date(x(), "century")


# Literals


@pytest.mark.parametrize(
    "value", [*TEXTS, True, False, 0, 1, -1, 2**63 - 1, -(2**63), *DAYS, *INSTANTS, *map(wall, MICROS)], ids=repr
)
def test_a_literal_comes_back_as_it_was(emitter: Emitter, ask: Ask, value: Any) -> None:
    (found,) = ask(emitter.literal(value), [1], pa.int64())
    assert found == value
    assert type(found) is type(value)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_text_comes_back_as_it_was(ask: Ask, value: str) -> None:
    assert ask(DuckDBEmitter().literal(value), [1], pa.int64()) == [value]


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**18), max_value=10**18, places=9))
def test_any_decimal_comes_back_exactly(ask: Ask, value: Decimal) -> None:
    emitter = DuckDBEmitter()
    assert ask(emitter.decimal(emitter.literal(value), 38, 9), [1], pa.int64()) == [value]


@pytest.mark.parametrize(
    "value", [Decimal("0.1"), Decimal("1E+5"), Decimal("1E-20"), Decimal("-0.00"), Decimal("1234567890123456789.0123456789")]
)
def test_a_decimal_is_written_by_its_digits(emitter: Emitter, engine: Engine, value: Decimal) -> None:
    assert Decimal(engine.render(emitter.literal(value))) == value
    assert "E" not in engine.render(emitter.literal(value))


@pytest.mark.parametrize(
    "value",
    [10**39, Decimal("1e39"), Decimal("1e-39"), Decimal("1e999999"), Decimal("1e-999999"), Decimal(f"{10**37}.01")],
)
def test_a_number_that_no_engine_keeps_exactly_is_refused(emitter: Emitter, value: Any) -> None:
    with pytest.raises(OutOfBounds, match="38 digits"):
        emitter.literal(value)


def test_literals_that_can_not_be_are_refused(emitter: Emitter) -> None:
    for value in ("a\0b", Decimal("NaN"), Decimal("Infinity")):
        with pytest.raises(WrongType):
            emitter.literal(value)
    for mistake in (0.1, None, b"x", timedelta(1)):
        with pytest.raises(TypeError, match="no literal"):
            emitter.literal(mistake)


def test_an_instant_is_one_whatever_zone_it_is_given_in(emitter: Emitter) -> None:
    seoul = datetime(2017, 1, 1, 9, tzinfo=timezone(timedelta(hours=9)))
    assert emitter.literal(seoul) == emitter.literal(datetime(2017, 1, 1, tzinfo=UTC))


# Values


def test_a_ratio_is_a_double_and_null_over_nothing(emitter: Emitter, ask: Ask) -> None:
    one = emitter.literal(1)
    values = [Decimal("3.0000"), Decimal("-8.0000"), Decimal("0.0000"), None]
    assert ask(emitter.ratio(one, x()), values, pa.decimal128(18, 4)) == [1 / 3, -0.125, None, None]
    assert ask(emitter.ratio(x(), emitter.literal(2)), [1, None], pa.int64()) == [0.5, None]


def test_casts(emitter: Emitter, ask: Ask) -> None:
    assert ask(emitter.text(x()), [0, -5, 10**18, None], pa.int64()) == ["0", "-5", "1000000000000000000", None]
    assert ask(emitter.decimal(x(), 18, 4), [7, None], pa.int64()) == [Decimal("7.0000"), None]
    assert ask(emitter.integer(x()), ["7", None], pa.string()) == [7, None]
    assert ask(emitter.double(x()), [Decimal("0.1000"), None], pa.decimal128(18, 4)) == [0.1, None]


@pytest.mark.parametrize("part", TEXTS)
def test_parts_of_a_text_are_literal(emitter: Emitter, ask: Ask, part: str) -> None:
    values = [*TEXTS, *(text + "x" for text in TEXTS), *("x" + text for text in TEXTS), *("x" + text + "x" for text in TEXTS)]
    given_part = emitter.literal(part)
    assert ask(emitter.contains(x(), given_part), [*values, None], pa.string()) == [*(part in text for text in values), None]
    assert ask(emitter.starts_with(x(), given_part.copy()), values, pa.string()) == [text.startswith(part) for text in values]
    assert ask(emitter.ends_with(x(), given_part.copy()), values, pa.string()) == [text.endswith(part) for text in values]


def test_lower_and_matches(emitter: Emitter, ask: Ask) -> None:
    assert ask(emitter.lower(x()), ["ÀB한", "", None], pa.string()) == ["àb한", "", None]
    assert ask(emitter.matches(x(), emitter.literal("b.d$")), ["abcd", "BCD", "bcd!", None], pa.string()) == [
        True,
        False,
        False,
        None,
    ]


@pytest.mark.parametrize("value", [Decimal("-123456789012345678901234567890.12345678"), -(10**37) - 1, Decimal("-0.5"), -7])
def test_a_negative_number_keeps_all_its_digits(value: int | Decimal) -> None:
    assert StandardEmitter().literal(value).sql() == str(value)
