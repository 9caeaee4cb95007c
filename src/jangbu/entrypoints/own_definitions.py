"""The files of definitions that `jangbu load` writes, and takes back where the catalog refuses them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from jangbu.insight.ingest.inference import Inferred
from jangbu.insight.ingest.inferring import rendering
from jangbu.kernel.errors import LoadError

if TYPE_CHECKING:
    from jangbu.entrypoints.bootstrap import Application
    from jangbu.insight.catalog.facade import CatalogFacade


def documents(application: "Application", found: Inferred) -> dict[Path, str]:
    """The definition's files, in the first folder of the settings.

    Raises:
        LoadError: one of them is there, and defines something else.
    """
    if not application.settings.definitions:
        raise LoadError("The settings name no folder of definitions.", hint='Put definitions = ["definitions"] into jangbu.toml.')
    folder = application.settings.definitions[0]
    documents = {
        folder / f"{found.name}.yml": rendering.data_source(found),
        folder / f"{found.name}_measures.yml": rendering.measures(found),
    }
    for path in documents:
        if path.exists():
            raise LoadError(
                f"{path} is there already, and doesn't define {found.name!r}.",
                value=str(path),
                hint="Use another --as, or, if another load is just making it, try again.",
            )
    return documents


@contextmanager
def written(application: "Application", documents: Mapping[Path, str]) -> Iterator[None]:
    """Texts in the place of what the files have; put back where the block fails, as what is left would refuse every command."""
    before = {path: path.read_bytes() if path.exists() else None for path in documents}
    written: list[Path] = []
    try:
        for path, text in documents.items():
            # One that another process has made meanwhile is its own.
            with path.open("w" if before[path] is not None else "x", encoding="utf-8") as file:
                written.append(path)
                file.write(text)
        yield
    except BaseException as error:
        for path in written:
            content = before[path]
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content)
        application.__dict__.pop("catalog", None)
        if isinstance(error, OSError):
            raise LoadError(f"{error.filename} can't be written: {error.strerror}.", value=str(error.filename)) from error
        raise


def fresh_catalog(application: "Application") -> "CatalogFacade":
    """The catalog with what was just written."""
    application.__dict__.pop("catalog", None)
    return application.catalog
