"""A new table: its columns, how its rows lie, and its properties."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pyiceberg.catalog import Catalog

from jangbu.platform.lakehouse.ports import TableSpec
from jangbu.platform.lakehouse.tables import layout

_PROPERTIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "write.parquet.compression-codec": "zstd",
        "write.parquet.row-group-limit": "122880",
        "write.metadata.previous-versions-max": "5",
        "write.metadata.delete-after-commit.enabled": "true",
    }
)
"""Commits are tried again, and manifests merged, by us (`tables.commits`, `tables.compacting`)."""


def make(catalog: Catalog, name: tuple[str, str], spec: TableSpec, location: str) -> None:
    """A table whose files lie at the location.

    Raises TableAlreadyExistsError where others have made it meanwhile.
    """
    schema = layout.iceberg_schema(spec)
    full = {f"write.metadata.metrics.column.{spec.tenant_column}": "full"} if spec.tenant_column else {}
    catalog.create_table(
        name,
        schema,
        location=location,
        partition_spec=layout.partition_spec(spec, schema),
        sort_order=layout.sort_order(spec, schema),
        properties={**_PROPERTIES, **full},
    )
