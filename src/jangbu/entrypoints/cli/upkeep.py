"""`jangbu tables`: what the lakehouse's tables weigh, and their upkeep."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from jangbu.entrypoints.cli import options, output, work

app = typer.Typer(name="tables", help="The lakehouse's tables and their upkeep.", no_args_is_help=True)
_STATE = (
    "table",
    "rows",
    "files",
    "small_files",
    "delete_files",
    "data_bytes",
    "snapshots",
    "manifests",
    "metadata_bytes",
    "retired_files",
    "is_due",
)
_DONE = (
    "table", "files_before", "files_after", "rows", "rows_deleted", "delete_files", "snapshots_expired", "files_removed",
)  # fmt: skip
_VERIFIED = ("table", "files", "damaged")


@app.command("list")
def list_(folder: options.Folder = None, as_json: options.AsJson = False) -> None:
    """List the tables: rows, files, bytes, snapshots, and whether upkeep is due."""
    with options.application(folder=folder) as application:
        upkeep = application.ingest.upkeep
        rows = [asdict(upkeep.state(table)) | {"is_due": upkeep.is_due(table)} for table in upkeep.tables()]
    _print(rows, _STATE, as_json=as_json)


@app.command("upkeep")
def upkeep(
    tables: Annotated[list[str] | None, typer.Argument(help="These tables; all by default.")] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Join all small files, not only where it pays.")] = False,
    due: Annotated[bool, typer.Option("--due", help="Only tables that need it.")] = False,
    engine: Annotated[
        str | None,
        typer.Option("--engine", help="Who does it: an engine of JANGBU_ENGINES, or here.", show_default="as the settings say"),
    ] = None,
    folder: options.Folder = None,
    as_json: options.AsJson = False,
) -> None:
    """Join small files, forget old snapshots, remove files that nobody needs. No row, answer or version changes."""
    done: list[dict[str, Any]] = []
    with options.application(folder=folder) as application:
        application.ingest.recover()
        keeper = application.ingest.upkeep
        known = keeper.tables()
        with work.of(application, engine, quiet=as_json) as by:
            for table in _named(tables, known):
                if due and not keeper.is_due(table):
                    continue
                if not as_json:
                    typer.echo(f"{table} …", err=True)
                done.append(asdict(keeper.run(table, whole=whole, remove=True, by=by)))
    _print(done, _DONE, as_json=as_json)


@app.command("verify")
def verify(
    tables: Annotated[list[str] | None, typer.Argument(help="These tables; all by default.")] = None,
    folder: options.Folder = None,
    as_json: options.AsJson = False,
) -> None:
    """Read every data file and compare its checksums. Ends with 1 where one is damaged or gone."""
    with options.application(folder=folder) as application:
        keeper = application.ingest.upkeep
        found = [keeper.verify(table) for table in _named(tables, keeper.tables())]
    if as_json:
        output.print_json({"tables": [asdict(each) for each in found]})
    else:
        output.print_table([{"table": each.table, "files": each.files, "damaged": len(each.damages)} for each in found], _VERIFIED)
        for damage in (damage for each in found for damage in each.damages):
            typer.echo(f"{damage.path} ({damage.rows:,} rows): {damage.said}", err=True)
    if any(each.damages for each in found):
        raise typer.Exit(1)


def _named(tables: list[str] | None, known: Sequence[str]) -> Sequence[str]:
    """Those tables, or all. Raises UnknownName."""
    from jangbu.kernel.errors import unknown_name

    if unknown := next((table for table in tables or () if table not in known), None):
        raise unknown_name("table", unknown, known)
    return tables or known


def _print(rows: list[dict[str, Any]], columns: tuple[str, ...], *, as_json: bool) -> None:
    if as_json:
        output.print_json({"tables": rows})
    else:
        output.print_table(rows, columns)
