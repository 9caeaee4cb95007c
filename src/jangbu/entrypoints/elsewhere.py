"""What is kept of tenants outside tables and database: files of the data folder, and what this process remembers."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jangbu.kernel.tenancy import TenantId

if TYPE_CHECKING:
    from jangbu.entrypoints.bootstrap import Application
    from jangbu.insight.ingest.contracts import Person
    from jangbu.insight.ingest.ports import Elsewhere

DEMO: Final = "demo"


@dataclass(slots=True)
class DemoKey:
    """The file that keeps the demo's key."""

    file: Path
    name: str = "file demo-key"
    unit: str = "files"
    method: str = "removed with its tenant"

    def count(self, tenant: TenantId, person: "Person | None") -> int:
        return int(person is None and tenant == DEMO and self.file.exists())

    def remove(self, tenant: TenantId, person: "Person | None") -> int:
        found = self.count(tenant, person)
        if found:
            self.file.unlink(missing_ok=True)
        return found


@dataclass(slots=True)
class Spilled:
    """What engines have spilled; that of processes that live goes with the questions that it is of."""

    folder: Path
    name: str = "files that engines spilled"
    unit: str = "folders of ended processes"
    method: str = "removed"

    def count(self, tenant: TenantId, person: "Person | None") -> int:  # noqa: ARG002 - whose they are can't be told
        from jangbu.platform.engines.spill import abandoned

        return len(abandoned(self.folder))

    def remove(self, tenant: TenantId, person: "Person | None") -> int:
        from jangbu.platform.engines.spill import sweep

        before = self.count(tenant, person)
        sweep(self.folder)
        return before


@dataclass(slots=True)
class Remembered:
    """Who holds which key, and engines with what they have read of files."""

    application: "Application"
    name: str = "caches of this process"
    unit: str = "caches"
    method: str = "emptied; other processes look keys up again within 5 s, and forget what engines read when they are restarted"

    def count(self, tenant: TenantId, person: "Person | None") -> int:  # noqa: ARG002 - a cache is emptied as a whole
        return self.application.remembered()

    def remove(self, tenant: TenantId, person: "Person | None") -> int:
        before = self.count(tenant, person)
        self.application.forget()
        return before


@dataclass(slots=True)
class Cached:
    """What the cache keeps under the tenant's name, for a customer's erasure too: any result may hold the customer. A cache that
    can't be reached stops the erasure, as nobody knows what it holds."""

    application: "Application"
    name: str = "entries of the cache"
    unit: str = "entries"
    method: str = "removed"

    def count(self, tenant: TenantId, person: "Person | None") -> int:  # noqa: ARG002 - whom a result is of can't be told
        return self.application.cache.count(tenant)

    def remove(self, tenant: TenantId, person: "Person | None") -> int:  # noqa: ARG002
        return self.application.cache.forget(tenant)


def places(application: "Application") -> "list[Elsewhere]":
    """Every such place."""
    folder = application.folder
    return [DemoKey(folder / "demo-key"), Spilled(folder / "spill"), Cached(application), Remembered(application)]
