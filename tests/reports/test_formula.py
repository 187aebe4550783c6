"""Goals as mathematics: what is printed is what the text denies."""

from __future__ import annotations

import pytest

from reports.formula import MOST_TERMS, goal, hypotheses

HEAD = "(declare-sort E 0)\n(declare-fun |life@s| (E) Bool)\n(declare-fun e () E)\n(declare-fun x () (_ BitVec 8))\n"


@pytest.mark.parametrize(
    ("denied", "shown"),
    [
        ("(=> (|life@s| e) (bvule x #x07))", "lifeₛ(e) ⇒ (x ≤ 7)"),
        ("(and (|life@s| e) (not (= x #x00)))", "lifeₛ(e) ∧ x ≠ 0"),
        ("(or (not (|life@s| e)) (= (bvand x #x0f) x))", "¬lifeₛ(e) ∨ ((x & 15) = x)"),
        ("(forall ((y E)) (|life@s| y))", "∀ y: lifeₛ(y)"),
        ("(= ((_ extract 3 1) x) #b101)", "x[3:1] = 5"),
        ("(ite (|life@s| e) (= x #x01) (= x #x02))", "if lifeₛ(e) then (x = 1) else (x = 2)"),
    ],
)
def test_a_goal_reads_as_mathematics(denied: str, shown: str) -> None:
    assert goal(f"{HEAD}; life of s\n(assert (|life@s| e))\n; negated goal\n(assert (not {denied}))\n") == shown


def test_a_witness_is_what_has_to_be_satisfiable() -> None:
    assert goal(f"{HEAD}(assert (|life@s| e))\n") == "satisfiable: lifeₛ(e)"


def test_hypotheses_are_named_by_the_comments_before_them() -> None:
    assert hypotheses("; first\n(assert a)\n; second\n(assert b)\n; negated goal\n(assert c)\n") == ["first", "second"]


def test_a_goal_that_nobody_could_read_is_not_printed() -> None:
    definitions = "".join(f"(define-fun d{i + 1} () (_ BitVec 8) (bvadd d{i} (bvmul d{i} d{i})))\n" for i in range(9))
    text = f"{HEAD}(define-fun d0 () (_ BitVec 8) x)\n{definitions}(assert (not (= d9 x)))\n"
    assert "too many to read" in goal(text)
    assert MOST_TERMS < 3**9
