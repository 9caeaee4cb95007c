"""Quadrants: rows by two measures, each cut in high and low."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from jangbu.kernel.discovery import Plugin
from jangbu.kernel.errors import UnknownName, WrongType
from jangbu.kernel.types import FieldType


@dataclass(frozen=True, slots=True)
class Quadrant:
    """x is the first measure, y the second; high is at or above the cut. 1: high x, high y; 2: low x, high y; 3: both low; 4: high
    x, low y; null where either is null. `cut` is "median" (an even one is the midpoint), "mean" (unweighted) or two numbers."""

    cut: str | tuple[Decimal, Decimal]
    measures: int = 2
    columns: tuple[tuple[str, FieldType, int | None], ...] = (("quadrant", FieldType.INTEGER, None),)

    def order(self, measures: Sequence[str], dimensions: Sequence[str]) -> list[tuple[str, bool]] | None:  # noqa: ARG002
        return None

    def facts(self, measures: Sequence[str]) -> Mapping[str, str]:
        """The cuts of x and y."""
        return {"x": self._cut(measures[0], 0), "y": self._cut(measures[1], 1)}

    def sql(self, rows: str, measures: Sequence[str], dimensions: Sequence[str], facts: Mapping[str, float | None]) -> str:  # noqa: ARG002
        """A SELECT that adds the column to the relation `rows`, in DuckDB's dialect."""
        x, y = (f"CAST({name} AS DOUBLE)" for name in measures[:2])
        cut_x, cut_y = (f"CAST('{facts[axis]!r}' AS DOUBLE)" if facts[axis] is not None else "NULL" for axis in "xy")
        return f"""
            SELECT *,
                CAST(CASE WHEN {x} IS NULL OR {y} IS NULL THEN NULL
                     WHEN {x} >= {cut_x} THEN CASE WHEN {y} >= {cut_y} THEN 1 ELSE 4 END
                     WHEN {y} >= {cut_y} THEN 2 ELSE 3 END AS BIGINT) AS quadrant
            FROM {rows}
        """

    def _cut(self, column: str, index: int) -> str:
        if self.cut == "median":
            return f"MEDIAN(CAST({column} AS DOUBLE))"
        if self.cut == "mean":
            return f"CAST(SUM({column}) AS DOUBLE) / NULLIF(COUNT({column}), 0)"
        return f"CAST('{self.cut[index]}' AS DOUBLE)"


def build(parameters: Mapping[str, Any], path: str) -> Quadrant:
    """Raises UnknownName or WrongType where `cut` is neither a word nor two numbers."""
    cut = parameters.get("cut", "median")
    where = f"{path}/cut"
    if isinstance(cut, str):
        if cut not in ("median", "mean"):
            raise UnknownName(f"There is no cut {cut[:80]!r}.", path=where, value=cut, known=("median", "mean"))
        return Quadrant(cut)
    if not isinstance(cut, dict) or set(cut) != {"x", "y"} or not all(_is_number(cut[axis]) for axis in "xy"):
        raise WrongType('\'cut\' is "median", "mean" or {"x": number, "y": number}.', path=where, value=cut)
    return Quadrant((Decimal(str(cut["x"])), Decimal(str(cut["y"]))))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


PLUGIN = Plugin(
    kind="analysis",
    name="quadrant",
    summary="Rows in four fields by two measures, cut by their median, mean or given values.",
    open=build,
    fields={
        "cut": {
            "default": "median",
            "description": "Where high begins.",
            "oneOf": [
                {"enum": ["median", "mean"]},
                {
                    "type": "object",
                    "required": ["x", "y"],
                    "additionalProperties": False,
                    "properties": {"x": {"type": "number"}, "y": {"type": "number"}},
                },
            ],
        }
    },
)
