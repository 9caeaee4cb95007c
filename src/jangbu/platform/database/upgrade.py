"""Migrations, run from the program: no ini file, no command of Alembic's own, one transaction for all of them."""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from jangbu.kernel.errors import ConfigurationError

_FOLDER: Final = Path(__file__).parent / "migrations"


def head() -> str:
    """The newest revision: a file `v0001_name.py` is revision `0001`. Read from the names, as Alembic takes 0.3 s to import."""
    return max(file.stem[1:5] for file in (_FOLDER / "versions").glob("v[0-9]*.py"))


def is_current(connection: Connection) -> bool:
    """Whether the database has this release's tables.

    Raises:
        ConfigurationError: it has those of a newer release.
    """
    found = revision(connection)
    if found is not None and found > head():
        raise ConfigurationError(
            f"The database is at revision {found!r}; this release knows {head()!r}.",
            value=found,
            hint="Use the release that wrote it, or a newer one.",
        )
    return found == head()


def upgrade(connection: Connection) -> None:
    """Bring the database to `head` within the connection's transaction, which the caller commits. One that waited while another
    process did it finds nothing left to do."""
    if is_current(connection):
        return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def revision(connection: Connection) -> str | None:
    """The database's; None where it has none yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
