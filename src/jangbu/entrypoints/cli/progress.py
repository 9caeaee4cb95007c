"""How far a load has come: bars on a terminal, else lines."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import typer

if TYPE_CHECKING:
    from jangbu.insight.ingest.facade import Progress

_LINES_EVERY: Final = 250_000
"""Rows between two lines."""


@contextmanager
def shown(*, quiet: bool = False) -> "Iterator[Progress | None]":
    """What a load reports to: bars on a terminal, else a line now and then; None where it is to be `quiet`."""
    if quiet:
        yield None
    elif sys.stdout.isatty():
        with _bars() as progress:
            yield progress
    else:
        yield _lines()


def _lines() -> "Progress":
    told: dict[str, int] = {}

    def progress(data_source: str, rows: int, total: int | None) -> None:
        done = total is not None and rows >= total
        if data_source not in told or done or rows - told[data_source] >= _LINES_EVERY:
            if told.get(data_source) != rows:
                typer.echo(f"Loading {data_source}: {rows:,}{f' of {total:,}' if total is not None else ''} rows")
            told[data_source] = rows

    return progress


@contextmanager
def _bars() -> "Iterator[Progress]":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    with Progress(TextColumn("{task.description:20}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()) as bars:
        tasks: dict[str, Any] = {}

        def progress(data_source: str, rows: int, total: int | None) -> None:
            if data_source not in tasks:
                tasks[data_source] = bars.add_task(data_source, total=total)
            bars.update(tasks[data_source], completed=rows, total=total)

        yield progress
