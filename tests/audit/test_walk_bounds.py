"""Tables that would take for ever if they were enumerated, and bounds that are told in one sentence."""

from __future__ import annotations

import pytest

from audit import frontier, gathering
from audit.formats import Options
from audit.photograph import BadInputError, Kind, Root
from audit.reach import MISHAPS, Rights, Trouble
from audit.walk import TableReach, reach
from tests.audit.memory import MemoryPhotograph

RWX = Rights.READ | Rights.WRITE | Rights.EXECUTE
ALL = RWX | Rights.USER


def walk(memory: dict[int, list[int]], kind: Kind = Kind.NPT, levels: int = 4, **options) -> TableReach:
    return reach(MemoryPhotograph(memory), Root("r", kind, levels, 1), Options(**options))


def chain(levels: int, last: list[int]) -> dict[int, list[int]]:
    """Tables 1, 2, ... of falling level, each of which leads to the next by its first entry."""
    memory = {number: [(number + 1) << 12 | 7] + [0] * 511 for number in range(1, levels)}
    return memory | {levels: last}


def test_aliases_by_the_thousand_million_are_one_frame():
    memory = {number: [(number + 1) << 12 | 7] * 512 for number in range(1, 5)}
    result = walk(memory, levels=4)
    assert {rights: list(ranges) for rights, ranges in result.spans.parts.items()} == {RWX: [(5, 6)]}
    assert result.leaves[1] == 512**4
    assert len(list(result.ways(5, 1, RWX))) == 4


def test_five_levels_of_self_maps_end():
    result = walk({1: [1 << 12 | 7] * 512}, Kind.X86, levels=5)
    assert {rights: list(ranges) for rights, ranges in result.spans.parts.items()} == {
        ALL: [(1, 2)],
        ALL | Rights.UPPER: [(1, 2)],
    }
    assert result.leaves[1] == 512**5
    assert result.tables.tolist() == [1]


def test_tables_that_lead_to_each_other_on_all_levels_are_read_once_a_level():
    memory = {number: [(1 + (number + index) % 64) << 12 | 7 for index in range(512)] for number in range(1, 65)}
    result = walk(memory)
    assert {rights: list(ranges) for rights, ranges in result.spans.parts.items()} == {RWX: [(1, 65)]}
    assert result.tables.tolist() == list(range(1, 65))


def test_a_leaf_of_a_gibibyte_stays_one_range():
    memory = chain(2, [0] * 512)
    memory[2][3] = 5 << 30 | 0x87
    result = walk(memory)
    assert {rights: list(ranges) for rights, ranges in result.spans.parts.items()} == {RWX: [(5 << 18, 6 << 18)]}
    assert result.leaves[3] == 1


def test_a_guest_of_huge_leaves_meets_nested_aliases_without_enumerating_them():
    memory = {10: [11 << 12 | 7] * 512, 11: [number << 30 | 0x87 for number in range(512)]}
    memory |= {1: [2 << 12 | 7] * 512, 2: [3 << 12 | 7] * 512, 3: [4 << 12 | 7] * 512, 4: [10 << 12 | 7] * 512}
    memory[4][11] = 11 << 12 | 5
    photograph = MemoryPhotograph(memory)
    nested = reach(photograph, Root("n", Kind.NPT, 4, 1), Options())
    guest = reach(photograph, Root("g", Kind.X86, 4, 10, inside="n"), Options(), nested)
    assert guest.tables.tolist() == [10, 11]
    assert guest.unmapped == 0
    assert {rights & ~Rights.UPPER for rights in guest.spans.parts} == {ALL, ALL & ~Rights.WRITE}


def test_an_absent_root_is_a_trouble_of_its_own():
    result = walk({})
    assert [(one.trouble, one.table, one.index) for one in result.mishaps] == [(Trouble.ABSENT, 1, -1)]
    assert not result.spans.parts


def test_a_root_beyond_maxphyaddr_is_outside():
    root = Root("r", Kind.X86, 4, 1 << 28)
    result = reach(MemoryPhotograph({1 << 28: [7] * 512}), root, Options(maxphyaddr=40))
    assert [one.trouble for one in result.mishaps] == [Trouble.OUTSIDE]
    assert not result.spans.parts


def test_mishaps_are_all_counted_and_the_lowest_are_kept():
    memory = chain(2, [3 << 12 | 7] * 512) | {3: [(512 + index) << 12 | 7 for index in range(512)]}
    memory |= {512 + index: [1 << 51 | 7] * 512 for index in range(512)}
    result = walk(memory, maxphyaddr=40)
    assert result.troubles == {Trouble.RESERVED: 512 * 512}
    assert [one.address >> 12 for one in result.mishaps] == list(range(MISHAPS))


def test_frames_in_more_regions_than_fit_on_the_board_are_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gathering, "REGIONS", 2)
    frames = [number << gathering.REGION_BITS | number & 1 for number in range(512)]
    result = walk(chain(4, [frame << 12 | 7 for frame in frames]))
    assert list(result.spans.exactly(RWX)) == [(frame, frame + 1) for frame in frames]


def test_a_range_that_crosses_a_region_is_one():
    first = (1 << gathering.REGION_BITS) - 256
    result = walk(chain(4, [(first + number) << 12 | 7 for number in range(512)]))
    assert list(result.spans.exactly(RWX)) == [(first, first + 512)]


def test_more_separate_ranges_than_an_audit_takes_are_bad_input(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gathering, "LARGEST", 100)
    with pytest.raises(BadInputError, match=r"^memory, root r: reaches more than 100 separate ranges of frames$"):
        walk(chain(4, [(2 * number + 8) << 12 | 7 for number in range(512)]))


def test_more_tables_than_any_machine_has_are_bad_input(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(frontier, "MOST_TABLES", 100)
    monkeypatch.setattr(frontier, "_PENDING", 200)
    with pytest.raises(BadInputError, match=r"^memory, root r: more than 100 different tables on one level$"):
        walk(chain(3, [(number + 8) << 12 | 7 for number in range(512)]))


def test_a_guest_table_that_is_not_mapped_is_untranslated_and_one_whose_nested_table_is_absent_is_absent():
    memory = chain(4, [0] * 512)
    memory[4][20], memory[4][21] = 20 << 12 | 7, 21 << 12 | 7
    memory[3][1] = 99 << 12 | 7
    memory |= {20: [21 << 12 | 7] + [0] * 511, 21: [22 << 12 | 7, 600 << 12 | 7] + [0] * 510}
    photograph = MemoryPhotograph(memory)
    nested = reach(photograph, Root("n", Kind.NPT, 4, 1), Options())
    guest = reach(photograph, Root("g", Kind.X86, 4, 20, inside="n"), Options(), nested)
    found = {(one.trouble, one.table, one.index, one.level) for one in guest.mishaps}
    assert found == {(Trouble.UNTRANSLATED, 21, 0, 3), (Trouble.ABSENT, 21, 1, 3)}


def test_a_guests_page_below_an_absent_nested_table_is_a_trouble_of_the_nested_table():
    memory = chain(4, [0] * 512)
    memory[4][20:24] = [frame << 12 | 7 for frame in range(20, 24)]
    memory[3][1] = 99 << 12 | 7
    memory |= {frame: [(frame + 1) << 12 | 7] + [0] * 511 for frame in (20, 21, 22)}
    memory[23] = [(512 + 5) << 12 | 7, 20 << 12 | 7] + [0] * 510
    photograph = MemoryPhotograph(memory)
    nested = reach(photograph, Root("n", Kind.NPT, 4, 1), Options())
    guest = reach(photograph, Root("g", Kind.X86, 4, 20, inside="n"), Options(), nested)
    found = {(one.trouble, one.table, one.index, one.level, one.nested) for one in guest.mishaps}
    assert found == {(Trouble.ABSENT, 3, 1, 2, True)}
    assert guest.unmapped == 1
    assert list(guest.spans.exactly(ALL)) == [(20, 21)]


def test_five_levels_of_nested_tables_translate_five_levels_of_a_guest():
    memory = chain(5, [0] * 512)
    memory[5][20:25] = [frame << 12 | 7 for frame in range(20, 25)]
    memory |= {frame: [(frame + 1) << 12 | 7] + [0] * 511 for frame in (20, 21, 22, 23)}
    memory[24] = [0] * 511 + [22 << 12 | 5]
    photograph = MemoryPhotograph(memory)
    nested = reach(photograph, Root("n", Kind.EPT, 5, 1), Options())
    guest = reach(photograph, Root("g", Kind.X86, 5, 20, inside="n"), Options(), nested)
    assert list(guest.spans.exactly(RWX & ~Rights.WRITE | Rights.USER)) == [(22, 23)]
    (way,) = guest.ways(22, 1, Rights.READ)
    assert way.address == 511 << 12
    assert [step.level for step in way.steps] == [5, 4, 3, 2, 1, 5, 4, 3, 2, 1]
