"""Opens adapters with what the settings say of them."""

from collections.abc import Mapping
from inspect import signature
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from jangbu.entrypoints.settings import Settings
from jangbu.kernel.clock import Clock
from jangbu.kernel.discovery import Plugin, discover, find

if TYPE_CHECKING:
    from jangbu.platform.cache.ports import Cache, Counts
    from jangbu.platform.queues.ports import Queues


def taken(plugin: Plugin, known: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the known values that its `open` takes."""
    names = signature(plugin.open).parameters
    return {name: value for name, value in known.items() if name in names}


def open_cache(settings: Settings, counts: "Counts") -> "Cache":
    """Raises:
    UnknownName: there is no such cache; MissingExtra: its dependency isn't installed; ConfigurationError: as it says.
    """
    plugin = find("cache", settings.cache, discover("cache", "jangbu.platform.cache", settings.plugin_folders))
    known = {
        "megabytes": settings.cache_mb,
        "longest_value": settings.cache_value_bytes,
        "servers": settings.cache_servers,
        "form": settings.cache_form,
        "group": settings.cache_group,
        "user": settings.cache_user,
        "password": _open(settings.cache_password),
        "sentinel_password": _open(settings.cache_sentinel_password),
        "tls": settings.cache_tls,
        "authority": settings.cache_authority,
        "timeout": settings.cache_timeout,
        "prefix": settings.cache_prefix,
        "counts": counts,
    }
    cache: Cache = plugin.open(**taken(plugin, known))
    return cache


def sqs_queues(settings: Settings, clock: Clock) -> "Queues":
    """Raises as `open_queues`."""
    from jangbu.platform.queues.sqs import open_queues

    return open_queues(
        prefix=settings.sqs_prefix,
        endpoint=settings.sqs_endpoint,
        region=settings.sqs_region,
        access_key=_open(settings.sqs_access_key),
        secret_key=_open(settings.sqs_secret_key),
        timeout=settings.sqs_timeout,
        clock=clock,
    )


def _open(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None
