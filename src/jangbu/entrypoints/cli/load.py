"""`jangbu load`: a file of one's own, understood, defined, loaded."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jangbu.entrypoints.cli import options

if TYPE_CHECKING:
    from jangbu.insight.ingest.own_files import Tally


class Mode(StrEnum):
    APPEND = "append"
    REPLACE = "replace"
    MERGE = "merge"


class NewColumns(StrEnum):
    ADD = "add"
    IGNORE = "ignore"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Wishes:
    """The options that say how to load."""

    path: Path
    name: str
    mode: Mode
    keys: tuple[str, ...]
    zone: str | None
    currency: str | None
    tenant: str | None
    range: str | None
    new_columns: NewColumns | None
    distinct: bool
    dry_run: bool
    yes: bool
    quiet: bool

    def say(self, *lines: str) -> None:
        for line in lines if not self.quiet else ():
            typer.echo(line)


def load(
    path: Annotated[Path, typer.Argument(help="A file (CSV, Excel, Parquet, JSON lines; gzipped too), or a folder of them.")],
    name: Annotated[str | None, typer.Option("--as", help="The data source's name.", show_default="the file's name")] = None,
    mode: Annotated[
        Mode, typer.Option("--mode", help="Add rows, put them in place of all (or of a range), or merge by key.")
    ] = Mode.APPEND,
    keys: Annotated[
        list[str] | None, typer.Option("--key", help="Columns that tell rows apart; repeat, or separate by commas.")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Whose rows; made where it isn't there.", show_default="the only one")
    ] = None,
    zone: Annotated[
        str | None, typer.Option("--zone", help="The zone of times without an offset.", show_default="the tenant's")
    ] = None,
    currency: Annotated[str | None, typer.Option("--currency", help="The currency of a tenant that is made now.")] = None,
    range_: Annotated[str | None, typer.Option("--range", help="Only for replace: the days that the file covers, a..b.")] = None,
    new_columns: Annotated[
        NewColumns | None, typer.Option("--new-columns", help="What to do with columns that weren't there before.")
    ] = None,
    distinct: Annotated[bool, typer.Option("--distinct", help="Leave out rows that are another one again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done; write nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    folder: options.Folder = None,
    as_json: options.AsJson = False,
) -> None:
    """Load a file of your own. The first time, its definition is made for you to edit.

    jangbu load orders.csv --as orders --mode replace
    """
    from jangbu.entrypoints import own_data
    from jangbu.insight.ingest.inferring.words import column_name

    named = name or column_name(path.name.split(".")[0], 1)
    split = tuple(dict.fromkeys(part.strip() for key in keys or () for part in key.split(",") if part.strip()))
    wishes = Wishes(
        path, named, mode, split, zone, currency, tenant, range_, new_columns, distinct, dry_run, yes or as_json, as_json
    )
    own_data.load(wishes, folder)


def told(tally: "Tally") -> dict[str, Any]:
    """A tally for scripts."""
    groups, again = tally.duplicates.counted()
    rows = [{"number": row.number, "column": row.column, "reason": str(row.reason), "value": row.value} for row in tally.examples]
    return {
        "read": tally.read,
        "loaded": tally.loaded,
        "set_aside": dict(sorted(tally.aside.items())),
        "duplicates": {"groups": groups, "rows": again, "dropped": tally.duplicates.dropped},
        "examples": rows,
    }


def lines(tally: "Tally", verb: str) -> list[str]:
    """A tally for people."""
    groups, again = tally.duplicates.counted()
    found = [f"Read {tally.read:,} rows, {verb} {tally.loaded:,}, set aside {sum(tally.aside.values()):,}."]
    found += [f"  {reason}: {count:,}" for reason, count in tally.aside.most_common()]
    for row in tally.examples:
        found.append(f"  row {row.number:,}{f', {row.column}' if row.column else ''}: {row.reason} {str(row.value)[:80]!r}")
    if tally.repeated:
        found.append(f"Rows that a later one with the same key took the place of: {tally.repeated:,}.")
    if again:
        kept = "left out" if tally.duplicates.dropped else "kept; --distinct leaves them out"
        found.append(f"Rows that repeat another one in every column: {again:,}, in {groups:,} groups ({kept}).")
    return found
