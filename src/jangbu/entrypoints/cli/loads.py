"""`jangbu loads`: load by a connector, and the history of loads."""

from typing import Annotated, Any

import typer

from jangbu.entrypoints.cli import options, output

app = typer.Typer(name="loads", help="Load data, and see what was loaded.", no_args_is_help=True)
_SHOWN = ("data_source", "tenant", "version", "rows", "mode", "as_of", "completed_at", "run")
_LOADED = ("data_source", "tenant", "version", "rows", "changed")


@app.command("run")
def run(
    connector: Annotated[str, typer.Argument(help="A connector, such as completejourney, or one of a plug-in folder.")],
    tenant: Annotated[str, typer.Option("--tenant", help="Whose data they are.")],
    folder: options.Folder = None,
    as_json: options.AsJson = False,
) -> None:
    """Load all that a connector has. What is loaded already stays as it is."""
    from jangbu.entrypoints.cli import progress

    with options.application(folder=folder) as application, progress.shown(quiet=as_json) as tell:
        application.ingest.recover()
        results = application.run_connector(connector, application.access.tenant(tenant).id, tell)
    rows: list[dict[str, Any]] = [{name: getattr(result, name) for name in _LOADED} for result in results]
    if as_json:
        output.print_json({"loads": rows})
    else:
        output.print_table(rows, _LOADED)


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
