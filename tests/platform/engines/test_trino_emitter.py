"""Every expression that the emitters write means the same in Trino as in DuckDB, at the edges of each type."""

import unicodedata
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from services.plugin import GetService
from sqlglot import exp

from jangbu.kernel.errors import InvalidRequest
from jangbu.platform.engines import duckdb, trino
from jangbu.platform.engines.ports import Engine, Statement

pytestmark = [pytest.mark.slow, pytest.mark.services("trino")]
SOON = 60.0
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INSTANTS = [
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
    datetime(1582, 10, 15, 3, 4, 5, 678_901, tzinfo=UTC),
    datetime(1883, 11, 18, 12, 3, 58, tzinfo=timezone(-timedelta(hours=4, minutes=56, seconds=2))),
    EPOCH - timedelta(microseconds=1),
    EPOCH - timedelta(microseconds=999),
    EPOCH - timedelta(microseconds=1000),
    EPOCH,
    EPOCH + timedelta(microseconds=1),
    datetime(2017, 3, 12, 6, 59, 59, 999_999, tzinfo=UTC),
    datetime(2017, 11, 5, 5, 30, tzinfo=UTC),
    datetime(2262, 4, 11, 23, 47, 16, 854_776, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
]
MOMENTS = [each.astimezone(UTC).replace(tzinfo=None) for each in INSTANTS]
DAYS = sorted({each.date() for each in MOMENTS} | {date(2016, 2, 29), date(2017, 1, 1), date(2020, 12, 31), date(2017, 3, 5)})
TEXTS = [
    "",
    "a",
    "A",
    "abc",
    "ABC",
    "aé",
    "É",
    "가나다",
    "😀a",
    "a%b",
    "a_b",
    "a\\b",
    "it's",
    "ß",
    "İ",
    "ﬀ",
    "Ω",
    "ς",
    "a\nb",
    " a ",
    '"',
]


@pytest.fixture(scope="module")
def engines(service: GetService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, Engine]]:
    folder: Path = tmp_path_factory.mktemp("engines")
    ours = duckdb.open_engine(roots=[folder], spill=folder / "spill", memory_mb=500, threads=1)
    theirs = trino.open_engine(url=service("trino")["url"])
    yield ours, theirs
    ours.close()
    theirs.close()


def rows(engine: Engine, values: Sequence[Any], *columns: Any) -> list[tuple[Any, ...]]:
    """Of each value, what each column makes of it by the engine's emitter; in the values' order."""
    parts = [f"SELECT {at} AS i, {engine.render(engine.emitter.literal(value))} AS x" for at, value in enumerate(values)]
    made = ", ".join(engine.render(column(engine.emitter, exp.column("x"))) for column in columns)
    body = f"SELECT i, {made} FROM ({' UNION ALL '.join(parts)}) AS t ORDER BY 1"
    found = engine.run(Statement(body), timeout=SOON)
    return list(zip(*(column.to_pylist() for column in found.columns[1:]), strict=True))


def same(engines: tuple[Engine, Engine], values: Sequence[Any], *columns: Any) -> list[tuple[Any, ...]]:
    ours, theirs = (rows(engine, values, *columns) for engine in engines)
    for value, left, right in zip(values, ours, theirs, strict=True):
        assert left == right, value
    return theirs


def test_constants_arrive_as_they_are(engines: tuple[Engine, Engine]) -> None:
    for values in (
        INSTANTS, MOMENTS, DAYS, TEXTS, [True, False], [0, -1, 2**62, -(2**63) + 1, 2**63 - 1], [2**63, -(10**37), 10**38 - 1],
        [Decimal("0.0001"), Decimal("-123456789012345678901234567890.12345678"), Decimal("1E-38")],
    ):  # fmt: skip
        for value in values:
            found = rows(engines[1], [value], lambda _, x: x)
            assert found == [(value,)]


def test_micros_are_exact_at_every_time(engines: tuple[Engine, Engine]) -> None:
    expected = [((each - EPOCH) // timedelta(microseconds=1),) for each in INSTANTS]
    assert same(engines, INSTANTS, lambda emit, x: emit.micros(x)) == expected
    assert same(engines, MOMENTS, lambda emit, x: emit.micros(x)) == expected


@pytest.mark.parametrize("values", [INSTANTS, MOMENTS], ids=["instants", "local"])
def test_days_and_widths_round_down(engines: tuple[Engine, Engine], values: Sequence[Any]) -> None:
    far = values[1:]  # the first one has nothing below it
    widths = (1, 7, 1_000, 60_000_000, 3_600_000_000, 86_400_000_000)
    micros = [(each - values[7]) // timedelta(microseconds=1) for each in far]
    found = same(engines, far, *(lambda emit, x, w=w: emit.floor_micros(emit.micros(x), w) for w in widths))
    assert found == [tuple(value // width * width for width in widths) for value in micros]
    days = same(engines, far, lambda emit, x: emit.date_of(emit.micros(x)))
    assert days == [(each.date(),) for each in far]


def test_moments_are_made_of_micros(engines: tuple[Engine, Engine]) -> None:
    same(engines, INSTANTS, lambda emit, x: emit.instant_of(emit.micros(x)))
    same(engines, MOMENTS, lambda emit, x: emit.local_of(emit.micros(x)))
    same(engines, INSTANTS, lambda emit, x: emit.instant_of(emit.floor_micros(emit.micros(x), 3_600_000_000)))
    same(engines, MOMENTS, lambda emit, x: emit.local_of(emit.floor_micros(emit.micros(x), 60_000_000)))


def test_parts_and_beginnings_of_dates(engines: tuple[Engine, Engine]) -> None:
    units, parts = ("week", "sunday_week", "month", "quarter", "year"), ("weekday", "day", "month", "quarter", "year")
    same(engines, DAYS[1:], *(lambda emit, x, unit=unit: emit.truncate_date(x, unit) for unit in units))
    found = same(engines, DAYS, *(lambda emit, x, part=part: emit.part_of_date(x, part) for part in parts))
    assert found[-1] == (DAYS[-1].isoweekday(), 31, 12, 4, 9999)


def test_a_casts_result_is_exact_or_refused(engines: tuple[Engine, Engine]) -> None:
    numbers = [Decimal("0.00005"), Decimal("-0.00005"), Decimal("1.99995"), Decimal("12345678901234.99994")]
    same(engines, numbers, lambda emit, x: emit.decimal(x, 18, 4), lambda emit, x: emit.decimal(x, 38, 4))
    same(engines, [1, -5, 0, 2**53], lambda emit, x: emit.ratio(emit.integer(x), emit.literal(3)), lambda emit, x: emit.text(x))
    same(engines, [0, 1], lambda emit, x: emit.ratio(emit.literal(1), x))
    same(engines, [Decimal("0.1"), Decimal("1e-30")], lambda emit, x: emit.double(emit.literal(Decimal("0.1234567890123456789"))))
    for engine in engines:
        with pytest.raises(InvalidRequest):
            rows(engine, [10**15], lambda emit, x: emit.decimal(x, 18, 4))
        with pytest.raises(InvalidRequest):
            rows(engine, [2**63], lambda emit, x: emit.integer(x))


@pytest.mark.parametrize("part", TEXTS)
def test_texts_are_searched_literally(engines: tuple[Engine, Engine], part: str) -> None:
    found = same(
        engines,
        TEXTS,
        lambda emit, x: emit.contains(x, emit.literal(part)),
        lambda emit, x: emit.starts_with(x, emit.literal(part)),
        lambda emit, x: emit.ends_with(x, emit.literal(part)),
        lambda emit, x: exp.EQ(this=emit.lower(x), expression=emit.lower(emit.literal(part))),
        lambda emit, x: exp.LT(this=x, expression=emit.literal(part)),
    )
    assert [row[:3] for row in found] == [(part in text, text.startswith(part), text.endswith(part)) for text in TEXTS]
    assert [row[4] for row in found] == [text < part for text in TEXTS]


PATTERNS = [
    "", "a", "^a", "a$", "^a$", "a.b", "(?s)a.b", "(?m)^b$", "(?i)É", "(?i)ß", "(?i)ω", r"\w", r"\W", r"\d", r"\s", r"^\S+$", r"\b",
    r"\x{ac00}", r"\p{Hangul}", r"\pL", r"\PL", r"\p{Lu}", "[[:alpha:]]", "[[:punct:]]", "[^a]", "(?P<n>a)b", "a*?", "(a|b)+c",
    "a{2,3}", "(?U)a+", r"\Qa%\E", r"\Aa", r"b\z", "[가-힣]", "(?:)", r"\.", "a||b", r"[\]]", r"[\w가]", r"\t|\n",
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_regular_expressions_are_re2(engines: tuple[Engine, Engine], pattern: str) -> None:
    same(engines, TEXTS, lambda emit, x: emit.matches(x, emit.literal(pattern)))


@pytest.mark.parametrize(
    "pattern", ["[a", "(", ")", "a**", "*", r"\p{No}}{", r"\8", "a(?=b)", "a(?!b)", "(?<=a)b", r"(a)\1", "\\", "a{9999}", "[b-a]"]
)
def test_what_is_not_re2_is_refused_alike(engines: tuple[Engine, Engine], pattern: str) -> None:
    ours, theirs = (refusal(engine, pattern) for engine in engines)
    assert ours == theirs


def refusal(engine: Engine, pattern: str) -> str:
    try:
        rows(engine, ["a"], lambda emit, x: emit.matches(x, emit.literal(pattern)))
    except InvalidRequest as error:
        return error.detail.partition(":")[0]
    return "taken"


def test_case_is_mapped_alike_for_every_character(engines: tuple[Engine, Engine]) -> None:
    points = [*range(1, 0xD800), *range(0xE000, 0x20000)]
    different: set[tuple[int, Any, Any]] = set()
    for start in range(0, len(points), 4096):
        several = points[start : start + 4096]
        text = "".join(map(chr, several))
        literal = [engine.render(engine.emitter.lower(engine.emitter.literal(text))) for engine in engines]
        ours, theirs = (
            engine.run(Statement(f"SELECT {sql} AS x"), timeout=SOON)["x"][0].as_py()
            for engine, sql in zip(engines, literal, strict=True)
        )
        different |= {(p, a, b) for p, a, b in zip(several, ours, theirs, strict=True) if a != b}
    unknown = {each for each in different if unicodedata.category(chr(each[0])) != "Cn"}
    assert unknown == set(), "but for letters that are newer than Python's own tables"
