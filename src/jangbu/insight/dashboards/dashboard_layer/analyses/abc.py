"""ABC (Pareto) classes: which few rows make up most of a measure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from jangbu.kernel.discovery import Plugin
from jangbu.kernel.errors import OutOfBounds, WrongType
from jangbu.kernel.types import FieldType


@dataclass(frozen=True, slots=True)
class Abc:
    """Over the first measure. A row is A while the cumulative share before it is under the first threshold (the crossing row is A),
    then B until the second, then C; rows without a positive value have share 0 and class C."""

    thresholds: tuple[Decimal, Decimal]
    measures: int = 1
    columns: tuple[tuple[str, FieldType, int | None], ...] = (
        ("share", FieldType.DOUBLE, 0),
        ("cumulative_share", FieldType.DOUBLE, 0),
        ("class", FieldType.TEXT, 0),
    )

    def facts(self, measures: Sequence[str]) -> Mapping[str, str]:  # noqa: ARG002
        return {}

    def order(self, measures: Sequence[str], dimensions: Sequence[str]) -> list[tuple[str, bool]]:
        """The default order, as (column, descending)."""
        return [(measures[0], True), *((name, False) for name in dimensions)]

    def sql(self, rows: str, measures: Sequence[str], dimensions: Sequence[str], facts: Mapping[str, float | None]) -> str:  # noqa: ARG002
        """A SELECT that adds the columns to the relation `rows`, in DuckDB's dialect."""
        value = measures[0]
        order = ", ".join(f"{name} {'DESC' if down else 'ASC'} NULLS LAST" for name, down in self.order(measures, dimensions))
        first, second = self.thresholds
        return f"""
            SELECT * EXCLUDE (positive, total, upto, before),
                CASE WHEN total > 0 THEN positive / total ELSE 0 END AS share,
                CASE WHEN total > 0 THEN upto / total ELSE 0 END AS cumulative_share,
                CASE WHEN positive = 0 OR (before / total) >= CAST('{second}' AS DOUBLE) THEN 'C'
                     WHEN (before / total) >= CAST('{first}' AS DOUBLE) THEN 'B' ELSE 'A' END AS class
            FROM (
                SELECT * EXCLUDE (gain), CAST(gain AS DOUBLE) AS positive,
                    CAST(SUM(gain) OVER () AS DOUBLE) AS total,
                    CAST(SUM(gain) OVER (ORDER BY {order} ROWS UNBOUNDED PRECEDING) AS DOUBLE) AS upto,
                    CAST(COALESCE(SUM(gain) OVER (
                        ORDER BY {order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS DOUBLE) AS before
                FROM (SELECT *, CASE WHEN {value} > 0 THEN {value} ELSE 0 END AS gain FROM {rows})
            )
        """


def build(parameters: Mapping[str, Any], path: str) -> Abc:
    """Raises WrongType or OutOfBounds where `thresholds` isn't two rising numbers between 0 and 1."""
    given = parameters.get("thresholds", [Decimal("0.8"), Decimal("0.95")])
    where = f"{path}/thresholds"
    if not isinstance(given, list) or len(given) != 2 or not all(_is_number(value) for value in given):
        raise WrongType("'thresholds' is a list of two numbers, such as [0.8, 0.95].", path=where, value=given)
    first, second = (Decimal(str(value)) for value in given)
    if not 0 < first <= second <= 1:
        raise OutOfBounds("The thresholds rise between 0 and 1.", path=where, value=given)
    return Abc((first, second))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


PLUGIN = Plugin(
    kind="analysis",
    name="abc",
    summary="Pareto classes A, B, C of the rows by the first measure.",
    open=build,
    fields={
        "thresholds": {
            "type": "array",
            "items": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
            "minItems": 2,
            "maxItems": 2,
            "default": [0.8, 0.95],
            "description": "The cumulative shares at which class A and class B end.",
        }
    },
)
