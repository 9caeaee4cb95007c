"""The documents agree with the code and with each other; the reference builds."""

import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from support.markdown import ROOT, anchors, blocks, codes, links, table_rows

from jangbu.entrypoints.handlers import declared_messages, find_handlers
from jangbu.entrypoints.settings import Settings, variables
from jangbu.insight.catalog.contracts import Function, MeasureKind
from jangbu.insight.catalog.facade import CatalogFacade
from jangbu.insight.catalog.functions import ROW_FUNCTIONS
from jangbu.insight.dashboards.contracts import DEFAULT_LIMIT, MAX_LIMIT, QueryRequest
from jangbu.kernel.errors import tree_of_errors
from jangbu.kernel.filters import MAX_DEPTH, MAX_VALUES, OPERATORS
from jangbu.kernel.messages import Command, Event
from jangbu.kernel.types import FieldType
from jangbu.platform.telemetry.metrics import Metrics

GUIDE = ROOT / "docs" / "guide"
DOCUMENTS = sorted(path for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")] if "reference" not in path.parts)
NUMBER = {FieldType.INTEGER, FieldType.DECIMAL, FieldType.DOUBLE}
TIME = {FieldType.DATE, FieldType.INSTANT, FieldType.LOCAL}
TYPES = {"all": set(FieldType), "text": {FieldType.TEXT}, "number": NUMBER, "time": TIME}
COUNTS = {"none": (0, 0), "1 or more": (1, None), "1 or 2": (1, 2), "2": (2, 2)}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built the way `make docs` builds it."""
    folder = tmp_path_factory.mktemp("docs") / "reference"
    subprocess.run([sys.executable, "-W", "error", "-m", "docs.build", str(folder)], cwd=ROOT, check=True)
    return folder


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document: Path) -> None:
    lost = []
    for target in links(document):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (document.parent / name).resolve() if name else document
        if not file.exists() or (anchor and anchor not in anchors(file)):
            lost.append(target)
    assert lost == []


def test_make_help_lists_what_the_documents_name() -> None:
    printed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    listed = set(re.findall(r"^ +([a-z-]+) ", printed, re.MULTILINE))
    named = {
        name for path in DOCUMENTS for name in re.findall(r"(?:^|`)(?:\w+=\w+ )?make ([a-z-]+)", path.read_text(), re.MULTILINE)
    }
    assert {"demo", "test"} <= named
    assert named <= listed


def test_files_that_the_documents_name_are_there() -> None:
    """Paths in code, such as `tests/kernel/test_errors.py`; capitals stand for a name."""
    named = {
        (path.name, name)
        for path in DOCUMENTS
        for name in re.findall(r"`((?:src|tests|docs|bench)/[\w./-]+)`", path.read_text())
        if not re.search(r"[A-Z]{4}", name) and "docs/reference" not in name
    }
    assert [place for place in named if not (ROOT / place[1]).exists()] == []


# The guide's tables


def test_every_operator_stands_in_the_guide_with_its_types_and_values() -> None:
    told = {
        name: (set().union(*(TYPES[word] for word in types.split(", "))), COUNTS[count])
        for names, types, count, _ in table_rows(GUIDE / "ask.md", "operator")
        for name in codes(names)
    }
    assert told == {name: (set(operator.types), (operator.least, operator.most)) for name, operator in OPERATORS.items()}


def test_the_guides_limits_are_the_codes() -> None:
    limits = " ".join(" ".join(row) for row in table_rows(GUIDE / "ask.md", "what"))
    assert f"{MAX_DEPTH} levels, {MAX_VALUES:,} values" in limits
    assert f"{MAX_LIMIT:,}" in limits
    assert f"{Settings.model_fields['query_timeout'].default:.0f} s" in limits
    assert Settings.model_fields["max_body_bytes"].default == 1 << 20
    schema = QueryRequest.model_json_schema()["properties"]
    lists = [schema[name]["maxItems"] for name in ("measures", "dimensions", "order")]
    assert ", ".join(map(str, [*lists, schema["data_source"]["anyOf"][1]["maxItems"]])) in limits
    assert f"{DEFAULT_LIMIT:,}" in (GUIDE / "ask.md").read_text()


def test_every_function_of_formulas_stands_in_the_guide() -> None:
    told = [name for cell, _ in table_rows(GUIDE / "define.md", "function") for name in codes(cell)]
    assert sorted(told) == sorted(re.split(r":|\), ", function.words)[0] for function in ROW_FUNCTIONS.values())


def test_every_kind_of_measure_and_aggregate_stands_in_the_guide() -> None:
    rows = table_rows(GUIDE / "define.md", "kind")
    assert [codes(row[0])[0] for row in rows] == [kind.value for kind in MeasureKind]
    aggregates = {code.partition("(")[0] for row in rows[:2] for code in codes(row[1])}
    assert aggregates == {function.value for function in Function}


def test_every_metric_stands_in_the_guide() -> None:
    told = {name.removesuffix("_total") for row in table_rows(GUIDE / "operate.md", "metric") for name in codes(row[0])}
    assert told == {metric.name for metric in Metrics().registry.collect()}


def test_settings_that_the_documents_name_exist() -> None:
    known = {variable for field in Settings.model_fields for variable in variables(field)}
    for path in (ROOT / "services").glob("*.py"):  # what the tests' servers are told isn't the product's
        known |= set(re.findall(r"\bJANGBU_SERVICES\w*", path.read_text()))
    named = {name for path in DOCUMENTS for name in re.findall(r"JANGBU_[A-Z_]+[A-Z]", path.read_text())}
    assert named <= known


def test_every_event_and_command_has_its_heading_with_its_fields() -> None:
    page = (ROOT / "docs" / "events.md").read_text()
    for kind, base in (("Events", Event), ("Commands", Command)):
        part = page.partition(f"\n## {kind}\n")[2].partition("\n## ")[0]
        sections = dict(zip(*[iter(re.split(r"^### (\w+)$", part, flags=re.MULTILINE)[1:])] * 2, strict=True))
        declared = {name: message for name, message in declared_messages().items() if issubclass(message, base)}
        assert list(sections) == sorted(declared)
        for name, message in declared.items():
            assert f"Declared in `{message.__module__}`, `schema_version` {message.schema_version}." in sections[name]
            told = re.findall(r"^\| `(\w+)` \|", sections[name], re.MULTILINE)
            assert told == [field.name for field in fields(message)]


def test_every_command_tells_its_handler_and_its_jobs() -> None:
    handlers = find_handlers()
    page = (ROOT / "docs" / "events.md").read_text()
    for handler in handlers.commands.values():
        section = page.partition(f"\n### {handler.handles.__name__}\n")[2].partition("\n### ")[0]
        named = codes(section)
        assert {handler.name, *(job.name for job in handler.jobs)} <= set(named)


# The reference


def test_every_error_code_stands_in_the_reference_with_its_status(reference: Path) -> None:
    told = {codes(row[0])[0]: row[1] for row in table_rows(reference / "errors.md", "code")}
    assert {
        error.code: str(error.status) for error in tree_of_errors() if error.__module__ == "jangbu.kernel.errors"
    }.items() <= told.items()
    openapi = json.loads((reference / "openapi.json").read_text())
    assert set(openapi["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]) <= set(told)


def test_every_operator_and_field_stands_in_the_reference(reference: Path) -> None:
    assert [codes(row[0])[0] for row in table_rows(reference / "operators.md", "operator")] == list(OPERATORS)
    text = (reference / "query.md").read_text()
    assert all(f"| `{name}` |" in text for name in QueryRequest.model_fields)


def test_the_query_reference_holds_what_was_decided(reference: Path) -> None:
    decided = (ROOT / "docs" / "decisions" / "0008-where-the-wire-is-silent.md").read_text()
    points = re.findall(r"^- \*\*.+$", decided, re.MULTILINE)
    assert points
    assert [point for point in points if point not in (reference / "query.md").read_text()] == []


def test_every_setting_has_its_heading(reference: Path) -> None:
    heads = re.findall(r"^### (\w+)$", (reference / "settings.md").read_text(), re.MULTILINE)
    assert sorted(heads) == sorted(variables(field)[0] for field in Settings.model_fields)


def test_every_measure_of_the_pack_stands_in_the_reference(reference: Path) -> None:
    listing = CatalogFacade().listing()["measures"]
    text = (reference / "measures.md").read_text()
    sections = dict(zip(*[iter(re.split(r"^## (\w+)$", text, flags=re.MULTILINE)[1:])] * 2, strict=True))
    assert len(listing) >= 60
    assert [item["name"] for item in listing if f"| `{item['name']}` |" not in sections[item["data_source"]]] == []


def test_the_schemas_of_the_reference_can_be_used(reference: Path) -> None:
    schema = json.loads((reference / "definitions.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    for block in blocks(GUIDE / "define.md"):
        if block.language == "yaml":
            Draft202012Validator(schema).validate(yaml.safe_load(block.text))
    assert json.loads((reference / "openapi.json").read_text())["paths"]["/v1/query"]


def test_links_of_the_reference_lead_somewhere_from_its_place(reference: Path) -> None:
    place = ROOT / "docs" / "reference"
    written = {path.name for path in reference.iterdir()}
    lost = [
        (page.name, target)
        for page in reference.glob("*.md")
        for target in links(page)
        if target not in written and not _leads(page, place, target)
    ]
    assert lost == []


def _leads(page: Path, place: Path, target: str) -> bool:
    if target.startswith("#"):
        return f"# {target[1:]}" in page.read_text().lower()
    return (place / target.partition("#")[0]).resolve().exists()


# The decisions


def test_every_decision_is_listed_and_names_what_holds_it() -> None:
    folder = ROOT / "docs" / "decisions"
    records = sorted(path.name for path in folder.glob("[0-9]*.md"))
    listed = re.findall(r"\]\((\d{4}[\w-]+\.md)\)", (folder / "README.md").read_text())
    assert listed == records
    assert [name for name in records if "**Held by**" not in (folder / name).read_text()] == []
