"""All that a tenant has, as files: its rows of every table at one version of the data, and what the database says of them.

The folder is written beside its place and takes it at the end, so that it is there as a whole or not at all.
"""

import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from sqlalchemy import Connection, Table, select

from jangbu import __version__
from jangbu.insight.ingest import repository
from jangbu.insight.ingest.commits import PATIENCE
from jangbu.insight.ingest.tables import data_versions, load_attempts, loads, quarantine, spool
from jangbu.kernel.clock import Clock
from jangbu.kernel.errors import Conflict, Unavailable
from jangbu.kernel.tenancy import TenantId
from jangbu.platform.database.ports import Database
from jangbu.platform.lakehouse.ports import Lakehouse, Snapshot, Within

_HISTORY: Final = (loads, data_versions, load_attempts, quarantine, spool)
_BLOCK: Final = 1 << 20


class ExportFormat(StrEnum):
    PARQUET = "parquet"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class Exported:
    """A file, by its path in the folder: its rows (None: it isn't of rows), bytes, and SHA-256."""

    file: str
    rows: int | None
    bytes: int
    sha256: str


class Exporting:
    def __init__(self, database: Database, lakehouse: Lakehouse, clock: Clock) -> None:
        self._database, self._lakehouse, self._clock = database, lakehouse, clock

    def export(
        self, tenant: TenantId, folder: Path, format_: ExportFormat, texts: Mapping[str, str], definitions: Path | None
    ) -> Mapping[str, Any]:
        """The manifest. `texts` are further files by their names, `definitions` a folder that is copied.

        Raises:
            Conflict: the folder isn't empty. Unavailable: loads go on without end.
        """
        with _whole(folder) as draft:
            snapshots = self._pinned(tenant, draft)
            rows = {
                f"data/{name}.{format_.value}": self._data(tenant, snapshot, draft / f"data/{name}.{format_.value}", format_)
                for name, snapshot in snapshots.items()
            }
            rows |= {f"{table.name}.jsonl": _lines(draft / f"{table.name}.jsonl") for table in _HISTORY}
            for name, text in texts.items():
                (draft / name).write_text(text, encoding="utf-8")
            if definitions is not None and definitions.is_dir():
                shutil.copytree(definitions, draft / "definitions")
            manifest = self._manifest(tenant, draft, rows)
            (draft / "manifest.json").write_text(json.dumps(manifest, ensure_ascii=False, indent=2), encoding="utf-8")
        return manifest

    def _pinned(self, tenant: TenantId, draft: Path) -> dict[str, Snapshot]:
        """The tables' snapshots of one moment, when nothing of the tenant was about to be committed, and the history of then."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with self._database.reading() as connection:
                before = _versions(connection, tenant)
                self._history(connection, tenant, draft)
            found = {table: self._lakehouse.current(table) for table in self._lakehouse.tables()}
            kept_apart = {name: each for name, each in found.items() if self._lakehouse.files(each, (), None).tenant_column}
            with self._database.reading() as connection:
                if before is not None and before == _versions(connection, tenant):
                    return kept_apart
            time.sleep(0.05)
        raise Unavailable(f"Loads of {tenant!r} go on without end; there is no moment to export.", retry_after=60)

    def _history(self, connection: Connection, tenant: TenantId, draft: Path) -> None:
        for table in _HISTORY:
            with (draft / f"{table.name}.jsonl").open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in _rows(connection, table, tenant))

    def _data(self, tenant: TenantId, snapshot: Snapshot, file: Path, format_: ExportFormat) -> int:
        file.parent.mkdir(exist_ok=True)
        schema = self._lakehouse.files(snapshot, (tenant,), None).schema
        rows = 0
        with _writer(file, schema, format_) as writer:
            for table in self._lakehouse.rows(snapshot, Within(tenant)):
                writer.write_table(table)
                rows += table.num_rows
        return rows

    def _manifest(self, tenant: TenantId, draft: Path, rows: Mapping[str, int]) -> dict[str, Any]:
        files = sorted(file for file in draft.rglob("*") if file.is_file())
        names = [file.relative_to(draft).as_posix() for file in files]
        told = [
            asdict(Exported(name, rows.get(name), file.stat().st_size, _digest(file)))
            for name, file in zip(names, files, strict=True)
        ]
        return {
            "export": tenant,
            "format": 1,
            "at": self._clock.now().isoformat(),
            "jangbu": __version__,
            "rows": sum(rows[name] for name in rows if name.startswith("data/")),
            "files": told,
        }


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A folder that takes the place of `folder` when the block ends well. Drafts of earlier tries are removed."""
    folder = Path(os.path.realpath(folder))  # where a link leads; the link itself couldn't be taken the place of
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict(f"{folder.name!r} isn't an empty folder; nothing was exported.", value=folder.name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f".{folder.name}.*.draft"):
        shutil.rmtree(left, ignore_errors=True)
    draft = folder.parent / f".{folder.name}.{uuid4().hex}.draft"
    draft.mkdir(mode=0o700)
    try:
        yield draft
        draft.replace(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _writer(file: Path, schema: pa.Schema, format_: ExportFormat) -> Any:
    if format_ is ExportFormat.CSV:
        return pa_csv.CSVWriter(file, schema)
    return pq.ParquetWriter(file, schema, compression="zstd")


def _versions(connection: Connection, tenant: TenantId) -> list[Any] | None:
    """The tenant's versions; None while a commit is about to happen."""
    if any(intent.key.tenant == tenant for intent in repository.open_intents(connection)):
        return None
    query = select(data_versions.c.data_source, data_versions.c.version).where(data_versions.c.tenant == tenant)
    return sorted(tuple(row) for row in connection.execute(query))


def _rows(connection: Connection, table: Table, tenant: TenantId) -> Iterable[dict[str, Any]]:
    mine = table.c.payload["tenant"].as_string() if table is spool else table.c.tenant
    query = select(table).where(mine == tenant).order_by(*table.primary_key.columns)
    for row in connection.execution_options(yield_per=1_000).execute(query):
        yield dict(row._mapping)


def _lines(file: Path) -> int:
    with file.open("rb") as opened:
        return sum(1 for _ in opened)


def _digest(file: Path) -> str:
    found = sha256()
    with file.open("rb") as opened:
        while block := opened.read(_BLOCK):
            found.update(block)
    return found.hexdigest()
