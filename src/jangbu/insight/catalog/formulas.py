"""The formula language. What loading needs is done here without SQLGlot; `trees.py` parses, at a formula's first use.

A row formula is arithmetic, comparisons, `and or not`, `is null`, `in (…)` and the functions of `functions.py` over columns; a
derived formula is arithmetic over measures; an aggregate formula is one function over a row formula.
"""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from jangbu.insight.catalog.contracts import Function
from jangbu.kernel.errors import CatalogError
from jangbu.kernel.types import FieldType

if TYPE_CHECKING:
    from sqlglot import exp

    from jangbu.insight.catalog.functions import Typed

Resolve: TypeAlias = "Callable[[str, str], Typed]"
"""(relation or data source, or '', name) → the column or measure; raises CatalogError where there is none."""

_AGGREGATE: Final = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*\((.*)\)\s*", re.DOTALL)
_REFERENCE: Final = re.compile(r"(?<![\w.])[a-z][a-z0-9_]*(?:\s*\.\s*[a-z][a-z0-9_]*)?(?![\w.]|\s*\()")

_NUMBER: Final = frozenset({FieldType.INTEGER, FieldType.DECIMAL, FieldType.DOUBLE})
_ANY: Final = frozenset(FieldType)

AGGREGATE_TYPES: Final[Mapping[Function, frozenset[FieldType]]] = {
    Function.SUM: _NUMBER,
    Function.COUNT: _ANY,
    Function.COUNT_DISTINCT: _ANY,
    Function.MIN: _NUMBER,
    Function.MAX: _NUMBER,
    Function.AVG: _NUMBER,
}


def parse_row(text: str, resolve: Resolve) -> "tuple[exp.Expr, FieldType]":
    """The tree and type of a formula over a row's columns. The tree stands for itself wherever it is put: no parentheses needed.

    Raises:
        CatalogError: it isn't in the language; says where and what is known.
    """
    from jangbu.insight.catalog.trees import parse, row_language

    return parse(text, row_language(resolve))


def parse_derived(text: str, resolve: Resolve) -> "tuple[exp.Expr, FieldType]":
    """The same for arithmetic over measures, which stand as columns.

    Raises:
        CatalogError: it isn't in the language; says where and what is known.
    """
    from jangbu.insight.catalog.trees import derived_language, parse

    return parse(text, derived_language(resolve))


def split_aggregate(text: str) -> tuple[Function, str | None]:
    """The function and the argument (None for `count()`) of an aggregate formula; the argument isn't parsed.

    Raises:
        CatalogError: it isn't one known aggregate.
    """
    match = _AGGREGATE.fullmatch(text)
    if not match or not _is_balanced(match[2]):
        raise CatalogError(
            f"{shown(text)} isn't one aggregate.",
            value=text,
            known=[function.value for function in Function],
            hint="Write e.g. sum(sales_value); combine measures in one of kind derived.",
        )
    name, argument = match[1], match[2].strip()
    if name not in set(Function):
        raise CatalogError(f"There is no aggregate {name!r}.", value=name, known=[function.value for function in Function])
    function = Function(name)
    if not argument and function is not Function.COUNT:
        raise CatalogError(f"{name!r} needs an argument.", value=text)
    return function, argument or None


def references(text: str) -> tuple[str, ...]:
    """The names in a derived formula, `name` or `source.name`, in order, without parsing it."""
    return tuple(dict.fromkeys(re.sub(r"\s", "", match[0]) for match in _REFERENCE.finditer(text)))


def is_linear(tree: "exp.Expr", holds: Callable[[str, str], bool]) -> bool:
    """Whether a derived tree is a sum of measures, each times or over constants, and `holds(source, name)` for all of them."""
    from sqlglot import exp

    match tree:
        case exp.Column():
            return holds(tree.table, tree.name)
        case exp.Paren() | exp.Neg() | exp.Cast():
            return is_linear(tree.this, holds)
        case exp.Add() | exp.Sub():
            return is_linear(tree.this, holds) and is_linear(tree.expression, holds)
        case exp.Mul():
            if _is_constant(tree.this):
                return is_linear(tree.expression, holds)
            return _is_constant(tree.expression) and is_linear(tree.this, holds)
        case exp.Div():
            return _is_constant(tree.expression) and is_linear(tree.this, holds)
        case _:
            return False


def _is_constant(tree: "exp.Expr") -> bool:
    from sqlglot import exp

    return tree.find(exp.Column) is None


def _is_balanced(text: str) -> bool:
    depth = 0
    for sign in re.sub(r"'(?:[^']|'')*'", "", text):
        depth += (sign == "(") - (sign == ")")
        if depth < 0:
            return False
    return depth == 0


def shown(text: str) -> str:
    """A formula or a part of one as an error repeats it."""
    return repr(text if len(text) <= 80 else text[:80] + "…")
