"""Options that several commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from jangbu.entrypoints.bootstrap import Application

Folder = Annotated[Path | None, typer.Option("--folder", help="The data folder.", show_default="JANGBU_FOLDER or .jangbu")]
Host = Annotated[str | None, typer.Option("--host", help="The address to listen on.", show_default="JANGBU_HOST or 127.0.0.1")]
Port = Annotated[int | None, typer.Option("--port", help="The port to listen on; 0 takes a free one.", show_default="PORT or 8000")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1000, help="Lines at most.")]
Offset = Annotated[int, typer.Option("--offset", min=0, help="Lines left out at the beginning.")]


def application(**given: Any) -> "Application":
    """The application of the environment's settings and these options, not yet started. Its logs tell warnings only."""
    from jangbu.entrypoints.bootstrap import Application
    from jangbu.entrypoints.settings import load
    from jangbu.platform.telemetry import logs

    settings = load(**given)
    logs.configure("debug" if settings.log_level == "debug" else "warning", settings.log_format)
    return Application(settings)
