"""Reading a definitions file: YAML without its traps, and where in the file a mistake is.

Against plain YAML 1.1: only `true` and `false` are booleans (so that `on:` and `no` are texts), dates stay texts, a key can't come
twice, and anchors, aliases, tags and merge keys are refused. libyaml scans where it is there; nodes are composed here because its
own composer recurses in C without a limit.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from yaml.composer import Composer
from yaml.constructor import ConstructorError, SafeConstructor
from yaml.resolver import BaseResolver

from jangbu.kernel.errors import CatalogError

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 100
"""Levels of nesting; a filter, the deepest legitimate part, has at most 50 and two YAML levels each."""

_BOM: Final = "\ufeff"


class _Resolver(BaseResolver):
    """YAML 1.2's core types: true, false, null, decimal integers (a leading zero makes a text) and floats."""


for _tag, _pattern, _first in (
    ("bool", r"true|false", "tf"),
    ("null", r"null|~|", ["n", "~", ""]),
    ("int", r"[-+]?(?:0|[1-9][0-9]{0,17})", "-+0123456789"),
    ("float", r"[-+]?(?:[0-9]{1,30}\.[0-9]{0,30}|\.[0-9]{1,30})(?:[eE][-+]?[0-9]{1,2})?", "-+.0123456789"),
):
    _Resolver.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


class _Composer(Composer):
    """Nodes without anchors, at most `MAX_DEPTH` deep."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[attr-defined]  # given by the parser that this is mixed with
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise ConstructorError(None, None, "anchors and aliases (& and *) aren't used in definitions", event.start_mark)
        if getattr(event, "tag", None) is not None:
            raise ConstructorError(None, None, "tags (!) aren't used in definitions", event.start_mark)
        if self.depth >= MAX_DEPTH:
            raise ConstructorError(None, None, f"nested more than {MAX_DEPTH} levels deep", event.start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Constructor(SafeConstructor):
    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ConstructorError(None, None, "a key is a text", key.start_mark)
            if key.value in seen:
                raise ConstructorError(None, None, f"the key {key.value!r} comes twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _loader() -> type[Any]:
    if yaml.__with_libyaml__:
        from yaml.cyaml import CParser  # type: ignore[attr-defined]  # the stubs don't export it

        class Fast(_Composer, CParser, _Constructor, _Resolver):
            def __init__(self, text: str) -> None:
                CParser.__init__(self, text)
                Composer.__init__(self)
                _Constructor.__init__(self)
                _Resolver.__init__(self)

        return Fast
    from yaml.parser import Parser
    from yaml.reader import Reader
    from yaml.scanner import Scanner

    class Plain(Reader, Scanner, Parser, _Composer, _Constructor, _Resolver):
        def __init__(self, text: str) -> None:
            Reader.__init__(self, text)
            for base in (Scanner, Parser, Composer, _Constructor, _Resolver):
                base.__init__(self)

    return Plain


_LOADER: Final = _loader()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a definition stands: a file, and the keys that lead to it in its document."""

    file: Path
    keys: tuple[str | int, ...] = ()

    def below(self, *keys: str | int) -> "Origin":
        return Origin(self.file, (*self.keys, *keys))

    def locate(self, error: CatalogError) -> CatalogError:
        """The same error, with the file and line unless it has them."""
        if error.file is None:
            error.file, error.line = str(self.file), _line_of(self.file, self.keys)
        return error

    def error(self, detail: str, **parts: Any) -> CatalogError:
        """A CatalogError at this place; `parts` are its value, known and hint."""
        return self.locate(CatalogError(detail, **parts))


def read(file: Path) -> Any:
    """The data of a YAML file.

    Raises:
        CatalogError: it can't be read, isn't UTF-8 or YAML, is empty or too large, or uses what definitions don't.
    """
    text = _text(file)
    try:
        data = _load(text)
    except yaml.YAMLError as error:
        raise _told(error, file) from error
    except (RecursionError, ValueError) as error:
        raise CatalogError(f"This can't be read as YAML: {error}.", file=str(file), line=1) from error
    if data is None:
        raise CatalogError("The file is empty.", file=str(file), line=1, hint="Give it a document, or remove it.")
    return data


def _text(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise CatalogError(f"The file can't be read: {error.strerror}.", file=str(file)) from error
    if len(raw) > MAX_BYTES:
        raise CatalogError(f"The file is larger than {MAX_BYTES:,} bytes.", file=str(file), hint="Split it into several files.")
    try:
        return raw.decode("utf-8").removeprefix(_BOM)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise CatalogError("The file isn't UTF-8.", file=str(file), line=line, hint="Save it as UTF-8.") from error


def _load(text: str) -> Any:
    loader = _LOADER(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _told(error: yaml.YAMLError, file: Path) -> CatalogError:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).split("\n")[0]
    hint = None
    if "cannot start any token" in problem:
        hint = "Indent with spaces, not tabs, and quote a text that begins with a sign."
    elif "another document" in str(error):
        problem, hint = "a second document begins", "Put one document in a file."
    return CatalogError(
        f"This isn't a definition in YAML: {problem}.", file=str(file), line=mark.line + 1 if mark is not None else 1, hint=hint
    )


def _line_of(file: Path, keys: tuple[str | int, ...]) -> int | None:
    """The line (from 1) of the last of `keys` that is there; keys that don't fit are passed over."""
    try:
        loader = _LOADER(_text(file))
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except (CatalogError, yaml.YAMLError):
        return None
    line = node.start_mark.line
    for key in keys:
        found = _child(node, key)
        if found:
            line, node = found
    return int(line) + 1


def _child(node: Any, key: str | int) -> tuple[int, Any] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((name.start_mark.line, value) for name, value in node.value if name.value == str(key)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key].start_mark.line, node.value[key]
    return None
