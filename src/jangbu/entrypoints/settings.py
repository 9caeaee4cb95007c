"""Every setting, read from environment variables that begin with `JANGBU_`, below them from a file. docs/settings.md describes each
(a test sees to it)."""

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, InitSettingsSource, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from jangbu.kernel.errors import ConfigurationError

Folders = Annotated[tuple[Path, ...], NoDecode]

FILES = ("jangbu.toml", "settings.toml")
"""Looked for in the working directory, the first that is there, where JANGBU_SETTINGS names none."""
_PATHS = ("folder", "plugin_folders", "definitions", "tenant_definitions", "cache_authority")


class Settings(BaseSettings):
    """Built once, at an entry point, by `load`; nothing below reads the environment."""

    model_config = SettingsConfigDict(
        env_prefix="JANGBU_", frozen=True, extra="forbid", populate_by_name=True, env_ignore_empty=True
    )

    settings: Path | None = None
    folder: Path = Path(".jangbu")
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535, validation_alias=AliasChoices("JANGBU_PORT", "PORT"))] = 8000
    plugin_folders: Folders = ()
    definitions: Folders = ()
    tenant_definitions: Path | None = None
    outside_folders: Folders = ()

    database: SecretStr | None = None
    database_connections: Annotated[int, Field(ge=1, le=1000)] = 10
    database_patience: Annotated[float, Field(ge=1, le=600)] = 30.0
    warehouse: str | None = None
    lake_catalog: SecretStr | None = None
    lake_catalog_warehouse: str | None = None
    lake_catalog_token: SecretStr | None = None
    lake_catalog_credential: SecretStr | None = None
    lake_catalog_scope: str | None = None
    lake_catalog_token_address: str | None = None
    s3_endpoint: str | None = None
    s3_region: str | None = None
    s3_path_style: bool = True
    s3_access_key: str | None = None
    s3_secret_key: SecretStr | None = None
    s3_connect_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    s3_request_seconds: Annotated[float, Field(gt=0, le=600)] = 30.0

    engine: str = "duckdb"
    engines: Annotated[dict[str, dict[str, Any]], Field(repr=False), NoDecode] = {}
    engine_memory_mb: Annotated[int, Field(ge=100)] | None = None
    engine_spill_mb: Annotated[int, Field(ge=0)] = 20_000
    engine_threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    engine_running: Annotated[int, Field(ge=1, le=1024)] = 4
    engine_waiting: Annotated[int, Field(ge=0, le=10_000)] = 32
    upkeep_engine: str | None = None
    upkeep_engine_mb: Annotated[int, Field(ge=0)] = 10_000
    query_timeout: Annotated[float, Field(gt=0, le=3600)] = 60.0
    query_log: bool = True

    worker_threads: Annotated[int, Field(ge=1, le=1024)] = 4
    message_tries: Annotated[int, Field(ge=1, le=1000)] = 8
    message_pause: Annotated[float, Field(ge=0, le=900)] = 2.0
    message_lease: Annotated[float, Field(ge=0.1, le=43_200)] = 30.0
    queues: Literal["sqlite", "sqs"] = "sqlite"
    sqs_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")] = "jangbu-"
    sqs_region: str | None = None
    sqs_endpoint: Annotated[str, Field(pattern=r"^https?://[^@\s]+$")] | None = None
    sqs_access_key: SecretStr | None = None
    sqs_secret_key: SecretStr | None = None
    sqs_timeout: Annotated[float, Field(ge=0.1, le=60)] = 5.0
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] | None = None

    cache: str = "memory"
    cache_mb: Annotated[int, Field(ge=1, le=1 << 20)] = 64
    cache_value_bytes: Annotated[int, Field(ge=1, le=512 << 20)] = 8 << 20
    cache_servers: str = "127.0.0.1:6379"
    cache_form: Literal["alone", "cluster", "sentinel"] = "alone"
    cache_group: str | None = None
    cache_user: str | None = None
    cache_password: SecretStr | None = None
    cache_sentinel_password: SecretStr | None = None
    cache_tls: bool = False
    cache_authority: Path | None = None
    cache_timeout: Annotated[float, Field(ge=0.001, le=10)] = 0.1
    cache_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")] = "jangbu"

    max_body_bytes: Annotated[int, Field(ge=1024, le=1 << 30)] = 1 << 20
    request_threads: Annotated[int, Field(ge=1, le=1024)] = 64
    shutdown_seconds: Annotated[int, Field(ge=0, le=600)] = 5

    traces: str | None = None
    traces_headers: SecretStr | None = None
    traces_share: Annotated[float, Field(ge=0, le=1)] = 1.0

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = "auto"

    server: str | None = None
    key: SecretStr | None = None

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], *sources: PydanticBaseSettingsSource, **named: PydanticBaseSettingsSource
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Options of the command line, then the environment, then the file."""
        given, environment = (*sources, *named.values())[:2]
        return given, environment, InitSettingsSource(settings_cls, init_kwargs=dict(_in_file()))

    @field_validator("plugin_folders", "definitions", "outside_folders", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """Several folders stand in one variable as in PATH."""
        return tuple(part for part in value.split(os.pathsep) if part) if isinstance(value, str) else value

    @field_validator("engines", mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        """In one variable they are JSON, which no error repeats."""
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError:
            raise ValueError("it isn't JSON") from None


SECRETS = frozenset(name for name, field in Settings.model_fields.items() if SecretStr in get_args(field.annotation))
"""Settings whose values are in no log and no error."""

_MAY_HOLD_SECRETS = SECRETS | {"engines"}
"""Settings whose values no error repeats."""


def load(**given: Any) -> Settings:
    """The settings of the environment; `given` values that aren't None go before them.

    Raises:
        ConfigurationError: a value that can't be used; names its variable. A secret's value is not repeated.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise _translated(error) from None


def settings_file() -> Path | None:
    """The file of settings that holds here.

    Raises:
        ConfigurationError: JANGBU_SETTINGS names one that isn't there.
    """
    named = os.environ.get("JANGBU_SETTINGS")
    if not named:
        return next((Path(name) for name in FILES if Path(name).is_file()), None)
    if not Path(named).is_file():
        raise ConfigurationError(f"JANGBU_SETTINGS: there is no file {named!r}.", value=named, hint="See docs/settings.md.")
    return Path(named)


def _in_file() -> Mapping[str, Any]:
    """What the file sets. Its relative paths count from where it is."""
    file = settings_file()
    if file is None:
        return {}
    try:
        found = tomllib.loads(file.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} isn't TOML: {error}", value=str(file)) from error
    return placed(found, file)


def placed(found: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """What a file of settings says; its relative paths count from where it is.

    Raises:
        ConfigurationError: it sets what is no setting.
    """
    if unknown := [name for name in found if name not in Settings.model_fields or name == "settings"]:
        known = [name for name in Settings.model_fields if name != "settings"]
        raise ConfigurationError(f"{file}: there is no setting {unknown[0]!r}.", value=unknown[0], known=known)
    return {name: _placed(value, file.parent) if name in _PATHS else value for name, value in found.items()}


def _placed(value: Any, folder: Path) -> Any:
    if isinstance(value, list):
        return tuple(_placed(part, folder) for part in value)
    return folder / Path(value).expanduser() if isinstance(value, str) else value


def variables(field: str) -> tuple[str, ...]:
    """The environment variables that set a field, the first one preferred."""
    alias = Settings.model_fields[field].validation_alias
    return tuple(map(str, alias.choices)) if isinstance(alias, AliasChoices) else (f"JANGBU_{field.upper()}",)


def _translated(error: ValidationError) -> ConfigurationError:
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0])
    variable = variables(name)[0] if name in Settings.model_fields else name
    reason = first["msg"].removeprefix("Value error, ").rstrip(".")
    hint = f"See docs/settings.md, {variable}."
    if name in _MAY_HOLD_SECRETS:
        return ConfigurationError(f"{variable}: {reason}.", hint=hint)
    return ConfigurationError(f"{variable}: {reason}.", value=first["input"], hint=hint)
