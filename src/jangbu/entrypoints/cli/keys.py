"""`jangbu keys`: who may ask a server."""

from typing import Annotated, Any

import typer

from jangbu.entrypoints.cli import options, output

app = typer.Typer(name="keys", help="API keys, each holding one tenant or several.", no_args_is_help=True)
_SHOWN = ("id", "name", "prefix", "tenants", "roles", "created_at", "revoked_at")


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    tenants: Annotated[list[str], typer.Option("--tenant", help="A tenant that it holds; repeat for several.")],
    roles: Annotated[list[str] | None, typer.Option("--role", help="A role of its holder; repeat for several.")] = None,
    folder: options.Folder = None,
    as_json: options.AsJson = False,
) -> None:
    """Create a key. It is shown once, on stdout, and can't be had again."""
    with options.application(folder=folder) as application:
        key, secret = application.access.create_key(name, tenants, roles or ())
    if as_json:
        output.print_json(_plain(key) | {"key": secret.reveal()})
    else:
        typer.echo(secret.reveal())
        typer.echo("Keep it: it isn't shown again.", err=True)


@app.command("list")
def list_(
    limit: options.Limit = 100, offset: options.Offset = 0, folder: options.Folder = None, as_json: options.AsJson = False
) -> None:
    """List the keys, without their secrets."""
    with options.application(folder=folder) as application:
        found = [_plain(key) for key in application.access.keys(offset=offset, limit=limit)]
    if as_json:
        output.print_json({"keys": found})
    else:
        output.print_table(found, _SHOWN)


@app.command("revoke")
def revoke(
    key: Annotated[str, typer.Argument(help="The key's id, as `jangbu keys list` shows it.")],
    folder: options.Folder = None,
    as_json: options.AsJson = False,
) -> None:
    """Revoke a key: a running server refuses it within seconds."""
    with options.application(folder=folder) as application:
        revoked = _plain(application.access.revoke_key(key))
    if as_json:
        output.print_json(revoked)
    else:
        output.print_table([revoked], _SHOWN)


def _plain(key: Any) -> dict[str, Any]:
    return {name: getattr(key, name) for name in _SHOWN}
