"""Builds the reference from the code: `python -m docs.build [folder]`, by default into docs/reference."""

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
TARGET = DOCS / "reference"
Pages = Mapping[str, Callable[[], str]]


def build(target: Path) -> list[Path]:
    """Write every page of the reference into `target`; returns them."""
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for name, page in PAGES.items():
        file = target / name
        file.write_text(page().rstrip() + "\n", encoding="utf-8")
        written.append(file)
    return written


def index() -> str:
    lines = (f"- [{name}]({name})" for name in PAGES if name != "README.md")
    return "\n".join(["# Reference", "", "Built from the code by `make docs`.", "", *lines])


def query() -> str:
    """The exact meaning, what was decided where it is silent, and the request's fields as the models have them."""
    record = (DOCS / "decisions" / "0008-where-the-wire-is-silent.md").read_text(encoding="utf-8")
    decided = record.partition("\n\n")[2].partition("\n**Held by**")[0]
    return "\n\n".join(
        [
            copied("query.md"),
            "## Where these rules are silent",
            decided.strip(),
            "## The request's fields",
            *_models(_request_schema()),
        ]
    )


def _request_schema() -> dict[str, Any]:
    from jangbu.insight.dashboards.contracts import QueryRequest

    return QueryRequest.model_json_schema()


def _models(schema: Mapping[str, Any]) -> Iterable[str]:
    inner = {name: model for name, model in schema["$defs"].items() if "properties" in model}
    for name, model in {"The request": schema, **inner}.items():
        rows = [
            (f"`{field}`", _type(part), _default(part), "yes" if field in model.get("required", ()) else "")
            for field, part in model["properties"].items()
        ]
        yield f"### {name}"
        yield table(("field", "type", "default", "required"), rows)


def _type(part: Mapping[str, Any]) -> str:
    """A JSON Schema's type in a few words."""
    if "anyOf" in part:
        return " or ".join(_type(each) for each in part["anyOf"])
    if "$ref" in part:
        return str(part["$ref"]).rpartition("/")[2]
    if "enum" in part:
        return ", ".join(f"`{value}`" for value in part["enum"])
    kind = f"list of {_type(part['items'])}" if part.get("type") == "array" else str(part.get("type", "anything"))
    bounds = [f"{word} {part[key]}" for key, word in _BOUNDS.items() if key in part]
    return f"{kind} ({', '.join(bounds)})" if bounds else kind


_BOUNDS = {"minimum": "from", "maximum": "to", "minItems": "at least", "maxItems": "at most"}


def _default(part: Mapping[str, Any]) -> str:
    return f"`{json.dumps(part['default'])}`" if part.get("default") is not None else ""


def operators() -> str:
    from jangbu.kernel.filters import OPERATORS
    from jangbu.kernel.types import FieldType

    rows = [
        (f"`{name}`", _types(operator.types, FieldType), _count(operator.least, operator.most), operator.words)
        for name, operator in OPERATORS.items()
    ]
    return "# Operators\n\n" + table(("operator", "types", "values", "in words"), rows)


def _types(taken: frozenset[Any], every: Iterable[Any]) -> str:
    known = list(every)
    return "all" if taken == set(known) else ", ".join(kind.value for kind in known if kind in taken)


def _count(least: int, most: int | None) -> str:
    if most is None:
        return f"{least} or more"
    return str(least) if least == most else f"{least} to {most}"


def errors() -> str:
    from jangbu.kernel.errors import tree_of_errors

    rows = [(f"`{error.code}`", str(error.status), error.title, f"`{error.__name__}`") for error in tree_of_errors()]
    rows += [
        ("`method_not_allowed`", "405", "The method isn't allowed here", ""),
        ("`http`", "any other", "What the web framework refuses before Jangbu sees it", ""),
    ]
    words = "Every error is `application/problem+json` with a stable `code`. The class is of `jangbu.kernel.errors`."
    return f"# Errors\n\n{words}\n\n" + table(("code", "status", "title", "class"), rows)


def measures() -> str:
    """Every measure of the pack, by data source."""
    from jangbu.insight.catalog.facade import CatalogFacade

    catalog = CatalogFacade().catalog_for()
    parts = ["# Measures", "The measures of the pack that ships with Jangbu."]
    for source in sorted(catalog.data_sources.values(), key=lambda source: source.name):
        rows = [
            (f"`{name}`", measure.kind.value, measure.label.ko, measure.label.en, measure.unit or "", measure.description.en)
            for name, measure in sorted(source.measures.items())
        ]
        parts += [f"## {source.name}", source.description.en]
        parts += [table(("measure", "kind", "Korean", "English", "unit", "meaning"), rows)] if rows else []
    return "\n\n".join(parts)


def openapi() -> str:
    from jangbu.entrypoints.api.app import create_app
    from jangbu.entrypoints.bootstrap import Application
    from jangbu.entrypoints.settings import Settings

    return as_json(create_app(Application(Settings())).openapi())


def definitions() -> str:
    from jangbu.insight.catalog.schemas import json_schema

    return as_json(json_schema())


def as_json(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, indent=2)


def copied(name: str) -> str:
    """A page of docs, its links as they are from the reference's folder."""
    text = (DOCS / name).read_text(encoding="utf-8")
    return re.sub(r"\]\((?!https?:|#)", "](../", text).rstrip()


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines)


PAGES: Pages = {
    "README.md": index,
    "query.md": query,
    "operators.md": operators,
    "errors.md": errors,
    "settings.md": lambda: copied("settings.md"),
    "events.md": lambda: copied("events.md"),
    "measures.md": measures,
    "openapi.json": openapi,
    "definitions.schema.json": definitions,
}

if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET)
