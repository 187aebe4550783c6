"""The solver says what it knows, within its limit, and never more."""

from __future__ import annotations

import pytest

from proofs.solver import MalformedTextError, Z3Solver, has_quantifier
from tests.ringfence.toy import CANDIDATE, FAILS, HARD, HOLDS

LIMIT = 5_000_000


def test_a_contradiction_is_unsat_and_costs_resource_units() -> None:
    answer = Z3Solver().solve(HOLDS, LIMIT)
    assert answer.status == "unsat"
    assert answer.rlimit_used > 0
    assert answer.solver.startswith("z3 ")
    assert answer.solver.endswith("(simple)")


def test_a_model_of_a_ground_text_is_decoded() -> None:
    answer = Z3Solver().solve(FAILS, LIMIT)
    assert answer.status == "sat"
    assert answer.values is not None
    assert int(str(answer.values["x"])) < 5


def test_functions_of_a_model_are_decoded_entry_by_entry() -> None:
    text = "(declare-fun f (Bool) Bool)\n(assert (and (f true) (not (f false))))\n"
    answer = Z3Solver().solve(text, LIMIT)
    assert answer.values is not None
    assert str(answer.values["f"])


def test_a_quantified_text_never_has_a_model_only_a_candidate() -> None:
    answer = Z3Solver().solve(CANDIDATE, LIMIT)
    assert answer.status == "unknown"
    assert answer.values is None


def test_e_matching_uses_the_patterns() -> None:
    text = f"{CANDIDATE}(declare-fun a () E)\n(assert (not (f a)))\n"
    assert Z3Solver().solve(text, LIMIT).status == "unsat"


def test_the_limit_is_in_resource_units_and_gives_the_same_answer_each_time() -> None:
    first, second = (Z3Solver().solve(HARD, 20_000) for _ in range(2))
    assert first.status == second.status == "unknown"
    assert "20000 resource units" in first.reason
    assert first.rlimit_used == second.rlimit_used


def test_an_obligation_does_not_see_the_one_before() -> None:
    solver = Z3Solver()
    alone = solver.solve(FAILS, LIMIT)
    solver.solve(HARD, 20_000)
    assert solver.solve(FAILS, LIMIT).rlimit_used == alone.rlimit_used


@pytest.mark.parametrize("text", ["(assert (= a b))", "(assert", "", "; nothing\n"])
def test_a_text_that_cannot_be_read_or_says_nothing_is_an_error(text: str) -> None:
    with pytest.raises(MalformedTextError):
        Z3Solver().solve(text, LIMIT)


def test_a_comment_about_a_quantifier_only_weakens_the_answer() -> None:
    assert has_quantifier("; (forall\n")
    assert Z3Solver().solve(f"; (forall\n{FAILS}", LIMIT).status == "unknown"
