"""An answer in the terminal: a table with numbers as people read them, bars for categories, a line for time."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

from jangbu.client import Column, Result
from jangbu.entrypoints.cli.output import clean, console

if TYPE_CHECKING:
    from rich.table import Table

_BAR: Final = 24
"""Characters of the longest bar."""
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_HEIGHTS: Final = "▁▂▃▄▅▆▇█"
_LINE: Final = 60
"""Buckets of the longest line; more are averaged."""
_MISSING: Final = "–"


def print_result(result: Result, *, charts: bool) -> None:
    """The table, what was drawn beside it, and a last line on where the numbers come from."""
    rows = list(zip(*(column.to_pylist() for column in result.arrow().columns), strict=True))
    bars = _bars(result.columns, rows) if charts else None
    out = console()
    out.print(_table(result, rows, bars))
    for line in [*(_lines(result.columns, rows) if charts else ()), _footer(result, len(rows))]:
        out.print(line, style="dim")
    for warning in result.meta.get("warnings", ()):
        out.print(f"Warning: {warning}", style="yellow")


def _table(result: Result, rows: Sequence[Sequence[Any]], bars: Sequence[str] | None) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", footer_style="bold", show_footer=result.totals is not None)
    for index, column in enumerate(result.columns):
        total = "" if result.totals is None or result.totals[index] is None else shown(column, result.totals[index])
        number = _is_number(column)
        table.add_column(_header(column), footer=total, justify="right" if number else "left", no_wrap=number, overflow="fold")
    if bars is not None:
        table.add_column("", no_wrap=True)
    for place, row in enumerate(rows):
        cells = [shown(column, value) for column, value in zip(result.columns, row, strict=True)]
        table.add_row(*cells, *((bars[place],) if bars is not None else ()))
    return table


def shown(column: Column, value: Any) -> str:
    """A value as people read it; a missing one is –, never 0."""
    match value:
        case None:
            return _MISSING
        case str():
            return clean(value)
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.isoformat(sep=" ", timespec="minutes")
        case date():
            return value.isoformat()
    return _number(column, value)


def _number(column: Column, value: Any) -> str:
    if column.role == "change":
        return f"{value:+.1%}"
    if column.format == "percent" or column.name in ("share", "cumulative_share"):
        return f"{value:.1%}"
    if column.format == "integer" or column.type == "integer":
        return f"{value:,.0f}"
    return f"{value:,.2f}"


def _header(column: Column) -> str:
    unit = column.unit if column.unit not in (None, "currency", "count", "percent") else None
    return clean(f"{column.name} ({unit})" if unit else column.name)


def _is_number(column: Column) -> bool:
    return column.type in ("integer", "decimal", "double") and column.role != "dimension"


def _first_measure(columns: Sequence[Column]) -> int:
    return next(index for index, column in enumerate(columns) if column.role == "measure")


def _bars(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> list[str] | None:
    """A bar from zero for the first measure of each row, where rows are categories; None where that would say nothing."""
    roles = {column.role for column in columns}
    if "time" in roles or "dimension" not in roles or len(rows) < 2:
        return None
    values = [float(row[_first_measure(columns)] or 0) for row in rows]
    longest = max(values)
    if longest <= 0:
        return None
    return [_bar(value / longest) for value in values]


def _bar(share: float) -> str:
    eighths = round(max(share, 0.0) * _BAR * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _lines(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> list[str]:
    """A line for each measure over time, where there is one row a bucket."""
    if len(rows) < 3 or [column.role for column in columns if column.role in ("time", "dimension")] != ["time"]:
        return []
    measured = [index for index, column in enumerate(columns) if column.role == "measure"]
    return [line for index in measured if (line := _line(columns[index], [row[index] for row in rows]))]


def _line(column: Column, values: Sequence[Any]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    drawn = "".join(_height(value, float(low), float(high)) for value in _thinned(values))
    return f"{clean(column.name)}  {drawn}  {shown(column, low)} to {shown(column, high)}"


def _thinned(values: Sequence[Any]) -> list[float | None]:
    width = -(-len(values) // _LINE)
    groups = [[float(value) for value in values[at : at + width] if value is not None] for at in range(0, len(values), width)]
    return [sum(group) / len(group) if group else None for group in groups]


def _height(value: float | None, low: float, high: float) -> str:
    if value is None:
        return " "
    share = (value - low) / (high - low) if high > low else 0.5
    return _HEIGHTS[min(int(share * len(_HEIGHTS)), len(_HEIGHTS) - 1)]


def _footer(result: Result, rows: int) -> str:
    meta = result.meta
    loaded = [str(at) for at in meta["as_of"].values() if at]
    parts = [
        f"{rows:,} row{'' if rows == 1 else 's'}{', cut: there are more' if meta['truncated'] else ''}",
        f"{sum(float(leg['ms']) for leg in meta['legs']):,.0f} ms",
        *([" to ".join(meta["range"])] if meta.get("range") else []),
        *([f"loaded until {min(loaded)}"] if loaded else []),
        *([f"now is pinned at {meta['now']}"] if meta.get("now") else []),
    ]
    return " · ".join(parts)
