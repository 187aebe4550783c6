"""What the monitor decides by enclave memory is noticed, whichever way it asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from impl.machine.registers import CPL, RAX, RBX
from model.language.terms import Term, t_and
from proofs.solver import Z3Solver
from refinement.bits import NestedFormat
from refinement.contracts.loops import LOOPS
from refinement.engine.explorer import Path
from refinement.engine.machine import SymbolicMachine
from refinement.engine.obligations import Claim, path_claims
from refinement.engine.run import Kind
from refinement.engine.values import condition, ghost, unknown
from refinement.invariants.layout import is_epc
from refinement.simulation.choices import same_path
from refinement.simulation.tables import TableSetting

FRAME = unknown("frame", 40)
SETTING = TableSetting(NestedFormat.EPT, True, LOOPS)


def _explored(ask: Callable[[Any], object]) -> list[Path]:
    def code(machine: SymbolicMachine) -> object:
        machine.run.assume(condition(is_epc(SETTING.layout, FRAME)), "an EPC frame")
        return bool(ask(machine))

    return SETTING.explore(code, ())


def _status(name: str, premises: list[Term], goal: Term) -> str:
    claim = Claim(name, tuple(("", p) for p in premises), goal, tuple(SETTING.rules))
    return "unsat" if claim.evident else Z3Solver().solve(claim.text, 3_000_000).status


def _public(path: Path) -> str:
    with ghost():
        goal = same_path(path, SETTING)
    return _status("choices are public", [t_and(e.term for e in path.entries)], goal)


@pytest.mark.parametrize(
    ("ask", "status"),
    [
        (lambda m: m.storage.memory[FRAME, 0] == 1, "sat"),
        (lambda m: m.storage.xstate[SETTING.cpu, 0] == 1, "sat"),
        (lambda m: m.storage.register[SETTING.cpu, RBX] == 1, "sat"),
        (lambda m: m.storage.register[0, RAX] == 1, "sat"),
        (lambda m: m.storage.pool_free[()] < 3, "unsat"),
        (lambda m: m.storage.epcm[FRAME, 0] == 0, "unsat"),
    ],
)
def test_a_branch_on_a_secret_is_a_choice_that_is_not_public(ask: Callable[[Any], object], status: str) -> None:
    assert {_public(path) for path in _explored(ask)} == {status}


def test_by_what_an_enclave_says_which_call_it_makes_the_path_may_differ() -> None:
    paths = _explored(lambda machine: machine.storage.register[SETTING.cpu, RAX] == 1)
    with ghost():
        goals = [same_path(path, SETTING, (RAX, CPL)) for path in paths]
    held = [
        _status("choices are public", [t_and(e.term for e in p.entries)], g) for p, g in zip(paths, goals, strict=True)
    ]
    assert held == ["unsat", "unsat"]


def test_no_question_about_a_whole_page_of_an_enclave_is_allowed() -> None:
    paths = _explored(lambda machine: machine.memory_is_zero(FRAME, 0, 512))
    asked = [e for path in paths for e in path.entries if e.kind is Kind.CONDITION and "memory_is_zero" in e.reason]
    assert asked
    claims = [c for p in paths for c in path_claims("T9/x", p, SETTING.rules, SETTING.facts)]
    assert "sat" in [Z3Solver().solve(c.text, 3_000_000).status for c in claims if c.name.endswith("/conditions")]
