"""`jangbu loads`: the history of loads."""

from typing import Annotated, Any

import typer

from jangbu.entrypoints.cli import options, output

app = typer.Typer(name="loads", help="What was loaded, and when.", no_args_is_help=True)
_SHOWN = ("data_source", "tenant", "version", "rows", "mode", "as_of", "completed_at", "run")


@app.command("list")
def list_(
    tenants: Annotated[list[str] | None, typer.Option("--tenant", help="Only of this tenant; repeat for several.")] = None,
    data_sources: Annotated[
        list[str] | None, typer.Option("--source", help="Only of this data source; repeat for several.")
    ] = None,
    limit: options.Limit = 100,
    offset: options.Offset = 0,
    folder: options.Folder = None,
    as_json: options.AsJson = False,
) -> None:
    """List completed loads, the newest first."""
    with options.application(folder=folder) as application:
        held = application.operator().narrow(tuple(tenants) if tenants else None)
        found = application.ingest.loads(held, data_sources or None, offset=offset, limit=limit)
    rows: list[dict[str, Any]] = [{name: getattr(load, name) for name in _SHOWN} for load in found]
    if as_json:
        output.print_json({"loads": rows})
    else:
        output.print_table(rows, _SHOWN)
