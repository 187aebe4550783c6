"""Verdicts fail closed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proofs.obligation import Answer, Explanation, Obligation
from proofs.results import Exit, Result, Verdict, exit_code, judge, of_answer

PROVED = Result("T1/a", "obligation", "T1", "a", "", Verdict.PROVED, evidence="S")
ENABLED = Result("v", "vacuity", "", "a", "", Verdict.PROVED, evidence="S")
OPEN = Result("T9", "claim", "T9", "", "", Verdict.NOT_CLAIMED)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], Exit.INTERNAL),
        ([OPEN], Exit.INTERNAL),
        ([PROVED], Exit.ESTABLISHED),
        ([PROVED, ENABLED, OPEN], Exit.ESTABLISHED),
        ([replace(PROVED, evidence="")], Exit.NOT_ESTABLISHED),
        ([replace(PROVED, evidence="X")], Exit.ESTABLISHED),
        ([replace(PROVED, verdict=Verdict.TESTED)], Exit.NOT_ESTABLISHED),
        ([replace(PROVED, verdict=Verdict.BOUNDED)], Exit.NOT_ESTABLISHED),
        ([replace(PROVED, verdict=Verdict.STALE)], Exit.NOT_ESTABLISHED),
        ([replace(PROVED, verdict=Verdict.UNKNOWN)], Exit.NOT_ESTABLISHED),
        ([replace(PROVED, verdict=Verdict.VACUOUS)], Exit.NOT_ESTABLISHED),
        ([replace(PROVED, verdict=Verdict.WAIVED)], Exit.ESTABLISHED),
        ([PROVED, replace(PROVED, verdict=Verdict.REFUTED)], Exit.REFUTED),
        ([PROVED, replace(ENABLED, verdict=Verdict.VACUOUS)], Exit.REFUTED),
        ([PROVED, replace(ENABLED, verdict=Verdict.UNKNOWN)], Exit.NOT_ESTABLISHED),
        ([PROVED, replace(ENABLED, kind="replay", verdict=Verdict.TESTED)], Exit.ESTABLISHED),
        ([replace(PROVED, verdict=Verdict.REFUTED), replace(PROVED, verdict=Verdict.ERROR)], Exit.INTERNAL),
    ],
)
def test_the_exit_code_is_that_of_the_worst_row(rows: list[Result], expected: Exit) -> None:
    assert exit_code(rows) == expected


@pytest.mark.parametrize("status", ["unsat", "sat", "unknown"])
@pytest.mark.parametrize("expect", ["unsat", "sat"])
@pytest.mark.parametrize("kind", ["obligation", "vacuity"])
def test_only_the_expected_answer_proves(kind: str, expect: str, status: str) -> None:
    verdict, _, _ = judge(kind, expect, Answer(status, "z3"))  # type: ignore[arg-type]
    assert (verdict is Verdict.PROVED) == (status == expect)
    if status == "unknown":
        assert verdict is Verdict.UNKNOWN


def test_an_explanation_cannot_turn_a_failure_into_a_proof_nor_a_proof_into_a_failure() -> None:
    header = Obligation("T1/a", "obligation", "T1", "a", "", "w", "(assert x)").header()
    explanation = Explanation("REFUTED", "reachable", "because", {"n": 1})
    refuted = of_answer(header, Answer("unknown", "z3", "limit"), explanation)
    assert (refuted.label, refuted.reason, refuted.values) == ("REFUTED(reachable)", "because", {"n": 1})
    assert refuted.evidence == ""
    proved = of_answer(header, Answer("unsat", "z3"), explanation)
    assert proved.verdict is Verdict.PROVED
    assert proved.values is None
