"""`jangbu tenants`: the merchants of a folder, from their beginning to their end."""

from pathlib import Path
from typing import Annotated, Any

import typer

from jangbu.entrypoints.cli import erasures, options, output

app = typer.Typer(name="tenants", help="Merchants whose data are kept apart.", no_args_is_help=True)
app.add_typer(erasures.app)
app.command("delete")(erasures.delete)
app.command("erase-customer")(erasures.erase_customer)
_SHOWN = ("id", "name", "zone", "currency", "pinned_now", "state", "since")


@app.command("create")
def create(
    tenant: Annotated[str, typer.Argument(help="Its id: a-z, 0-9, - and _.")],
    zone: Annotated[str, typer.Option("--zone", help="Its time zone, such as Asia/Seoul.")],
    currency: Annotated[str, typer.Option("--currency", help="Its currency, such as KRW.")],
    name: Annotated[str | None, typer.Option("--name", help="What people call it.", show_default="the id")] = None,
    pinned_now: Annotated[str | None, typer.Option("--now", help="Stops its clock here (ISO 8601 with an offset).")] = None,
    again: Annotated[bool, typer.Option("--again", help="Even if a tenant of this id was deleted.")] = False,
    folder: options.Folder = None,
    as_json: options.AsJson = False,
) -> None:
    """Create a tenant; one that is there already, with the same values, is left as it is."""
    with options.application(folder=folder) as application:
        created = application.access.create_tenant(tenant, name or tenant, zone, currency, _instant(pinned_now), again=again)
    _print([_plain(created)], as_json=as_json, one=True)


@app.command("list")
def list_(
    deleted: Annotated[bool, typer.Option("--deleted", help="Those that were deleted instead.")] = False,
    limit: options.Limit = 100,
    offset: options.Offset = 0,
    folder: options.Folder = None,
    as_json: options.AsJson = False,
) -> None:
    """List the tenants."""
    from jangbu.insight.access.contracts import TenantState

    wanted = [state for state in TenantState if (state is TenantState.DELETED) is deleted]
    with options.application(folder=folder) as application:
        found = application.access.tenants(offset=offset, limit=limit, states=wanted)
    _print([_plain(tenant) for tenant in found], as_json=as_json)


@app.command("show")
def show(tenant: erasures.Tenant, folder: options.Folder = None, as_json: options.AsJson = False) -> None:
    """Show a tenant."""
    with options.application(folder=folder) as application:
        found = application.access.tenant(tenant)
    _print([_plain(found)], as_json=as_json, one=True)


@app.command("suspend")
def suspend(tenant: erasures.Tenant, folder: options.Folder = None, as_json: options.AsJson = False) -> None:
    """Refuse to load or answer for a tenant, whose data are kept, until it is resumed."""
    with options.application(folder=folder) as application:
        changed = application.access.suspend_tenant(tenant)
    _print([_plain(changed)], as_json=as_json, one=True)


@app.command("resume")
def resume(tenant: erasures.Tenant, folder: options.Folder = None, as_json: options.AsJson = False) -> None:
    """Load and answer for a suspended tenant again."""
    with options.application(folder=folder) as application:
        changed = application.access.resume_tenant(tenant)
    _print([_plain(changed)], as_json=as_json, one=True)


@app.command("export")
def export(
    tenant: erasures.Tenant,
    to: Annotated[Path, typer.Option("--to", help="A folder that isn't there yet, or is empty.")],
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV in the place of Parquet.")] = False,
    folder: options.Folder = None,
    as_json: options.AsJson = False,
) -> None:
    """Write all that a tenant has into a folder, as a whole or not at all."""
    from jangbu.kernel.tenancy import TenantId

    with options.application(folder=folder) as application:
        application.ingest.recover()
        manifest = application.export_tenant(TenantId(tenant), to.absolute(), "csv" if as_csv else "parquet")
    if as_json:
        output.print_json(manifest)
    else:
        output.print_table(manifest["files"], ("file", "rows", "bytes", "sha256"))


def _instant(text: str | None) -> Any:
    from datetime import datetime

    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        raise typer.BadParameter(f"{text!r} isn't a time; write it as 2017-12-31T23:59:59-05:00.", param_hint="--now") from None


def _plain(tenant: Any) -> dict[str, Any]:
    return {name: getattr(tenant, name) for name in _SHOWN}


def _print(rows: list[dict[str, Any]], *, as_json: bool, one: bool = False) -> None:
    if as_json:
        output.print_json(rows[0] if one else {"tenants": rows})
    else:
        output.print_table(rows, _SHOWN)
