"""The walk against a second one that does one entry after the other."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from audit.formats import Options
from audit.photograph import Kind, Root
from audit.ranges import Ranges
from audit.reach import Rights, Trouble
from audit.walk import TableReach, reach
from tests.audit.memory import PROCESSORS, MemoryPhotograph, entries, filled, memories
from tests.audit.plain_walker import Leaf, Letters, Processor, Walker, through

PLACES = [1, 2, 3, 5, 8, 0x1FF, 0x200, 0x3000]
GUEST_PLACES = [16, 17, 18, 20]

TROUBLES = {
    "absent": Trouble.ABSENT,
    "reserved": Trouble.RESERVED,
    "misconfigured": Trouble.MISCONFIGURED,
    "untranslated": Trouble.UNTRANSLATED,
}

often = settings(
    max_examples=100,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def named(letters: Letters) -> Rights:
    rights = Rights.NONE
    for letter, right in zip(
        "RWXSUH",
        (Rights.READ, Rights.WRITE, Rights.EXECUTE, Rights.EXECUTE, Rights.USER, Rights.UPPER),
        strict=True,
    ):
        if letter in letters:
            rights |= right
    return rights


def by_rights(granted: Iterable[tuple[int, int, Letters]]) -> dict[Rights, list[tuple[int, int]]]:
    parts: dict[Rights, list[tuple[int, int]]] = {}
    for first, count, letters in granted:
        parts.setdefault(named(letters), []).append((first, first + count))
    return {rights: list(Ranges.between(bounds)) for rights, bounds in parts.items()}


def of_spans(result: TableReach) -> dict[Rights, list[tuple[int, int]]]:
    return {rights: list(ranges) for rights, ranges in result.spans.parts.items()}


def counts(leaves: list[Leaf]) -> dict[int, int]:
    return {level: sum(leaf.level == level for leaf in leaves) for level in {leaf.level for leaf in leaves}}


def expected_mishaps(walker: Walker) -> dict[tuple[Trouble, int, int, int], tuple[int, int]]:
    """By trouble, place and level, the entry and the lowest address: tables once for a level, entries once."""
    lost: dict[tuple[str, int], tuple[Trouble, int, int, int, int, int]] = {}
    first: dict[tuple[Trouble, int, int, int], tuple[int, int]] = {}
    for trouble in walker.troubles:
        place = (TROUBLES[trouble.what], trouble.table, trouble.index, trouble.level)
        if trouble.what in ("absent", "untranslated"):
            frame = walker.root if trouble.index < 0 else walker.decode(trouble.entry, trouble.level)[1]
            lost.setdefault((f"{frame}", trouble.level), (*place, trouble.entry, trouble.address))
        else:
            first.setdefault(place, (trouble.entry, trouble.address))
    return first | {(what, table, index, level): (entry, at) for what, table, index, level, entry, at in lost.values()}


def found_mishaps(result: TableReach) -> dict[tuple[Trouble, int, int, int], tuple[int, int]]:
    own = [mishap for mishap in result.mishaps if not mishap.nested]
    return {(one.trouble, one.table, one.index, one.level): (one.entry, one.address) for one in own}


def options(processor: Processor) -> Options:
    return Options(**processor._asdict())


@often
@given(st.data(), st.sampled_from([Kind.X86, Kind.NPT, Kind.EPT]), st.sampled_from([4, 4, 5]), PROCESSORS)
def test_hostile_tables_are_walked_as_entry_by_entry(data, kind, levels, processor):
    memory = filled(data.draw(memories(PLACES)))
    walker = Walker(memory, kind.value, levels, 1, processor)
    leaves = walker.leaves()
    result = reach(MemoryPhotograph(memory), Root("r", kind, levels, 1), options(processor))
    assert of_spans(result) == by_rights((leaf.first, leaf.count, leaf.rights) for leaf in leaves)
    assert {level: number for level, number in result.leaves.items() if number} == counts(leaves)
    assert set(result.tables.tolist()) == walker.tables
    assert found_mishaps(result) == expected_mishaps(walker)


@st.composite
def nested_memories(draw: st.DrawFn) -> dict[int, list[int]]:
    """Guest tables at GUEST_PLACES below an identity map at 30 to 33 that is hostile in some places."""
    memory = draw(memories(PLACES, most=16)) | draw(memories(GUEST_PLACES, most=10))
    memory |= {30: {0: 31 << 12 | 7}, 31: {0: 32 << 12 | 7}, 32: {0: 33 << 12 | 7, 2: 33 << 12 | 5}}
    memory[33] = {place: place << 12 | 0x37 for place in range(512)}
    odd = [0, 0x55 << 12 | 4, 0x55 << 12 | 7, 17 << 12 | 0x35, 0xFFFF << 12 | 7]
    for place in draw(st.lists(st.sampled_from(PLACES[:-2] + GUEST_PLACES), max_size=4)):
        memory[33][place] = draw(st.sampled_from(odd))
    memory[draw(st.sampled_from([31, 32]))][draw(st.integers(1, 3))] = draw(entries(PLACES))
    return filled(memory)


@often
@given(nested_memories(), st.sampled_from([Kind.NPT, Kind.EPT]), st.sampled_from([4, 4, 5]), PROCESSORS)
def test_guests_are_walked_through_hostile_nested_tables(memory, kind, levels, processor):
    nested_walker = Walker(memory, kind.value, 4, 30, processor)
    guest_walker = Walker(memory, "x86", levels, 16, processor, nested_walker)
    guest_leaves = guest_walker.leaves()
    nested_leaves = nested_walker.leaves()
    photograph = MemoryPhotograph(memory)
    nested = reach(photograph, Root("n", kind, 4, 30), options(processor))
    result = reach(photograph, Root("g", Kind.X86, levels, 16, inside="n"), options(processor), nested)
    assert of_spans(result) == by_rights(through(guest_leaves, nested_leaves))
    assert set(result.tables.tolist()) == guest_walker.tables
    assert found_mishaps(result) == expected_mishaps(guest_walker)
    for rights, ranges in result.spans.parts.items():
        for first, end in ranges:
            ways = list(result.ways(first, end - first, rights, most=3))
            assert ways
            for way in ways:
                assert way.rights & rights == rights
                assert [step.entry for step in way.steps] == [memory[step.table][step.index] for step in way.steps]
                (page,) = {
                    leaf.first + (way.address - leaf.address >> 12)
                    for leaf in guest_leaves
                    if leaf.address <= way.address < leaf.address + (leaf.count << 12)
                }
                assert way.first in {
                    below.first + page - (below.address >> 12)
                    for below in nested_leaves
                    if below.address >> 12 <= page < (below.address >> 12) + below.count
                }


@often
@given(st.data(), st.sampled_from([Kind.X86, Kind.NPT, Kind.EPT]), PROCESSORS)
def test_every_span_has_a_way_and_every_way_can_be_walked(data, kind, processor):
    memory = filled(data.draw(memories(PLACES)))
    walker = Walker(memory, kind.value, 4, 1, processor)
    leaves = {(leaf.address, leaf.first, leaf.count, named(leaf.rights)) for leaf in walker.leaves()}
    result = reach(MemoryPhotograph(memory), Root("r", kind, 4, 1), options(processor))
    spans = [(first, end, rights) for rights, ranges in result.spans.parts.items() for first, end in ranges]
    for first, end, rights in spans:
        ways = list(result.ways(first, end - first, rights, most=3))
        assert ways
        for way in ways:
            assert (way.address, way.first, way.count, way.rights) in leaves
            assert way.rights & rights == rights
            assert [step.entry for step in way.steps] == [memory[step.table][step.index] for step in way.steps]
            assert way.first < end
            assert first < way.first + way.count
