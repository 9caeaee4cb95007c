"""Loading a catalog from its layers, and checking one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from jangbu.insight.catalog import building, checks
from jangbu.insight.catalog.contracts import Catalog
from jangbu.insight.catalog.loader import Definitions, Layer, gather
from jangbu.insight.catalog.outside import outside_mistakes
from jangbu.kernel.errors import CatalogError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A catalog and the documents it came from."""

    catalog: Catalog
    definitions: Definitions


def load(layers: Sequence[Layer]) -> Loaded:
    """The catalog of `layers`; a later one's definitions take the place of earlier ones of the same kind and name, whole.

    No formula is parsed yet: a mistake inside one is a CatalogError at its first use.

    Raises:
        CatalogError: the first mistake that can be seen without parsing formulas.
    """
    definitions, mistakes = gather(layers)
    for mistake in mistakes:
        raise mistake
    for _, mistake in checks.findings(definitions):
        raise mistake
    return Loaded(building.build(definitions), definitions)


def check(layers: Sequence[Layer], outside_folders: Sequence[Path] = ()) -> list[CatalogError]:
    """Every mistake in `layers`, formulas and what they are bound to outside included, by file and line. A mistake's mere
    consequences aren't listed."""
    definitions, mistakes = gather(layers)
    found = list(checks.findings(definitions))
    catalog = building.build(checks.sound(definitions, found))
    mistakes += [error for _, error in found if not isinstance(error, checks.SilentError)]
    for source in catalog.data_sources.values():
        mistakes += _tried(source.dimensions, lambda dimension: dimension.expression.tree)
        mistakes += _tried(source.measures, lambda measure: measure)
    mistakes += outside_mistakes(definitions, catalog, outside_folders)
    told = {(error.file, error.line, error.detail): error for error in mistakes}
    return sorted(told.values(), key=lambda error: (error.file or "", error.line or 0))


def _tried(values: Mapping[str, T], use: Callable[[T], object]) -> Iterator[CatalogError]:
    for name in values:
        try:
            use(values[name])
        except CatalogError as error:
            yield error
