"""The command line. Only Typer is imported at the top of these modules: `jangbu --help` must start at once."""

import os
import sys
from pathlib import Path

import typer

from jangbu.entrypoints.cli import (
    background,
    bind,
    catalog,
    demo,
    generate,
    init,
    keys,
    load,
    loads,
    migrate,
    output,
    query,
    queues,
    serve,
    tenants,
    upkeep,
)
from jangbu.kernel.errors import ConfigurationError, JangbuError

app = typer.Typer(
    name="jangbu",
    help="Merchants' data in a lakehouse, and any dashboard question answered over it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(demo.demo)
app.command()(generate.generate)
app.command()(init.init)
app.command()(load.load)
app.command()(serve.serve)
app.command()(background.worker)
app.command()(background.scheduler)
app.command()(query.query)
app.command()(bind.bind)
app.command()(migrate.migrate_store)
app.add_typer(catalog.app)
app.add_typer(tenants.app)
app.add_typer(keys.app)
app.add_typer(loads.app)
app.add_typer(upkeep.app)
app.add_typer(queues.app)


def main() -> None:
    """Exit codes: 0 done, 1 failed, 2 used wrongly, 130 interrupted."""
    _open_streams()
    try:
        app()
    except JangbuError as error:
        _tell(error)
        sys.exit(1)
    except OSError as error:
        # A folder that can't be written, a disk that is full: the machine's answer, not a mistake of ours.
        _tell(ConfigurationError(f"{error.filename or 'The output'}: {error.strerror or error}."))
        sys.exit(1)


def _open_streams() -> None:
    """Those that whoever started this has closed lead nowhere."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115  # until the process ends


def _tell(error: JangbuError) -> None:
    """The error on stderr, as a sentence and, where there are few, the known values."""
    lines = [f"Error: {error}"]
    if error.path:
        lines.append(f"  at {error.path}")
    if error.known and not error.suggestions:
        shown = ", ".join(error.known[:20])
        lines.append(f"  known: {shown}{', …' if len(error.known) > 20 else ''}")
    typer.echo("\n".join(output.clean(line) for text in lines for line in text.splitlines()), err=True)


__all__ = ["app", "main"]
