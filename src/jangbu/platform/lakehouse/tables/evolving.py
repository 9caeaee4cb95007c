"""A table's columns brought to those of a spec, without rewriting a row: metadata only, columns are known by their field ids."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pyiceberg.table import Table

from jangbu.kernel.errors import Conflict
from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.ports import TableColumn, TableSpec
from jangbu.platform.lakehouse.tables.layout import Layout, iceberg_type, layout_of


@dataclass(frozen=True, slots=True)
class Evolution:
    """Columns to rename (old name, new name), to add, to widen, and to drop."""

    renamed: tuple[tuple[str, str], ...] = ()
    added: tuple[TableColumn, ...] = ()
    widened: tuple[TableColumn, ...] = ()
    dropped: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.renamed or self.added or self.widened or self.dropped)


def evolve(table: Table, spec: TableSpec) -> None:
    """Raises Conflict where the table differs in a way that only a rewrite could mend, CommitFailedException where it has changed
    since it was read."""
    evolution = evolution_of(table, spec)
    if not evolution:
        return
    with table.update_schema() as update:
        for old, new in evolution.renamed:
            update.rename_column(old, new)
        for column in evolution.widened:
            old = next((old for old, new in evolution.renamed if new == column.name), column.name)
            update.update_column(old, field_type=iceberg_type(column))
        for column in evolution.added:
            update.add_column(column.name, iceberg_type(column))
        for name in evolution.dropped:
            update.delete_column(name)


def evolution_of(table: Table, spec: TableSpec) -> Evolution:
    """What there is to do; nothing where it was done before."""
    layout = layout_of(table)
    there = {column.name: column for column in layout.columns}
    renamed = tuple((old, new) for new, old in spec.renamed.items() if old in there and new not in there)
    now = {dict(renamed).get(name, name): column for name, column in there.items()}
    wanted = {column.name: column for column in spec.columns}
    dropped = tuple(name for name in spec.dropped if name in now and name not in wanted)
    strange = [f"{name} is there with a type that isn't kept here" for name in layout.others if name in wanted]
    wrong = [*strange, *_wrong_columns(now, wanted), *_wrong_roles(spec, layout, dict(renamed), dropped)]
    if wrong:
        raise Conflict(
            f"The table {spec.name!r} is there with other columns: {'; '.join(wrong)}.",
            value=spec.name,
            hint="Give it another name, or bring the definition in line.",
        )
    narrow = {dict(renamed).get(name, name) for name in layout.narrow}
    widened = tuple(column for name, column in wanted.items() if name in now and (name in narrow or _differs(now[name], column)))
    return Evolution(renamed, tuple(column for name, column in wanted.items() if name not in now), widened, dropped)


def _differs(there: TableColumn, wanted: TableColumn) -> bool:
    if there.type is wanted.type is FieldType.DECIMAL:
        return (there.precision, there.scale) != (wanted.precision, wanted.scale)
    return there.type is not wanted.type


def _wrong_columns(there: Mapping[str, TableColumn], wanted: Mapping[str, TableColumn]) -> Iterator[str]:
    for name in sorted(there.keys() & wanted.keys()):
        old, new = there[name], wanted[name]
        if _differs(old, new) and not _is_wider(old, new):
            yield f"{name} is {_said(old)}, which can't become {_said(new)}"
    folded = {name.lower(): name for name in there}
    for name in sorted(wanted.keys() - there.keys()):
        if name.lower() in folded:
            yield f"{name} is there as {folded[name.lower()]}, which is the same to engines"


def _is_wider(old: TableColumn, new: TableColumn) -> bool:
    """Iceberg widens decimals to more digits before the point; our whole numbers and doubles have 64 bits already."""
    return old.type is new.type is FieldType.DECIMAL and old.scale == new.scale and old.precision <= new.precision


def _wrong_roles(spec: TableSpec, layout: Layout, renamed: Mapping[str, str], dropped: tuple[str, ...]) -> Iterator[str]:
    for what, old, new in (("tenant", layout.tenant, spec.tenant_column), ("time", layout.time, spec.time_column)):
        now = renamed.get(old, old) if old is not None else None
        if now != new:
            yield f"its {what} column is {now or 'none'}, not {new or 'none'}"
        if now is not None and now in dropped:
            yield f"its {what} column {now} can't be dropped"


def _said(column: TableColumn) -> str:
    return f"decimal({column.precision}, {column.scale})" if column.type is FieldType.DECIMAL else column.type.value
