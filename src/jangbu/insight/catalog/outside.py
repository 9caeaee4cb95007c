"""Bindings to what lies outside the lakehouse: from the document, what is wrong with them, and the table that they mean."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jangbu.insight.catalog.contracts import Binding, Catalog, DataSource, Outside, SeparationKind
from jangbu.insight.catalog.documents import Origin
from jangbu.insight.catalog.loader import Definitions, Located
from jangbu.insight.catalog.schemas import BindingModel, DataSourceDocument
from jangbu.kernel.errors import CatalogError, JangbuError

if TYPE_CHECKING:
    from jangbu.platform.outside.folders import Folders
    from jangbu.platform.outside.ports import OutsideTable, Shape

SHARED_LAYERS: Final = ("pack", "folder")
"""Layers of the operator's own; a tenant's is called by its id."""
_CHECK_EVERY: Final = 60
_SQLITE: Final = "sqlite:///"


def binding_of(found: Located[DataSourceDocument]) -> Binding:
    """Relative paths count from the folder of the definition's file."""
    model, folder = found.value.binding, found.origin.file.absolute().parent
    if model.table is not None:
        return Binding(model.table, model.engine)
    iceberg, every = model.iceberg, model.check_every if model.check_every is not None else _CHECK_EVERY
    if iceberg is None:
        outside = Outside(parquet=_absolute(model.parquet or "", folder), check_every=every)
    elif iceberg.metadata is not None:
        outside = Outside(metadata=_absolute(iceberg.metadata, folder), check_every=every)
    else:
        outside = Outside(catalog=_catalog(iceberg.catalog or "", folder), table=iceberg.table, check_every=every)
    return Binding(found.value.name, model.engine, outside)


def _absolute(path: str, folder: Path) -> str:
    return os.path.normpath(folder / Path(path).expanduser())


def _catalog(given: str, folder: Path) -> str:
    if "://" not in given:
        return _absolute(given, folder)
    return _SQLITE + _absolute(given.removeprefix(_SQLITE), folder) if given.startswith(_SQLITE) else given


def binding_mistakes(source: Located[DataSourceDocument]) -> Iterator[CatalogError]:
    """What can be seen without looking outside."""
    model, origin = source.value.binding, source.origin.below("binding")
    given = [name for name in ("table", "parquet", "iceberg") if getattr(model, name) is not None]
    if len(given) != 1:
        hint = "Give one of table, parquet and iceberg."
        yield origin.error("A binding names one place where the rows are.", known=("table", "parquet", "iceberg"), hint=hint)
    elif model.table is not None and model.check_every is not None:
        yield origin.below("check_every").error("A table of the lakehouse isn't looked at again: its changes are known.")
    elif model.table is None and source.value.separation.kind is SeparationKind.CONNECTION:
        yield origin.error("What lies outside is one for all tenants, not a connection of each.", hint="Separate it by a column.")
    yield from _iceberg_mistakes(model, origin.below("iceberg"), shared=source.layer in SHARED_LAYERS)


def _iceberg_mistakes(model: BindingModel, origin: Origin, *, shared: bool) -> Iterator[CatalogError]:
    iceberg = model.iceberg
    if iceberg is None:
        return
    by_catalog = iceberg.catalog is not None and iceberg.table is not None and iceberg.metadata is None
    by_metadata = iceberg.metadata is not None and iceberg.catalog is None and iceberg.table is None
    if not by_catalog and not by_metadata:
        yield origin.error("An Iceberg table is named by its metadata, or by its catalog and table.", known=("metadata", "catalog"))
    elif iceberg.catalog is not None and "://" in iceberg.catalog and not iceberg.catalog.startswith(_SQLITE) and not shared:
        yield origin.below("catalog").error(
            "A tenant's own definitions can't name a catalog on a server.", hint="Define it for all, or bind it to its metadata."
        )


def table_of(source: DataSource, folders: "Folders") -> "OutsideTable":
    """The table outside that a data source is bound to, which must lie below `folders`. Nothing is looked at yet."""
    from jangbu.platform.lakehouse.ports import TableColumn
    from jangbu.platform.outside.ports import Shape

    if source.binding.outside is None:
        raise ValueError(f"{source.name!r} is bound to the lakehouse.")
    time = source.time_fields[source.default_time_field].column if source.default_time_field else None
    columns = (TableColumn(each.name, each.type, each.precision, each.scale) for each in source.columns.values())
    return opened(source.name, source.binding.outside, Shape(tuple(columns), source.separation.column, time), folders)


def opened(name: str, outside: Outside, shape: "Shape", folders: "Folders") -> "OutsideTable":
    from jangbu.platform.outside import pointers
    from jangbu.platform.outside.iceberg import IcebergTable
    from jangbu.platform.outside.parquet import ParquetFiles

    if outside.parquet is not None:
        return ParquetFiles(name, outside.parquet, folders, shape)
    if outside.metadata is not None:
        return IcebergTable(name, pointers.of_path(name, outside.metadata, folders), folders, shape)
    pointer = pointers.of_catalog(name, outside.catalog or "", outside.table or "", folders)
    return IcebergTable(name, pointer, folders, shape)


def outside_mistakes(definitions: Definitions, catalog: Catalog, folders: Sequence[Path]) -> Iterator[CatalogError]:
    """What is wrong with what the data sources are bound to: it isn't there, may not be read, or has other columns. Paths are
    named: this is for those who write definitions."""
    from jangbu.platform.outside.folders import Folders

    allowed = Folders(folders)
    for name, source in catalog.data_sources.items():
        if source.binding.outside is None:
            continue
        origin = definitions.data_sources[name].origin
        try:
            table = table_of(source, allowed)
            look = table.look()
            columns = [*table.mistakes(look)]
            if not columns:
                table.files(look, None, None)
        except JangbuError as error:
            yield _told(error, origin.below("binding"))
        else:
            yield from (_told(mistake, origin.below("columns", column)) for column, mistake in columns)


def _told(error: JangbuError, origin: Origin) -> CatalogError:
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    return origin.error(f"{error.detail}{notes}", value=error.value, known=error.known, hint=error.hint)
