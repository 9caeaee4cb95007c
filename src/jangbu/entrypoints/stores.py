"""What the settings say of S3 and of a REST catalog."""

from typing import TYPE_CHECKING

from jangbu.entrypoints.settings import Settings

if TYPE_CHECKING:
    from jangbu.kernel.stores import CatalogAccess, ObjectStore


def store_of(settings: Settings) -> "ObjectStore":
    """How S3 is reached."""
    from jangbu.kernel.stores import ObjectStore

    return ObjectStore(
        endpoint=settings.s3_endpoint,
        region=settings.s3_region,
        path_style=settings.s3_path_style,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key.get_secret_value() if settings.s3_secret_key is not None else None,
        connect_seconds=settings.s3_connect_seconds,
        request_seconds=settings.s3_request_seconds,
    )


def catalog_access_of(settings: Settings) -> "CatalogAccess":
    """How a REST catalog is opened."""
    from jangbu.kernel.stores import CatalogAccess

    token, credential = settings.lake_catalog_token, settings.lake_catalog_credential
    return CatalogAccess(
        warehouse=settings.lake_catalog_warehouse,
        token=token.get_secret_value() if token is not None else None,
        credential=credential.get_secret_value() if credential is not None else None,
        scope=settings.lake_catalog_scope,
        token_address=settings.lake_catalog_token_address,
    )
