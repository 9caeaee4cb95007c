"""Markdown as the tests of the documents read it: fenced blocks, links, headings, tables."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!`)!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. `language` is the first word after the fence, `role` the second, `file` what stands after `file=`."""

    document: Path
    line: int
    language: str
    role: str
    file: str | None
    text: str

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def blocks(document: Path) -> list[Block]:
    return list(_blocks(document))


def _blocks(document: Path) -> Iterator[Block]:
    text = document.read_text()
    for match in _FENCE.finditer(text):
        words = match["info"].split()
        file = next((word.removeprefix("file=") for word in words if word.startswith("file=")), None)
        roles = [word for word in words[1:] if "=" not in word]
        line = text.count("\n", 0, match.start()) + 1
        yield Block(document, line, words[0] if words else "", roles[0] if roles else "", file, match["text"])


def links(document: Path) -> list[str]:
    """Targets of links and pictures, code left out."""
    prose = _FENCE.sub("", document.read_text())
    return [match["target"] for match in _LINK.finditer(re.sub(r"`[^`]*`", "", prose))]


def anchors(document: Path) -> set[str]:
    """What GitHub calls each heading."""
    heads = re.findall(r"^#{1,6} (.+)$", _FENCE.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def table_rows(document: Path, first_column: str) -> list[list[str]]:
    """The cells of the table whose first column is called so."""
    lines = iter(document.read_text().splitlines())
    for line in lines:
        if line.startswith(f"| {first_column} |"):
            next(lines)
            found = []
            for row in lines:
                if not row.startswith("|"):
                    break
                found.append([cell.strip() for cell in row.strip().strip("|").split(" |")])
            return found
    raise AssertionError(f"{document.name} has no table of {first_column}")


def codes(cell: str) -> list[str]:
    """What stands in `code` in a cell."""
    return re.findall(r"`([^`]+)`", cell)
