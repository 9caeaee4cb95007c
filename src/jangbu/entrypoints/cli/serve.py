"""`jangbu serve`: the API, and what works beside it, until it is stopped."""

import gc
import signal
import socket
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from jangbu.entrypoints.cli import options

if TYPE_CHECKING:
    from jangbu.entrypoints.background import Background
    from jangbu.entrypoints.bootstrap import Application


class What(StrEnum):
    ALL = "all"
    API = "api"


def serve(
    what: Annotated[What, typer.Argument(help="The API with a worker and a scheduler, or the API alone.")] = What.ALL,
    folder: options.Folder = None,
    host: options.Host = None,
    port: options.Port = None,
) -> None:
    """Serve the API, handle events and commands, run periodic jobs. Ctrl-C ends it: what runs may finish for a few seconds."""
    gc.disable()  # until it is ready: none of what is imported is garbage, and looking for some costs a tenth of the start
    from jangbu.entrypoints.bootstrap import Application
    from jangbu.entrypoints.settings import load
    from jangbu.platform.telemetry import logs

    settings = load(folder=folder, host=host, port=port)
    logs.configure(settings.log_level, settings.log_format)
    interruptible()
    listener = listen(settings.host, settings.port)
    application = Application(settings)
    application.trace("serve")
    run(
        application,
        listener,
        lambda: typer.echo(f"Jangbu is ready at {address(listener)}"),
        beside(application) if what is What.ALL else None,
    )


def beside(application: "Application") -> "Background":
    """The worker and the scheduler that run in a server's process.

    Raises:
        ConfigurationError: handlers with a mistake.
    """
    from jangbu.entrypoints.background import Background

    return Background(application)


def interruptible() -> None:
    """SIGTERM, and SIGINT also where a shell made this process ignore it, raise KeyboardInterrupt."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; connections are refused until `run` is ready.

    Raises:
        ConfigurationError: the port is taken, or the address isn't this machine's.
    """
    from jangbu.kernel.errors import ConfigurationError

    listener = None
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        # With its protocol named, or asyncio leaves Nagle's algorithm on and each answer of a kept connection waits 40 ms.
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
    except OSError as error:
        if listener is not None:
            listener.close()
        hint = "Give another one: --port 8001, or PORT=8001 in the environment." if port else None
        raise ConfigurationError(
            f"{host}:{port} can't be listened on: {error.strerror or error}.", value=port, hint=hint
        ) from error
    return listener


def address(listener: socket.socket) -> str:
    """The URL to reach it at, from this machine where it listens on all addresses."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(
    application: "Application", listener: socket.socket, ready: Callable[[], None], background: "Background | None" = None
) -> None:
    """Serve until a signal comes; `ready` is called once questions can be answered, and only then `background` begins."""
    import uvicorn

    from jangbu.entrypoints.api.app import create_app

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            gc.freeze()
            gc.enable()
            if self.started:
                ready()
                if background is not None:
                    background.start()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            # Both end at the same time; the application waits for the background before it closes.
            if background is not None:
                background.ask_to_stop()
            await super().shutdown(sockets)

    config = uvicorn.Config(
        create_app(application),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=application.settings.shutdown_seconds,
    )
    try:
        Server(config).run([listener])
    except KeyboardInterrupt:
        # Uvicorn has shut down in order; it hands the signal on to who called it.
        return
