"""Options that several commands share."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from jangbu.entrypoints.bootstrap import Application

Folder = Annotated[Path | None, typer.Option("--folder", help="The data folder.", show_default="JANGBU_FOLDER or .jangbu")]
Host = Annotated[str | None, typer.Option("--host", help="The address to listen on.", show_default="JANGBU_HOST or 127.0.0.1")]
Port = Annotated[int | None, typer.Option("--port", help="The port to listen on; 0 takes a free one.", show_default="PORT or 8000")]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask whether it is meant.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1000, help="Lines at most.")]
Offset = Annotated[int, typer.Option("--offset", min=0, max=10**12, help="Lines left out at the beginning.")]


def confirm(told: str, question: str, answer: str, *, yes: bool) -> None:
    """Ask for a word to be typed; who can't be asked must have said --yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter("Nobody can be asked here whether it is meant; say --yes.", param_hint="--yes")
    typer.echo(told, err=True)
    if typer.prompt(question, err=True) != answer:
        raise typer.Abort


def application(**given: Any) -> "Application":
    """The application of the environment's settings and these options, not yet started. Its logs tell warnings only."""
    from jangbu.entrypoints.bootstrap import Application
    from jangbu.entrypoints.settings import load
    from jangbu.platform.telemetry import logs

    settings = load(**given)
    logs.configure("debug" if settings.log_level == "debug" else "warning", settings.log_format)
    application = Application(settings)
    application.trace("command")
    return application
