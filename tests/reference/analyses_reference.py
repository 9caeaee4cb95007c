"""`abc` and `quadrant` over the rows that are left after having."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

Cells = dict[str, Any]


def exact(value: Any) -> Fraction:
    """A number of the request or the data as written, not as its nearest double."""
    return Fraction(Decimal(str(value)))


def abc(rows: Sequence[Cells], measure: str, thresholds: Sequence[Any]) -> list[Cells]:
    """The rows by measure descending with `share`, `cumulative_share` and `class`. They come with ties already in order."""
    there = sorted((row for row in rows if row[measure] is not None), key=lambda row: row[measure], reverse=True)
    ordered = [*there, *(row for row in rows if row[measure] is None)]
    values = [max(Fraction(row[measure] or 0), Fraction(0)) for row in ordered]
    whole, before = sum(values, Fraction(0)), Fraction(0)
    for row, value in zip(ordered, values, strict=True):
        row["class"] = _class_of(value, before, whole, [exact(part) for part in thresholds])
        before += value
        row["share"], row["cumulative_share"] = (float(part / whole) if whole else 0.0 for part in (value, before))
    return ordered


def _class_of(value: Fraction, before: Fraction, whole: Fraction, thresholds: Sequence[Fraction]) -> str:
    if value == 0:
        return "C"
    if before / whole < thresholds[0]:
        return "A"
    return "B" if before / whole < thresholds[1] else "C"


def quadrant(rows: Sequence[Cells], x: str, y: str, cut: Any) -> dict[str, float | None]:
    """Adds `quadrant` to the rows; returns the cuts."""
    cuts = {axis: _cut([row[name] for row in rows if row[name] is not None], axis, cut) for axis, name in (("x", x), ("y", y))}
    numbers = {(True, True): 1, (False, True): 2, (False, False): 3, (True, False): 4}
    for row in rows:
        if row[x] is None or row[y] is None:
            row["quadrant"] = None
        else:
            row["quadrant"] = numbers[Fraction(row[x]) >= (cuts["x"] or 0), Fraction(row[y]) >= (cuts["y"] or 0)]
    return {axis: None if value is None else float(value) for axis, value in cuts.items()}


def _cut(values: Sequence[Any], axis: str, cut: Any) -> Fraction | None:
    if isinstance(cut, dict):
        return exact(cut[axis])
    if not values:
        return None
    numbers = sorted(Fraction(value) for value in values)
    if cut == "mean":
        return sum(numbers, Fraction(0)) / len(numbers)
    middle = len(numbers) // 2
    return numbers[middle] if len(numbers) % 2 else (numbers[middle - 1] + numbers[middle]) / 2
