"""The catalog's door: which definitions hold for whom, and looking them up."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any, Final, TypeAlias

from jangbu.insight.catalog import service, views
from jangbu.insight.catalog.contracts import Catalog, DataSource
from jangbu.insight.catalog.drafting import Draft, checked_name, drafted, place_of
from jangbu.insight.catalog.loader import Layer, definition_files
from jangbu.insight.catalog.outside import table_of
from jangbu.insight.catalog.schemas import json_schema
from jangbu.kernel.errors import AmbiguousName, CatalogError, ConfigurationError, unknown_name
from jangbu.kernel.tenancy import TenantId

__all__ = ["PACK", "CatalogFacade", "Draft", "checked_name", "table_of"]

PACK: Final = Path(__file__).parent / "definitions"
"""The definitions that ship with Jangbu."""

Fingerprint: TypeAlias = tuple[tuple[str, int, int], ...]
"""(path, modified in nanoseconds, bytes) of every file."""


@dataclass(slots=True)
class _Kept:
    """What was loaded from files of a fingerprint, and when (monotonic seconds) they were last looked at."""

    loaded: service.Loaded
    fingerprint: Fingerprint
    looked_at: float
    mistake: CatalogError | None = None


class CatalogFacade:
    """Layers: the `pack` (None: without it), each of `folders`, and a tenant's own: the subfolder of `tenant_folders` with its id.

    Files are looked at again when the last look is `refresh_seconds` old; a change is loaded at the next call. A change with a
    mistake isn't taken: the former definitions hold, and `check` and `mistake` tell it. `check` looks at what is bound outside,
    below `outside_folders`.
    """

    def __init__(
        self,
        pack: Path | None = PACK,
        folders: Sequence[Path] = (),
        tenant_folders: Path | None = None,
        *,
        refresh_seconds: float = 1.0,
        outside_folders: Sequence[Path] = (),
    ) -> None:
        """Raises ConfigurationError where a folder isn't there."""
        for folder in (*folders, *((tenant_folders,) if tenant_folders else ())):
            if not folder.is_dir():
                raise ConfigurationError(f"There is no folder of definitions {str(folder)!r}.", value=str(folder))
        packs = [Layer("pack", pack)] if pack else []
        self._shared = (*packs, *(Layer("folder", folder) for folder in folders))
        self._tenant_folders = tenant_folders
        self._refresh_seconds = refresh_seconds
        self._outside_folders = tuple(outside_folders)
        self._kept: dict[tuple[Layer, ...], _Kept] = {}
        self._lock = Lock()

    def catalog_for(self, tenants: Iterable[TenantId] = ()) -> Catalog:
        """What these tenants can ask: the same object until a definition changes. One tenant has its own layer; several together
        (and none) have the shared definitions, so that a name means the same for all of them.

        Raises:
            CatalogError: a definition has a mistake, at the first load.
        """
        return self._current(self._layers(tenants)).loaded.catalog

    def data_source(self, name: str, tenants: Iterable[TenantId] = ()) -> DataSource:
        """One data source.

        Raises:
            UnknownName: there is none of this name.
        """
        catalog = self.catalog_for(tenants)
        if name not in catalog.data_sources:
            raise unknown_name("data source", name, catalog.data_sources)
        return catalog.data_sources[name]

    def listing(self, tenant: TenantId | None = None) -> dict[str, Any]:
        """Everything there is, for `catalog list --json`: `{"measures": […], "dimensions": […], "data_sources": […]}`.

        Raises:
            CatalogError: a formula has a mistake.
        """
        return views.listing(self._loaded(tenant).catalog)

    def show(self, name: str, tenant: TenantId | None = None) -> dict[str, Any]:
        """One measure, dimension or data source (`name`, or `data_source.name`), with its formula, layer and file.

        Raises:
            UnknownName: there is nothing of this name; says what is near.
            AmbiguousName: several data sources have it; says which.
        """
        loaded = self._loaded(tenant)
        found = views.addresses(loaded.catalog, name)
        if not found:
            raise unknown_name("measure, dimension or data source", name, views.names(loaded.catalog))
        if len(found) > 1:
            known = sorted(f"{source}.{name}" for source, _, _ in found)
            raise AmbiguousName(
                f"{name!r} is in {len(found)} data sources.", value=name, known=known, hint=f"One of {', '.join(known)}."
            )
        return views.shown(loaded, *found[0])

    def search(self, text: str, tenant: TenantId | None = None, limit: int = 20) -> list[dict[str, Any]]:
        """Entries of the listing whose name or label, in either language, holds `text` or looks like it; the closest first."""
        wanted = text.strip().casefold()
        scored = [(_score(wanted, entry), entry) for entry in views.entries(self._loaded(tenant).catalog)]
        best = sorted(
            (pair for pair in scored if pair[0] > 0), key=lambda pair: (-pair[0], pair[1]["name"], pair[1].get("data_source", ""))
        )
        return [entry for _, entry in best[:limit]]

    def check(self, tenant: TenantId | None = None) -> list[CatalogError]:
        """Every mistake in the definitions as they now stand, formulas included, by file and line."""
        return service.check(self._layers((tenant,) if tenant else ()), self._outside_folders)

    def draft(self, name: str, path: str, *, tenant_column: str | None, table: str | None = None) -> Draft:
        """Definitions of a data source that is bound to what lies at `path`, from its own schema: Parquet files, an Iceberg table's
        folder or metadata file, or, where `table` is given, a catalog. `tenant_column` is None where the rows are everyone's.

        Raises:
            ConfigurationError: it doesn't lie below the folders outside.
            UnknownName: it has no such column.
            Unavailable: it isn't there, or can't be read.
        """
        return drafted(name, place_of(path, table), self._outside_folders, tenant_column)

    def mistake(self, tenant: TenantId | None = None) -> CatalogError | None:
        """Why a change of the files isn't in effect, or None."""
        return self._current(self._layers((tenant,) if tenant else ())).mistake

    def json_schema(self) -> Mapping[str, Any]:
        """The JSON Schema of a definitions file."""
        return json_schema()

    def _loaded(self, tenant: TenantId | None) -> service.Loaded:
        return self._current(self._layers((tenant,) if tenant else ())).loaded

    def _layers(self, tenants: Iterable[TenantId]) -> tuple[Layer, ...]:
        asked = tuple(dict.fromkeys(tenants))
        if self._tenant_folders is not None and len(asked) == 1:
            own = self._tenant_folders / asked[0]
            if own.is_dir():
                return (*self._shared, Layer(asked[0], own))
        return self._shared

    def _current(self, layers: tuple[Layer, ...]) -> _Kept:
        kept = self._kept.get(layers)
        if kept is not None and monotonic() - kept.looked_at < self._refresh_seconds:
            return kept
        with self._lock:
            return self._refreshed(layers)

    def _refreshed(self, layers: tuple[Layer, ...]) -> _Kept:
        kept, now = self._kept.get(layers), monotonic()
        fingerprint: Fingerprint = ()
        try:
            fingerprint = _fingerprint(layers)
            if kept is not None and kept.fingerprint == fingerprint:
                kept.looked_at = now
                return kept
            fresh = _Kept(service.load(layers), fingerprint, now)
        except CatalogError as error:
            if kept is None:
                raise
            fresh = _Kept(kept.loaded, fingerprint, now, error)
        self._kept[layers] = fresh
        return fresh


def _fingerprint(layers: Sequence[Layer]) -> Fingerprint:
    files = [file for layer in layers for file in definition_files(layer.folder)]
    return tuple((str(file), stat.st_mtime_ns, stat.st_size) for file in files for stat in (file.stat(),))


def _score(wanted: str, entry: Mapping[str, Any]) -> float:
    """0 where nothing is alike, up to 4 for the same word."""
    label = entry["label"]
    words = [str(word).casefold() for word in (entry["name"], label["ko"], label["en"])]
    return max((_alike(wanted, word) for word in words), default=0.0) if wanted else 0.0


def _alike(wanted: str, word: str) -> float:
    if wanted == word:
        return 4.0
    if word.startswith(wanted):
        return 3.0
    if wanted in word:
        return 2.0
    ratio = SequenceMatcher(None, wanted, word).ratio()
    return ratio if ratio >= 0.6 else 0.0
