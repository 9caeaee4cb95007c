"""The formula language: what it takes, what each part means, and that nothing else gets in."""

import re
from decimal import Decimal

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from jangbu.insight.catalog.contracts import Function
from jangbu.insight.catalog.formulas import is_linear, parse_derived, parse_row, references, split_aggregate
from jangbu.insight.catalog.functions import ROW_FUNCTIONS, Typed
from jangbu.kernel.errors import CatalogError
from jangbu.kernel.types import FieldType

COLUMNS = {
    "price": FieldType.DECIMAL,
    "discount": FieldType.DECIMAL,
    "units": FieldType.INTEGER,
    "weight": FieldType.DOUBLE,
    "name": FieldType.TEXT,
    "order": FieldType.TEXT,
    "date": FieldType.DATE,
    "until": FieldType.DATE,
    "at": FieldType.INSTANT,
    "local": FieldType.LOCAL,
    "gift": FieldType.BOOLEAN,
}
VALUES = (
    "SELECT 10.25::DECIMAL(18,4) price, 0.75::DECIMAL(18,4) discount, 3::BIGINT units, 1.5::DOUBLE weight, 'Tea' AS name, "
    "'x' AS \"order\", DATE '2024-02-27' AS date, DATE '2024-03-01' AS until, TIMESTAMPTZ '2024-01-01 00:00:00Z' AS \"at\", "
    "TIMESTAMP '2024-01-01' AS local, true AS gift, NULL::VARCHAR AS nothing"
)
NODES = {
    *(exp.Column, exp.Identifier, exp.Literal, exp.Boolean, exp.Null, exp.Paren, exp.Neg, exp.Not, exp.Is, exp.In),
    *(exp.Add, exp.Sub, exp.Mul, exp.Div, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.And, exp.Or, exp.DPipe),
    *(exp.Case, exp.If, exp.Coalesce, exp.Nullif, exp.Abs, exp.Round, exp.Lower, exp.Upper, exp.Length, exp.DateDiff, exp.Var),
    *(exp.Cast, exp.DataType, exp.DataTypeParam, exp.Anonymous),
}


def resolve(relation: str, name: str) -> Typed:
    if name not in COLUMNS:
        raise CatalogError(f"There is no column {name!r}.", value=name, known=COLUMNS)
    return Typed(
        exp.column(name, table=relation or None, quoted=True), COLUMNS[name], 4 if COLUMNS[name] is FieldType.DECIMAL else 0
    )


def sql(formula: str, dialect: str = "duckdb") -> str:
    return parse_row(formula, resolve)[0].sql(dialect)


def value(formula: str) -> object:
    return duckdb.sql(f"SELECT {sql(formula)} FROM ({VALUES})").fetchone()[0]  # type: ignore[index]  # one row


@pytest.mark.parametrize(
    ("formula", "type_", "expected"),
    [
        ("price", FieldType.DECIMAL, Decimal("10.25")),
        (" price ", FieldType.DECIMAL, Decimal("10.25")),
        ("price - discount", FieldType.DECIMAL, Decimal("9.5")),
        ("price * units", FieldType.DECIMAL, Decimal("30.75")),
        ("price * discount", FieldType.DECIMAL, Decimal("7.6875")),
        ("price * 0.333333", FieldType.DECIMAL, Decimal("3.416663")),
        ("discount * 0.0001 * 0.5", FieldType.DECIMAL, Decimal("0.0001")),
        ("(price + discount) * 2", FieldType.DECIMAL, Decimal(22)),
        ("units - 1 - 1", FieldType.INTEGER, 1),
        ("units - (1 - 1)", FieldType.INTEGER, 3),
        ("-units * -(2 - 4)", FieldType.INTEGER, -6),
        ("units / 2", FieldType.DOUBLE, 1.5),
        ("price / units", FieldType.DOUBLE, 10.25 / 3),
        ("units / (units - 3)", FieldType.DOUBLE, None),
        ("1 - price / 0", FieldType.DOUBLE, None),
        ("price * weight", FieldType.DOUBLE, 15.375),
        ("if(units > 2, price, 0)", FieldType.DECIMAL, Decimal("10.25")),
        ("if(units > 2 and not gift, 1, null)", FieldType.INTEGER, None),
        ("if(units = 3 or gift, 'many', name)", FieldType.TEXT, "many"),
        ("name in ('Tea', 'Coffee')", FieldType.BOOLEAN, True),
        ("units not in (1, 2)", FieldType.BOOLEAN, True),
        ("name is null", FieldType.BOOLEAN, False),
        ("name is not null AND date < until", FieldType.BOOLEAN, True),
        ("coalesce(nullif(name, 'Tea'), 'none')", FieldType.TEXT, "none"),
        ("abs(units - 5)", FieldType.INTEGER, 2),
        ("round(price, 1)", FieldType.DECIMAL, Decimal("10.3")),
        ("round(0 - price, 1)", FieldType.DECIMAL, Decimal("-10.3")),
        ("round(units, 2)", FieldType.INTEGER, 3),
        ("upper(concat(lower(name), '-', order))", FieldType.TEXT, "TEA-X"),
        ("concat(name, nullif(order, 'x'))", FieldType.TEXT, None),
        ("'it''s; -- ' ", FieldType.TEXT, "it's; -- "),
        ("length('장부')", FieldType.INTEGER, 2),
        ("date_diff_days(date, until)", FieldType.INTEGER, 3),
        ("gift = true", FieldType.BOOLEAN, True),
    ],
)
def test_a_formula_means_what_it_says(formula: str, type_: FieldType, expected: object) -> None:
    assert parse_row(formula, resolve)[1] is type_
    assert value(formula) == expected


@pytest.mark.parametrize("name", ["hour_of_day", "weekday", "day_of_month", "month_of_year"])
def test_functions_of_the_wall_clock_are_left_to_the_query(name: str) -> None:
    tree, kind = parse_row(f"{name}(at)", resolve)
    assert kind is FieldType.INTEGER
    assert isinstance(tree, exp.Anonymous)
    assert (tree.this, tree.expressions) == (name, [exp.column("at", quoted=True)])


def test_a_tree_stands_for_itself_wherever_it_is_put() -> None:
    tree, _ = parse_row("gift or name = 'x'", resolve)
    assert exp.EQ(this=tree.copy(), expression=exp.true()).sql() == '("gift" OR "name" = \'x\') = TRUE'


@pytest.mark.parametrize(
    ("formula", "trino", "bigquery"),
    [
        (
            "units / 2",
            '(CAST("units" AS DOUBLE) / NULLIF(CAST(2 AS DOUBLE), 0))',
            "(CAST(`units` AS FLOAT64) / NULLIF(CAST(2 AS FLOAT64), 0))",
        ),
        (
            "price * 1.5",
            "CAST(\"price\" * CAST('1.5' AS DECIMAL(18, 1)) AS DECIMAL(18, 4))",
            "CAST(`price` * CAST('1.5' AS NUMERIC) AS NUMERIC)",
        ),
        ("concat(name, order)", '("name" || "order")', "(`name` || `order`)"),
        ("if(gift, 1, 0)", 'CASE WHEN "gift" THEN 1 ELSE 0 END', "CASE WHEN `gift` THEN 1 ELSE 0 END"),
        ("date_diff_days(date, until)", 'DATE_DIFF(\'DAY\', "date", "until")', "DATE_DIFF(`until`, `date`, DAY)"),
        ("length(name)", 'LENGTH("name")', "LENGTH(`name`)"),
    ],
)
def test_a_formula_is_written_for_each_engine(formula: str, trino: str, bigquery: str) -> None:
    assert (sql(formula, "trino"), sql(formula, "bigquery")) == (trino, bigquery)


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("read_csv('/etc/passwd')", "no function 'read_csv' in formulas. Known are: if, coalesce"),
        ("lcase(name)", "no function 'lcase'"),
        ("LOWER(name)", "no function 'LOWER' in formulas. Did you mean 'lower'"),
        ("cast(price as int)", "no function 'cast'"),
        ("sum(price)", "Aggregates stand outermost"),
        ("count(*)", "no function 'count'"),
        ("prise", "no column 'prise'. Did you mean 'price'"),
        ("price; drop table x", "';' can't stand"),
        ("price -- and more", "comment"),
        ("/* x */ price", "comment"),
        ("price::int", "'::' can't stand"),
        ("*", "can't stand"),
        ("(select 1)", "isn't a formula"),
        ("price in (select 1)", "isn't a formula"),
        ("price discount", "can't stand"),
        ("a.b.c", "isn't a column"),
        ("$1", "can't stand"),
        (":p", "can't stand"),
        ("{{ price }}", "can't stand"),
        ('"price"', "can't stand"),
        ("`price`", "can't stand"),
        ("x -> x", "can't stand"),
        ("price || name", "can't stand"),
        ("1e5", "can't stand"),
        ("'a' 'b'", "can't stand"),
        ("e'a'", "isn't a formula"),
        ("row_number() over ()", "no function 'row_number'"),
        ("interval '1' day", "isn't a formula"),
        ("case when gift then 1 end", "isn't a formula"),
        ("name like '%'", "isn't a formula"),
        ("'open", "isn't closed"),
        ("price +", "isn't a formula"),
        ("null", "can't be null alone"),
        ("", "empty"),
        ("price = null", "'is null'"),
        ("price < 'x'", "mixes decimal and text"),
        ("lower(units)", "'lower' takes text; 'units' is integer"),
        ("not price", "'not' takes boolean"),
        ("price + gift", "'+' takes integer, decimal, double; 'gift' is boolean"),
        ("if(gift, 1, 'a')", "mixes integer and text"),
        ("if(gift, 1)", "Write if(condition, then, else)"),
        ("round(price, units)", "places from 0 to 9"),
        ("hour_of_day(date)", "takes instant, local_timestamp; 'date' is date"),
        ("hour_of_day(coalesce(at, at))", "is a column"),
        ("name in (order)", "list of texts or numbers"),
        ("1234567890123456789", "18 digits"),
        ("(" * 30 + "price" + ")" * 30, "20 levels"),
        ("not " * 200 + "gift", "too deep"),
        ("+".join(["price"] * 200), "250 parts"),
    ],
)
def test_anything_else_is_refused(formula: str, words: str) -> None:
    with pytest.raises(CatalogError, match=re.escape(words)):
        parse_row(formula, resolve)


def test_the_longest_formula_still_renders() -> None:
    assert sql("+".join(["price"] * 125)).count("price") == 125


@pytest.mark.parametrize("name", ["date", "order", "at", "local"])
def test_a_column_may_have_one_of_sqls_own_words_as_its_name(name: str) -> None:
    assert sql(f"coalesce({name}, {name})") == f'COALESCE("{name}", "{name}")'


PARTS = st.sampled_from(
    [
        *COLUMNS,
        *ROW_FUNCTIONS,
        *(f"{name}(" for name in ROW_FUNCTIONS),
        *(
            "(",
            ")",
            ",",
            "+",
            "-",
            "*",
            "/",
            ".",
            "=",
            "<",
            ">=",
            "<>",
            "and",
            "or",
            "not",
            "is",
            "in",
            "null",
            "true",
            "1",
            "2.5",
            "'a'",
        ),
        *(
            "read_csv(",
            "sum(",
            "cast(",
            "select",
            "from",
            "case",
            "when",
            "end",
            "::",
            ";",
            "--",
            "/*",
            "*/",
            "$1",
            "[",
            "]",
            "{",
            "\\",
            '"',
        ),
        *(
            "interval",
            "over",
            "between",
            "like",
            "exists(",
            "extract(",
            "x'1'",
            "b'0'",
            "n'a'",
            "e'",
            "`",
            "@",
            "?",
            "->",
            "struct(",
            "json",
        ),
    ]
)


@settings(deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(PARTS, max_size=25).map(" ".join), st.lists(PARTS, max_size=25).map("".join)))
def test_random_text_is_a_formula_of_known_parts_or_a_catalog_error(text: str) -> None:
    try:
        tree, kind = parse_row(text, resolve)
    except CatalogError:
        return
    assert isinstance(kind, FieldType)
    assert {type(node) for node in tree.walk()} <= NODES
    assert {node.this for node in tree.find_all(exp.Anonymous)} <= {"hour_of_day", "weekday", "day_of_month", "month_of_year"}
    assert set(re.findall(r"([A-Za-z_]\w*)\s*\(", re.sub(r"'[^']*'", "", text))) <= {*ROW_FUNCTIONS, "in", "and", "or", "not", "IN"}
    assert {column.name for column in tree.find_all(exp.Column)} <= set(COLUMNS)
    assert tree.sql("duckdb")


def formulas(depth: int) -> st.SearchStrategy[tuple[str, FieldType]]:
    """Well-formed formulas with the type they should have."""
    leaf = st.sampled_from(
        [(name, kind) for name, kind in COLUMNS.items() if kind.is_number] + [("7", FieldType.INTEGER), ("0.5", FieldType.DECIMAL)]
    )
    if depth == 0:
        return leaf
    below = formulas(depth - 1)
    ladder = [FieldType.INTEGER, FieldType.DECIMAL, FieldType.DOUBLE]

    def wider(left: FieldType, right: FieldType) -> FieldType:
        return max(left, right, key=ladder.index)

    binary = st.tuples(below, st.sampled_from("+-*"), below).map(
        lambda t: (f"({t[0][0]} {t[1]} {t[2][0]})", wider(t[0][1], t[2][1]))
    )
    divided = st.tuples(below, below).map(lambda t: (f"({t[0][0]} / {t[1][0]})", FieldType.DOUBLE))
    chosen = st.tuples(below, below).map(lambda t: (f"if({t[0][0]} > {t[1][0]}, {t[0][0]}, {t[1][0]})", wider(t[0][1], t[1][1])))
    filled = st.tuples(below, below).map(lambda t: (f"coalesce({t[0][0]}, {t[1][0]})", wider(t[0][1], t[1][1])))
    return st.one_of(leaf, binary, divided, chosen, filled)


@settings(deadline=None)
@given(formulas(2))
def test_the_inferred_type_is_the_one_that_the_engine_finds(pair: tuple[str, FieldType]) -> None:
    formula, kind = pair
    assert parse_row(formula, resolve)[1] is kind
    found = str(duckdb.sql(f"SELECT {sql(formula)} FROM ({VALUES})").types[0])
    expected = {FieldType.DOUBLE: "DOUBLE", FieldType.DECIMAL: "DECIMAL", FieldType.INTEGER: ("BIGINT", "INTEGER", "HUGEINT")}[kind]
    assert found.startswith(expected)


def measure(source: str, name: str) -> Typed:
    return resolve(source, name)


@pytest.mark.parametrize(
    ("formula", "type_", "linear"),
    [
        ("price - discount", FieldType.DECIMAL, True),
        ("(price + units) * 2 - discount / 4", FieldType.DOUBLE, True),
        ("-price", FieldType.DECIMAL, True),
        ("0.1 * other.price", FieldType.DECIMAL, True),
        ("price * units", FieldType.DECIMAL, False),
        ("price / units * 100", FieldType.DOUBLE, False),
        ("price + 1", FieldType.DECIMAL, False),
    ],
)
def test_a_derived_formula_is_linear_where_it_adds_up(formula: str, type_: FieldType, linear: bool) -> None:
    tree, kind = parse_derived(formula, measure)
    assert kind is type_
    assert is_linear(tree, lambda source, name: True) is linear
    assert not is_linear(tree, lambda source, name: False)


def test_a_product_of_measures_keeps_its_digits() -> None:
    tree, _ = parse_derived("price * 0.125", measure)
    assert duckdb.sql(f"SELECT {tree.sql('duckdb')} FROM (SELECT 0.0001::DECIMAL(38,4) price)").fetchone() == (
        Decimal("0.0000125"),
    )


@pytest.mark.parametrize("formula", ["abs(price)", "price > 1", "if(gift, 1, 2)", "'a'", "price is null", "true"])
def test_a_derived_formula_is_arithmetic_only(formula: str) -> None:
    with pytest.raises(CatalogError, match="derived formula"):
        parse_derived(formula, measure)


def test_references_are_found_without_parsing() -> None:
    assert references("revenue - items.stock * 2.5 / revenue + a . b") == ("revenue", "items.stock", "a.b")


@pytest.mark.parametrize(
    ("formula", "function", "argument"),
    [
        ("sum(price)", Function.SUM, "price"),
        ("count()", Function.COUNT, None),
        (" count_distinct( if(gift, name, null) ) ", Function.COUNT_DISTINCT, "if(gift, name, null)"),
        ("max(length(concat(name, ')')))", Function.MAX, "length(concat(name, ')'))"),
    ],
)
def test_an_aggregate_is_split_without_parsing(formula: str, function: Function, argument: str | None) -> None:
    assert split_aggregate(formula) == (function, argument)


@pytest.mark.parametrize(
    "formula", ["price", "sum(price) + sum(price)", "sum(a)(b)", "median(price)", "sum()", "avg( )", "SUM(price)", ""]
)
def test_what_is_not_one_known_aggregate_is_refused(formula: str) -> None:
    with pytest.raises(CatalogError):
        split_aggregate(formula)
