"""Hardware's walks: claims proved here, and seeded bugs of the walker or of its contract that must not be provable."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
import z3

from impl.machine import iommu, mmu
from impl.machine.mmu import Kind, Walk
from impl.machine.primitives import Machine
from proofs.solver import Z3Solver
from refinement import units
from refinement.bits import NestedFormat
from refinement.contracts.substitution import substituted
from refinement.engine.obligations import Claim
from refinement.simulation import hardware, normal_walk, walks
from tests.refinement.solving import failing


def refuted(claims: Iterable[Claim], what: str) -> bool:
    """Some claim of that kind has a counterexample."""
    return any(name.endswith(f"/{what}") and answer == z3.sat for name, answer in failing(claims))


@pytest.mark.parametrize("form", list(NestedFormat))
def test_the_normal_vms_walk_is_proved(form: NestedFormat) -> None:
    solver, seen = Z3Solver(), set[str]()
    for obligation in units.hardware(units.NORMAL_WALK, form.name):
        assert obligation.id not in seen
        seen.add(obligation.id)
        assert solver.solve(obligation.text, obligation.rlimit).status == obligation.expect, obligation.id
    assert any(name.endswith("/NESTED") for name in seen)


@pytest.mark.parametrize("form", list(NestedFormat))
@pytest.mark.parametrize("name", ["nested_walk", "io_walk"])
def test_a_walk_of_one_table_is_proved(name: str, form: NestedFormat) -> None:
    assert not list(failing(walks.walk_claims(name, form)))


@pytest.mark.parametrize("name", ["dma_load", "dma_store", "normal_load", "normal_fetch", "normal_store", "evict"])
def test_an_access_is_proved(name: str) -> None:
    assert not list(failing(hardware.claims(name, NestedFormat.EPT)))


ORIGINAL_WALK = mmu.walk
ORIGINAL_NESTED = mmu.nested_walk
ORIGINAL_IO = iommu.io_walk


def next_frame(machine: Machine, root: int, guest_frame: int) -> Walk:
    """A nested walk that reads the leaf of a different page."""
    return ORIGINAL_NESTED(machine, root, guest_frame ^ 1)


def mistaken(machine: Machine, root: int, guest_frame: int) -> Walk:
    """A nested walk that blames the guest's tables."""
    result = ORIGINAL_NESTED(machine, root, guest_frame)
    return replace(result, kind=Kind.GUEST_FAULT) if result.kind is Kind.NESTED_FAULT else result


def generous(machine: Machine, device_frame: int) -> Walk:
    """A DMA walk that grants everything where it grants something."""
    result = ORIGINAL_IO(machine, device_frame)
    return replace(result, rights=3) if result.kind is Kind.TRANSLATED else result


def untranslated(machine: Machine, cpu: int, page: int) -> Walk:
    """A walk that takes the rights of the guest's leaf for those of the whole walk."""
    result = ORIGINAL_WALK(machine, cpu, page)
    return replace(result, rights=7) if result.kind is Kind.TRANSLATED else result


def remembering(machine: Machine, cpu: int, page: int) -> Walk:
    """A walk that sets an accessed bit in the EPCM."""
    result = ORIGINAL_WALK(machine, cpu, page)
    machine.storage.epcm[0, 0] = 1
    return result


def test_a_walk_to_another_frame_is_seen() -> None:
    with substituted({mmu.nested_walk: next_frame}):
        assert refuted(walks.walk_claims("nested_walk", NestedFormat.EPT), "LEAF")


def test_a_walk_that_reports_the_wrong_fault_is_seen() -> None:
    with substituted({mmu.nested_walk: mistaken}):
        assert refuted(walks.walk_claims("nested_walk", NestedFormat.EPT), "LEAF")


def test_a_dma_walk_that_grants_too_much_is_seen() -> None:
    with substituted({iommu.io_walk: generous}):
        assert refuted(walks.walk_claims("io_walk", NestedFormat.EPT), "LEAF")


@pytest.mark.parametrize("form", list(NestedFormat))
def test_rights_beyond_the_nested_leaf_are_seen(form: NestedFormat) -> None:
    with substituted({mmu.walk: untranslated}):
        assert refuted(normal_walk.claims(form), "NESTED")


def test_a_walk_that_writes_is_seen() -> None:
    with substituted({mmu.walk: remembering}):
        assert refuted(normal_walk.claims(NestedFormat.EPT), "STORAGE")


def widened(machine: Machine, cpu: int, page: int) -> Walk:
    """A fill that caches all rights, whatever the walk granted."""
    result = ORIGINAL_FILL(machine, cpu, page)
    if result.kind is Kind.TRANSLATED:
        machine.storage.tlb_rights[cpu, page] = mmu.TLB_VALID | mmu.ALL
    return result


ORIGINAL_FILL = mmu.fill


@pytest.mark.parametrize("what", ["TLB", "tlb_rights"])
@pytest.mark.parametrize("name", ["enclave_fill", "normal_fill"])
def test_a_fill_of_more_rights_is_seen(name: str, what: str) -> None:
    with substituted({mmu.fill: widened}):
        assert refuted(hardware.claims(name, NestedFormat.EPT), what)
