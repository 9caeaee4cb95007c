"""A formula's text, through SQLGlot's parser, into a tree that holds only what the allow-list knows.

The tree is built anew, node by node, from what was parsed: nothing that isn't handled here can be in it. Names may be any word,
SQL's own included, since they are handed to the parser quoted; functions go by our names, so SQLGlot's own are never met. Comments,
several statements, casts, stars, windows and parameters don't get as far as the parser.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlglot import Parser, Token, Tokenizer, TokenType, exp
from sqlglot.errors import SqlglotError

from jangbu.insight.catalog.contracts import Function
from jangbu.insight.catalog.formulas import Resolve, shown
from jangbu.insight.catalog.functions import (
    ANY,
    BOOLEAN,
    NUMBER,
    ROW_FUNCTIONS,
    ROW_PRECISION,
    RowFunction,
    Typed,
    common_type,
    decimal_type,
    divided,
)
from jangbu.kernel.errors import CatalogError
from jangbu.kernel.types import FieldType

MAX_TOKENS: Final = 250
MAX_NESTING: Final = 20
MEASURE_PRECISION: Final = 33
"""Digits of a product of measures, the most that BigQuery has with a scale of 4."""

_MAX_SCALE: Final = 9
_LITERAL_DIGITS: Final = 18
_KEYWORDS: Final = frozenset({"and", "or", "not", "is", "in", "null", "true", "false"})
_SIGNS: Final = frozenset({"+", "-", "*", "/", "(", ")", ",", ".", "=", "!=", "<>", "<", "<=", ">", ">="})
_COLUMN: Final = re.compile(r"\s*(?:([a-z][a-z0-9_]*)\.)?([a-z][a-z0-9_]*)\s*")
_CALL: Final = "call:"
"""Before a function's name on its way through the parser."""
_WRITTEN: Final[Mapping[type[exp.Expr], str]] = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.And: "and",
    exp.Or: "or",
}


@dataclass(frozen=True, slots=True)
class Language:
    """What a formula may hold: `functions` and, unless `arithmetic` only, conditions and texts. `precision`: a product's digits."""

    resolve: Resolve
    functions: Mapping[str, RowFunction]
    precision: int
    arithmetic: bool = False


def row_language(resolve: Resolve) -> Language:
    return Language(resolve, ROW_FUNCTIONS, ROW_PRECISION)


def derived_language(resolve: Resolve) -> Language:
    return Language(resolve, {}, MEASURE_PRECISION, arithmetic=True)


def parse(text: str, language: Language) -> tuple[exp.Expr, FieldType]:
    """The tree and the type of a formula.

    Raises:
        CatalogError: it isn't in the language.
    """
    bare = _COLUMN.fullmatch(text)
    if bare and bare[2] not in _KEYWORDS:
        column = language.resolve(bare[1] or "", bare[2])
        return column.node, column.type or FieldType.TEXT
    try:
        typed = _Builder(language).build(_parsed(text, language))
    except RecursionError as error:
        raise CatalogError("The formula is nested too deep.", value=text) from error
    if typed.type is None:
        raise CatalogError("A formula can't be null alone.", value=text)
    node = exp.Paren(this=typed.node) if isinstance(typed.node, exp.Binary | exp.Unary | exp.In) else typed.node
    while isinstance(node, exp.Paren) and isinstance(node.this, exp.Paren):
        node = node.this
    return node, typed.type


def _parsed(text: str, language: Language) -> exp.Expr:
    try:
        tokens = Tokenizer().tokenize(text)
        _check_size(tokens, text)
        found = Parser().parse([_admitted(tokens, index, text, language) for index in range(len(tokens))], text)
    except (SqlglotError, ValueError, AttributeError, TypeError, IndexError) as error:
        raise CatalogError(f"{shown(text)} isn't a formula: {_reason(error)}.", value=text) from error
    root = found[0] if len(found) == 1 else None
    if not isinstance(root, exp.Expr):
        raise CatalogError("A formula is one expression.", value=text)
    return root


def _reason(error: Exception) -> str:
    details = getattr(error, "errors", None)
    if details:
        return f"{str(details[0]['description']).rstrip('.').lower()} at character {details[0]['col']}"
    return "a text or a name isn't closed" if "tokenizing" in str(error).lower() else "it can't be read"


def _check_size(tokens: list[Token], text: str) -> None:
    if not tokens:
        raise CatalogError("The formula is empty.", value=text)
    if len(tokens) > MAX_TOKENS:
        raise CatalogError(f"A formula may have {MAX_TOKENS} parts; this one has {len(tokens)}.", hint="Split it into several.")
    depth = 0
    for token in tokens:
        depth += (token.text == "(") - (token.text == ")")
        if depth > MAX_NESTING:
            raise CatalogError(f"A formula may be nested {MAX_NESTING} levels deep.", value=text)


def _admitted(tokens: list[Token], index: int, text: str, language: Language) -> Token:
    """The token to hand to the parser; names are quoted, so that none is SQL's own word."""
    token = tokens[index]
    written = text[token.start : token.end + 1]
    if token.comments:
        raise CatalogError("A formula can't hold a comment.", value=text, hint="Comment in the YAML instead.")
    if token.token_type is TokenType.STRING and written.startswith("'"):
        return token
    if token.token_type is TokenType.NUMBER and re.fullmatch(r"[0-9]+(\.[0-9]+)?", written):
        return token
    if written in _SIGNS or written.lower() in _KEYWORDS:
        return token
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", written):
        raise CatalogError(f"{shown(written)} can't stand in a formula.", value=written)
    called = index + 1 < len(tokens) and tokens[index + 1].text == "("
    if called and written not in language.functions:
        raise _unknown_function(written, language)
    name = _CALL + written if called else written
    return Token(TokenType.IDENTIFIER, name, token.line, token.col, token.start, token.end)


def _unknown_function(name: str, language: Language) -> CatalogError:
    if language.arithmetic:
        return CatalogError(f"A derived formula has no functions; this calls {name!r}.", value=name, hint="Use + - * / and names.")
    known = list(language.functions)
    hint = "Aggregates stand outermost, once." if name in set(Function) else f"Known are: {', '.join(known)}."
    return CatalogError(f"There is no function {name!r} in formulas.", value=name, known=known, hint=hint)


def _plain(node: exp.Expr) -> str:
    """A part of a formula about as it was written."""
    return node.sql().replace(_CALL, "").replace('"', "")


class _Builder:
    """Rebuilds what was parsed out of nodes that are known, with their types."""

    def __init__(self, language: Language) -> None:
        self.language = language

    def build(self, node: exp.Expr) -> Typed:
        handler = _HANDLERS.get(type(node))
        if handler is None:
            raise CatalogError(f"{shown(_plain(node))} can't stand in a formula.", value=type(node).__name__.lower())
        return handler(self, node)

    def column(self, node: exp.Column) -> Typed:
        if node.args.get("db") or not isinstance(node.this, exp.Identifier):
            raise CatalogError(
                f"{shown(_plain(node))} isn't a column.", value=_plain(node), hint="Write column or relation.column."
            )
        return self.language.resolve(node.table, node.name)

    def literal(self, node: exp.Literal) -> Typed:
        if node.is_string:
            self._needs_more_than_arithmetic(node)
            return Typed(exp.Literal.string(node.name), FieldType.TEXT)
        whole, _, fraction = node.name.partition(".")
        if len(whole) + len(fraction) > _LITERAL_DIGITS or len(fraction) > 9:
            raise CatalogError(f"A number has at most {_LITERAL_DIGITS} digits, 9 after the point.", value=node.name)
        if not fraction:
            return Typed(exp.Literal.number(node.name), FieldType.INTEGER)
        # A bare 1.5 would be a float in BigQuery.
        size = decimal_type(_LITERAL_DIGITS, len(fraction))
        return Typed(exp.Cast(this=exp.Literal.string(node.name), to=size), FieldType.DECIMAL, len(fraction))

    def boolean(self, node: exp.Boolean) -> Typed:
        self._needs_more_than_arithmetic(node)
        return Typed(exp.Boolean(this=bool(node.this)), FieldType.BOOLEAN)

    def null(self, node: exp.Null) -> Typed:
        self._needs_more_than_arithmetic(node)
        return Typed(exp.Null(), None)

    def paren(self, node: exp.Paren) -> Typed:
        inner = self.build(node.this)
        return Typed(exp.Paren(this=inner.node), inner.type, inner.scale)

    def negative(self, node: exp.Neg) -> Typed:
        inner = self._of(NUMBER, node.this, "-")
        return Typed(exp.Neg(this=inner.node), inner.type, inner.scale)

    def negation(self, node: exp.Not) -> Typed:
        self._needs_more_than_arithmetic(node)
        return Typed(exp.Not(this=self._of(BOOLEAN, node.this, "not").node), FieldType.BOOLEAN)

    def arithmetic(self, node: exp.Expr) -> Typed:
        sign = _WRITTEN[type(node)]
        left, right = self._of(NUMBER, node.this, sign), self._of(NUMBER, node.expression, sign)
        if isinstance(node, exp.Div):
            return Typed(divided(left.node, right.node), FieldType.DOUBLE)
        kind, scale = common_type([left.type, right.type], sign), max(left.scale, right.scale)
        result: exp.Expr = type(node)(this=left.node, expression=right.node)
        if isinstance(node, exp.Mul) and kind is FieldType.DECIMAL:
            if self.language.arithmetic:
                scale = min(left.scale + right.scale, _MAX_SCALE)
            result = exp.Cast(this=result, to=decimal_type(self.language.precision, scale))
        return Typed(result, kind, scale)

    def comparison(self, node: exp.Expr) -> Typed:
        self._needs_more_than_arithmetic(node)
        left, right = self.build(node.this), self.build(node.expression)
        if left.type is None or right.type is None:
            raise CatalogError("Nothing compares with null.", value=_plain(node), hint="Write 'is null' or 'is not null'.")
        common_type([left.type, right.type], "A comparison")
        return Typed(type(node)(this=left.node, expression=right.node), FieldType.BOOLEAN)

    def connective(self, node: exp.Expr) -> Typed:
        self._needs_more_than_arithmetic(node)
        left, right = self._of(BOOLEAN, node.this, _WRITTEN[type(node)]), self._of(BOOLEAN, node.expression, _WRITTEN[type(node)])
        return Typed(type(node)(this=left.node, expression=right.node), FieldType.BOOLEAN)

    def is_null(self, node: exp.Is) -> Typed:
        self._needs_more_than_arithmetic(node)
        if not isinstance(node.expression, exp.Null):
            raise CatalogError("'is' is followed by null or not null.", value=_plain(node))
        return Typed(exp.Is(this=self.build(node.this).node, expression=exp.Null()), FieldType.BOOLEAN)

    def is_in(self, node: exp.In) -> Typed:
        self._needs_more_than_arithmetic(node)
        values = node.expressions
        if not values or not all(isinstance(value, exp.Literal) for value in values):
            raise CatalogError("'in' takes a list of texts or numbers in parentheses.", value=_plain(node))
        left, rights = self.build(node.this), [self.build(value) for value in values]
        common_type([left.type, *(right.type for right in rights)], "'in'")
        return Typed(exp.In(this=left.node, expressions=[right.node for right in rights]), FieldType.BOOLEAN)

    def call(self, node: exp.Anonymous) -> Typed:
        name = node.name.removeprefix(_CALL)
        function = self.language.functions.get(name)
        if function is None or not node.name.startswith(_CALL):
            raise _unknown_function(name, self.language)
        count = len(node.expressions)
        if count < len(function.takes) or (count > len(function.takes) and not function.more):
            raise CatalogError(f"{name!r} has {count} arguments.", value=name, hint=f"Write {function.words}.")
        takes = [*function.takes, *[function.takes[-1]] * (count - len(function.takes))]
        args = [self._of(wanted, arg, name) for wanted, arg in zip(takes, node.expressions, strict=True)]
        alike = args if function.alike is None else args[function.alike :]
        kind = function.gives or common_type([arg.type for arg in alike], f"{name!r}")
        return Typed(function.build(args), kind, max(arg.scale for arg in alike))

    def _of(self, wanted: frozenset[FieldType], node: exp.Expr, what: str) -> Typed:
        typed = self.build(node)
        if typed.type is not None and typed.type not in wanted:
            known = ", ".join(kind.value for kind in FieldType if kind in wanted)
            raise CatalogError(f"{what!r} takes {known}; {shown(_plain(node))} is {typed.type}.", value=_plain(node))
        if typed.type is None and wanted is not ANY:
            raise CatalogError(f"{what!r} can't take null itself.", value=_plain(node))
        return typed

    def _needs_more_than_arithmetic(self, node: exp.Expr) -> None:
        if self.language.arithmetic:
            raise CatalogError(
                f"A derived formula is arithmetic over measures; {shown(_plain(node))} isn't.",
                value=_plain(node),
                hint="Use + - * /.",
            )


_HANDLERS: Final[Mapping[type[exp.Expr], Callable[[_Builder, Any], Typed]]] = {
    exp.Column: _Builder.column,
    exp.Literal: _Builder.literal,
    exp.Boolean: _Builder.boolean,
    exp.Null: _Builder.null,
    exp.Paren: _Builder.paren,
    exp.Neg: _Builder.negative,
    exp.Not: _Builder.negation,
    exp.Is: _Builder.is_null,
    exp.In: _Builder.is_in,
    exp.Anonymous: _Builder.call,
    **dict.fromkeys((exp.Add, exp.Sub, exp.Mul, exp.Div), _Builder.arithmetic),
    **dict.fromkeys((exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE), _Builder.comparison),
    **dict.fromkeys((exp.And, exp.Or), _Builder.connective),
}
