"""Boot, the walk of untrusted tables, and the axioms: claims proved here, and seeded bugs that must be noticed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatchcase
from importlib import import_module

import pytest

from impl.machine.layout import Configuration, Layout, boot_tables
from impl.machine.primitives import NestedFormat
from impl.monitor import boot, guest_memory
from model.hyperenclave.specification import HYPERENCLAVE
from model.language.terms import FALSE
from refinement.bits import NestedFormat as Decoded
from refinement.boot import establish, replay
from refinement.boot.axioms import axiom_claims
from refinement.boot.units import units
from refinement.boot.walk import ACCESSES, access_claims
from refinement.contracts.induction import Induction
from refinement.contracts.setting import Setting
from refinement.contracts.substitution import substituted
from refinement.engine.obligations import Claim
from refinement.engine.values import Number
from refinement.invariants.clause import Clause
from refinement.invariants.rules import CLAUSES
from refinement.invariants.state import MonitorState
from refinement.units import units as other_units
from tests.refinement.solving import unproved

SMALL = Configuration(
    memory_frames=96, reserved_first=32, pool_frames=12, epc_frames=4, device_first=90, device_end=96, cpus=2
)


LAST = "path-10"
"""The path through all the loops to the end of boot."""
NEEDED = {
    "TABLE": f"{LAST}/TABLE",
    "DIRECTORY": "path-1/conditions, part 5",
    "PRESENT": f"{LAST}/PARENT",
    "ROOTS-STAY": "path-9/boot: CPUs, step: STARTED",
    "ROOM": "path-0/conditions, part 3",
    "ENTRY": f"{LAST}/ENTRY",
    "ZEROS": f"{LAST}/SCRUBBED",
    "LEAF-WORD": f"{LAST}/NORMAL-LEAF",
    "EMPTY": f"{LAST}/EPCM",
    "STARTED": f"{LAST}/REGISTERS",
    "POOL": f"{LAST}/POOL",
}
"""Clause of the loops' invariants -> a claim that is not provable without it."""


def some(found: Iterable[Claim], *ends: str) -> list[Claim]:
    """The claims whose names end so."""
    return [claim for claim in found if claim.name.endswith(ends)]


def without(loop: Induction, name: str) -> Induction:
    """The loop with one clause less in its invariant."""

    def clauses(before: MonitorState, i: Number) -> list[Clause]:
        return [clause for clause in loop.invariant(before, i) if clause.name != name]

    return replace(loop, invariant=clauses)


@pytest.mark.parametrize("form", list(NestedFormat))
def test_a_booted_machine_is_an_initial_state(form: NestedFormat) -> None:
    assert replay.failures(replay.booted(Layout.from_configuration(SMALL), form)) == []


@pytest.mark.parametrize("configuration", [SMALL, *replay.EDGES])
def test_boot_takes_as_many_frames_as_the_layout_demands(configuration: Configuration) -> None:
    layout = Layout.from_configuration(configuration)
    storage = replay.booted(layout, NestedFormat.EPT).storage
    assert storage.pool_free[()] == layout.epc_first - layout.pool_first - boot_tables(layout)


def test_the_end_of_boot_is_proved() -> None:
    ends = [claim for claim in establish.claims(Decoded.NPT) if f"/{LAST}/" in claim.name]
    names = {claim.name.split("/")[-1] for claim in ends}
    assert names >= {clause.name for clause in CLAUSES} | {f"initial {name}" for name in HYPERENCLAVE.initial}
    assert unproved(ends) == []


@pytest.mark.parametrize("name", list(NEEDED))
def test_every_clause_of_the_loops_invariants_is_needed(name: str) -> None:
    loops = [without(loop, name) for loop in establish.LOOPS]
    (claim,) = some(establish.claims(Decoded.EPT, loops), f"T9/boot/{NEEDED[name]}")
    assert unproved([claim]) == [claim.name]


def test_the_clauses_that_are_needed_are_all_there_are() -> None:
    setting = Setting(Decoded.EPT, False, {})
    before = setting.state(setting.before)
    assert {clause.name for loop in establish.LOOPS for clause in loop.invariant(before, 0)} == set(NEEDED)


def test_what_is_known_in_the_loops_and_at_the_end_is_no_contradiction() -> None:
    places = some(establish.claims(Decoded.NPT), "step: OTHER-FIELDS", f"{LAST}/MACHINE-ROOTS")
    absurd = [replace(claim, goal=FALSE) for claim in places]
    assert unproved(absurd) == [claim.name for claim in places]
    assert len(places) > len(establish.LOOPS)


def rounded_down(layout: Layout, level: int) -> int:
    """Forgets the last table of a level unless it is full."""
    return layout.memory_end >> (9 * level)


def test_a_table_too_few_is_noticed() -> None:
    with substituted({boot.tables_of_level: rounded_down}):
        found = some(establish.claims(Decoded.EPT), "conditions, part 8")
    assert unproved(found)


def test_damage_after_boot_is_noticed() -> None:
    machine = replay.booted(Layout.from_configuration(SMALL), NestedFormat.EPT)
    machine.storage.cpu_mode[1] = 0
    machine.storage.memory[machine.layout.epc_first, 5] = 1
    broken = " ".join(replay.failures(machine))
    assert "SCRUBBED" in broken
    assert "epc_is_free" in broken


def test_configurations_are_the_same_each_time() -> None:
    assert list(replay.configurations()) == list(replay.configurations())


@pytest.mark.parametrize("name", ["translate/write-user", "translate_normal/read-supervisor", "locate/33"])
def test_the_walk_of_untrusted_tables_is_proved(name: str) -> None:
    (access,) = (access for access in ACCESSES if access.name == name)
    assert unproved(access_claims(access, Decoded.EPT)) == []


def trusting(layout: Layout, frame: int) -> bool:
    """Takes every frame for ordinary memory."""
    del layout
    return frame >= 0


def test_a_walk_through_any_frame_is_noticed() -> None:
    (access,) = (access for access in ACCESSES if access.name == "translate/read-user")
    original = guest_memory.is_normal
    guest_memory.is_normal = trusting
    try:
        assert any("conditions" in name for name in unproved(access_claims(access, Decoded.EPT)))
    finally:
        guest_memory.is_normal = original


def test_the_axioms_hold_of_the_interpretation() -> None:
    assert unproved(axiom_claims()) == []


def test_units_say_which_ids_they_make() -> None:
    names = ("T9 boot@npt", "T9 interpretation", "T9 contract leaf_word/1", "T9h evict@npt")
    chosen = [unit for unit in (*units(), *other_units()) if unit.id in names]
    assert len(chosen) == len(names)
    for unit in chosen:
        module, _, function = unit.make.target.partition(":")
        made = getattr(import_module(module), function)(**unit.make.arguments)
        assert all(any(fnmatchcase(row.id, pattern) for pattern in unit.yields) for row in made), unit.id


def test_units_have_different_names() -> None:
    names = [unit.id for unit in units()]
    assert len(names) == len(set(names))
