"""The specification runs: from boot, through every action, with every invariant holding on the way."""

from __future__ import annotations

from model.hyperenclave.scenario import boot, life_cycle
from model.hyperenclave.specification import HYPERENCLAVE
from model.hyperenclave.vocabulary import Code, Life


def test_boot_satisfies_the_initial_clauses_and_every_invariant() -> None:
    world = boot()
    assert world.violations(list(HYPERENCLAVE.initial.values())) == []
    assert world.violations(list(HYPERENCLAVE.invariants.values())) == []


def test_life_cycle_is_possible_step_by_step() -> None:
    world = boot()
    outcomes = [world.step(HYPERENCLAVE.actions[name], arguments) for name, arguments in life_cycle()]
    assert all(step.enabled for step in outcomes)
    assert {name for name, _ in life_cycle()} == set(HYPERENCLAVE.actions)


def test_after_the_life_cycle_nothing_is_left_of_any_enclave() -> None:
    world = boot()
    for name, arguments in life_cycle():
        world.step(HYPERENCLAVE.actions[name], arguments)
    state = world.state
    zeros = HYPERENCLAVE.symbols["zeros"].concrete()
    assert [state.life[e] for e in (1, 2)] == [Life.NONE, Life.NONE]
    assert all(state.contents[f] == zeros for f in range(2, 8))


def test_a_refusal_changes_nothing_but_the_result() -> None:
    world = boot()
    name, arguments = life_cycle()[0]
    before = dict(world.cells)
    done = world.step(HYPERENCLAVE.actions[name], {**arguments, "well_formed": False})
    assert done.outcome is Code.EINVAL
    assert {k: v for k, v in world.cells.items() if k[0] != "result"} == before


def test_every_refusal_row_says_which_threat_it_stops() -> None:
    from model.language.symbolic import Run, constants

    for action in HYPERENCLAVE.actions.values():
        step, _ = Run(HYPERENCLAVE, "s").step(action, constants(action.parameters, "arg"))
        assert all(len(row.threat) > 10 for row in (*step.rows, *step.answers)), action.name
        assert action.words
