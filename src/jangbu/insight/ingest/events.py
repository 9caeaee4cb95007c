"""What happens in the ingest context that others hear of."""

from dataclasses import dataclass

from jangbu.kernel.messages import Event
from jangbu.kernel.tenancy import TenantId


@dataclass(frozen=True, slots=True)
class TenantDataUpdated(Event):
    """Version `version` of a tenant's data in a data source can be asked. `tenant` is None for shared tables."""

    tenant: TenantId | None
    data_source: str
    version: int


@dataclass(frozen=True, slots=True)
class TenantErased(Event):
    """Nothing of the tenant is left in tables and database. Whoever keeps anything of it elsewhere removes it."""

    tenant: TenantId


@dataclass(frozen=True, slots=True)
class CustomerErased(Event):
    """A customer was erased by the erasure `erasure`, whose report says where. Who that was isn't said."""

    tenant: TenantId
    erasure: str
