"""`jangbu catalog`: what can be asked. Needs neither a server nor data."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from jangbu.entrypoints.cli import options, output

if TYPE_CHECKING:
    from jangbu.insight.catalog.facade import CatalogFacade

app = typer.Typer(name="catalog", help="Measures, dimensions and data sources.", no_args_is_help=True)
Tenant = Annotated[str | None, typer.Option("--tenant", help="As this tenant sees it, its own definitions included.")]


@app.command("list")
def list_(
    data_source: Annotated[str | None, typer.Option("--source", help="Only of this data source.")] = None,
    tenant: Tenant = None,
    as_json: options.AsJson = False,
) -> None:
    """List everything that can be asked."""
    listing = _catalog().listing(_tenant(tenant))
    found = {kind: [item for item in items if _belongs(item, data_source)] for kind, items in listing.items()}
    if as_json:
        output.print_json(found)
        return
    for kind, items in found.items():
        typer.echo(f"{kind.replace('_', ' ').capitalize()} ({len(items)})")
        output.print_table(items, ("name", "label", "description") if kind == "data_sources" else _COLUMNS[kind])
        typer.echo()


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A measure, dimension or data source, such as revenue or sales.revenue.")],
    tenant: Tenant = None,
    as_json: options.AsJson = False,
) -> None:
    """Show one definition: its meaning, its formula, and the file that it stands in."""
    found = _catalog().show(name, _tenant(tenant))
    if as_json:
        output.print_json(found)
    else:
        rows = [{"": key.replace("_", " "), "value": _words(value)} for key, value in found.items() if value not in (None, [], {})]
        output.print_table(rows, ("", "value"))


@app.command("search")
def search(
    text: Annotated[str, typer.Argument(help="Part of a name or label, in Korean or English; it may be misspelt.")],
    limit: options.Limit = 20,
    tenant: Tenant = None,
    as_json: options.AsJson = False,
) -> None:
    """Find measures, dimensions and data sources, the closest first."""
    found = _catalog().search(text, _tenant(tenant), limit)
    if as_json:
        output.print_json(found)
    else:
        output.print_table(found, ("is", "name", "data_source", "label", "description"))


@app.command("check")
def check(tenant: Tenant = None, as_json: options.AsJson = False) -> None:
    """Check every definition; each mistake is told with its file, its line and what was meant. Exits with 1 where there are any."""
    mistakes = _catalog().check(_tenant(tenant))
    if as_json:
        output.print_json({"mistakes": [error.problem() | {"file": error.file, "line": error.line} for error in mistakes]})
    for error in () if as_json else mistakes:
        typer.echo(str(error), err=True)
    if mistakes:
        raise typer.Exit(1)
    if not as_json:
        typer.echo("No mistakes.")


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of a definitions file, for editors."""
    output.print_json(_catalog().json_schema())


_COLUMNS = {
    "measures": ("name", "data_source", "kind", "label", "description"),
    "dimensions": ("name", "data_source", "type", "label", "description"),
}


def _catalog() -> "CatalogFacade":
    return options.application().catalog


def _tenant(given: str | None) -> Any:
    from jangbu.kernel.tenancy import tenant_id

    return tenant_id(given) if given is not None else None


def _belongs(item: dict[str, Any], data_source: str | None) -> bool:
    return data_source in (None, item.get("data_source", item["name"]))


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_words(inner)}" for key, inner in value.items())
    return ", ".join(map(_words, value)) if isinstance(value, list) else str(value)
