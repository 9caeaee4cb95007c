"""The servers there are, found by their files."""

import importlib
import pkgutil
from functools import cache

from services import servers
from services.service import Service


@cache
def services() -> dict[str, Service]:
    """All of them by name."""
    modules = [importlib.import_module(f"services.servers.{each.name}") for each in pkgutil.iter_modules(servers.__path__)]
    return {module.SERVICE.name: module.SERVICE for module in modules}


def service_named(name: str) -> Service:
    """Raises KeyError with the known names."""
    if found := services().get(name):
        return found
    raise KeyError(f"There is no service {name!r}; known: {', '.join(services())}.")
