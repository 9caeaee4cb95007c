"""Printing: JSON for scripts, tables for people."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

WIDE = 10_000
"""Columns of what isn't a terminal: nothing is wrapped or cut there."""


def print_json(data: object) -> None:
    import json

    typer.echo(json.dumps(data, ensure_ascii=False, indent=2, default=_plain))


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def console() -> "Console":
    """On stdout; nothing is highlighted, and no markup is looked for in data."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False, markup=False, emoji=False)


def print_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """A line for each row, of these keys."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(clean(_shown(row.get(column))) for column in columns))
    console().print(table)


def clean(text: str) -> str:
    """Without control characters, which could steer the terminal."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "�" for char in text)


def _shown(value: Any) -> str:
    match value:
        case None:
            return "–"
        case Mapping():
            return str(value.get("en", dict(value)))
        case str():
            return value
        case list() | tuple() | frozenset():
            return ", ".join(map(str, value))
    return value.isoformat(sep=" ", timespec="seconds") if hasattr(value, "tzinfo") else str(value)
