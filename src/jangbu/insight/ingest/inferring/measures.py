"""First dimensions and measures of a data source, from what its columns are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from jangbu.insight.catalog.contracts import Text
from jangbu.insight.ingest.inferring import words
from jangbu.insight.ingest.inferring.columns import Guess
from jangbu.kernel.types import FieldType

_RESERVED_ENDINGS: Final = ("_compare", "_change")


@dataclass(frozen=True, slots=True)
class DimensionGuess:
    """A column or a formula that measures are grouped by."""

    name: str
    label: Text
    description: Text
    column: str | None = None
    formula: str | None = None


@dataclass(frozen=True, slots=True)
class MeasureGuess:
    """A measure as its definition has it: `fields` are the keys between its name and its label."""

    name: str
    kind: str
    fields: tuple[tuple[str, str], ...]
    label: Text
    description: Text
    format: str
    unit: str | None = None


def dimensions(guesses: Sequence[Guess], time: Guess | None) -> tuple[DimensionGuess, ...]:
    """Texts and yes or no, and the hour and weekday of the default time."""
    plain = [_dimension(guess) for guess in guesses if guess.column.type in (FieldType.TEXT, FieldType.BOOLEAN)]
    return (*plain, *_clock(time, {guess.name for guess in guesses})) if time else tuple(plain)


def _dimension(guess: Guess) -> DimensionGuess:
    description = Text(f"파일의 ‘{guess.original}’ 열이에요.", f"The column ‘{guess.original}’ of the file.")
    return DimensionGuess(guess.name, guess.label, description, column=guess.name)


def _clock(time: Guess, taken: Iterable[str]) -> Iterable[DimensionGuess]:
    if time.column.type is not FieldType.DATE and "hour_of_day" not in taken:
        told = Text("그 시각의 시(0~23)예요.", "The hour of the day, 0 to 23.")
        yield DimensionGuess("hour_of_day", Text("시간대", "Hour of day"), told, formula=f"hour_of_day({time.name})")
    if "weekday" not in taken:
        told = Text("월요일이 1, 일요일이 7이에요.", "1 is Monday, 7 is Sunday.")
        yield DimensionGuess("weekday", Text("요일", "Weekday"), told, formula=f"weekday({time.name})")


def measures(guesses: Sequence[Guess], taken: Iterable[str]) -> tuple[MeasureGuess, ...]:
    """Counts, sums, an amount where quantity and price are there, and averages; none has a `taken` name."""
    found = [_rows(), *_amounts(guesses), *(_sum(guess) for guess in guesses if _is_summed(guess)), *_counts(guesses)]
    named = _named(found, set(taken))
    return (*named, *_named(_averages(named), {*taken, *(measure.name for measure in named)}))


def _named(found: Iterable[MeasureGuess], taken: set[str]) -> tuple[MeasureGuess, ...]:
    """Each name once; what is taken already gets another ending."""
    named: list[MeasureGuess] = []
    for measure in found:
        name = (
            measure.name
            if measure.name not in taken and not measure.name.endswith(_RESERVED_ENDINGS)
            else f"{measure.name}_measure"
        )
        if name not in taken:
            taken.add(name)
            named.append(
                MeasureGuess(name, measure.kind, measure.fields, measure.label, measure.description, measure.format, measure.unit)
            )
    return tuple(named)


def _rows() -> MeasureGuess:
    told = Text("불러온 행의 수예요.", "How many rows were loaded.")
    return MeasureGuess("rows", "simple", (("formula", "count()"),), Text("행 수", "Rows"), told, "integer", "count")


def _amounts(guesses: Sequence[Guess]) -> Iterable[MeasureGuess]:
    quantity = next((guess for guess in guesses if words.QUANTITY.search(guess.name) and guess.column.type.is_number), None)
    price = next((guess for guess in guesses if words.UNIT_PRICE.search(guess.name) and guess.column.type.is_number), None)
    if quantity is None or price is None or any(guess.name in ("revenue", "amount", "sales") for guess in guesses):
        return
    told = Text("수량에 단가를 곱해 더한 금액이에요.", "Quantity times unit price, summed.")
    formula = f"sum({quantity.name} * {price.name})"
    yield MeasureGuess("revenue", "simple", (("formula", formula),), Text("매출", "Revenue"), told, "money", "currency")


def _is_summed(guess: Guess) -> bool:
    return guess.column.type.is_number and not words.UNIT_PRICE.search(guess.name)


def _sum(guess: Guess) -> MeasureGuess:
    money = bool(words.MONEY.search(guess.name))
    if words.QUANTITY.search(guess.name):
        name, label = "units", Text("판매 수량", "Units")
    else:
        name, label = f"total_{guess.name}", Text(f"{guess.label.ko} 합계", f"Total {guess.label.en.lower()}")
    told = Text(f"‘{guess.original}’ 열을 더한 값이에요.", f"The column ‘{guess.original}’, summed.")
    form = "money" if money else "integer" if guess.column.type is FieldType.INTEGER else "decimal"
    unit = "currency" if money else "count" if name == "units" else None
    return MeasureGuess(name, "simple", (("formula", f"sum({guess.name})"),), label, told, form, unit)


def _counts(guesses: Sequence[Guess]) -> Iterable[MeasureGuess]:
    for guess in guesses:
        if guess.identifier and guess.column.type is FieldType.TEXT:
            first = guess.name.split("_")[0]
            plural, ko, en = words.COUNTED.get(
                first, (f"distinct_{guess.name}", f"{guess.label.ko} 수", f"Different {guess.label.en.lower()}")
            )
            told = Text(f"서로 다른 ‘{guess.original}’의 수예요.", f"How many different ‘{guess.original}’ there are.")
            formula = f"count_distinct({guess.name})"
            yield MeasureGuess(plural, "distinct", (("formula", formula),), Text(ko, en), told, "integer", "count")


def _averages(named: Sequence[MeasureGuess]) -> Iterable[MeasureGuess]:
    """Money for each order (or invoice, or row), and for each unit."""
    money = next((measure for measure in named if measure.format == "money"), None)
    if money is None:
        return
    names = {measure.name: measure for measure in named}
    for below, one in (("orders", "order"), ("invoices", "invoice"), ("customers", "customer"), ("units", "unit")):
        if below in names:
            label = Text(f"{names[below].label.ko} 대비 {money.label.ko}", f"{money.label.en} per {one}")
            told = Text(
                f"‘{money.label.ko} ÷ {names[below].label.ko}’ 값이에요.",
                f"{money.label.en} divided by {names[below].label.en.lower()}.",
            )
            fields = (("numerator", money.name), ("denominator", below))
            yield MeasureGuess(f"{money.name}_per_{one}", "ratio", fields, label, told, "money", "currency")
