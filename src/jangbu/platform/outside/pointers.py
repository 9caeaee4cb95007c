"""Where the newest metadata of an Iceberg table are: told by a file, by the table's folder, or by a catalog in a database."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import quote

from jangbu.kernel.errors import JangbuError, Unavailable, Unsupported
from jangbu.platform.outside.folders import Folders

CATALOG_FILE: Final = "catalog.db"
"""A lakehouse's catalog, in its folder."""
OUR_NAMESPACE: Final = "jangbu"
_SQLITE: Final = "sqlite:///"
_VERSION: Final = re.compile(r"v?(\d+)(?:-[^/]*)?(?:\.gz)?\.metadata\.json(?:\.gz)?")
_POINTER: Final = "SELECT DISTINCT metadata_location FROM iceberg_tables WHERE table_namespace = :namespace AND table_name = :name"


def of_path(name: str, path: str, folders: Folders) -> Callable[[], str]:
    """By a metadata file, or the table's folder."""

    def found() -> str:
        real = Path(folders.inside(name, path))
        return str(_newest(name, real) if real.is_dir() else real)

    return found


def of_catalog(name: str, catalog: str, table: str, folders: Folders) -> Callable[[], str]:
    """By a catalog: the folder of a lakehouse, a SQLite file, or a SQLAlchemy URI. `table` is `namespace.name`."""
    namespace, _, last = table.rpartition(".")

    def found() -> str:
        location = _asked(name, _uri(name, catalog, folders), namespace or OUR_NAMESPACE, last)
        if len(location) > 1:
            raise Unsupported(f"{name!r} is bound to a table that several catalogs of one database have.", value=table)
        if not location:
            raise _unavailable(name, "Its catalog has no such table", table)
        return location[0]

    return found


def _newest(name: str, folder: Path) -> Path:
    """By `version-hint.text`, else the only one with the highest number."""
    place = folder / "metadata" if (folder / "metadata").is_dir() else folder
    numbered = {file.name: int(found[1]) for file in place.iterdir() if (found := _VERSION.fullmatch(file.name))}
    newest = _hinted(place / "version-hint.text", numbered)
    newest = newest or [file for file, number in numbered.items() if number == max(numbered.values())]
    if len(newest) > 1:
        hint = "Bind it to a metadata file, or by its catalog."
        error = Unsupported(f"Which metadata of {name!r} are the newest isn't clear.", value=name, hint=hint)
        error.add_note(str(place))
        raise error
    if not newest:
        raise _unavailable(name, "It has no metadata", str(place))
    return place / newest[0]


def _hinted(file: Path, numbered: dict[str, int]) -> list[str]:
    if not file.exists():
        return []
    hint = file.read_text("utf-8").strip()
    exact = [each for each in numbered if each in (hint, f"v{hint}.metadata.json", f"v{hint}.gz.metadata.json")]
    return exact or [each for each, number in numbered.items() if hint.isdecimal() and number == int(hint)]


def _uri(name: str, catalog: str, folders: Folders) -> str:
    if "://" in catalog and not catalog.startswith(_SQLITE):
        return catalog
    path = folders.inside(name, catalog.removeprefix(_SQLITE).partition("?")[0])
    file = folders.inside(name, f"{path}/{CATALOG_FILE}") if Path(path).is_dir() else path
    return f"{_SQLITE}file:{quote(file)}?mode=ro&uri=true"


def _asked(name: str, uri: str, namespace: str, table: str) -> list[str]:
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    from jangbu.platform.lakehouse.tables.catalogs import bound

    try:
        engine = create_engine(uri, poolclass=NullPool, hide_parameters=True)
        bound(engine)
        with engine.connect() as connection:
            rows = connection.execute(text(_POINTER), {"namespace": namespace, "name": table})
            return [str(location) for location in rows.scalars()]
    except (SQLAlchemyError, ImportError):
        # Not chained: the URI, which may hold a password, would be in its words.
        raise _unavailable(name, "Its catalog can't be asked", "the catalog") from None


def _unavailable(name: str, what: str, note: str) -> JangbuError:
    error = Unavailable(f"{name!r} can't be read now. {what}.", retry_after=5)
    error.add_note(note)
    return error
