"""What is ready to be committed: staged files, whose rows they are, and what they take the place of."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from jangbu.insight.access.contracts import TenantState
from jangbu.insight.ingest.contracts import BadRow, LoadResult
from jangbu.insight.ingest.intents import Intent, LoadKey
from jangbu.platform.database.ports import UnitOfWork
from jangbu.platform.lakehouse.ports import Drop, Staged


@dataclass(frozen=True, slots=True)
class Share:
    """What a package brings one tenant, by a load that is told from others by `key`."""

    key: LoadKey
    rows: int
    as_of: datetime
    started_at: datetime
    bad: tuple[BadRow, ...] = ()
    repeated: int = 0


def _always(_work: UnitOfWork, _attempt: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Package:
    """`claim` takes, within the unit of work that opens the intents, what the rows come from (spooled rows, say) for the attempt;
    False: others have taken it meanwhile. `states` are those in which tenants may be for it."""

    staged: Staged
    shares: tuple[Share, ...]
    drops: tuple[Drop, ...] = ()
    claim: Callable[[UnitOfWork, str], bool] = _always
    states: tuple[TenantState, ...] = (TenantState.ACTIVE,)

    @property
    def data_source(self) -> str:
        return self.shares[0].key.data_source


@dataclass(frozen=True, slots=True)
class Blocked:
    """Another commit to the same data is about to happen."""

    by: Intent


@dataclass(frozen=True, slots=True)
class Needless:
    """Nothing was committed: these shares had been loaded before, or (none) what was claimed is taken by others."""

    done: tuple[LoadResult, ...] = ()


Outcome: TypeAlias = tuple[LoadResult, ...] | Blocked | Needless
