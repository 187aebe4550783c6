"""The language refuses what Python would do quietly, and its interpreters agree."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
import z3

from model.language.logic import And, Implies, Not, Or, eq, ite, lt, meet, plus
from model.language.smtlib import script
from model.language.symbolic import closed
from model.language.terms import (
    BOOL,
    Function,
    Term,
    TermError,
    bits,
    constant,
    extract,
    index,
    number,
    quantify,
    variable,
    zero_extend,
)
from model.language.traversal import substitute

FRAME = index("Frame")
X, Y = constant("x", bits(8)), constant("y", bits(8))
P = constant("p", BOOL)


@pytest.mark.parametrize(
    "misuse",
    [
        pytest.param(lambda: bool(P), id="if"),
        pytest.param(lambda: X == Y, id="=="),
        pytest.param(lambda: X in (Y,), id="in"),
        pytest.param(lambda: ~P, id="~"),
        pytest.param(lambda: not P, id="not"),
        pytest.param(lambda: eq(X, constant("z", bits(9))), id="two widths"),
        pytest.param(lambda: ite(X, P, P), id="number as condition"),
        pytest.param(lambda: eq(True, 1), id="bool is no int"),
        pytest.param(lambda: And(1, True), id="int is no bool"),
        pytest.param(lambda: number(256, 8), id="number too wide"),
    ],
)
def test_refuses_loudly(misuse: Callable[[], object]) -> None:
    with pytest.raises(TermError):
        misuse()


def _solver(*formulas: Term) -> z3.Solver:
    context = z3.Context()
    solver = z3.Solver(ctx=context)
    solver.add(z3.parse_smt2_string(script([("formula", f) for f in formulas]), ctx=context))
    return solver


def test_terms_and_numbers_compute_alike() -> None:
    for a, b in ((0, 0), (3, 200), (255, 1), (128, 127)):
        symbolic = And(
            eq(plus(X, b, 8), plus(a, b, 8)), eq(meet(X, Y), meet(a, b)), eq(lt(X, Y), lt(a, b)), eq(ite(P, X, Y), a)
        )
        assert isinstance(symbolic, Term)
        fixed = [eq(X, a), eq(Y, b), P]
        assert _solver(*(f for f in fixed if isinstance(f, Term)), symbolic).check() == z3.sat


def test_text_is_the_same_every_time_and_says_what_the_terms_say() -> None:
    f = Function("f", (FRAME,), bits(8))
    v = variable("v", FRAME)
    hypothesis = closed((v,), lt(f(v), 10), ())  # type: ignore[arg-type]
    a = constant("a", FRAME)
    goal = lt(f(a), 10)
    assert isinstance(goal, Term)
    text = script([("bounded", hypothesis), ("negated goal", Not(goal))])  # type: ignore[list-item]
    again = script([("bounded", hypothesis), ("negated goal", Not(goal))])  # type: ignore[list-item]
    assert hashlib.sha256(text.encode()).digest() == hashlib.sha256(again.encode()).digest()
    context = z3.Context()
    solver = z3.Solver(ctx=context)
    solver.add(z3.parse_smt2_string(text, ctx=context))
    assert solver.check() == z3.unsat


def test_one_name_never_stands_for_two_functions() -> None:
    with pytest.raises(TermError, match="stands for two functions"):
        script([("a", eq(constant("k", bits(4)), 1)), ("b", eq(constant("k", bits(5)), 1))])  # type: ignore[list-item]


def test_hypothesis_without_trigger_is_refused() -> None:
    v, w = variable("v", FRAME), variable("w", FRAME)
    with pytest.raises(TermError, match="trigger"):
        closed((v, w), Implies(eq(v, w), P), ())  # type: ignore[arg-type]


def test_substitution_reaches_under_quantifiers_but_not_bound_variables() -> None:
    v, w = variable("v", bits(8)), variable("w", bits(8))
    body = quantify("forall", (v,), Or(eq(v, w), lt(v, w)))  # type: ignore[arg-type]
    assert w in body.free
    assert v not in body.free
    assert substitute(body, {w: X}).free == frozenset()


def test_extract_and_extend_fold() -> None:
    assert extract(7, 0, zero_extend(X, 64)) is X
    assert extract(3, 0, number(0xAB, 8)) is number(0xB, 4)
