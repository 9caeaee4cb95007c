"""The catalog as plain data, for people and scripts."""

from collections.abc import Iterator
from typing import Any

from jangbu.insight.catalog.contracts import Catalog, DataSource, Dimension, Measure, Text, TimeField
from jangbu.insight.catalog.documents import Origin
from jangbu.insight.catalog.loader import Located
from jangbu.insight.catalog.service import Loaded
from jangbu.kernel import filters

Address = tuple[str, str, str]
"""(data source, "measures", "dimensions" or "" for the source itself, name)"""


def listing(catalog: Catalog) -> dict[str, Any]:
    """Every measure, dimension and data source, by data source and name."""
    sources = [catalog.data_sources[name] for name in sorted(catalog.data_sources)]
    return {
        "measures": [_measure(source.measures[name]) for source in sources for name in sorted(source.measures)],
        "dimensions": [_dimension(source.dimensions[name]) for source in sources for name in source.dimensions],
        "data_sources": [_data_source(source) for source in sources],
    }


def entries(catalog: Catalog) -> Iterator[dict[str, Any]]:
    """The listing's entries, each saying what it `is`: measure, dimension or data_source."""
    for kind, found in listing(catalog).items():
        yield from ({"is": kind.removesuffix("s"), **entry} for entry in found)


def names(catalog: Catalog) -> set[str]:
    """Every bare name."""
    found = set(catalog.data_sources)
    for source in catalog.data_sources.values():
        found.update(source.measures, source.dimensions)
    return found


def addresses(catalog: Catalog, name: str) -> list[Address]:
    """Where a bare or qualified name is found; a data source is found before what has the same name inside others."""
    if name in catalog.data_sources:
        return [(name, "", name)]
    owner, _, bare = name.rpartition(".")
    sources = [source for source in catalog.data_sources.values() if owner in ("", source.name)]
    kept = [(source.name, "measures", bare) for source in sources if bare in source.measures]
    return kept + [(source.name, "dimensions", bare) for source in sources if bare in source.dimensions]


def shown(loaded: Loaded, source: str, kind: str, name: str) -> dict[str, Any]:
    """One definition with its formula, layer and file."""
    found = loaded.catalog.data_sources[source]
    document = loaded.definitions.data_sources[source]
    if kind == "measures":
        located = loaded.definitions.measures[source, name]
        return {
            "is": "measure",
            **_measure(found.measures[name]),
            **_workings(found.measures[name]),
            **_place(located, located.origin),
        }
    if kind == "dimensions":
        dimension = found.dimensions[name]
        place = _place(document, document.origin.below("dimensions", name))
        return {"is": "dimension", **_dimension(dimension), "formula": dimension.expression.text, **place}
    return {"is": "data_source", **_data_source(found), **_inside(found), **_place(document, document.origin)}


def _place(located: Located[Any], origin: Origin) -> dict[str, Any]:
    here = origin.error("")
    return {"layer": located.layer, "file": here.file, "line": here.line}


def _text(text: Text) -> dict[str, str]:
    return {"ko": text.ko, "en": text.en}


def _measure(measure: Measure) -> dict[str, Any]:
    return {
        "name": measure.name,
        "data_source": measure.data_source,
        "kind": measure.kind.value,
        "label": _text(measure.label),
        "description": _text(measure.description),
        "unit": measure.unit,
        "format": measure.format,
        "type": measure.type.value,
        "additivity": measure.additivity.value,
        "up_is_good": measure.up_is_good,
        "time_field": measure.time_field,
    }


def _workings(measure: Measure) -> dict[str, Any]:
    return {
        "formula": formula_text(measure),
        "filter": filters.words(measure.filter) if measure.filter else None,
        "inputs": list(measure.inputs),
        "zero_when_empty": measure.zero_when_empty,
        "check_query": measure.check_query,
    }


def formula_text(measure: Measure) -> str:
    """How a measure is computed, as its YAML writes it; a ratio as `numerator / denominator`."""
    if measure.formula is not None:
        return measure.formula.text
    if measure.function is None:
        return f"{measure.numerator} / {measure.denominator}"
    return f"{measure.function.value}({measure.argument.text if measure.argument else ''})"


def _dimension(dimension: Dimension) -> dict[str, Any]:
    return {
        "name": dimension.name,
        "data_source": dimension.data_source,
        "type": dimension.type.value,
        "label": _text(dimension.label),
        "description": _text(dimension.description),
        "hierarchy": list(dimension.hierarchy),
    }


def _data_source(source: DataSource) -> dict[str, Any]:
    return {
        "name": source.name,
        "label": _text(source.label),
        "description": _text(source.description),
        "time_fields": [_time_field(field) for field in source.time_fields.values()],
        "default_time_field": source.default_time_field,
        "separation": source.separation.kind.value,
    }


def _time_field(field: TimeField) -> dict[str, Any]:
    return {
        "name": field.name,
        "label": _text(field.label),
        "type": field.type.value,
        "grain": field.grain.value if field.grain else None,
        "zone": field.zone,
    }


def _inside(source: DataSource) -> dict[str, Any]:
    return {
        "table": source.binding.table,
        "engine": source.binding.engine,
        "columns": {name: column.type.value for name, column in source.columns.items()},
        "relations": {
            name: {"data_source": relation.data_source, "on": dict(relation.on), "cardinality": relation.cardinality.value}
            for name, relation in source.relations.items()
        },
        "measures": sorted(source.measures),
        "dimensions": list(source.dimensions),
    }
