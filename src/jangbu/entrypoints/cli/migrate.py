"""`jangbu migrate-store`: an embedded store carried over to servers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jangbu.entrypoints.cli import options, output

if TYPE_CHECKING:
    from jangbu.entrypoints.migrating.migration import Plan
    from jangbu.entrypoints.migrating.places import Places

To = Annotated[Path | None, typer.Option("--to", help="A settings file (TOML) of the new place.")]
Database = Annotated[str | None, typer.Option("--to-database", help="Where the database goes; as JANGBU_DATABASE.")]
Warehouse = Annotated[str | None, typer.Option("--to-warehouse", help="Where the lakehouse goes; as JANGBU_WAREHOUSE.")]
Catalog = Annotated[str | None, typer.Option("--to-lake-catalog", help="Where its catalog goes; as JANGBU_LAKE_CATALOG.")]
Queues = Annotated[str | None, typer.Option("--to-queues", help="Where messages go: sqs; as JANGBU_QUEUES.")]
_FILES = ("part", "name", "rows", "files", "bytes", "snapshots")


def migrate_store(
    to: To = None,
    database: Database = None,
    warehouse: Warehouse = None,
    lake_catalog: Catalog = None,
    queues: Queues = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be carried over; change nothing.")] = False,
    reopen: Annotated[bool, typer.Option("--reopen", help="Give it up: let this store be written again.")] = False,
    yes: options.Yes = False,
    folder: options.Folder = None,
    as_json: options.AsJson = False,
) -> None:
    """Carry an embedded store over to servers. It is closed for writing meanwhile and stays so; it is read as before.

    One that was interrupted goes on where it was. Files and rows are compared in both places before it is done.
    """
    from jangbu.entrypoints.migrating import places as placing
    from jangbu.entrypoints.settings import load
    from jangbu.platform.telemetry import logs

    settings = load(folder=folder)
    logs.configure("debug" if settings.log_level == "debug" else "warning", settings.log_format)
    if reopen:
        _reopen(settings, yes=yes)
        return
    given = {"database": database, "warehouse": warehouse, "lake_catalog": lake_catalog, "queues": queues}
    # What isn't said of the target stays as it is here.
    _carry(placing.places(settings, to, given), dry_run=dry_run, as_json=as_json)


def _carry(places: "Places", *, dry_run: bool, as_json: bool) -> None:
    from jangbu.entrypoints.migrating import places as placing
    from jangbu.entrypoints.migrating.migration import opened

    def told(line: str) -> None:
        typer.echo(line, err=as_json)

    with opened(places, told) as migration:
        if not dry_run and migration.is_done():
            migration.run()  # where it was killed between its last two steps
            told("It was carried over before; nothing was changed.")
            return
        rows = _rows(migration.plan())
        if as_json:
            output.print_json({"plan": rows})
        else:
            output.print_table(rows, _FILES)
        if dry_run:
            told("Nothing was changed.")
            return
        migration.run()
    changed = placing.lines(places)
    told("\n".join(["", "Done, and verified. This store stays closed for writing. Change its settings to:", *changed]))


def _rows(plan: "Plan") -> list[dict[str, Any]]:
    files = [
        {"part": "lakehouse", "name": each.name, "rows": each.rows, "files": len(each.items), "bytes": each.size,
         "snapshots": each.snapshots}
        for each in plan.tables or ()
    ]  # fmt: skip
    rows = [{"part": "database", "name": name, "rows": count} for name, count in plan.rows.items()]
    return [*files, *rows, *([{"part": "queues", "name": "messages", "rows": plan.messages}] if plan.messages is not None else [])]


def _reopen(settings: Any, *, yes: bool) -> None:
    from jangbu.entrypoints.migrating.migration import opened
    from jangbu.entrypoints.migrating.places import Places

    told = "What is written here from now on isn't in the place that the store was carried over to."
    options.confirm(told, "Type 'reopen' to go on", "reopen", yes=yes)
    with opened(Places(settings, settings, frozenset()), typer.echo) as migration:
        migration.reopen()
    typer.echo("The store can be written again.")
