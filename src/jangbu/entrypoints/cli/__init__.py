"""The command line. Only Typer is imported at the top of these modules: `jangbu --help` must start at once."""

import sys

import typer

from jangbu.entrypoints.cli import catalog, demo, keys, loads, query, serve, tenants
from jangbu.kernel.errors import JangbuError

app = typer.Typer(
    name="jangbu",
    help="Merchants' data in a lakehouse, and any dashboard question answered over it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(demo.demo)
app.command()(serve.serve)
app.command()(query.query)
app.add_typer(catalog.app)
app.add_typer(tenants.app)
app.add_typer(keys.app)
app.add_typer(loads.app)


def main() -> None:
    """Exit codes: 0 done, 1 failed, 2 used wrongly, 130 interrupted."""
    try:
        app()
    except JangbuError as error:
        _tell(error)
        sys.exit(1)


def _tell(error: JangbuError) -> None:
    """The error on stderr, as a sentence and, where there are few, the known values."""
    lines = [f"Error: {error}"]
    if error.path:
        lines.append(f"  at {error.path}")
    if error.known and not error.suggestions:
        shown = ", ".join(error.known[:20])
        lines.append(f"  known: {shown}{', …' if len(error.known) > 20 else ''}")
    typer.echo("\n".join(lines), err=True)


__all__ = ["app", "main"]
