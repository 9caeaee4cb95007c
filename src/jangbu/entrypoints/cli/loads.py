"""`jangbu loads`: load by a connector, the history of loads, and the rows that were set aside."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from jangbu.entrypoints.cli import options, output, work

if TYPE_CHECKING:
    from jangbu.insight.ingest.contracts import Load

app = typer.Typer(name="loads", help="Load data, see what was loaded, mend what wasn't.", no_args_is_help=True)
_SHOWN = ("data_source", "tenant", "version", "rows", "bad", "mode", "as_of", "completed_at", "run")
_GOING = ("data_source", "tenant", "mode", "state", "rows", "total", "started_at", "error")
_LOADED = ("data_source", "tenant", "version", "rows", "bad", "changed")
_ROW = ("number", "column", "reason", "value", "state", "payload")
Run = Annotated[str, typer.Argument(help="The load's run, or how it begins, as `jangbu loads list` shows it.")]
Tenants = Annotated[list[str] | None, typer.Option("--tenant", help="Only of this tenant; repeat for several.")]


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
    _print(rows, _LOADED, "loads", as_json=as_json)


@app.command("backfill")
def backfill(
    data_source: Annotated[str, typer.Argument(help="The data source.")],
    files: Annotated[list[str], typer.Argument(help="Parquet files, where the engine and this process reach them.")],
    engine: Annotated[str, typer.Option("--engine", help="The engine of JANGBU_ENGINES that puts them in.")],
    tenant: Annotated[str | None, typer.Option("--tenant", help="Whose rows they are; none for a shared data source.")] = None,
    mode: Annotated[str, typer.Option("--mode", help="append, replace or merge.")] = "append",
    keys: Annotated[list[str] | None, typer.Option("--key", help="Columns that tell rows apart, for merge; repeat.")] = None,
    range_: Annotated[str | None, typer.Option("--range", help="The days that the files cover, a..b, for replace.")] = None,
    folder: options.Folder = None,
    as_json: options.AsJson = False,
) -> None:
    """Put a large range of rows into a table by an engine such as Spark. The same files again change nothing."""
    from jangbu.entrypoints.backfills import backfill as fill

    with options.application(folder=folder) as application, work.of(application, engine, quiet=as_json) as by:
        application.ingest.recover()
        result = fill(application, data_source, files, by, tenant, mode, tuple(keys or ()), range_)
    _print([{name: getattr(result, name) for name in _LOADED}], _LOADED, "loads", as_json=as_json)


@app.command("list")
def list_(
    tenants: Tenants = None,
    data_sources: Annotated[
        list[str] | None, typer.Option("--source", help="Only of this data source; repeat for several.")
    ] = None,
    state: Annotated[str, typer.Option("--state", help="done, running or failed.")] = "done",
    limit: options.Limit = 100,
    offset: options.Offset = 0,
    folder: options.Folder = None,
    as_json: options.AsJson = False,
) -> None:
    """List loads, the newest first."""
    from jangbu.insight.ingest.contracts import LoadState

    if state not in [known.value for known in LoadState]:
        raise typer.BadParameter(f"{state!r} is none of done, running, failed.", param_hint="--state")
    with options.application(folder=folder) as application:
        held, wanted = application.operator().narrow(tuple(tenants) if tenants else None), LoadState(state)
        found: Any = (
            application.ingest.loads(held, data_sources or None, offset=offset, limit=limit)
            if wanted is LoadState.DONE
            else application.ingest.attempts(held, data_sources or None, state=wanted, offset=offset, limit=limit)
        )
    columns = _SHOWN if wanted is LoadState.DONE else _GOING
    _print([{name: getattr(load, name) for name in columns} for load in found], columns, "loads", as_json=as_json)


@app.command("show")
def show(run: Run, limit: options.Limit = 20, folder: options.Folder = None, as_json: options.AsJson = False) -> None:
    """Show a load and the rows that it set aside, with what is wrong with them."""
    from dataclasses import asdict

    with options.application(folder=folder) as application:
        load = _load(application, run)
        kept = application.ingest.quarantined(application.operator().tenants, run=load.run, shared=load.tenant is None, limit=limit)
    rows = [asdict(each.row) | {"state": each.state.value} for each in kept]
    if as_json:
        output.print_json(asdict(load) | {"set_aside": rows})
        return
    for name, value in asdict(load).items():
        typer.echo(f"{name.replace('_', ' '):>13}  {'–' if value in (None, ()) else value}")
    if rows:
        typer.echo(f"\nSet aside ({load.bad:,}{', the first' if load.bad > len(rows) else ''}):")
        output.print_table(rows, _ROW)


@app.command("replay")
def replay(run: Run, folder: options.Folder = None, as_json: options.AsJson = False) -> None:
    """Try the rows that a load set aside again, as the data source is defined now."""
    from dataclasses import asdict

    with options.application(folder=folder) as application:
        load = _load(application, run)
        done = application.replay(load.run, load.tenant)
    if as_json:
        output.print_json(asdict(done))
    else:
        typer.echo(f"{done.load.rows if done.load else 0:,} rows were loaded; {done.left:,} wait on.")


@app.command("dismiss")
def dismiss(run: Run, folder: options.Folder = None, as_json: options.AsJson = False) -> None:
    """Wait no longer for the rows that a load set aside. They stay to be seen."""
    with options.application(folder=folder) as application:
        load = _load(application, run)
        number = application.ingest.dismiss(load.run, tenant=load.tenant)
    if as_json:
        output.print_json({"dismissed": number})
    else:
        typer.echo(f"{number:,} rows wait no more.")


def _load(application: Any, run: str) -> "Load":
    """The one load whose run is, or begins with, this.

    Raises:
        NotFound: there is none; AmbiguousName: there are several.
    """
    found: tuple[Load, ...] = application.ingest.find_loads(run, application.operator().tenants)
    return found[0]


def _print(rows: list[dict[str, Any]], columns: tuple[str, ...], name: str, *, as_json: bool) -> None:
    if as_json:
        output.print_json({name: rows})
    else:
        output.print_table(rows, columns)
