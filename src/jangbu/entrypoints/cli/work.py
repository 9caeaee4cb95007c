"""Work that a command has done by an engine on servers of its own: shown as it goes on, and ended there when the command is."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING, Final, Literal

import typer

if TYPE_CHECKING:
    from jangbu.entrypoints.bootstrap import Application
    from jangbu.platform.engines.ports import CancelToken, Progress
    from jangbu.platform.lakehouse.maintenance import Maintainer

_EVERY: Final = 2.0
"""Seconds between two lines."""


@contextmanager
def of(application: "Application", engine: str | None, *, quiet: bool) -> "Iterator[Maintainer | Literal['here'] | None]":
    """Whom an option `--engine` names; None: as the settings say.

    Raises:
        UnknownName, ConfigurationError: there is no such engine, or it does no upkeep.
    """
    if engine is None or engine == "here":
        yield "here" if engine is not None else None
        return
    from jangbu.platform.engines.ports import CancelToken

    maintainer, token, ended = application.engines.maintainer(engine), CancelToken.new(), Event()
    if not quiet:
        Thread(target=_tell, args=(engine, token, ended), daemon=True).start()
    try:
        yield maintainer.under(token)
    finally:
        token.cancel()
        ended.set()


def _tell(engine: str, token: "CancelToken", ended: Event) -> None:
    last: Progress | None = None
    while not ended.wait(_EVERY):
        if (now := token.progress) is not None and now != last:
            last = now
            typer.echo(f"  {engine}: {now.state.lower()}, {now.done:.0%}", err=True)
