"""From where to where: two settings, and what of them a migration carries over."""

import tomllib
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from jangbu.entrypoints.settings import SECRETS, Settings, load, placed, variables
from jangbu.kernel.errors import ConfigurationError, Unsupported

_TOLD: Final = (
    "database", "warehouse", "lake_catalog", "lake_catalog_warehouse", "lake_catalog_scope", "lake_catalog_token_address",
    "s3_endpoint", "s3_region", "s3_path_style", "s3_access_key", "queues", "sqs_prefix", "sqs_region", "sqs_endpoint", "folder",
)  # fmt: skip
_UNTOLD: Final = ("lake_catalog_token", "lake_catalog_credential", "s3_secret_key", "sqs_access_key", "sqs_secret_key")


@dataclass(frozen=True, slots=True)
class Places:
    """`moves` are the parts that lie elsewhere in `target`. The database is always one of them: it is what knows the others."""

    source: Settings
    target: Settings
    moves: frozenset[str]

    @property
    def id(self) -> str:
        """The same for the same target, whatever its passwords."""
        target = self.target
        parts = (_database(target), _warehouse(target), _catalog(target), _queues(target))
        return sha256("\0".join(parts).encode()).hexdigest()


def places(source: Settings, file: Path | None, given: dict[str, Any]) -> Places:
    """The target is what `given` and then the file say, and for the rest what holds here.

    Raises:
        ConfigurationError: the file can't be used, or nothing would be carried over.
        Unsupported: the store here is no embedded one, or a part can't go without another.
    """
    said = {"folder": source.folder, **(_read(file) if file is not None else {})}
    target = load(**said | {name: value for name, value in given.items() if value is not None})
    if source.database is not None:
        raise Unsupported(
            "Only a store with an embedded database can be carried over; this one's is a server.",
            hint="A server's own tools copy it: pg_dump, mariadb-dump, and the object store's replication.",
        )
    of = {"database": _database, "warehouse": _warehouse, "catalog": _catalog, "queues": _queues}
    differ = {name for name, says in of.items() if says(source) != says(target)}
    if not differ:
        raise ConfigurationError("The target is the store itself.", hint="Say where to: --to SETTINGS.toml, or --to-database.")
    if "database" not in differ:
        raise Unsupported(f"The {min(differ)} can't be carried over without the database.", hint="Name one: --to-database.")
    if "catalog" in differ and "warehouse" not in differ:
        raise Unsupported("A catalog goes with its warehouse: its tables name their files.", hint="Name one: --to-warehouse.")
    return Places(source, target, frozenset(differ - {"catalog"}))


def lines(places: Places) -> list[str]:
    """The settings to change, as lines of a settings file; secrets are left to be written by hand."""
    changed = {name: getattr(places.target, name) for name in _TOLD if getattr(places.target, name) != getattr(places.source, name)}
    return [f"{name} = {_shown(name, value)}" for name, value in changed.items() if value is not None] + [
        f"# {name}: as in the target's settings ({variables(name)[0]})"
        for name in _UNTOLD
        if getattr(places.target, name) is not None
    ]


def _shown(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{without_password(value.get_secret_value()) if name in SECRETS else value}"'


def without_password(uri: str) -> str:
    try:
        return make_url(uri).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return "***"


def _read(file: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"--to: {str(file)!r} can't be read: {error.strerror}.", value=str(file)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--to: {str(file)!r} isn't TOML: {error}", value=str(file)) from error
    return placed(found, file)


def _folder(settings: Settings) -> Path:
    return settings.folder.expanduser().absolute()


def _database(settings: Settings) -> str:
    return str(_folder(settings)) if settings.database is None else without_password(settings.database.get_secret_value())


def _warehouse(settings: Settings) -> str:
    return (settings.warehouse or str(_folder(settings) / "lakehouse")).rstrip("/")


def _catalog(settings: Settings) -> str:
    if settings.lake_catalog is None:
        return _warehouse(settings)
    return f"{without_password(settings.lake_catalog.get_secret_value())} {settings.lake_catalog_warehouse or ''}".rstrip()


def _queues(settings: Settings) -> str:
    if settings.queues == "sqlite":
        return str(_folder(settings))
    return f"{settings.queues} {settings.sqs_endpoint} {settings.sqs_region} {settings.sqs_prefix}"
