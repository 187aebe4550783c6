"""Loops by an invariant: what is proved of a small loop, and what each kind of mistake leaves unproved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from model.language.logic import Implies
from model.language.terms import FALSE
from refinement.bits import NestedFormat
from refinement.contracts.induction import Induction
from refinement.contracts.setting import Setting
from refinement.engine.explorer import explore
from refinement.engine.machine import SymbolicMachine
from refinement.engine.obligations import path_claims
from refinement.engine.pruning import PathOracle
from refinement.engine.run import Run
from refinement.engine.values import EngineError, Number, condition, unknown
from refinement.invariants.clause import Clause, State, at_same_keys
from tests.refinement.solving import unproved

END: Final = unknown("end", 8)
Body = Callable[[SymbolicMachine, Number], None]


def lives(s: State, e: Number, i: Number) -> object:
    return Implies(e < i, s.life[e] == 1)


def loop(formula: Callable[[State, Number, Number], object]) -> Induction:
    def invariant(_: State, i: Number) -> tuple[Clause, ...]:
        return (Clause("LIVES", "", {"e": 52}, lambda s, e: formula(s, e, i), {"life": at_same_keys}),)

    return Induction("toy", ("life",), invariant)


def give_life(machine: SymbolicMachine, i: Number) -> None:
    machine.storage.life[i] = 1


def missing(rule: Induction, body: Body = give_life, before: object = True) -> list[str]:
    """What is not proved of a loop over 0 .. END; `before` is a condition that the code needs before it."""
    setting = Setting(NestedFormat.EPT, False, {rule.name: rule})

    def code(run: Run) -> None:
        machine = setting.machine(run)
        run.require(condition(before), "needed")
        machine.each("toy", 0, END, lambda i: body(machine, i))
        run.goals.append(("GOAL", condition(Implies(END > 3, machine.storage.life[3] == 1))))

    paths = explore(code, setting.shapes, PathOracle([]))
    return unproved(claim for path in paths for claim in path_claims("toy", path, []))


def test_a_loop_is_proved_and_its_invariant_used() -> None:
    assert missing(loop(lives)) == []


def test_an_invariant_that_says_too_little_does_not_carry_the_goal() -> None:
    assert missing(loop(lambda s, e, i: Implies(e < i, s.life[e] != 2))) == ["toy/path-1/GOAL"]


def test_an_invariant_that_does_not_hold_at_the_entry_is_noticed() -> None:
    assert missing(loop(lambda s, e, _: s.life[e] == 1)) == ["toy/path-0/toy, entry: LIVES"]


def test_a_step_that_breaks_the_invariant_is_noticed() -> None:
    def give_two(machine: SymbolicMachine, i: Number) -> None:
        machine.storage.life[i] = 2

    assert missing(loop(lives), give_two) == ["toy/path-0/toy, step: LIVES"]


def test_a_step_that_writes_another_field_is_noticed() -> None:
    def write_more(machine: SymbolicMachine, i: Number) -> None:
        give_life(machine, i)
        machine.storage.busy[i] = 1

    assert missing(loop(lives), write_more) == ["toy/path-0/toy, step: OTHER-FIELDS"]


def test_a_contradiction_proves_neither_itself_nor_what_comes_before_the_loop() -> None:
    absurd = loop(lambda s, e, _: s.life[e] != s.life[e])
    assert missing(absurd, before=END != 7) == ["toy/path-0/conditions", "toy/path-0/toy, entry: LIVES"]
    assert missing(loop(lambda *_: FALSE)) == ["toy/path-0/toy, entry: LIVES"]


def test_a_step_may_not_do_what_no_invariant_speaks_of() -> None:
    def measure(machine: SymbolicMachine, i: Number) -> None:
        machine.measure_drop(i)

    with pytest.raises(EngineError, match="toy does something"):
        missing(loop(lives), measure)
