"""`jangbu tenants delete`, `erase-customer` and `erasures`: what can't be undone, and its proof."""

from typing import Annotated, Any

import typer

from jangbu.entrypoints.cli import options, output

app = typer.Typer(name="erasures", help="What was erased, and the proof of it.", no_args_is_help=True)
Tenant = Annotated[str, typer.Argument(help="Its id.")]
AskedBy = Annotated[str | None, typer.Option("--asked-by", help="Who asked, for the report.", show_default="who runs this")]
_PLACES = ("place", "unit", "before", "removed", "after", "method")
_LISTED = ("id", "tenant", "subject", "asked_by", "asked_at", "ended_at")


def delete(
    tenant: Tenant,
    yes: options.Yes = False,
    asked_by: AskedBy = None,
    folder: options.Folder = None,
    as_json: options.AsJson = False,
) -> None:
    """Delete a tenant with all that is kept of it, for good, and print the proof. One that was interrupted goes on."""
    from jangbu.kernel.tenancy import TenantId

    with options.application(folder=folder) as application:
        application.access.tenant(tenant)
        _confirm(tenant, "All that is kept of the tenant", yes=yes)
        application.ingest.recover()
        erased = application.erase_tenant(TenantId(tenant), asked_by or _user(), _told)
    _print(erased.report, as_json=as_json)


def erase_customer(
    tenant: Tenant,
    subject: Annotated[str, typer.Option("--subject", help="Who, such as household=H123.")],
    keep_rows: Annotated[bool, typer.Option("--keep-rows", help="Keep the rows, without what is personal.")] = False,
    yes: options.Yes = False,
    asked_by: AskedBy = None,
    folder: options.Folder = None,
    as_json: options.AsJson = False,
) -> None:
    """Erase a customer of a tenant, for good, and print the proof. One that was interrupted goes on."""
    from jangbu.insight.ingest.contracts import Person
    from jangbu.kernel.tenancy import TenantId

    name, _, value = subject.partition("=")
    if not name or not value:
        raise typer.BadParameter(f"{subject!r} names nobody; write it as household=H123.", param_hint="--subject")
    with options.application(folder=folder) as application:
        application.access.tenant(tenant)
        _confirm(tenant, f"The {name} {value} of the tenant", yes=yes)
        application.ingest.recover()
        erased = application.erase_customer(TenantId(tenant), Person(name, value), asked_by or _user(), _told, keep_rows=keep_rows)
    _print(erased.report, as_json=as_json)


@app.command("list")
def list_(
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only of this tenant, deleted or not.")] = None,
    limit: options.Limit = 100,
    offset: options.Offset = 0,
    folder: options.Folder = None,
    as_json: options.AsJson = False,
) -> None:
    """List the erasures, the latest first. One without an end was interrupted: ask for it again."""
    from jangbu.kernel.tenancy import TenantId

    with options.application(folder=folder) as application:
        found = application.ingest.erasures(TenantId(tenant) if tenant else None, offset=offset, limit=limit)
    rows: list[dict[str, Any]] = [{name: getattr(erasure, name) for name in _LISTED} for erasure in found]
    if as_json:
        output.print_json({"erasures": rows})
    else:
        output.print_table(rows, _LISTED)


@app.command("show")
def show(
    erasure: Annotated[str, typer.Argument(help="Its id.")], folder: options.Folder = None, as_json: options.AsJson = False
) -> None:
    """Print the proof of an erasure again."""
    from jangbu.kernel.errors import NotFound

    with options.application(folder=folder) as application:
        found = application.ingest.erasure(erasure)
    if found.report is None:
        raise NotFound(f"The erasure {erasure!r} isn't done, so there is no proof of it.", value=erasure, hint="Ask for it again.")
    _print(found.report, as_json=as_json)


def _print(report: Any, *, as_json: bool) -> None:
    if as_json:
        output.print_json(report)
        return
    scope = report["scope"]
    typer.echo(f"Erasure {report['erasure']}: {scope['what']} {scope['tenant']!r}, asked by {report['asked_by']}")
    if "subject" in scope:
        typer.echo(f"{scope['subject']}: hash {scope['hash']}, salt {scope['salt']}, {scope['hashed_by']}; rows {scope['rows']}")
    typer.echo(f"Asked at {report['asked_at']}, done at {report['ended_at']}, by Jangbu {report['jangbu']}\n")
    output.print_table(report["places"], _PLACES)
    typer.echo(f"\nFound after: {report['found_after']}\nSHA-256: {report['sha256']}")


def _confirm(tenant: str, what: str, *, yes: bool) -> None:
    told = f"{what} {output.clean(tenant)!r} will be erased. Nothing brings it back."
    options.confirm(told, "Type the tenant's id to go on", tenant, yes=yes)


def _told(where: str) -> None:
    typer.echo(f"erasing: {where}", err=True)


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except OSError:
        return "operator"
