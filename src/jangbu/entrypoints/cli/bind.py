"""`jangbu bind`: ask about data that others write, where they lie."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jangbu.entrypoints.cli import options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jangbu.entrypoints.settings import Settings


def bind(
    path: Annotated[str, typer.Argument(help="Parquet files (a file, folder or glob), an Iceberg table's folder, or a catalog.")],
    name: Annotated[str, typer.Option("--as", help="What the data source will be called.")],
    tenant_column: Annotated[str | None, typer.Option("--tenant-column", help="The column that holds the tenant's id.")] = None,
    shared: Annotated[bool, typer.Option("--shared", help="Every tenant may see every row.")] = False,
    table: Annotated[str | None, typer.Option("--table", help="The table in a catalog, as namespace.name.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Write it into this tenant's own definitions.")] = None,
) -> None:
    """Write the definitions of a data source from the schema of a table that others write. Nothing is copied."""
    if (tenant_column is None) != shared:
        raise typer.BadParameter("Say how tenants are kept apart: --tenant-column COLUMN, or --shared.")
    application = options.application()
    folder = _folder(application.settings, tenant)
    draft = application.catalog.draft(name, path, tenant_column=tenant_column, table=table)
    written = _write(folder, draft.files)
    for file in written:
        typer.echo(f"Wrote {file}")
    for column in draft.left_out:
        typer.echo(f"Left out {column!r}: its name or type can't be defined.", err=True)
    typer.echo(f"Look them through, then ask: jangbu query -s {name} -m rows")


def _folder(settings: "Settings", tenant: str | None) -> Path:
    from jangbu.kernel.errors import ConfigurationError
    from jangbu.kernel.tenancy import tenant_id

    setting = "JANGBU_TENANT_DEFINITIONS" if tenant is not None else "JANGBU_DEFINITIONS"
    place = settings.tenant_definitions if tenant is not None else next(iter(settings.definitions), None)
    if place is None:
        raise ConfigurationError(
            f"There is no folder for definitions: {setting} isn't set.", hint=f"See docs/settings.md, {setting}."
        )
    return place / tenant_id(tenant) if tenant is not None else place


def _write(folder: Path, files: "Mapping[str, str]") -> list[Path]:
    from jangbu.kernel.errors import Conflict

    for name in files:
        if (folder / name).exists():
            raise Conflict(
                f"There is a file {str(folder / name)!r} already.", value=name, hint="Choose another name, or remove it."
            )
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in files]
