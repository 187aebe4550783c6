"""Boot, the walk of untrusted tables, and the axioms: claims proved here, and seeded bugs that must be noticed."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import z3

from impl.machine.layout import Configuration, Layout
from impl.machine.primitives import NestedFormat
from impl.monitor import guest_memory
from refinement.boot import replay
from refinement.boot.axioms import axiom_claims
from refinement.boot.units import units
from refinement.boot.walk import ACCESSES, access_claims
from refinement.engine.obligations import Claim

RLIMIT = 60_000_000
SMALL = Configuration(
    memory_frames=96, reserved_first=32, pool_frames=12, epc_frames=4, device_first=90, device_end=96, cpus=2
)


def unproved(claims: Iterable[Claim]) -> list[str]:
    found: list[str] = []
    for claim in claims:
        if not claim.evident:
            solver = z3.SimpleSolver(ctx=z3.Context())
            solver.set("rlimit", RLIMIT)
            solver.from_string(claim.text)
            if solver.check() != z3.unsat:
                found.append(claim.name)
    return found


@pytest.mark.parametrize("form", list(NestedFormat))
def test_a_booted_machine_is_an_initial_state(form: NestedFormat) -> None:
    assert replay.failures(replay.booted(Layout.from_configuration(SMALL), form)) == []


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
    assert unproved(access_claims(access)) == []


def trusting(layout: Layout, frame: int) -> bool:
    """Takes every frame for ordinary memory."""
    del layout
    return frame >= 0


def test_a_walk_through_any_frame_is_noticed() -> None:
    (access,) = (access for access in ACCESSES if access.name == "translate/read-user")
    original = guest_memory.is_normal
    guest_memory.is_normal = trusting
    try:
        assert any("conditions" in name for name in unproved(access_claims(access)))
    finally:
        guest_memory.is_normal = original


def test_the_axioms_hold_of_the_interpretation() -> None:
    assert unproved(axiom_claims()) == []


def test_units_have_different_names() -> None:
    names = [unit.id for unit in units()]
    assert len(names) == len(set(names))
