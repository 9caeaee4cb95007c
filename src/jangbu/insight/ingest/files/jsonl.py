"""JSON lines: an object a line, gzipped or not. A field that is an object or a list stays JSON text."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jangbu.insight.ingest.files.packed import unpacked
from jangbu.insight.ingest.files.ports import LONGEST, Options, Rows, Torn, mended, too_long
from jangbu.kernel.discovery import Plugin
from jangbu.kernel.errors import LoadError

if TYPE_CHECKING:
    import pyarrow as pa

_SUFFIXES: Final = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
_BATCH: Final = 16_384


class JsonlFormat:
    def recognises(self, path: Path, head: bytes) -> bool:
        named = path.name.lower().endswith((".json", ".json.gz")) and head.lstrip(b"\xef\xbb\xbf \n").startswith(b"{")
        return named or path.name.lower().endswith(_SUFFIXES)

    def open(self, path: Path, options: Options) -> "JsonlFile":  # noqa: ARG002
        keys: dict[str, None] = {}
        for _, line in _lines(path):
            keys.update(dict.fromkeys(_texts(line) or ()))
        if not keys:
            raise LoadError(f"{path.name} has no objects in it.", value=path.name, hint="Each line is a JSON object.")
        names, notes = mended(keys)
        return JsonlFile(path, names, Options(), (f"{path.name}: JSON lines.", *notes), tuple(keys))


@dataclass(frozen=True, slots=True)
class JsonlFile:
    path: Path
    names: tuple[str, ...]
    options: Options
    notes: tuple[str, ...]
    keys: tuple[str, ...]
    rows: int | None = None

    def read(self) -> Iterator[Rows]:
        lines = _lines(self.path)
        while some := list(islice(lines, _BATCH)):
            read = [(number, line, _texts(line)) for number, line in some]
            torn = tuple(Torn(number, line.decode(errors="replace").rstrip()) for number, line, row in read if row is None)
            numbers = [number for number, _, row in read if row is not None]
            yield Rows(self._batch([row for _, _, row in read if row is not None]), numbers, torn)

    def _batch(self, rows: list[dict[str, bytes | None]]) -> "pa.RecordBatch":
        import pyarrow as pa

        arrays = [pa.array([row.get(key) for row in rows], pa.binary()) for key in self.keys]
        return pa.RecordBatch.from_arrays(arrays, names=list(self.names))


class _Digits(str):
    """A number as it is written."""

    __slots__ = ()


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with unpacked(path) as opened:
        for number in count(1):
            line = opened.readline(LONGEST + 1)
            if len(line) > LONGEST:
                raise too_long(path)
            if not line:
                return
            if line.strip():
                yield number, line.removeprefix(b"\xef\xbb\xbf")


def _texts(line: bytes) -> dict[str, bytes | None] | None:
    """The values of the line's object in UTF-8, numbers as they are written; None where it isn't an object. Half a surrogate pair,
    which JSON can write, stays what isn't UTF-8."""
    try:
        found = json.loads(line, parse_float=_Digits, parse_int=_Digits)
        if not isinstance(found, dict):
            return None
        return {key: None if value is None else _text(value).encode("utf-8", "surrogatepass") for key, value in found.items()}
    except (ValueError, RecursionError):
        return None


def _text(value: Any) -> str:
    match value:
        case str():
            return value
        case dict() | list():
            return _json(value)
    return json.dumps(value)


def _json(value: Any) -> str:
    match value:
        case _Digits():
            return value
        case dict():
            return "{" + ", ".join(f"{_json(key)}: {_json(part)}" for key, part in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def open_format() -> JsonlFormat:
    return JsonlFormat()


PLUGIN = Plugin(kind="file_format", name="jsonl", summary="JSON lines: an object a line.", open=open_format)
