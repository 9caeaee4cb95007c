"""The port of an analysis kind: one file that adds columns to the rows of an answer."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from jangbu.kernel.types import FieldType


class Analysis(Protocol):
    """What a plug-in of kind "analysis" builds from a request's parameters: `open(parameters, path)`."""

    @property
    def measures(self) -> int:
        """How many measures it needs."""

    @property
    def columns(self) -> tuple[tuple[str, FieldType, int | None], ...]:
        """The columns it adds: name, type, and which measure (by place) it is of."""

    def facts(self, measures: Sequence[str]) -> Mapping[str, str]:
        """What it has to know of all rows first, and says in `meta.cuts`: each key's aggregate as DuckDB SQL, a number."""

    def order(self, measures: Sequence[str], dimensions: Sequence[str]) -> list[tuple[str, bool]] | None:
        """The rows' default order as (column, descending), or None for that of every answer."""

    def sql(self, rows: str, measures: Sequence[str], dimensions: Sequence[str], facts: Mapping[str, float | None]) -> str:
        """A DuckDB SELECT of all columns of the relation `rows` and its own; `measures` and `dimensions` are column names."""
