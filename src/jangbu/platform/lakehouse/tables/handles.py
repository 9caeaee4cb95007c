"""What the handle of staged files is."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jangbu.platform.lakehouse.ports import Staged

if TYPE_CHECKING:
    from jangbu.platform.lakehouse.tables.commits import Replaced


@dataclass(frozen=True, slots=True)
class Filled:
    """Staged files that another engine has written, in the place of all that whole partitions had."""

    files: tuple[Any, ...]
    replaced: "tuple[Replaced, ...]" = ()


def files_of(staged: Staged) -> tuple[Any, ...]:
    handle = staged.handle.files if isinstance(staged.handle, Filled) else staged.handle
    if not isinstance(handle, tuple):
        raise TypeError("These files were staged by another lakehouse.")
    return handle


def replaced_of(staged: Staged) -> "tuple[Replaced, ...]":
    return staged.handle.replaced if isinstance(staged.handle, Filled) else ()
