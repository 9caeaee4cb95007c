"""Every setting, read from environment variables that begin with `JANGBU_`. docs/settings.md describes each (a test sees to it)."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from jangbu.kernel.errors import ConfigurationError

Folders = Annotated[tuple[Path, ...], NoDecode]


class Settings(BaseSettings):
    """Built once, at an entry point, by `load`; nothing below reads the environment."""

    model_config = SettingsConfigDict(
        env_prefix="JANGBU_", frozen=True, extra="forbid", populate_by_name=True, env_ignore_empty=True
    )

    folder: Path = Path(".jangbu")
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535, validation_alias=AliasChoices("JANGBU_PORT", "PORT"))] = 8000
    plugin_folders: Folders = ()
    definitions: Folders = ()
    tenant_definitions: Path | None = None

    engine: str = "duckdb"
    engine_memory_mb: Annotated[int, Field(ge=100)] | None = None
    engine_spill_mb: Annotated[int, Field(ge=0)] = 20_000
    engine_threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    engine_running: Annotated[int, Field(ge=1, le=1024)] = 4
    engine_waiting: Annotated[int, Field(ge=0, le=10_000)] = 32
    query_timeout: Annotated[float, Field(gt=0, le=3600)] = 60.0
    query_log: bool = True

    max_body_bytes: Annotated[int, Field(ge=1024, le=1 << 30)] = 1 << 20
    request_threads: Annotated[int, Field(ge=1, le=1024)] = 64
    shutdown_seconds: Annotated[int, Field(ge=0, le=600)] = 5

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = "auto"

    server: str | None = None
    key: SecretStr | None = None

    @field_validator("plugin_folders", "definitions", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """Several folders stand in one variable as in PATH."""
        return tuple(part for part in value.split(os.pathsep) if part) if isinstance(value, str) else value


def load(**given: Any) -> Settings:
    """The settings of the environment; `given` values that aren't None go before them.

    Raises:
        ConfigurationError: a value that can't be used; names its variable. A secret's value is not repeated.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise _translated(error) from None


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
    if name == "key":
        return ConfigurationError(f"{variable}: {reason}.", hint=hint)
    return ConfigurationError(f"{variable}: {reason}.", value=first["input"], hint=hint)
