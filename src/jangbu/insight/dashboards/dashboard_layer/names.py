"""Names: a bare one is looked up in the request's data sources, `source.name` in that one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from jangbu.insight.catalog.contracts import Catalog, DataSource, Dimension, Measure, SeparationKind, TimeField
from jangbu.insight.dashboards.query_layer.leg import TENANT
from jangbu.kernel.errors import AmbiguousName, UnknownName, Unsupported, unknown_name
from jangbu.kernel.types import FieldType

Target = Dimension | TimeField | Measure | str


@dataclass(frozen=True, slots=True)
class Names:
    """The names that a request may use: those of its data sources."""

    catalog: Catalog
    sources: Mapping[str, DataSource]

    @classmethod
    def of(cls, catalog: Catalog, asked: str | list[str]) -> "Names":
        """Raises UnknownName for a data source that isn't there."""
        names = [asked] if isinstance(asked, str) else asked
        found = {}
        for index, name in enumerate(names):
            path = "/data_source" if isinstance(asked, str) else f"/data_source/{index}"
            if name not in catalog.data_sources:
                raise unknown_name("data source", name, catalog.data_sources, path=path)
            found[name] = catalog.data_sources[name]
        return cls(catalog, found)

    def measure_of(self, data_source: str, name: str) -> Measure:
        """A measure that a definition of `data_source` names; the catalog has checked that it is there."""
        source, _, inner = name.rpartition(".")
        return self.catalog.data_sources[source or data_source].measures[inner]

    def measure(self, name: str, path: str) -> Measure:
        """The measure of a request's name.

        Raises:
            UnknownName: there is none; a dimension of that name is said to be one.
            AmbiguousName: two data sources have it.
        """
        found = [target for target in self._found(name, path).values() if isinstance(target, Measure)]
        if len(found) > 1:
            known = [f"{measure.data_source}.{measure.name}" for measure in found]
            raise AmbiguousName(f"{name!r} is a measure of {len(found)} data sources.", path=path, value=name, known=known)
        if not found:
            raise self._unknown("measure", name, path)
        return found[0]

    def target(self, name: str, path: str) -> Mapping[str, Target]:
        """What a filter's or an order's field is in each of the request's data sources that has it."""
        found = self._found(name, path)
        measures = [target for target in found.values() if isinstance(target, Measure)]
        if measures and len(found) > 1:
            known = [f"{source}.{name}" for source in found]
            raise AmbiguousName(f"{name!r} is in {len(found)} data sources.", path=path, value=name, known=known)
        if not found:
            raise self._unknown("field", name, path)
        return found

    def dimension(self, name: str, used: tuple[str, ...], path: str) -> Mapping[str, Dimension | str]:
        """The dimension in every data source that is `used`.

        Raises:
            UnknownName: no data source has it.
            Unsupported: one of them hasn't got it, or has it in another type.
        """
        found = {
            source: target for source, target in self._everywhere(name, used, path).items() if isinstance(target, Dimension | str)
        }
        if not found:
            raise self._unknown("dimension", name, path)
        for source in used:
            if source not in found:
                shared = sorted(set.intersection(*(set(self.catalog.data_sources[each].dimensions) for each in used)))
                raise Unsupported(
                    f"{name!r} isn't a dimension of {source!r}, whose measures are asked too.", path=path, value=name, known=shared
                )
        types = {type_of(target) for target in found.values()}
        if len(types) > 1:
            raise Unsupported(f"{name!r} has another type in each of {', '.join(found)}.", path=path, value=name)
        return {source: found[source] for source in used}

    def _everywhere(self, name: str, used: tuple[str, ...], path: str) -> Mapping[str, Target]:
        """As `_found`, and in data sources that only a derived measure brings."""
        found = dict(self._found(name, path))
        bare = name.rpartition(".")[2]
        for source in used:
            target = _in(self.catalog.data_sources[source], bare)
            if source not in self.sources and target is not None:
                found[source] = target
        return found

    def _found(self, name: str, path: str) -> Mapping[str, Target]:
        source, dot, inner = name.partition(".")
        if dot:
            if source not in self.sources:
                raise unknown_name("data source in this request", source, self.sources, path=path)
            target = _in(self.sources[source], inner)
            return {} if target is None else {source: target}
        candidates = ((each, _in(definition, name)) for each, definition in self.sources.items())
        return {each: target for each, target in candidates if target is not None}

    def _unknown(self, kind: str, name: str, path: str) -> UnknownName:
        known = sorted(set(self._known(kind)))
        other = next((self._kind(target) for target in self._found(name, path).values()), None)
        hint = f"{name!r} is a {other}." if other and other != kind else None
        if other == "time field" and kind == "dimension":
            hint = f"{name!r} is a time field: group by it with time_frequency."
        return unknown_name(kind, name, known, path=path, hint=hint)

    def _known(self, kind: str) -> Iterator[str]:
        for source in self.sources.values():
            if kind in ("measure", "field"):
                yield from source.measures
            if kind in ("dimension", "field"):
                yield from source.dimensions
                yield TENANT
            if kind == "field":
                yield from source.time_fields

    @staticmethod
    def _kind(target: Target) -> str:
        kinds = {Measure: "measure", TimeField: "time field"}
        return kinds.get(type(target), "dimension")


def _in(source: DataSource, name: str) -> Target | None:
    if name == TENANT:
        return TENANT if source.separation.kind is not SeparationKind.SHARED else None
    return source.measures.get(name) or source.dimensions.get(name) or source.time_fields.get(name)


def type_of(target: Target) -> FieldType:
    return FieldType.TEXT if isinstance(target, str) else target.type


def time_field(source: DataSource, measure: Measure, asked: str | None) -> TimeField | None:
    """The time field on which a measure is asked: the request's, else its own, else its data source's.

    Raises:
        UnknownName: the data source has no such time field.
    """
    name = asked.rpartition(".")[2] if asked else measure.time_field or source.default_time_field
    if name is None:
        return None
    if name not in source.time_fields:
        raise unknown_name(f"time field of {source.name!r}", name, source.time_fields, path="/time/field")
    return source.time_fields[name]
