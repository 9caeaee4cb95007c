"""The engines that questions may be sent to: those in this process, and the servers that the settings name."""

import os
from collections.abc import Iterator, Mapping
from inspect import signature
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

from jangbu.entrypoints.settings import Settings
from jangbu.entrypoints.stores import store_of
from jangbu.kernel.discovery import Plugin, discover, find
from jangbu.kernel.errors import ConfigurationError, unknown_name

if TYPE_CHECKING:
    from jangbu.platform.engines.ports import Engine, MaintainingEngine
    from jangbu.platform.lakehouse.maintenance import Maintainer
    from jangbu.platform.lakehouse.ports import Lakehouse
    from jangbu.platform.telemetry.metrics import Metrics


class Engines(Mapping[str, "Engine"]):
    """Every engine that is installed, by name, and every server of JANGBU_ENGINES; each is opened at its first use, with those
    settings that its `open` takes."""

    def __init__(self, settings: Settings, lakehouse: "Lakehouse", metrics: "Metrics") -> None:
        self._settings = settings
        self._lakehouse = lakehouse
        self._metrics = metrics
        self._plugins = discover("engine", "jangbu.platform.engines", settings.plugin_folders)
        self._open: dict[str, Engine] = {}
        self._lock = Lock()

    def __getitem__(self, name: str) -> "Engine":
        with self._lock:
            if name not in self._open:
                if name not in self:
                    raise KeyError(name)
                self._open[name] = self._opened(name)
            return self._open[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._plugins, *self._settings.engines]))

    def __len__(self) -> int:
        return len({*self._plugins, *self._settings.engines})

    def __contains__(self, name: object) -> bool:
        return name in self._plugins or name in self._settings.engines

    def maintainer(self, name: str) -> "Maintainer":
        """What an engine does for the lakehouse's tables.

        Raises:
            UnknownName: there is no such engine. ConfigurationError: it does no upkeep.
        """
        if name not in self:
            raise unknown_name("engine", name, self, hint="JANGBU_ENGINES names servers; docs/settings.md shows how.")
        engine = self[name]
        if not engine.capabilities.maintains:
            raise ConfigurationError(
                f"The engine {name!r} does no upkeep of tables.", value=name, hint="One of the kind `spark` does."
            )
        return cast("MaintainingEngine", engine).maintainer

    def opened(self) -> int:
        """How many are open."""
        return len(self._open)

    def close(self) -> None:
        with self._lock:
            for engine in self._open.values():
                engine.close()
            self._open.clear()

    def _opened(self, name: str) -> "Engine":
        from jangbu.platform.telemetry.engine import MeasuredEngine

        settings = self._settings
        own = dict(settings.engines.get(name, {}))
        plugin = find("engine", own.pop("engine", name), self._plugins)
        known: dict[str, Any] = {
            "name": name,
            "roots": [self._lakehouse.root()],
            "outside": [folder.expanduser().resolve() for folder in settings.outside_folders],
            "spill": settings.folder.expanduser().absolute() / "spill",
            "memory_mb": settings.engine_memory_mb,
            "spill_mb": settings.engine_spill_mb,
            "threads": settings.engine_threads,
            "running": settings.engine_running,
            "waiting": settings.engine_waiting,
            "store": store_of(settings),
        }
        taken = signature(plugin.open).parameters
        given = {key: value for key, value in known.items() if key in taken} | _options(name, plugin, own)
        needed = [key for key, parameter in taken.items() if parameter.default is parameter.empty and key not in given]
        if needed:
            hint = f"Set it for {name!r} in JANGBU_ENGINES; docs/settings.md shows how."
            raise ConfigurationError(f"The engine {name!r} needs {needed[0]!r}.", value=needed[0], hint=hint)
        return MeasuredEngine(plugin.open(**given), self._metrics, given.get("running", settings.engine_running))


def _options(name: str, plugin: Plugin, own: Mapping[str, Any]) -> dict[str, Any]:
    """A server's own settings, those looked up that stand in the environment. No error repeats a value: it may be secret."""
    if unknown := next((key for key in own if key not in plugin.fields), None):
        detail = f"JANGBU_ENGINES: {name!r} has no setting {unknown!r}."
        raise ConfigurationError(detail, value=unknown, known=sorted(plugin.fields))
    return {key: _looked_up(name, key, value) for key, value in own.items()}


def _looked_up(name: str, key: str, value: Any) -> Any:
    if not isinstance(value, Mapping) or set(value) != {"env"}:
        return value
    variable = str(value["env"])
    if not os.environ.get(variable):
        detail = f"JANGBU_ENGINES: {name!r} takes {key!r} from the variable {variable}, which isn't set."
        raise ConfigurationError(detail, value=variable)
    return os.environ[variable]
