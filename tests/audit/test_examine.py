"""Whole audits of machines made by hand: control blocks are found, tables walked, defaults decided."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.decide import Decision
from audit.examine import Told, examine
from audit.photograph import Kind, Root
from audit.readers import open_photograph
from audit.ruling import Answer
from tests.audit.cores import Memory

LARGE = 0x87  # present, writable, user, page size


def audited(path: Path, maxphyaddr: int | None = 40, levels: int | None = 4) -> Decision:
    return examine(open_photograph(path), Told(maxphyaddr=maxphyaddr, levels=levels), lambda _: None)


def wrong(decision: Decision) -> dict[str, list[tuple[int, int]]]:
    return {
        ruling.id: [(finding.first, finding.count) for finding in ruling.findings]
        for ruling in decision.rulings
        if ruling.answer is not Answer.HOLDS
    }


def two_guests(levels: int = 4) -> tuple[Memory, int, int]:
    """Two VMCBs, each with a nested table that maps four frames of its own, and the roots."""
    memory = Memory()
    roots = memory.table(), memory.table()
    for number, root in enumerate(roots):
        memory.vmcb(0x20 + number, asid=number + 1, n_cr3=root << 12)
        for page in range(4):
            memory.map(root, levels, page << 12, 0x400 + 0x100 * number + page)
        memory.frame(0x400 + 0x100 * number)  # the guest's own table, at its address 0, is empty
    return memory, *roots


def test_guests_of_found_control_blocks_are_disjoint(tmp_path: Path) -> None:
    memory, a, b = two_guests()
    decision = audited(memory.write_raw(tmp_path / "image"))
    assert {ruling.id for ruling in decision.rulings} >= {f"audit/disjoint/npt-{a << 12:#x}/npt-{b << 12:#x}"}
    assert wrong(decision) == {}
    assert any("VMCB" in note for note in decision.notes)


@pytest.mark.parametrize("levels", [4, 5])
def test_nothing_is_known_of_nested_tables_whose_depth_nothing_tells(tmp_path: Path, levels: int) -> None:
    memory, a, b = two_guests(levels)
    memory.map(b, levels, 9 << 12, 0x400)
    path = memory.write_raw(tmp_path / "image")
    assert wrong(audited(path, levels=levels))[f"audit/disjoint/npt-{a << 12:#x}/npt-{b << 12:#x}"] == [(0x400, 1)]
    decision = audited(path, levels=None)
    nested = [ruling for ruling in decision.rulings if "guest" not in ruling.id]
    assert {ruling.answer for ruling in nested} == {Answer.UNKNOWN}
    assert all("give --levels 4 or --levels 5" in ruling.reason for ruling in nested)
    assert any(f"npt-{a << 12:#x}, 4 levels: N_CR3" in note for note in decision.notes)


def test_nothing_is_known_of_who_may_reach_a_table_in_doubt(tmp_path: Path) -> None:
    memory, _, b = two_guests()
    memory.map(0x90, 4, 0x5000, 0x900)
    memory.vmcs(0x30, 0x9001E)
    rulings = {r.id: r for r in audited(memory.write_raw(tmp_path / "image"), levels=None).rulings}
    assert rulings["audit/absent/ept-0x90000"].answer is Answer.HOLDS
    assert rulings["audit/tables/ept-0x90000"].answer is Answer.UNKNOWN
    assert f"npt-{b << 12:#x}: nothing in the file tells" in rulings["audit/tables/ept-0x90000"].reason


def test_a_candidate_that_cannot_be_used_ends_no_audit(tmp_path: Path) -> None:
    memory, _, _ = two_guests()
    memory.vmcb(0x30, n_cr3=1 << 38)
    for number in range(22):
        memory.vmcb(0x31 + number, nested=0)
        memory.frame(0x31 + number)[0x4D0 // 8] = 0x1000
    decision = audited(memory.write_raw(tmp_path / "image"))
    assert set(wrong(decision)) >= {"audit/absent/npt-0x4000000000"}
    assert all(ruling.answer is not Answer.VIOLATED for ruling in decision.rulings)
    left_out = [note for note in decision.notes if "left out" in note]
    assert (len(left_out), left_out[-1]) == (21, "and 2 more candidates for roots left out")


@pytest.mark.parametrize("halves", [False, True])
def test_processes_with_tables_side_by_side_are_not_taken_for_one(tmp_path: Path, halves: bool) -> None:
    memory = Memory()
    for root in (0x20, 0x21):
        memory.map(root, 4, 0x1000, 0x400)
    if halves:
        memory.frame(0x21)[0] = memory.frame(0x20)[0]
    roots = tuple(Root(name, Kind.X86, 4, 0x20 + number) for number, name in enumerate("ab"))
    photograph = open_photograph(memory.write_raw(tmp_path / "image"))
    decision = examine(photograph, Told(roots=roots, maxphyaddr=40), lambda _: None)
    assert [party.name for party in decision.parties] == (["a"] if halves else ["a", "b"])
    assert ("audit/disjoint/a/b" in wrong(decision)) is not halves


def test_a_small_page_inside_another_guests_large_page_is_found(tmp_path: Path) -> None:
    memory, a, b = two_guests()
    memory.map(a, 4, 1 << 30, 0x40000, LARGE, leaf_level=3)
    memory.map(b, 4, 7 << 12, 0x40000 + 0x12345)
    found = wrong(audited(memory.write_raw(tmp_path / "image")))
    assert found == {f"audit/disjoint/npt-{a << 12:#x}/npt-{b << 12:#x}": [(0x40000 + 0x12345, 1)]}


def test_a_guest_that_reaches_a_nested_table_is_found(tmp_path: Path) -> None:
    memory, a, b = two_guests()
    memory.map(b, 4, 9 << 12, a, 0x8000000000000005)
    assert wrong(audited(memory.write_raw(tmp_path / "image"))) == {f"audit/tables/npt-{b << 12:#x}": [(a, 1)]}


def test_a_nested_table_inside_its_own_leaf_is_found(tmp_path: Path) -> None:
    memory, a, _ = two_guests()
    memory.frame(a)[511] = a << 12 | 7
    found = wrong(audited(memory.write_raw(tmp_path / "image")))
    assert set(found) == {f"audit/tables/npt-{a << 12:#x}"}


def test_a_table_that_the_photograph_lacks_is_not_clean(tmp_path: Path) -> None:
    memory, a, b = two_guests()
    memory.frame(a)[3] = 0x300 << 12 | 7
    found = wrong(audited(memory.write_sparse(tmp_path / "image", roots=[
        {"name": "a", "kind": "npt", "levels": 4, "root": a << 12},
        {"name": "b", "kind": "npt", "levels": 4, "root": b << 12},
    ])))  # fmt: skip
    assert found == {"audit/disjoint/a/b": [], "audit/tables/a": [], "audit/absent/a": []}


def test_entries_that_mark_mmio_are_leaves_only_if_the_width_is_not_known(tmp_path: Path) -> None:
    memory, a, b = two_guests()
    for root in (a, b):
        memory.map(root, 4, 5 << 12, 1 << 27, 7)
    path = memory.write_raw(tmp_path / "image")
    # Read as a leaf, it leads both guests to one frame beyond the image.
    shared = f"audit/disjoint/npt-{a << 12:#x}/npt-{b << 12:#x}"
    assert wrong(audited(path, 40))[shared] == [(1 << 27, 1)]
    (unsure,) = [ruling for ruling in audited(path, None).rulings if ruling.answer is not Answer.HOLDS]
    assert (unsure.id, unsure.answer, unsure.findings) == (shared, Answer.UNKNOWN, ())
    assert unsure.reason.startswith("1 frame lies beyond the photograph, and MAXPHYADDR is not known: ")
    # The image ends below 2**39, so that 39 bits are enough for it.
    narrow = audited(path, 39)
    assert wrong(narrow) == {}
    assert sum("reserved bit" in note for note in narrow.notes) == 2
