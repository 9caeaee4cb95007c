"""From folders of YAML files to documents: layered, later layers over earlier ones, each knowing where it stands."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from jangbu.insight.catalog.documents import Origin, read
from jangbu.insight.catalog.schemas import (
    DataSourceDocument,
    DerivedMeasure,
    DistinctMeasure,
    MeasuresDocument,
    RatioMeasure,
    SimpleMeasure,
    document_adapter,
    json_schema,
)
from jangbu.kernel.errors import MISSING, CatalogError

AnyMeasure: TypeAlias = SimpleMeasure | DistinctMeasure | RatioMeasure | DerivedMeasure
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Layer:
    """A folder of definitions, read with its subfolders. `name` says whose it is in errors: `pack`, `folder`, a tenant's id."""

    name: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Located(Generic[T]):
    """A definition, where it stands, and in which layer."""

    value: T
    origin: Origin
    layer: str


MeasureKey: TypeAlias = tuple[str, str]
"""(data source, measure)"""


@dataclass(frozen=True, slots=True)
class Definitions:
    """What all layers define together, in the order of first definition; a later layer's has taken an earlier one's place.
    `unread` are names in files that couldn't be read: what refers to them isn't to blame."""

    data_sources: Mapping[str, Located[DataSourceDocument]]
    measures: Mapping[MeasureKey, Located[AnyMeasure]]
    unread: frozenset[str] = frozenset()


def definition_files(folder: Path) -> list[Path]:
    """Every `*.yml` and `*.yaml` in the folder and below, sorted; hidden ones left out.

    Raises:
        CatalogError: the folder is there, and can't be looked into.
    """
    if folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK):  # it would be taken for an empty one
        raise CatalogError("The folder can't be read.", file=str(folder), hint="Look at its rights.")
    found = (file for file in folder.rglob("*") if file.suffix in (".yml", ".yaml") and file.is_file())
    return sorted(file for file in found if not any(part.startswith(".") for part in file.relative_to(folder).parts))


def gather(layers: Sequence[Layer]) -> tuple[Definitions, list[CatalogError]]:
    """The definitions of all layers, and every mistake that kept a file or a definition out."""
    sources: dict[str, Located[DataSourceDocument]] = {}
    measures: dict[MeasureKey, Located[AnyMeasure]] = {}
    mistakes: list[CatalogError] = []
    unread: set[str] = set()
    for layer in layers:
        own: dict[object, Origin] = {}
        for file in definition_files(layer.folder):
            try:
                document = validated(read(file), file)
            except MistakesInFile as several:
                mistakes.extend(several.mistakes)
                unread.update(several.names)
            except CatalogError as error:
                mistakes.append(error)
            else:
                mistakes.extend(_take(document, Origin(file), layer.name, own, sources, measures))
    return Definitions(sources, measures, frozenset(unread)), mistakes


def _take(
    document: DataSourceDocument | MeasuresDocument,
    origin: Origin,
    layer: str,
    own: dict[object, Origin],
    sources: dict[str, Located[DataSourceDocument]],
    measures: dict[MeasureKey, Located[AnyMeasure]],
) -> Iterable[CatalogError]:
    """Put a document's definitions in place; `own` holds what this layer has defined so far."""
    if isinstance(document, DataSourceDocument):
        if document.name in own:
            yield _twice(f"data source {document.name!r}", document.name, origin.below("name"), own[document.name])
            return
        own[document.name] = origin.below("name")
        sources[document.name] = Located(document, origin, layer)
        return
    for index, measure in enumerate(document.measures):
        key, place = (document.data_source, measure.name), origin.below("measures", index)
        if key in own:
            yield _twice(f"measure {measure.name!r} of {document.data_source!r}", measure.name, place.below("name"), own[key])
            continue
        own[key] = place.below("name")
        measures[key] = Located(measure, place, layer)


def _twice(what: str, name: str, origin: Origin, first: Origin) -> CatalogError:
    earlier = first.error("")
    return origin.error(
        f"The {what} is defined twice in this layer.",
        value=name,
        hint=f"It is also at {earlier.file}:{earlier.line}; remove one, or override it in a later layer.",
    )


class MistakesInFile(CatalogError):
    """Several mistakes of one file's form; its own words are the first's. `names` are what the file would have defined."""

    def __init__(self, mistakes: list[CatalogError], names: Iterable[str]) -> None:
        first = mistakes[0]
        super().__init__(first.detail, file=first.file, line=first.line, value=first.value, known=first.known, hint=first.hint)
        self.mistakes = mistakes
        self.names = frozenset(names)


def validated(data: Any, file: Path) -> DataSourceDocument | MeasuresDocument:
    """The document that the data of a YAML file are.

    Raises:
        MistakesInFile: it has another form than the schema.
    """
    try:
        return document_adapter().validate_python(data)
    except ValidationError as error:
        raise MistakesInFile([_told(details, Origin(file)) for details in error.errors()], _names_in(data)) from error


def _names_in(data: Any) -> Iterable[str]:
    parts = data.get("measures") if isinstance(data, dict) else None
    for part in (data, *(parts if isinstance(parts, list) else ())):
        if isinstance(part, dict) and isinstance(part.get("name"), str):
            yield part["name"]


def _told(details: ErrorDetails, file: Origin) -> CatalogError:
    keys = tuple(key for key in details["loc"] if key != "[key]")
    origin, last = file.below(*keys), str(keys[-1]) if keys else "document"
    kind, context, given = details["type"], details.get("ctx", {}), details["input"]
    match kind:
        case "extra_forbidden":
            return origin.error(f"There is no key {last!r} here.", value=last, known=known_keys(keys[:-1]))
        case "missing":
            return origin.error(f"{last!r} is missing.", value=last)
        case "union_tag_not_found":
            return origin.error("'kind' is missing.", known=_tags(keys), hint=f"Give one of {', '.join(_tags(keys))}.")
        case "union_tag_invalid":
            tag = str(context["tag"])
            return origin.below("kind").error(f"There is no kind {tag!r} here.", value=tag, known=_tags(keys))
        case "enum" | "literal_error":
            known = [word.strip(" '") for word in str(context["expected"]).replace(" or ", ", ").split(",")]
            return origin.error(f"{last!r} can't be {given!r}.", value=given, known=known, hint=f"Give one of {', '.join(known)}.")
        case "string_pattern_mismatch":
            return origin.error(
                f"{given!r} can't be a name or a code here.", value=given, hint=_pattern_hint(str(context["pattern"]))
            )
        case _:
            return origin.error(
                f"{last!r}: {details['msg']}.", value=given if isinstance(given, str | int | float | None) else MISSING
            )


def _pattern_hint(pattern: str) -> str:
    if "A-Z" in pattern:
        return "Write a currency as ISO 4217 does, e.g. KRW."
    return "Names are a-z, 0-9 and _, at most 63, beginning with a letter" + ("; or relation.column." if r"\." in pattern else ".")


def _tags(keys: Sequence[str | int]) -> list[str]:
    return ["simple", "distinct", "ratio", "derived"] if keys else ["data_source", "measures"]


def known_keys(keys: Sequence[str | int]) -> list[str]:
    """The keys that the schema knows at a place; tags (of the document's and a measure's kind) are among `keys` as in pydantic."""
    schema = json_schema()
    options: list[Any] = _options(schema, schema["$defs"])
    for key in keys:
        options = _below(options, key, schema["$defs"])
    return [name for option in options for name in option.get("properties", {})]


def _options(node: Any, definitions: Mapping[str, Any]) -> list[Any]:
    """What a schema lets stand in one place."""
    if "$ref" in node:
        return [definitions[node["$ref"].rsplit("/", 1)[-1]]]
    return [found for option in node.get("oneOf") or node.get("anyOf") or () for found in _options(option, definitions)] or [node]


def _below(options: list[Any], key: str | int, definitions: Mapping[str, Any]) -> list[Any]:
    tagged = [option for option in options if len(options) > 1 and option.get("properties", {}).get("kind", {}).get("const") == key]
    if tagged:
        return tagged
    found: list[Any] = []
    for option in options:
        patterns = iter(option.get("patternProperties", {}).values())
        child = option.get("items") if isinstance(key, int) else option.get("properties", {}).get(key) or next(patterns, None)
        found += _options(child, definitions) if child else []
    return found
