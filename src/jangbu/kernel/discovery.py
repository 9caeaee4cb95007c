"""Plug-ins: one file each, found in a folder, never listed anywhere.

A plug-in module names only `jangbu.kernel` (and the standard library) at its top and imports its SDK inside functions, so that
listing plug-ins is cheap and works without their extras. It declares

    PLUGIN = Plugin(kind="engine", name="duckdb", summary="…", open=open_engine)

Built-ins use the same door as a user's own files in `<folder>/<kind>s/*.py`, where `<folder>` is a plug-in folder of the settings.
"""

import importlib.util
import pkgutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from jangbu.kernel.errors import ConfigurationError, MissingExtra, unknown_name


@dataclass(frozen=True, slots=True)
class Plugin:
    """`fields` describes its settings or parameters (a JSON Schema's properties); `extra` is the optional dependency it needs,
    `requires` the modules that must be importable; `open` builds it and is the only part that may import an SDK."""

    kind: str
    name: str
    summary: str
    open: Callable[..., Any]
    fields: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    extra: str | None = None
    requires: tuple[str, ...] = ()

    def check(self) -> None:
        """Raises MissingExtra where a required module isn't installed."""
        if not all(map(_is_installed, self.requires)):
            raise MissingExtra(f"The {self.kind} {self.name!r}", self.extra or self.name)


def discover(kind: str, package: str | Sequence[str] | None, folders: Iterable[Path] = ()) -> Mapping[str, Plugin]:
    """The plug-ins of `kind` in a built-in `package` (or several) and in each folder's `<kind>s` subfolder, by name, sorted.

    Raises:
        ConfigurationError: a file that can't be imported, declares no PLUGIN of this kind, or takes a name twice.
    """
    found: dict[str, Plugin] = {}
    plural = "analyses" if kind == "analysis" else f"{kind}s"
    packages = (package,) if isinstance(package, str) else tuple(package or ())
    for module in [
        *(m for each in packages for m in _built_in(each)),
        *(m for folder in folders for m in _in_folder(folder / plural)),
    ]:
        plugin = getattr(module, "PLUGIN", None)
        if plugin is None and module.__name__.rpartition(".")[0] in packages:
            continue
        if not isinstance(plugin, Plugin) or plugin.kind != kind:
            raise ConfigurationError(f"{module.__file__} declares no PLUGIN of kind {kind!r}.", value=module.__file__)
        if plugin.name in found:
            raise ConfigurationError(
                f"Two plug-ins are the {kind} {plugin.name!r}; the second is {module.__file__}.", value=plugin.name
            )
        found[plugin.name] = plugin
    return MappingProxyType(dict(sorted(found.items())))


def find(kind: str, name: str, plugins: Mapping[str, Plugin], *, path: str | None = None) -> Plugin:
    """The named plug-in, with its extras checked.

    Raises:
        UnknownName: there is none of this name.
        MissingExtra: its dependency isn't installed.
    """
    if name not in plugins:
        raise unknown_name(kind, name, plugins, path=path)
    plugins[name].check()
    return plugins[name]


def inside(floor: str, name: str) -> tuple[str, ...]:
    """The modules or packages called `name` in the contexts of a floor, sorted: `inside("jangbu.insight", "events")` has
    "jangbu.insight.ingest.events". None of them is imported."""
    root = import_module(floor).__path__
    contexts = [info.name for info in pkgutil.iter_modules(root) if info.ispkg]
    return tuple(
        f"{floor}.{context}.{name}"
        for context in sorted(contexts)
        if any(info.name == name for info in pkgutil.iter_modules([f"{place}/{context}" for place in root]))
    )


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        # A package above it is missing.
        return False


def _built_in(package: str) -> Iterable[ModuleType]:
    parent = import_module(package)
    for info in pkgutil.iter_modules(parent.__path__):
        if not info.ispkg:
            yield import_module(f"{package}.{info.name}")


def _in_folder(folder: Path) -> Iterable[ModuleType]:
    for file in sorted(folder.glob("*.py")):
        name = f"jangbu_plugin_{file.stem}_{sha256(str(file.resolve()).encode()).hexdigest()[:8]}"
        if name not in sys.modules:
            spec = importlib.util.spec_from_file_location(name, file)
            if spec is None or spec.loader is None:
                raise ConfigurationError(f"{file} can't be imported.", value=str(file))
            sys.modules[name] = module = importlib.util.module_from_spec(spec)
            try:
                spec.loader.exec_module(module)
            except Exception as error:
                del sys.modules[name]
                raise ConfigurationError(f"{file} can't be imported: {error}", value=str(file)) from error
        yield sys.modules[name]
