"""Roots that nobody named: which are found, why, and which look-alikes are not."""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit import roots
from audit.photograph import BadInputError, Kind, Machine, Processor, Root
from audit.readers import open_photograph
from audit.roots import DEPTH_UNKNOWN, LEVELS_DISAGREE, find_roots
from tests.audit.cores import LA57, LONG_MODE, Memory, note

PHOTOGRAPHS = Path(__file__).parent / "photographs"
FOLDERS = sorted(path.name for path in PHOTOGRAPHS.iterdir())


def found(
    memory: Memory, folder: Path, machine: Machine | None = None, tell: Callable[[str], None] = lambda _: None
) -> list[tuple[str, int]]:
    """Name and frame of each root in a core of this memory."""
    photograph = open_photograph(memory.write_core(folder / "core"))
    return [(root.name, root.frame) for root in find_roots(photograph, machine or photograph.machine, tell)]


def machine(*processors: tuple[int, int, int], **more) -> Machine:
    """Processors of (CR0, CR3, CR4)."""
    told = enumerate(processors)
    return Machine(processors=tuple(Processor(n, cr3, cr4, cr0) for n, (cr0, cr3, cr4) in told), **more)


def with_table(levels: int = 4, root: int = 0x20, bits: int = 7) -> Memory:
    """One table tree at a root."""
    memory = Memory()
    memory.frame(root)
    memory.map(root, levels, 0x401000, 0x99, bits)
    return memory


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("form", ["sparse", "whole"])
def test_in_real_photographs_the_roots_that_are_there_and_nothing_else(tmp_path, name, form):
    photograph = open_photograph(PHOTOGRAPHS / name)
    told = photograph.machine
    if form == "whole":  # absent frames become zeros, so that all of memory is scanned
        numbers = np.array([first + i for first, count in photograph.runs() for i in range(count)], np.uint64)
        memory = Memory(dict(zip(numbers.tolist(), photograph.read(numbers)[0], strict=True)))
        photograph = open_photograph(memory.write_raw(tmp_path / "image"))
    candidates = find_roots(photograph, replace(told, roots=()))
    expected = {(root.kind, root.frame, bool(root.inside), root.levels, root.guest) for root in told.roots}
    if name == "ept-4k":  # which word of a VMCS is the guest's CR3 is not architectural
        expected = {row for row in expected if not row[2]}
    assert {(root.kind, root.frame, bool(root.inside), root.levels, root.guest) for root in candidates} == expected


@pytest.mark.parametrize("name", [name for name in FOLDERS if name != "pt-la48-pti"])
def test_in_real_photographs_the_control_blocks_of_the_ground_truth_and_nothing_else(name):
    photograph = open_photograph(PHOTOGRAPHS / name)
    truth = json.loads(lzma.decompress((PHOTOGRAPHS / name / "truth.json.xz").read_bytes()))
    blocks = {block.get("vmcb") or block["page"] for block in truth["control_blocks"]}
    reasons = [root.why for root in find_roots(photograph, Machine())]
    assert {word for why in reasons for word in why.split() if word in blocks} == blocks
    assert all(blocks & set(why.split()) for why in reasons)


def test_roots_that_the_file_names_are_all(tmp_path):
    memory = with_table()
    memory.vmcb(0x10, n_cr3=0x20000)
    named = Root("a", Kind.X86, 4, 0x20)
    photograph = open_photograph(memory.write_core(tmp_path / "core"))
    assert find_roots(photograph, Machine(roots=(named,))) == (named,)


def test_the_bits_of_cr3_that_are_no_address_are_left_out(tmp_path):
    lam, pcid, c_bit = 1 << 61, 0x801, 1 << 47
    cr3 = 0x20000 | lam | pcid | c_bit
    assert found(with_table(), tmp_path, machine((LONG_MODE[0], cr3, 0x20), encryption_bit=47)) == [("cpu0", 0x20)]
    assert found(with_table(), tmp_path, machine((LONG_MODE[0], cr3, 0x20), maxphyaddr=40)) == [("cpu0", 0x20)]


def test_five_levels_are_told_by_cr4(tmp_path):
    path = with_table(5).write_core(tmp_path / "core", processors=[(LONG_MODE[0], 0x20000, 0x20 | LA57)])
    photograph = open_photograph(path)
    assert [root.levels for root in find_roots(photograph, photograph.machine)] == [5]


def test_cpus_with_one_table_are_one_root_with_both_reasons(tmp_path):
    path = with_table().write_core(
        tmp_path / "core", processors=[(*LONG_MODE[:1], 0x20000 | pcid, 0x20) for pcid in (0, 5)]
    )
    photograph = open_photograph(path)
    assert [(r.name, r.why) for r in find_roots(photograph, photograph.machine)] == [
        ("cpu0", "CR3 of CPU 0; CR3 of CPU 1")
    ]


def test_a_cpu_without_paging_has_no_root(tmp_path):
    notes = list[str]()
    assert found(with_table(), tmp_path, machine((0x60000010, 0x20000, 0)), notes.append) == []
    assert notes == ["CPU 0 is left out: it does not page, as one that waits to be started"]


@pytest.mark.parametrize(("cr4", "efer"), [(0, None), (0x20, 0)], ids=["32-bit: CR4.PAE clear", "PAE: EFER.LMA clear"])
def test_a_cpu_with_another_paging_is_left_out(tmp_path, cr4, efer):
    told = Machine(processors=(Processor(3, 0x20000, cr4, LONG_MODE[0], efer),))
    notes = list[str]()
    assert found(with_table(), tmp_path, told, notes.append) == []
    assert ["CPU 3 is left out: it uses 32-bit or PAE paging" in note for note in notes] == [True]


@pytest.mark.parametrize(
    ("entries", "can"),
    [([], False), ([0x87] * 2, False), ([0xFFF000007] * 2, False), ([0x101007, 0x87], True), ([0x101006], False)],
    ids=["empty", "large pages", "beyond memory", "half damaged", "not present"],
)
def test_cr3_has_to_point_to_what_can_be_a_table(tmp_path, entries, can):
    memory = with_table()
    memory.frame(0x20)[: len(entries) + 1] = [*entries, 0]
    if can:
        assert found(memory, tmp_path, machine((LONG_MODE[0], 0x20000, 0x20))) == [("cpu0", 0x20)]
    else:
        notes = list[str]()
        assert found(memory, tmp_path, machine((LONG_MODE[0], 0x20000, 0x20)), notes.append) == []
        assert notes == ["CPU 0 is left out: CR3 points to 0x20000, which is no page table; it may run a guest"]


def test_a_table_of_a_cpu_that_is_absent_is_a_root(tmp_path):
    assert found(with_table(), tmp_path, machine((LONG_MODE[0], 0x777000, 0x20))) == [("cpu0", 0x777)]


def test_a_cpu_that_runs_a_guest_shows_the_guests_table(tmp_path):
    memory = with_table()
    memory.vmcb(0x10, n_cr3=0x20000, cr3=0x5000)
    memory.frame(5)
    expected = [("npt-0x20000", 0x20), ("npt-0x20000-guest-0x5000", 5)]
    notes = list[str]()
    assert found(memory, tmp_path, machine((LONG_MODE[0], 0x5000, 0x20)), notes.append) == expected
    assert notes == ["CPU 0 is left out: CR3 points to 0x5000, which is no page table; it runs a guest"]


def isolated(user_changes: int = 0) -> Memory:
    """A pair of halves at frames 0x20 (kernel) and 0x21 (user)."""
    memory = with_table()
    memory.frame(0x21)[0] = memory.frame(0x20)[0] ^ np.uint64(user_changes)
    memory.frame(0x20)[0] |= np.uint64(1 << 63 | 0x20)
    memory.map(0x20, 4, 0xFFFF_8880_0000_0000, 0x1)
    return memory


@pytest.mark.parametrize(("half", "other"), [(0x20, "user"), (0x21, "kernel")])
def test_both_halves_of_kernel_page_table_isolation_are_roots(tmp_path, half, other):
    told = machine((LONG_MODE[0], half << 12, 0x20))
    assert found(isolated(), tmp_path, told) == [("cpu0", half), (f"cpu0-{other}-half", half ^ 1)]


def test_tables_side_by_side_without_a_lower_half_are_no_halves(tmp_path):
    memory = Memory()
    memory.map(0x20, 4, 0xFFFF_8880_0000_0000, 0x1)
    memory.map(0x21, 4, 0xFFFF_8880_0000_0000, 0x2)
    assert found(memory, tmp_path, machine((LONG_MODE[0], 0x20000, 0x20))) == [("cpu0", 0x20)]


def test_a_shadow_table_that_a_cpu_uses_is_a_guests(tmp_path):
    memory = with_table()
    memory.vmcb(0x10, nested=0, cr3=0x20000)
    photograph = open_photograph(memory.write_core(tmp_path / "core", processors=[(LONG_MODE[0], 0x20000, 0x20)]))
    assert [(r.name, r.guest) for r in find_roots(photograph, photograph.machine)] == [("cpu0", True)]


def test_tables_side_by_side_that_differ_are_no_halves(tmp_path):
    assert found(isolated(1 << 12), tmp_path, machine((LONG_MODE[0], 0x20000, 0x20))) == [("cpu0", 0x20)]


def test_a_vmcb_gives_its_nested_table_and_the_guests_table_in_it(tmp_path):
    memory = with_table()
    memory.vmcb(0x10, n_cr3=0x20000, cr3=0x5000, la57=True, asid=7)
    nested, guest = find_roots(open_photograph(memory.write_raw(tmp_path / "image")), Machine())
    assert (nested.name, nested.kind, nested.levels, nested.guest) == ("npt-0x20000", Kind.NPT, 4, True)
    assert nested.why == "N_CR3 in the VMCB at 0x10000 (ASID 7)"
    assert (guest.inside, guest.frame, guest.levels, guest.guest) == ("npt-0x20000", 5, 5, True)


def test_a_nested_table_of_amd_has_as_many_levels_as_its_host(tmp_path):
    memory = with_table(5)
    memory.vmcb(0x10, n_cr3=0x20000)
    photograph = open_photograph(memory.write_core(tmp_path / "core"))
    told = machine((LONG_MODE[0], 0x20000, 0x20 | LA57))
    assert [r.levels for r in find_roots(photograph, told) if r.kind is Kind.NPT] == [5]


@pytest.mark.parametrize(
    ("told", "levels"),
    [
        ({}, None),
        ({"levels": 5}, 5),
        ({"kernel": Root("kernel", Kind.X86, 5, 0x30)}, 5),
        ({"processors": (Processor(0, 0x5000, 0x20 | LA57, LONG_MODE[0]),)}, None),
        ({"processors": (Processor(0, 0x777000, 0x20 | LA57, LONG_MODE[0]),)}, None),
        ({"processors": tuple(Processor(n, 0x20000, 0x20 | n * LA57, LONG_MODE[0]) for n in (0, 1))}, None),
        ({"processors": (Processor(0, 0x30000, 0x20, LONG_MODE[0]),), "levels": 5}, 5),
    ],
    ids=["nothing", "the user", "the kernel", "a CPU in a guest", "an absent table", "CPUs disagree", "the user first"],
)
def test_who_tells_the_levels_of_a_nested_table(tmp_path, told, levels):
    memory = with_table(5)
    memory.vmcb(0x10, n_cr3=0x20000, cr3=0x5000)
    memory.frame(5)
    memory.map(0x30, 5, 0, 0x99)
    photograph = open_photograph(memory.write_core(tmp_path / "core"))
    (nested,) = [root for root in find_roots(photograph, Machine(**told)) if root.kind is Kind.NPT]
    assert (nested.levels, nested.doubt) == ((levels, "") if levels else (4, DEPTH_UNKNOWN))


def test_a_cpu_that_runs_a_guest_on_shadow_tables_tells_no_depth(tmp_path):
    memory = with_table()
    memory.map(0x30, 4, 0, 0x99)
    memory.vmcb(0x10, n_cr3=0x20000)
    memory.vmcb(0x11, nested=0, cr3=0x30000)
    photograph = open_photograph(memory.write_raw(tmp_path / "image"))
    roots = {root.frame: root for root in find_roots(photograph, machine((LONG_MODE[0], 0x30000, 0x20)))}
    assert (roots[0x20].doubt, roots[0x30].guest) == (DEPTH_UNKNOWN, True)


def test_what_lies_inside_a_root_in_doubt_is_in_doubt(tmp_path):
    memory = with_table()
    memory.vmcb(0x10, n_cr3=0x20000, cr3=0x5000)
    _, guest = find_roots(open_photograph(memory.write_raw(tmp_path / "image")), Machine())
    assert guest.doubt == f"npt-0x20000: {DEPTH_UNKNOWN}"


def test_a_table_that_is_named_with_4_and_5_levels_is_in_doubt(tmp_path):
    memory = with_table()
    memory.vmcb(0x10, nested=0, cr3=0x20000)
    memory.vmcb(0x11, nested=0, cr3=0x20000, la57=True)
    memory.vmcb(0x12, nested=0, cr3=0x20000)
    (root,) = find_roots(open_photograph(memory.write_raw(tmp_path / "image")), Machine())
    assert root.doubt == LEVELS_DISAGREE


def test_many_vmcbs_with_one_nested_table_are_one_root_with_some_reasons(tmp_path):
    memory = with_table()
    for number in range(6):
        memory.vmcb(0x10 + number, n_cr3=0x20000, asid=number + 1)
    (root,) = [r for r in find_roots(open_photograph(memory.write_raw(tmp_path / "image")), Machine()) if not r.inside]
    assert root.why.count("VMCB") == 4
    assert root.why.endswith("; and 2 more")


def test_a_vmcb_without_nested_paging_gives_a_shadow_table(tmp_path):
    memory = with_table()
    memory.vmcb(0x10, nested=0, cr3=0x20000)
    assert found(memory, tmp_path) == [("shadow-0x20000", 0x20)]


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (0x010, 0),
        (0x058, 0),
        (0x058, 1 << 50 | 1),
        (0x090, 1 << 40 | 1),
        (0x0B0, 0x20001),
        (0x0B0, 1 << 60 | 0x20000),
        (0x4C8, 0xFF000000),
        (0x4D0, 0xD00),
        (0x4D0, 0x1D00 | 1 << 40),
        (0x548, 1 << 32 | 0x20),
        (0x548, 0),
        (0x550, 1 << 60),
        (0x558, 1 << 32 | 0x80050033),
        (0x558, 0xA0050033),
        (0x558, 0x80050032),
        (0x560, 1 << 40),
        (0x568, 1 << 40),
    ],
)
def test_a_page_that_vmrun_refuses_is_no_vmcb(tmp_path, offset, value):
    memory = with_table()
    memory.vmcb(0x10, n_cr3=0x20000, cr3=0x5000)
    assert len(found(memory, tmp_path)) == 2
    memory.frame(0x10)[offset // 8] = value
    assert found(memory, tmp_path) == []


@pytest.mark.parametrize("entry", [0, 0x101087, 0x999000 | 7], ids=["empty", "large page", "leads to nothing"])
def test_a_stale_vmcb_whose_table_is_none_any_more_is_dropped(tmp_path, entry):
    memory = with_table()
    memory.vmcb(0x10, n_cr3=0x20000)
    memory.frame(0x20)[0] = entry
    assert found(memory, tmp_path) == []


def test_a_vmcb_whose_table_is_absent_is_kept(tmp_path):
    memory = with_table()
    memory.vmcb(0x10, n_cr3=0x777000)
    assert found(memory, tmp_path)[0] == ("npt-0x777000", 0x777)


def test_the_table_of_an_encrypted_guest_is_found_but_not_its_registers(tmp_path):
    memory = with_table()
    memory.vmcb(0x10, n_cr3=0x20000, nested=7)
    memory.frame(0x10)[0x400 // 8 :] = 0xA5A5A5A5A5A5A5A5
    assert found(memory, tmp_path) == [("npt-0x20000", 0x20)]


def test_a_guest_that_does_not_page_has_only_a_nested_table(tmp_path):
    memory = with_table()
    memory.vmcb(0x10, n_cr3=0x20000)
    memory.frame(0x10)[0x558 // 8] = 0x10
    assert found(memory, tmp_path) == [("npt-0x20000", 0x20)]


def test_a_guest_with_32_bit_paging_has_only_a_nested_table(tmp_path):
    memory = with_table()
    memory.vmcb(0x10, n_cr3=0x20000)
    words = memory.frame(0x10)
    words[0x4D0 // 8], words[0x548 // 8] = 0x1000, 0
    assert found(memory, tmp_path) == [("npt-0x20000", 0x20)]


def test_a_shadow_table_that_is_absent_is_kept(tmp_path):
    memory = with_table()
    memory.vmcb(0x10, nested=0, cr3=0x777000)
    assert found(memory, tmp_path) == [("shadow-0x777000", 0x777)]


def test_shadow_tables_of_another_format_are_left_out(tmp_path):
    memory = with_table()
    memory.vmcb(0x10, nested=0, cr3=0x20000)
    memory.frame(0x10)[0x4D0 // 8] = 0x1000
    notes = list[str]()
    assert found(memory, tmp_path, tell=notes.append) == []
    assert notes == ["VMCB at 0x10000 (ASID 1) is left out: its guest runs on shadow tables for 32-bit or PAE paging"]


@pytest.mark.parametrize("eptp", [0x2001E, 0x2005E, 0x20018, 0x200DE])
@pytest.mark.parametrize("at", [0x8, 0x478, 0xFF8])
def test_a_vmcs_gives_the_table_of_its_ept_pointer_wherever_that_is(tmp_path, eptp, at):
    memory = with_table()
    memory.vmcs(0x10, eptp, at=at)
    (root,) = find_roots(open_photograph(memory.write_raw(tmp_path / "image")), Machine())
    assert (root.name, root.kind, root.levels, root.guest) == ("ept-0x20000", Kind.EPT, 4, True)
    assert root.why == f"EPT pointer at offset {at:#x} of the VMCS at 0x10000 (revision 0x2b)"


def test_an_ept_pointer_tells_five_levels(tmp_path):
    memory = with_table(5)
    memory.vmcs(0x10, 0x20026)
    (root,) = find_roots(open_photograph(memory.write_raw(tmp_path / "image")), Machine())
    assert root.levels == 5


@pytest.mark.parametrize("first", [0, 1 << 31 | 0x2B, 1 << 32 | 0x2B], ids=["no revision", "shadow", "aborted"])
def test_a_page_that_no_vm_entry_takes_is_no_vmcs(tmp_path, first):
    memory = with_table()
    memory.vmcs(0x10, 0x2001E, revision=first)
    assert found(memory, tmp_path) == []


@pytest.mark.parametrize("eptp", [0x2011E, 0x2001D, 0x20016, 0x2002E, 0x1E, 0x777000 | 0x1E, 1 << 45 | 0x2001E])
def test_a_word_that_is_no_ept_pointer_to_memory(tmp_path, eptp):
    memory = with_table()
    memory.vmcs(0x10, eptp)
    assert found(memory, tmp_path, Machine(maxphyaddr=40)) == []


@pytest.mark.parametrize(
    "entry", [0, 0x10108F, 1 << 45 | 0x101007, 0x999007], ids=["empty", "bit 3", "wide", "nowhere"]
)
def test_an_ept_pointer_to_what_is_no_top_table(tmp_path, entry):
    memory = with_table()
    memory.vmcs(0x10, 0x2001E)
    memory.frame(0x20)[0] = entry
    assert found(memory, tmp_path, Machine(maxphyaddr=40)) == []


def test_a_page_full_of_pointers_is_no_vmcs(tmp_path):
    memory = with_table()
    memory.vmcs(0x10, 0x2001E)
    memory.frame(0x10)[1:10] = 0x2001E
    assert found(memory, tmp_path) == []


def test_selectors_in_a_vmcs_do_not_count_as_pointers(tmp_path):
    memory = with_table()
    memory.vmcs(0x10, 0x2001E)
    memory.frame(0x10)[1:30] = 0x18
    assert found(memory, tmp_path) == [("ept-0x20000", 0x20)]


def test_the_table_of_the_kernel_is_a_root_of_a_core_that_names_it(tmp_path):
    info = b"NUMBER(phys_base)=0\nSYMBOL(swapper_pg_dir)=ffffffff80020000\n"
    path = with_table().write_core(tmp_path / "core", notes=[note(b"VMCOREINFO", info)])
    photograph = open_photograph(path)
    assert [(r.name, r.frame) for r in find_roots(photograph, photograph.machine)] == [("kernel", 0x20)]


def test_an_image_of_control_blocks_alone_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(roots, "ROOTS_MOST", 10)
    memory = with_table()
    for number in range(11):
        memory.vmcb(0x30 + number, nested=5, n_cr3=0x20000 + (0x1000 << 12) + (number << 12))
    with pytest.raises(BadInputError, match="more than 10 candidates for roots; name them in a policy"):
        found(memory, tmp_path)


WORDS = st.integers(0, (1 << 64) - 1) | st.sampled_from([0, 1, 0x20, 0x2001E, 0x20000, 0x101007, (1 << 64) - 1])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(st.tuples(st.sampled_from([0x10, 0x11, 0x20, 0x101]), st.integers(0, 511), WORDS), max_size=8),
    registers=st.tuples(WORDS, WORDS | st.just(0x20000), WORDS),
    told=st.builds(Machine, maxphyaddr=st.sampled_from([None, 32, 40, 52]), encryption_bit=st.sampled_from([None, 47])),
)
def test_whatever_memory_holds_roots_are_found_or_refused(tmp_path, edits, registers, told):
    memory = with_table()
    memory.vmcb(0x10, n_cr3=0x20000, cr3=0x5000)
    memory.vmcs(0x11, 0x2001E)
    for frame, index, word in edits:
        memory.frame(frame)[index] = word
    photograph = open_photograph(memory.write_core(tmp_path / "core", processors=[registers]))
    machine = replace(told, processors=photograph.machine.processors)
    with suppress(BadInputError):
        names = [root.name for root in find_roots(photograph, machine)]
        assert len(set(names)) == len(names)
