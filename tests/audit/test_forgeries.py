"""Control blocks that a guest may have made: what becomes of them, and of those that it cannot have made."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit import forgeries
from audit.decide import Decision
from audit.examine import Told, examine
from audit.photograph import BadInputError, Machine, Processor, Root
from audit.readers import open_photograph
from audit.roots import DEPTH_UNKNOWN, find_roots
from audit.ruling import Answer
from tests.audit.cores import LA57, LONG_MODE, Memory

A, B, OWN, OTHER, OWN_BLOCK, OTHER_BLOCK = 0xA0, 0xB0, 0x400, 0x500, 0x20, 0x21


def two_guests(nested: int = 1) -> Memory:
    """Two guests, each with 16 pages that it may write, and a control block that it may not."""
    memory = Memory()
    for number, (root, page) in enumerate(((A, OWN), (B, OTHER))):
        block = OWN_BLOCK + number
        memory.vmcb(block, asid=number + 1, nested=nested, n_cr3=nested * root << 12, cr3=(1 - nested) * root << 12)
        for index in range(16):
            memory.map(root, 4, index << 12, page + index)
            memory.frame(page + index)
    return memory


def found(memory: Memory, folder: Path, machine: Machine | None = None) -> tuple[dict[int, Root], list[str]]:
    """The roots that are in no other by frame, and what was left out."""
    notes = list[str]()
    photograph = open_photograph(memory.write_raw(folder / "image"))
    roots = find_roots(photograph, machine or Machine(maxphyaddr=40, levels=4), notes.append)
    return {root.frame: root for root in roots if not root.inside}, notes


def audited(memory: Memory, folder: Path) -> Decision:
    told = Told(maxphyaddr=40, levels=4)
    return examine(open_photograph(memory.write_raw(folder / "image")), told, lambda _: None)


def test_a_guest_changes_no_levels(tmp_path: Path) -> None:
    memory = two_guests(nested=0)
    memory.map(B, 4, 0x100000, OWN + 5)
    memory.vmcb(OWN + 5, nested=0, cr3=A << 12, la57=True)
    roots, notes = found(memory, tmp_path)
    assert [(root.levels, root.doubt) for root in roots.values()] == [(4, ""), (4, "")]
    assert notes == ["VMCB at 0x405000 (ASID 1) is left out: the guest of shadow-0xa0000 may write it"]
    (ruling,) = [ruling for ruling in audited(memory, tmp_path).rulings if ruling.answer is Answer.VIOLATED]
    assert ruling.reason == (
        "rests on control blocks that a scan found, which may be stale: shadow-0xa0000, shadow-0xb0000"
    )


def test_a_guest_invents_no_violation(tmp_path: Path) -> None:
    memory = two_guests()
    memory.vmcb(OWN + 4, n_cr3=OWN + 5 << 12)
    for table in range(3):
        memory.frame(OWN + 5 + table)[0] = OWN + 6 + table << 12 | 7
    memory.frame(OWN + 8)[0] = OTHER << 12 | 7
    roots, notes = found(memory, tmp_path)
    assert (set(roots), len(notes)) == ({A, B}, 1)
    assert {ruling.answer for ruling in audited(memory, tmp_path).rulings} == {Answer.HOLDS}


def test_a_block_that_a_guest_may_write_is_in_doubt_if_its_table_is_not_in_the_guest(tmp_path: Path) -> None:
    memory = two_guests()
    memory.map(A, 4, 0x100000, OTHER_BLOCK)
    roots, notes = found(memory, tmp_path)
    assert (roots[A].doubt, notes) == ("", [])
    assert roots[B].doubt == (
        "the VMCB at 0x21000 (ASID 2) lies where the guest of npt-0xa0000 may write, so that guest may have made it"
    )
    answers = {ruling.id: ruling.answer for ruling in audited(memory, tmp_path).rulings}
    assert answers["audit/disjoint/npt-0xa0000/npt-0xb0000"] is Answer.UNKNOWN


def test_a_guest_that_is_known_by_a_block_of_its_own_is_in_doubt(tmp_path: Path) -> None:
    memory = two_guests()
    memory.map(A, 4, 0x100000, OWN_BLOCK)
    roots, _ = found(memory, tmp_path)
    assert [bool(roots[root].doubt) for root in (A, B)] == [True, False]


def test_blocks_that_the_guests_of_each_other_may_write_are_in_doubt(tmp_path: Path) -> None:
    memory = two_guests()
    memory.map(A, 4, 0x100000, OTHER_BLOCK)
    memory.map(B, 4, 0x100000, OWN_BLOCK)
    roots, _ = found(memory, tmp_path)
    assert all(roots[root].doubt for root in (A, B))


def test_a_guest_makes_no_table_of_a_cpu_a_guests(tmp_path: Path) -> None:
    memory = two_guests()
    memory.map(0xC0, 4, 0, 0x600)
    memory.frame(0x600)
    memory.vmcb(OWN, nested=0, cr3=0xC0 << 12, la57=True)
    told = Machine(maxphyaddr=40, processors=(Processor(0, 0xC0 << 12, 0x20, LONG_MODE[0]),))
    roots, _ = found(memory, tmp_path, told)
    assert (roots[0xC0].guest, roots[0xC0].doubt, roots[0xC0].levels, roots[A].doubt) == (False, "", 4, "")


def test_a_cpu_whose_table_a_guest_may_write_tells_no_depth(tmp_path: Path) -> None:
    memory = two_guests()
    memory.frame(OWN)[0] = OWN + 1 << 12 | 7
    told = Machine(maxphyaddr=40, processors=(Processor(0, OWN << 12, 0x20 | LA57, LONG_MODE[0]),))
    roots, _ = found(memory, tmp_path, told)
    assert roots[A].doubt == DEPTH_UNKNOWN


def test_a_table_that_is_too_large_to_walk_ends_no_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise BadInputError("too large")

    monkeypatch.setattr(forgeries, "reach", refuse)
    roots, notes = found(two_guests(), tmp_path)
    assert (set(roots), notes) == ({A, B}, [])
