"""The walks against what is known of the photographs without a walk of ours, as far as that reaches."""

from __future__ import annotations

import json
import lzma
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audit.formats import options_of
from audit.photograph import Kind, Root
from audit.ranges import Ranges
from audit.reach import Rights, Trouble
from audit.readers import open_photograph
from audit.walk import TableReach, reach
from tests.audit.plain_walker import Leaf, Processor, Walker, through
from tests.audit.test_walk import by_rights, of_spans

PHOTOGRAPHS = Path(__file__).parent / "photographs"
NESTED = ["ept-4k", "npt-4k", "npt-huge", "npt-oldmmu", "npt-shared"]
ALL = [*NESTED, "pt-la48-pti", "shadow-npt0"]


@cache
def memory(name: str) -> dict[int, list[int]]:
    photograph = open_photograph(PHOTOGRAPHS / name)
    frames = np.array([frame for first, count in photograph.runs() for frame in range(first, first + count)], np.uint64)
    words, there = photograph.read(frames)
    assert there.all()
    return dict(zip(frames.tolist(), words.tolist(), strict=True))


@cache
def truth(name: str) -> dict[str, Any]:
    return json.loads(lzma.open(PHOTOGRAPHS / name / "truth.json.xz").read())


@cache
def scenario(name: str) -> dict[str, Any]:
    return json.loads((PHOTOGRAPHS / name / "scenario.json").read_text())


def root_of(name: str, root: str) -> Root:
    return next(one for one in open_photograph(PHOTOGRAPHS / name).machine.roots if one.name == root)


@cache
def walked(name: str, root_name: str) -> TableReach:
    photograph = open_photograph(PHOTOGRAPHS / name)
    root = root_of(name, root_name)
    return reach(photograph, root, options_of(photograph.machine), walked(name, root.inside) if root.inside else None)


@cache
def walker(name: str, root_name: str) -> Walker:
    root = root_of(name, root_name)
    nested = walker(name, root.inside) if root.inside else None
    processor = Processor(maxphyaddr=scenario(name)["maxphyaddr"])
    return Walker(memory(name), root.kind.value, root.levels, root.frame, processor, nested)


@cache
def leaves(name: str, root_name: str) -> list[Leaf]:
    return walker(name, root_name).leaves()


def text(name: str, file: str) -> str:
    return lzma.open(PHOTOGRAPHS / name / file, "rt").read()


def pages(some: list[Leaf]) -> dict[int, tuple[int, frozenset[str]]]:
    """Frame and rights of each page of input addresses."""
    return {
        (leaf.address >> 12) + offset: (leaf.first + offset, leaf.rights)
        for leaf in some
        for offset in range(leaf.count)
    }


def as_qemu_prints(leaf: Leaf) -> str:
    """A line of `info tlb`."""
    bits = ((63, "X"), (8, "G"), (7, "P"), (6, "D"), (5, "A"), (4, "C"), (3, "T"), (2, "U"), (1, "W"))
    word = leaf.entry & ~(1 << 7) if leaf.level == 1 else leaf.entry
    flags = "".join(letter if word >> number & 1 else "-" for number, letter in bits)
    return f"{leaf.address:016x}: {leaf.first << 12:016x} {flags}"


TLBS = [(name, "cpu0") for name in ALL if name != "ept-4k"] + [("pt-la48-pti", "cpu1"), ("pt-la48-pti", "cpu2")]


@pytest.mark.parametrize(("name", "cpu"), TLBS)
def test_leaves_are_those_that_the_emulator_lists(name: str, cpu: str) -> None:
    listed = text(name, f"info-tlb.{cpu}.txt.xz").splitlines()
    assert [as_qemu_prints(leaf) for leaf in leaves(name, cpu)] == [line.strip() for line in listed if line.strip()]


def test_leaves_are_those_that_the_debugger_lists() -> None:
    listed = re.findall(
        r"^0x([0-9a-f]{16})-0x([0-9a-f]{16}) -> 0x([0-9a-f]+)-", text("ept-4k", "debugger.txt.xz"), re.M
    )
    expected = {
        page: (int(frame, 16) >> 12) + page - (int(first, 16) >> 12)
        for first, last, frame in listed
        for page in range(int(first, 16) >> 12, (int(last, 16) >> 12) + 1)
    }
    lowest = min(expected)
    found = {page: frame for page, (frame, _) in pages(leaves("ept-4k", "cpu0")).items() if page >= lowest}
    assert len(expected) == 78776
    assert found == expected


@pytest.mark.parametrize("name", ALL)
def test_walks_agree_with_the_plain_walk(name: str) -> None:
    for root in scenario(name)["roots"]:
        own, inside = leaves(name, root["name"]), root_of(name, root["name"]).inside
        granted = [(leaf.first, leaf.count, leaf.rights) for leaf in own]
        if inside:
            granted = list(through(own, leaves(name, inside)))
        assert of_spans(walked(name, root["name"])) == by_rights(granted)


@pytest.mark.parametrize("name", ALL)
def test_numbers_of_leaves_tables_and_faulty_entries_agree(name: str) -> None:
    for root in scenario(name)["roots"]:
        result = walked(name, root["name"])
        sizes = {1: "4K", 2: "2M", 3: "1G"}
        assert {sizes[level]: number for level, number in result.leaves.items() if number} == root["leaves"]
        assert len(result.tables) == root["tables"]
        faulty = sum(not one.nested for one in result.mishaps)
        assert faulty == root.get("reserved_bit_entries", 0)
        assert result.troubles.get(Trouble.ABSENT, 0) == 0


@pytest.mark.parametrize("name", NESTED)
@pytest.mark.parametrize("vm", ["0", "1"])
class TestNested:
    """What the hypervisor says of a virtual machine, and what its tables are."""

    def test_leaves_by_size_are_the_hypervisors_counters(self, name: str, vm: str) -> None:
        counters = truth(name)["vms"][vm]["kvmstat"]
        expected = {1: counters["pages_4k"], 2: counters["pages_2m"], 3: counters["pages_1g"]}
        found = walked(name, f"vm{vm}").leaves
        assert {level: found.get(level, 0) for level in expected} == expected

    def test_frames_are_those_of_the_page_map(self, name: str, vm: str) -> None:
        runs = truth(name)["vms"][vm]["populated_gpa_hpa_runs"]
        expected = {(gpa >> 12) + n: (hpa >> 12) + n for gpa, hpa, count in runs for n in range(count)}
        mapped = pages(leaves(name, f"vm{vm}"))
        assert {page: frame for page, (frame, _) in mapped.items()} == {page: expected[page] for page in mapped}

    def test_touched_pages_are_mapped_and_devices_are_not(self, name: str, vm: str) -> None:
        known = truth(name)["vms"][vm]
        mapped = pages(leaves(name, f"vm{vm}"))
        devices = {gpa >> 12 for _, gpa in known["mmio"]}
        assert {gpa >> 12 for _, gpa, _ in known["touched"]} - devices <= mapped.keys()
        assert not devices & mapped.keys()
        marked = {mishap.address >> 12 for mishap in walked(name, f"vm{vm}").mishaps}
        assert devices == marked

    def test_slots_that_are_read_only_or_logged_are_not_writable(self, name: str, vm: str) -> None:
        for slot in truth(name)["vms"][vm]["slots"]:
            if slot["ro"] or slot["log"]:
                inside = range(slot["gpa"] >> 12, (slot["gpa"] + slot["size"]) >> 12)
                rights = [granted for page, (_, granted) in pages(leaves(name, f"vm{vm}")).items() if page in inside]
                assert rights
                assert not any("W" in granted for granted in rights)

    def test_the_guests_own_tables_lead_where_it_went(self, name: str, vm: str) -> None:
        known = truth(name)["vms"][vm]
        mapped = pages(leaves(name, f"vm{vm}-guest"))
        touched = [(gva, gpa) for gva, gpa, *_ in known["touched"] + known["mmio"]]
        assert {gva >> 12: mapped[gva >> 12][0] for gva, _ in touched} == {gva >> 12: gpa >> 12 for gva, gpa in touched}

    def test_a_guest_reaches_only_what_its_nested_table_grants(self, name: str, vm: str) -> None:
        guest, nested = walked(name, f"vm{vm}-guest"), walked(name, f"vm{vm}")
        outside = Ranges.union(guest.spans.parts.values()) - Ranges.union(nested.spans.parts.values())
        assert not outside
        assert guest.unmapped > 0


def test_shadow_tables_lead_to_the_frames_of_the_page_map() -> None:
    for vm in ("0", "1"):
        known = truth("shadow-npt0")["vms"][vm]
        frames = {
            (gpa >> 12) + n: (hpa >> 12) + n
            for gpa, hpa, count in known["populated_gpa_hpa_runs"]
            for n in range(count)
        }
        mapped = pages(leaves("shadow-npt0", f"vm{vm}"))
        touched = [(gva >> 12, gpa >> 12) for gva, gpa, _ in known["touched"]]
        assert {page: mapped[page][0] for page, _ in touched} == {page: frames[guest] for page, guest in touched}


@pytest.mark.parametrize("process", [0, 1])
def test_pages_of_a_process_are_those_of_its_page_map(process: int) -> None:
    mapped = pages(leaves("pt-la48-pti", f"cpu{process}"))
    listed = [entry for entry in truth("pt-la48-pti")["pagemap"] if entry[0] == process]
    shown = {va >> 12: (pa >> 12, permissions) for _, va, pa, _, permissions in listed if "---" not in permissions}
    for page, (frame, permissions) in shown.items():
        found, rights = mapped[page]
        assert found == frame
        assert "U" in rights
        assert ("x" in permissions) or "X" not in rights
        assert ("w" in permissions) or "W" not in rights
    hidden = {va >> 12 for _, va, _, _, permissions in listed if "---" in permissions}
    assert hidden
    assert not hidden & mapped.keys()


def test_frames_that_two_processes_may_write_are_the_expected_ones() -> None:
    wanted = Rights.WRITE | Rights.USER
    both = [
        Ranges.union(
            ranges for rights, ranges in walked("pt-la48-pti", cpu).spans.parts.items() if rights & wanted == wanted
        )
        for cpu in ("cpu0", "cpu1")
    ]
    expected = [int(address, 16) >> 12 for address in truth("pt-la48-pti")["writable_in_both"]]
    assert [frame for first, end in both[0] & both[1] for frame in range(first, end)] == expected


def test_user_pages_of_each_half_of_page_table_isolation_are_the_expected_ones() -> None:
    for root, expected in truth("pt-la48-pti")["expect"]["roots"].items():
        mapped = pages(leaves("pt-la48-pti", root)).values()
        assert sum("U" in rights for _, rights in mapped) == expected["user_accessible_pages"]
        assert sum({"U", "W", "X"} <= rights for _, rights in mapped) == expected["user_wx_pages"]
        assert walked("pt-la48-pti", root).root.kind is Kind.X86
