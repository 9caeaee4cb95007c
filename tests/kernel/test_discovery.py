"""Plug-ins are found in folders, listed without their SDKs, and their mistakes are told with their file."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from jangbu.kernel.discovery import Plugin, discover, find
from jangbu.kernel.errors import ConfigurationError, MissingExtra, UnknownName

SDKS = (
    "duckdb",
    "trino",
    "requests",
    "orjson",
    "pyarrow",
    "pyiceberg",
    "sqlglot",
    "sqlalchemy",
    "pandas",
    "numpy",
    "pydantic",
    "yaml",
)
BUILT_IN = {
    "engine": ("jangbu.platform.engines", ["duckdb", "spark", "trino"]),
    "lakehouse": ("jangbu.platform.lakehouse", ["iceberg"]),
    "connector": ("jangbu.insight.ingest.connectors", ["completejourney"]),
    "event_handler": ("jangbu.insight.ingest.event_handlers", ["watch_tables"]),
    "command_handler": ("jangbu.insight.ingest.command_handlers", ["flush_spool", "recover_loads", "upkeep_table"]),
    "analysis": ("jangbu.insight.dashboards.dashboard_layer.analyses", ["abc", "quadrant"]),
}
FILE = """
from jangbu.kernel.discovery import Plugin

PLUGIN = Plugin(kind={kind!r}, name={name!r}, summary="A test's.", open=lambda: {name!r})
"""


def plugin(folder: Path, file: str, *, kind: str = "engine", name: str = "parrot") -> Path:
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(FILE.format(kind=kind, name=name))
    return path


def test_listing_the_built_in_ones_imports_no_sdk() -> None:
    script = f"""
import json, sys
from jangbu.kernel.discovery import discover
listed = {{kind: list(discover(kind, package)) for kind, (package, _) in {BUILT_IN!r}.items()}}
print(json.dumps([listed, [name for name in {SDKS!r} if name in sys.modules]]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    listed, imported = json.loads(done.stdout)
    assert imported == []
    assert listed == {kind: names for kind, (_, names) in BUILT_IN.items()}


@pytest.mark.parametrize("kind", BUILT_IN)
def test_each_built_in_one_describes_itself(kind: str) -> None:
    for name, found in discover(kind, BUILT_IN[kind][0]).items():
        assert (found.kind, found.name) == (kind, name)
        assert found.summary.endswith(".")
        assert all(field.get("description") for field in found.fields.values())


def test_files_of_a_folder_are_found_by_their_kind_and_sorted_by_name(tmp_path: Path) -> None:
    plugin(tmp_path, "engines/b.py", name="wren")
    plugin(tmp_path, "engines/a.py", name="parrot")
    plugin(tmp_path, "analyses/c.py", kind="analysis", name="rank")
    assert list(discover("engine", None, [tmp_path])) == ["parrot", "wren"]
    assert list(discover("analysis", None, [tmp_path])) == ["rank"]
    assert list(discover("connector", None, [tmp_path])) == []


def test_a_folders_file_stands_beside_the_built_in_ones(tmp_path: Path) -> None:
    plugin(tmp_path, "engines/parrot.py")
    assert list(discover("engine", "jangbu.platform.engines", [tmp_path])) == ["duckdb", "parrot", "spark", "trino"]


def test_built_in_ones_of_several_packages_stand_together() -> None:
    packages = ["jangbu.platform.engines", "jangbu.insight.ingest.connectors"]
    with pytest.raises(ConfigurationError, match="no PLUGIN of kind 'engine'"):
        discover("engine", packages)
    assert list(discover("engine", packages[:1])) == ["duckdb", "spark", "trino"]
    assert list(discover("engine", [])) == []


def test_what_contexts_have_inside_is_found_without_importing_it() -> None:
    script = """
import sys
from jangbu.kernel.discovery import inside
print(inside("jangbu.insight", "facade"), inside("jangbu.insight", "command_handlers"), inside("jangbu.insight", "no_such"))
assert not [name for name in sys.modules if name.startswith("jangbu.insight.")]
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    facades = tuple(f"jangbu.insight.{context}.facade" for context in ("access", "catalog", "dashboards", "ingest"))
    assert done.stdout.strip() == f"{facades} {('jangbu.insight.ingest.command_handlers',)} ()"


def test_files_of_one_name_in_two_folders_are_two_modules(tmp_path: Path) -> None:
    plugin(tmp_path / "one", "engines/own.py", name="parrot")
    plugin(tmp_path / "two", "engines/own.py", name="wren")
    assert list(discover("engine", None, [tmp_path / "one", tmp_path / "two"])) == ["parrot", "wren"]


@pytest.mark.parametrize("name", ["parrot", "duckdb"])
def test_two_of_one_name_are_refused(tmp_path: Path, name: str) -> None:
    plugin(tmp_path, "engines/a.py", name=name)
    second = plugin(tmp_path, "engines/b.py", name="parrot")
    with pytest.raises(ConfigurationError) as raised:
        discover("engine", "jangbu.platform.engines", [tmp_path])
    assert raised.value.value == name
    assert str(second if name == "parrot" else tmp_path / "engines" / "a.py") in str(raised.value)


@pytest.mark.parametrize("text", ["def broken(:", "import no_such_module_at_all", "1 / 0"])
def test_a_file_that_can_not_be_imported_is_named_with_the_reason(tmp_path: Path, text: str) -> None:
    path = plugin(tmp_path, "engines/a.py")
    path.write_text(text)
    before = set(sys.modules)
    with pytest.raises(ConfigurationError, match="can't be imported: ") as raised:
        discover("engine", None, [tmp_path])
    assert raised.value.value == str(path)
    assert not [name for name in set(sys.modules) - before if name.startswith("jangbu_plugin_")]


@pytest.mark.parametrize("text", ["PLUGIN = None", "", "PLUGIN = 'engine'", FILE.format(kind="connector", name="x")])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, text: str) -> None:
    path = plugin(tmp_path, "engines/a.py")
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="kind 'engine'") as raised:
        discover("engine", None, [tmp_path])
    assert raised.value.value == str(path)


def test_an_unknown_name_says_what_there_is() -> None:
    with pytest.raises(UnknownName) as raised:
        find("engine", "duckdp", discover("engine", "jangbu.platform.engines"), path="/engine")
    assert (raised.value.known, raised.value.suggestions, raised.value.path) == (
        ("duckdb", "spark", "trino"),
        ("duckdb",),
        "/engine",
    )


@pytest.mark.parametrize("module", ["no_such_sdk", "no_such_sdk.client"])
def test_a_missing_dependency_is_told_when_the_plug_in_is_wanted_not_when_it_is_listed(module: str) -> None:
    needy = Plugin(kind="engine", name="parrot", summary="A test's.", open=lambda: None, extra="birds", requires=("json", module))
    with pytest.raises(MissingExtra) as raised:
        find("engine", "parrot", {"parrot": needy})
    assert raised.value.extra == "birds"
    assert "pip install 'jangbu[birds]'" in str(raised.value)
