"""A refuted claim about the monitor shows its path, the state before by field and key, and what differs."""

from __future__ import annotations

from model.language.smtlib import script
from model.language.terms import Function, bits, constant, number, t_and, t_eq, t_not
from proofs.obligation import OBLIGATION, Answer, Obligation
from refinement.counterexample import explain, values

FRAME, WORD = bits(8), bits(64)
LIFE = Function("pre.life", (FRAME,), WORD)
BUSY = Function("pre.busy", (FRAME,), WORD)
E, FETCHED, END = constant("any.e", FRAME), constant("fetch0", WORD), constant("layout.epc_end", FRAME)

TEXT = script(
    [
        ("decision: yes  create.py  if s.life[e] == 2:", t_eq(LIFE(E), number(2, 64))),
        ("assumption: the layout", t_and([t_eq(END, number(7, 8)), t_eq(BUSY(END), BUSY(END))])),
        ("assumption: fetched", t_not(t_eq(FETCHED, number(0, 64)))),
        ("the negated goal", t_not(t_eq(LIFE(E), BUSY(E)))),
    ]
)


def test_the_path_is_the_decisions_in_order() -> None:
    assert values(TEXT)["path"] == ["yes  create.py  if s.life[e] == 2:"]


def test_the_state_is_small_and_by_field_and_key() -> None:
    shown = values(TEXT)
    assert shown["state before"] == {"life": "[0] = 2", "0 wherever the claim reads them": "busy"}
    assert shown["layout"] == {"epc_end": "7"}
    assert shown["at"] == {"e": "0"}


def test_both_sides_of_what_differs_are_shown() -> None:
    assert values(TEXT)["differs"] == ["2 where 0 was expected"]


def test_without_a_model_there_is_no_counterexample() -> None:
    obligation = Obligation("T9/x/path-0/y", OBLIGATION, "T9", "", "", "words", TEXT)
    assert explain(obligation, Answer("unknown", "z3", "too much")).verdict == "UNKNOWN"
    found = explain(obligation, Answer("sat", "z3"))
    assert (found.verdict, found.qualifier) == ("REFUTED", "induction")
