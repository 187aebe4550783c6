"""The specification runs: from boot, through every action, with every invariant holding on the way."""

from __future__ import annotations

from itertools import product
from typing import Final

import pytest

from model.hyperenclave.scenario import boot, life_cycle
from model.hyperenclave.specification import HYPERENCLAVE
from model.hyperenclave.vocabulary import Code, Frame, FrameSet, Life, PageType
from model.language.specification import ENCLAVE, Axiom

STARTED: Final = (("create", "shape"),)
MEASUREMENTS: Final = (
    STARTED,
    (*STARTED, ("add", 0, PageType.REG, 3)),
    (*STARTED, ("add", 1, PageType.TCS, 0), ("extend", 1, ("data", 1)), ("add", 0, PageType.REG, 1)),
)
VALUES: Final[dict[str, tuple[object, ...]]] = {
    "Page": (0, 1, 5),
    "Offset": (0, 1, 2),
    "Shape": ("shape", "other"),
    "Measurement": MEASUREMENTS,
    "PageType": tuple(PageType),
    "(_ BitVec 3)": (0, 3, 7),
    "Data": (("zeros",), ("data", 1)),
    "Registers": ((), ("r",)),
    "Word": (0, 1),
}
GUEST_FRAMES: Final = {"device_read", "device_write", "normal_fill"}
"""Actions whose frame is an address of the normal VM or a device, which is no place of an enclave's page."""


@pytest.mark.parametrize("axiom", HYPERENCLAVE.axioms.values(), ids=lambda axiom: axiom.name)
def test_axioms_hold_of_the_concrete_functions(axiom: Axiom) -> None:
    state = boot().state
    choices = product(*(VALUES[sort.name] for sort in axiom.over.values()))
    assert all(axiom.formula(state, **dict(zip(axiom.over, chosen, strict=True))) is True for chosen in choices)


def test_integrity_compares_runs_in_which_pages_and_tables_lie_in_different_frames() -> None:
    for action in HYPERENCLAVE.actions.values():
        frames = {name for name, sort in action.parameters.items() if sort in (Frame, FrameSet)}
        assert action.name in GUEST_FRAMES or frames == set(action.placement), action.name


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


def test_the_monitor_chooses_tables_and_exhaustion_and_nothing_else() -> None:
    """The assumption `monitor-choices` speaks of these two."""
    for action in HYPERENCLAVE.actions.values():
        assert action.choices == {"exhausted", "tables"} & set(action.parameters), action.name


def test_steps_of_an_enclave_have_no_arguments_but_events_and_what_the_normal_vm_maps() -> None:
    """Arguments are equal in two runs by hypothesis, so nothing that an enclave computes may come in as one."""
    allowed = {"enclave_step": {"c"}, "fault": {"c", "event"}, "shared_fill": {"c", "f", "tables"}}
    found = {a.name: set(a.parameters) for a in HYPERENCLAVE.actions.values() if a.by == ENCLAVE}
    assert found == allowed
