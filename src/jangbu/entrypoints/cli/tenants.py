"""`jangbu tenants`: the merchants of a folder."""

from typing import Annotated, Any

import typer

from jangbu.entrypoints.cli import options, output

app = typer.Typer(name="tenants", help="Merchants whose data are kept apart.", no_args_is_help=True)


@app.command("create")
def create(
    tenant: Annotated[str, typer.Argument(help="Its id: a-z, 0-9, - and _.")],
    zone: Annotated[str, typer.Option("--zone", help="Its time zone, such as Asia/Seoul.")],
    currency: Annotated[str, typer.Option("--currency", help="Its currency, such as KRW.")],
    name: Annotated[str | None, typer.Option("--name", help="What people call it.", show_default="the id")] = None,
    pinned_now: Annotated[str | None, typer.Option("--now", help="Stops its clock here (ISO 8601 with an offset).")] = None,
    folder: options.Folder = None,
    as_json: options.AsJson = False,
) -> None:
    """Create a tenant; one that is there already, with the same values, is left as it is."""
    with options.application(folder=folder) as application:
        created = application.access.create_tenant(tenant, name or tenant, zone, currency, _instant(pinned_now))
    _print([_plain(created)], as_json=as_json, one=True)


@app.command("list")
def list_(
    limit: options.Limit = 100, offset: options.Offset = 0, folder: options.Folder = None, as_json: options.AsJson = False
) -> None:
    """List the tenants."""
    with options.application(folder=folder) as application:
        found = application.access.tenants(offset=offset, limit=limit)
    _print([_plain(tenant) for tenant in found], as_json=as_json)


def _instant(text: str | None) -> Any:
    from datetime import datetime

    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        raise typer.BadParameter(f"{text!r} isn't a time; write it as 2017-12-31T23:59:59-05:00.", param_hint="--now") from None


def _plain(tenant: Any) -> dict[str, Any]:
    return {name: getattr(tenant, name) for name in ("id", "name", "zone", "currency", "pinned_now")}


def _print(rows: list[dict[str, Any]], *, as_json: bool, one: bool = False) -> None:
    if as_json:
        output.print_json(rows[0] if one else {"tenants": rows})
    else:
        output.print_table(rows, ("id", "name", "zone", "currency", "pinned_now"))
