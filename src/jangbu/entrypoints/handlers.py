"""Finds what a process can do: handlers, the messages that they and others send, periodic jobs. None of them is listed anywhere."""

from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jangbu.kernel.discovery import discover, inside
from jangbu.kernel.errors import ConfigurationError
from jangbu.kernel.handlers import Handler, Job
from jangbu.kernel.messages import Message, declared_in

if TYPE_CHECKING:
    from jangbu.platform.queues.bus import Handlers

FLOORS: Final = ("jangbu.insight",)
"""Where contexts are: each may have `events.py`, `commands.py`, `event_handlers/` and `command_handlers/`."""


def find_handlers(folders: Iterable[Path] = ()) -> "Handlers":
    """Every handler of ours and of plug-in folders, and every message.

    Raises:
        ConfigurationError: a file with a mistake, two handlers of one name or of one command, two messages of one name.
    """
    from jangbu.platform.queues.bus import Handlers

    folders = tuple(folders)
    events, commands = (_of_kind(kind, folders) for kind in ("event_handler", "command_handler"))
    messages = declared_messages()
    for handler in (*events.values(), *commands.values()):
        known = messages.setdefault(handler.handles.__name__, handler.handles)
        if known is not handler.handles:
            raise ConfigurationError(f"Two messages are called {known.__name__!r}.", value=known.__name__)
    return Handlers(events, commands, messages)


def declared_messages() -> dict[str, type[Message]]:
    """The events and commands of every context, by name."""
    modules = [name for floor in FLOORS for kind in ("events", "commands") for name in inside(floor, kind)]
    return {name: kind for module in modules for name, kind in declared_in(import_module(module)).items()}


def jobs(handlers: "Handlers") -> tuple[Job, ...]:
    """Every periodic job.

    Raises:
        ConfigurationError: two of one name.
    """
    found: dict[str, Job] = {}
    for handler in (*handlers.commands.values(), *handlers.events.values()):
        for job in handler.jobs:
            if found.setdefault(job.name, job) is not job:
                raise ConfigurationError(f"Two jobs are called {job.name!r}; one is of {handler.name!r}.", value=job.name)
    return tuple(found.values())


def _of_kind(kind: str, folders: Iterable[Path]) -> Mapping[str, Handler]:
    packages = [name for floor in FLOORS for name in inside(floor, f"{kind}s")]
    found: dict[str, Handler] = {}
    for name, plugin in discover(kind, packages, folders).items():
        if not isinstance(plugin, Handler):
            raise ConfigurationError(f"The {kind} {name!r} is declared as a Plugin.", value=name, hint="Declare a Handler.")
        found[name] = plugin
    return found
