"""A data folder of Jangbu that holds the bench's data, written by Jangbu's own lakehouse: made once, then kept."""

from pathlib import Path

from bench.harness import BUILD, note
from bench.parts.sales import ASKED, months
from jangbu.kernel.tenancy import TenantId
from jangbu.kernel.types import FieldType
from jangbu.platform.lakehouse.ports import Lakehouse, TableColumn, TableSpec

FOLDER = BUILD / "data"
DEFINITIONS = Path(__file__).parent.parent / "definitions"
TABLE = TableSpec(
    name="bench_sales",
    columns=(
        TableColumn("tenant", FieldType.TEXT),
        TableColumn("sold_at", FieldType.INSTANT),
        TableColumn("category", FieldType.TEXT),
        TableColumn("product", FieldType.TEXT),
        TableColumn("store", FieldType.TEXT),
        TableColumn("channel", FieldType.TEXT),
        TableColumn("quantity", FieldType.INTEGER),
        TableColumn("sales_value", FieldType.DECIMAL),
    ),
    time_column="sold_at",
)
FILES = 192


def fill(lakehouse: Lakehouse) -> None:
    """Load the twelve months, each once: a run that was committed before isn't loaded again."""
    lakehouse.create(TABLE)
    generated = None
    for number in range(12):
        run = f"month-{number + 1:02d}"
        if lakehouse.find_run(TABLE.name, run) is None:
            generated = generated or list(months())
            note(f"loading {generated[number].num_rows:,} lines ({run})")
            lakehouse.commit(lakehouse.stage(TABLE.name, generated[number], run))


def as_laid_out(lakehouse: Lakehouse) -> list[str]:
    """The files that may hold the asked merchant's lines.

    Raises:
        ValueError: the table isn't laid out as the bench says.
    """
    everything, asked = files_of(lakehouse, None), files_of(lakehouse, (TenantId(ASKED),))
    if (len(everything), len(asked)) != (FILES, 12):
        raise ValueError(f"{FILES} files were to be written, 12 of them with {ASKED}; there are {len(everything)}, {len(asked)}")
    return asked


def files_of(lakehouse: Lakehouse, tenants: tuple[TenantId, ...] | None) -> list[str]:
    return [file.path for file in lakehouse.files(lakehouse.current(TABLE.name), tenants, None).files]
