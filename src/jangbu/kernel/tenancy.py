"""Whose data, and who asks."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NewType

from jangbu.kernel.errors import Forbidden, WrongType

TenantId = NewType("TenantId", str)

_TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def tenant_id(value: str) -> TenantId:
    """A checked tenant id: 1 to 63 of a–z, 0–9, `-`, `_`, not starting with a sign.

    Raises:
        WrongType: the value has another form.
    """
    if not _TENANT.fullmatch(value):
        raise WrongType(
            f"{value[:80]!r} can't be a tenant's id.",
            value=value,
            hint="Use 1 to 63 of a-z, 0-9, '-' and '_', beginning with a letter or a digit.",
        )
    return TenantId(value)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: the tenants held, the roles in them, and attributes for finer rules. Carried by an API key or a session."""

    tenants: tuple[TenantId, ...]
    roles: frozenset[str] = frozenset()
    attributes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    name: str = ""
    unasked: Mapping[TenantId, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    """Tenants that are held but can't be asked for just now, and why: what is said after "The tenant …"."""

    def narrow(self, asked: tuple[str, ...] | None, *, path: str | None = None) -> tuple[TenantId, ...]:
        """The asked tenants in the order asked, or all that are held where none are named.

        Raises:
            Forbidden: one of them isn't held, whether or not it exists; one, or all that are held, can't be asked for now.
        """
        if asked is None:
            if self.unasked and not self.tenants:
                raise self._unasked(next(iter(self.unasked)), path)
            return self.tenants
        for name in asked:
            if name in self.unasked:
                raise self._unasked(TenantId(name), path)
            if name not in self.tenants:
                raise Forbidden("The key doesn't hold this tenant.", path=path, value=name, known=sorted(self.tenants))
        return tuple(dict.fromkeys(TenantId(name) for name in asked))

    def _unasked(self, tenant: TenantId, path: str | None) -> Forbidden:
        return Forbidden(f"The tenant {tenant!r} {self.unasked[tenant]}.", path=path, value=tenant, known=sorted(self.tenants))
