"""Reads a sheet of a workbook for another process: `python -m … PATH [SHEET]` says, in JSON, the sheets' names, then a row a line.

It may take `_MEMORY` and `_SECONDS`; what goes wrong in the reader, which may abort its process, harms nobody else.
"""

import json
import sys
from datetime import date, datetime
from typing import Any, Final

PROGRAM: Final = __name__
_MEMORY: Final = 4 << 30
"""Bytes of address space."""
_SECONDS: Final = 600
"""Of a processor."""


def main(path: str, sheet: str | None = None) -> None:
    from python_calamine import CalamineError, CalamineWorkbook

    _bound()
    try:
        with CalamineWorkbook.from_path(path) as book:
            _say(book.sheet_names)
            if (wanted := book.sheet_names[0] if sheet is None else sheet) in book.sheet_names:
                for row in book.get_sheet_by_name(wanted).iter_rows():
                    _say([_text(cell) for cell in row])
    except (CalamineError, OSError) as error:
        _say({"error": str(error)})


def _bound() -> None:
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _say(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")


def _text(cell: Any) -> str | None:
    match cell:
        case None | "":
            return None
        case bool():
            return "true" if cell else "false"
        case float():
            return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else format(cell, ".15g")
        case datetime() | date():
            return cell.isoformat()
    return str(cell)


if __name__ == "__main__":
    main(*sys.argv[1:])
