"""The published JSON Schema: it describes every field, and takes what ships."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from jangbu.insight.catalog.documents import read
from jangbu.insight.catalog.facade import PACK
from jangbu.insight.catalog.loader import definition_files, known_keys
from jangbu.insight.catalog.schemas import json_schema

SHOP = Path(__file__).parents[2] / "fixtures" / "definitions" / "shop"
FILES = [*definition_files(PACK), *definition_files(SHOP)]


def properties(node: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        if isinstance(node.get("properties"), dict):
            yield from ((f"{at}/{name}", field) for name, field in node["properties"].items())
        for key, child in node.items():
            yield from properties(child, f"{at}/{key}")
    elif isinstance(node, list):
        for index, child in enumerate(node):
            yield from properties(child, f"{at}/{index}")


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_every_field_is_described() -> None:
    fields = dict(properties(json_schema()))
    assert len(fields) > 40
    assert [name for name, field in fields.items() if not field.get("description")] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_every_definition_keeps_to_the_schema(file: Path) -> None:
    jsonschema.Draft202012Validator(json_schema()).validate(read(file))


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"kind": "dashboard"},
        {"name": "Orders"},
        {"colums": {}},
        {"separation": {"kind": "rows"}},
        {"columns": {"a": {"type": "varchar"}}},
    ],
    ids=str,
)
def test_the_schema_refuses_what_loading_refuses(change: dict[str, Any]) -> None:
    document = {**read(SHOP / "items.yml"), **change}
    assert not jsonschema.Draft202012Validator(json_schema()).is_valid(document)


def test_the_known_keys_of_a_place_come_from_the_schema() -> None:
    assert "default_time_field" in known_keys(("data_source",))
    assert known_keys(("data_source", "columns", "price")) == ["type", "precision", "scale", "renamed_from"]
    assert {"numerator", "denominator"} <= set(known_keys(("measures", "measures", 0, "ratio")))
    assert known_keys(("measures", "measures", 3, "ratio", "label")) == ["ko", "en"]
