"""`jangbu worker` and `jangbu scheduler`: each alone in a process."""

import threading
from typing import TYPE_CHECKING

import typer

from jangbu.entrypoints.cli import options

if TYPE_CHECKING:
    from http.server import ThreadingHTTPServer

    from jangbu.entrypoints.bootstrap import Application


def worker(folder: options.Folder = None) -> None:
    """Do what events and commands ask for. Any number may run; Ctrl-C ends it: what runs may finish for a few seconds."""
    _run("worker", folder=folder)


def scheduler(folder: options.Folder = None) -> None:
    """Send the commands of periodic jobs when their time has come. Any number may run."""
    _run("scheduler", folder=folder)


def _run(what: str, **given: object) -> None:
    from jangbu.entrypoints.background import Background
    from jangbu.entrypoints.bootstrap import Application
    from jangbu.entrypoints.cli.serve import interruptible
    from jangbu.entrypoints.settings import load
    from jangbu.platform.telemetry import logs

    settings = load(**given)
    logs.configure(settings.log_level, settings.log_format)
    interruptible()
    try:
        with Application(settings) as application:
            application.trace(what)
            background = Background(application, worker=what == "worker", scheduler=what == "scheduler")
            metrics = _serve_metrics(application)
            background.start()
            where = f" Its metrics are at http://{settings.host}:{metrics.server_port}/metrics." if metrics else ""
            typer.echo(f"Jangbu's {what} is running.{where}")
            threading.Event().wait()
    except KeyboardInterrupt:
        return


def _serve_metrics(application: "Application") -> "ThreadingHTTPServer | None":
    """Serve `/metrics` and `/health/live`, where a port is set.

    Raises:
        ConfigurationError: the port is taken.
    """
    port = application.settings.metrics_port
    if port is None:
        return None
    from jangbu.entrypoints.cli.serve import listen
    from jangbu.platform.telemetry.exposing import server_of

    server = server_of(application.metrics, listen(application.settings.host, port))
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    application.before_closing(server.shutdown)
    application.before_closing(server.server_close)
    return server
