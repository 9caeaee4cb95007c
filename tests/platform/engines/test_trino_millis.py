"""Micros are computed in milliseconds where, and only where, the result is the same."""

import pytest
from sqlglot import exp

from jangbu.platform.engines.trinodb.dialect import render
from jangbu.platform.engines.trinodb.emitter import TrinoEmitter, milliseconds

emit = TrinoEmitter()


def micros() -> exp.Expr:
    return emit.micros(exp.column("x"))


def number(value: int) -> exp.Expr:
    return exp.Literal.number(value)


def either(left: exp.Expr, right: exp.Expr) -> exp.Expr:
    return exp.Case(ifs=[exp.If(this=exp.column("c"), true=left)], default=right)


@pytest.mark.parametrize(
    "tree",
    [
        micros(),
        exp.Add(this=micros(), expression=number(3_600_000_000)),
        exp.Add(this=number(1000), expression=exp.paren(micros())),
        exp.Sub(this=micros(), expression=number(1000)),
        exp.Sub(this=micros(), expression=emit.floor_micros(micros(), 86_400_000_000)),
        exp.Add(this=micros(), expression=either(exp.Neg(this=number(1000)), number(2000))),
        exp.Greatest(this=micros(), expressions=[number(5000)]),
    ],
    ids=render,
)
def test_one_time_and_whole_milliseconds_need_no_micros(tree: exp.Expr) -> None:
    found = milliseconds(tree)
    assert found is not None
    assert not found.whole
    assert "to_unixtime" not in render(emit.floor_micros(tree, 60_000_000)).lower()


@pytest.mark.parametrize(
    "tree",
    [
        exp.Add(this=micros(), expression=micros()),
        exp.Sub(this=number(1000), expression=micros()),
        exp.Neg(this=micros()),
        exp.Add(this=micros(), expression=number(1)),
        exp.Mul(this=micros(), expression=number(7)),
        exp.Add(this=micros(), expression=exp.column("y")),
        either(micros(), exp.column("y")),
        exp.Case(ifs=[exp.If(this=exp.column("c"), true=number(1000))]),
        exp.column("x"),
    ],
    ids=render,
)
def test_what_lies_below_counts_elsewhere(tree: exp.Expr) -> None:
    assert milliseconds(tree) is None


def test_a_width_below_a_millisecond_needs_the_micros() -> None:
    assert "to_unixtime" in render(emit.floor_micros(micros(), 7)).lower()
    assert "to_unixtime" in render(emit.instant_of(micros())).lower()


def test_what_was_rounded_is_whole() -> None:
    found = milliseconds(emit.floor_micros(micros(), 60_000_000))
    assert found is not None
    assert found.whole
