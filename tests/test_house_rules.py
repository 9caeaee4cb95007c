"""Rules that a review would otherwise have to repeat. Each failure says what to do."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
BESIDE = [path for folder in ("bench", "services", "tests") for path in sorted((ROOT / folder).rglob("*.py"))]
PYTHON = [*SOURCES, *BESIDE, *(ROOT / "docs").glob("*.py")]

MODULE_LINES, FUNCTION_LINES = 400, 40
LONGER_MODULES: dict[str, str] = {}
"""Modules over the limit, each with its reason."""
LONGER_FUNCTIONS: dict[str, str] = {
    "src/jangbu/entrypoints/cli/query.py:query": "its parameters are the command's options, one or two lines each",
    "src/jangbu/insight/dashboards/dashboard_layer/resolution.py:question_of": "the order of the steps is what it has to say",
}
"""Functions over the limit, each with its reason."""

CONTEXTS = sorted(path.parent for path in (ROOT / "src" / "jangbu" / "insight").glob("*/__init__.py"))

PLUGIN_FOLDERS = (
    "platform/cache",
    "platform/engines",
    "platform/lakehouse",
    "insight/ingest/connectors",
    "insight/ingest/files",
    "insight/dashboards/dashboard_layer/analyses",
    *(f"insight/{context.name}/{kind}" for context in CONTEXTS for kind in ("event_handlers", "command_handlers")),
)
"""Where a module with a PLUGIN is one of the built-in ones."""

IN_TRACKED = re.compile(
    r"(?<![\w.])(?:/work/|/home/|/root/|/Users/|[A-Z]:\\\\Users)|https?://(?:[\w.-]*\.)?(?:pypi\.org|pythonhosted\.org)"
)
"""Paths of somebody's machine, and hosts that a mirror may stand in for."""
MAY_NAME_THEM = ("uv.lock", "LICENSE", "tests/test_house_rules.py")


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_modules_are_short() -> None:
    long = {named(path) for path in SOURCES if len(path.read_text().splitlines()) > MODULE_LINES}
    assert long == set(LONGER_MODULES), "Split it by concern, or give LONGER_MODULES its reason; take out what is short again."


def test_functions_are_short() -> None:
    long = {
        f"{named(path)}:{function.name}"
        for path in SOURCES
        for function in functions(tree_of(path))
        if (function.end_lineno or 0) - function.lineno + 1 > FUNCTION_LINES
    }
    assert long == set(LONGER_FUNCTIONS), "Split it, or give LONGER_FUNCTIONS its reason; take out what is short again."


MARKS = re.compile(r"\b(?:TO(?:)DO|FIX(?:)ME|XX(?:)X|HA(?:)CK)\b")
BARE = re.compile(r"#\s*type:\s*ignore(?!\[)|#\s*noqa(?!: ?[A-Z])|#\s*mypy:\s*ignore")
WITHOUT_REASON = re.compile(r"#\s*(?:type: ignore\[[\w, -]+\]|noqa: ?[A-Z][A-Z0-9, ]+?)\s*$")


def found(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    return [
        f"{named(path)}:{number}: {line.strip()}"
        for path in paths
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line)
    ]


def test_nothing_is_left_for_later() -> None:
    assert found(MARKS, PYTHON) == [], "Do it, or open an issue."


def test_what_a_checker_is_told_to_ignore_is_named() -> None:
    assert found(BARE, PYTHON) == [], "Name the code: `# type: ignore[arg-type]  # reason`."


def test_what_a_checker_is_told_to_ignore_in_the_product_has_a_reason() -> None:
    unexplained = [line for line in found(WITHOUT_REASON, SOURCES) if not re.search("noqa: (ARG002|A002)", line)]
    assert unexplained == [], "Add the reason behind it. (An argument that a port asks for, or that is called `id`, needs none.)"


def test_no_error_is_swallowed() -> None:
    silent = [
        f"{named(path)}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")))
        and all(isinstance(step, ast.Pass | ast.Continue) for step in node.body)
    ]
    assert silent == [], "Catch what you expect, or let it rise."


# Plug-ins


def plugin_modules() -> list[Path]:
    modules = [path for folder in PLUGIN_FOLDERS for path in sorted((ROOT / "src" / "jangbu" / folder).glob("*.py"))]
    return [path for path in modules if re.search(r"^PLUGIN\b", path.read_text(), re.MULTILINE)]


def imports_at_the_top(tree: ast.Module) -> Iterator[str]:
    """Modules that importing this one imports; `if TYPE_CHECKING` doesn't."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "."


@cache
def module_file(name: str) -> Path | None:
    base = ROOT / "src" / Path(*name.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.exists()), None)


def reached(path: Path, seen: set[str]) -> set[str]:
    """All that importing a file imports in turn, our own modules followed."""
    for name in imports_at_the_top(tree_of(path)):
        if name not in seen:
            seen.add(name)
            if own := module_file(name):
                reached(own, seen)
    return seen


def test_there_are_plug_ins_to_look_at() -> None:
    expected = {"memory", "redis", "duckdb", "iceberg", "completejourney", "abc", "quadrant", "flush_spool", "recover_loads"}
    assert {path.stem for path in plugin_modules()} >= expected


@pytest.mark.parametrize("path", plugin_modules(), ids=lambda path: path.stem)
def test_a_plug_in_imports_only_the_standard_library_and_ours_at_its_top(path: Path) -> None:
    outside = {name for name in reached(path, set()) if name.split(".")[0] not in {*sys.stdlib_module_names, "jangbu"}}
    assert outside == set(), "Import the SDK inside the function that needs it."


@pytest.mark.parametrize("path", plugin_modules(), ids=lambda path: path.stem)
def test_a_plug_in_names_only_the_kernel_and_its_own_neighbours(path: Path) -> None:
    package = ".".join(path.relative_to(ROOT / "src").parent.parts)
    ours = {name for name in imports_at_the_top(tree_of(path)) if name.startswith("jangbu")}
    others = {name for name in ours if not name.startswith(("jangbu.kernel", f"{package}."))}
    if path.parent.name.endswith("_handlers"):
        # What a handler handles and sends: its own context's messages, and what others tell of theirs.
        context = package.rpartition(".")[0]
        others -= {f"{context}.events", f"{context}.commands"}
        others = {name for name in others if not re.fullmatch(r"jangbu\.insight\.\w+\.contracts", name)}
    ports = {"jangbu.platform.cache.ports", "jangbu.platform.lakehouse.ports"}
    assert others <= ports | {"jangbu.platform.lakehouse.maintenance"}


def test_messages_stand_in_a_contexts_events_and_commands() -> None:
    """There they are found, and importing them is cheap."""
    elsewhere = [
        f"{named(path)}:{node.name}"
        for path in SOURCES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id in ("Event", "Command") for base in node.bases)
        and path.name != {"Event": "events.py", "Command": "commands.py"}[node.bases[0].id]  # type: ignore[attr-defined]
    ]
    assert elsewhere == [], "Declare it in its context's events.py or commands.py."


@pytest.mark.parametrize("name", ["events", "commands"])
def test_messages_import_only_the_standard_library_and_the_kernel(name: str) -> None:
    for path in (context / f"{name}.py" for context in CONTEXTS):
        if path.exists():
            outside = {
                module for module in reached(path, set()) if module.split(".")[0] not in {*sys.stdlib_module_names, "jangbu"}
            }
            assert outside == set(), f"{named(path)}: a message is plain data."


# What is tracked


@cache
def tracked() -> tuple[Path, ...]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return tuple(path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file())


def test_no_tracked_file_names_a_machines_path_or_a_registrys_host() -> None:
    texts = [path for path in tracked() if named(path) not in MAY_NAME_THEM and path.suffix not in (".png", ".parquet")]
    assert found(IN_TRACKED, texts) == [], "Say it without: a relative path, a placeholder, the registry's name."


def test_nothing_that_is_built_is_tracked() -> None:
    built = [
        named(path)
        for path in tracked()
        if re.search(r"(^|/)(build|dist|\.venv|__pycache__|\.jangbu|docs/reference)/", named(path))
    ]
    assert built == []


def test_tests_mirror_the_product() -> None:
    """A folder of tests for a part of the product is called as the part is."""
    mirrored = ("kernel", "platform", "insight", "entrypoints", "client")
    folders = {path.parent for part in mirrored for path in (ROOT / "tests" / part).rglob("test_*.py")}
    lost = {named(folder) for folder in folders if not (ROOT / "src" / "jangbu" / folder.relative_to(ROOT / "tests")).is_dir()}
    assert lost == set(), "Move the tests beside the part that they test."
