"""Tables that the reference monitor has built, walked by the audit, by the plain walk and by the monitor's hardware."""

from __future__ import annotations

import pytest

from audit.formats import Options
from audit.photograph import Kind, Root
from audit.ranges import Ranges
from audit.reach import Rights
from audit.walk import TableReach, reach
from impl.machine.fields import NORMAL_VM
from impl.machine.layout import is_normal
from impl.machine.mmu import nested_walk
from impl.machine.primitives import NestedFormat
from refinement.traces.photograph import GUEST, NESTED, ROOT_LEVEL, enclaves
from refinement.traces.world import PAGE, READ, World
from tests.audit.memory import MemoryPhotograph
from tests.audit.plain_walker import Processor, Walker, through
from tests.audit.test_walk import by_rights, of_spans

KINDS = {NestedFormat.EPT: Kind.EPT, NestedFormat.NPT: Kind.NPT}


def world_with_enclaves(nested: NestedFormat) -> World:
    """Two enclaves, one of which shares a page with its process."""
    world = World(nested)
    first = world.build()
    world.build(base=0x20_0000_0000)
    shared = world.allocate()
    world.map_user(0x7000_0000, shared)
    assert world.share(first, 0x7000_0000, 0x7000_0000 + PAGE).code == 0
    return world


@pytest.mark.parametrize("nested", list(NestedFormat))
def test_the_monitors_tables_reach_what_hardware_finds_there(nested: NestedFormat) -> None:
    machine = world_with_enclaves(nested).machine
    memory = {frame: list(words) for frame, words in machine.storage.physical.frames.items()}
    photograph = MemoryPhotograph(memory)
    assert len(enclaves(machine)) == 2
    for owner in enclaves(machine):
        nested_frame, guest_frame = (machine.storage.table_at[kind, owner, ROOT_LEVEL, 0] for kind in (NESTED, GUEST))
        outer = Walker(memory, KINDS[nested].value, 4, nested_frame, Processor())
        inner = Walker(memory, "x86", 4, guest_frame, Processor(), outer)
        below = reach(photograph, Root("n", KINDS[nested], 4, nested_frame), Options())
        guest = reach(photograph, Root("g", Kind.X86, 4, guest_frame, inside="n"), Options(), below)
        assert of_spans(below) == by_rights((leaf.first, leaf.count, leaf.rights) for leaf in outer.leaves())
        assert of_spans(guest) == by_rights(through(inner.leaves(), outer.leaves()))
        assert guest.spans.parts
        assert not guest.mishaps
        for leaf in outer.leaves():
            found = nested_walk(machine, nested_frame, leaf.address >> 12)
            assert found.frame == leaf.first
            assert bool(found.rights & READ) == ("R" in leaf.rights)


@pytest.mark.parametrize("nested", list(NestedFormat))
def test_the_normal_vm_may_write_normal_memory_and_beyond_it_read_zeros(nested: NestedFormat) -> None:
    machine = world_with_enclaves(nested).machine
    memory = {frame: list(words) for frame, words in machine.storage.physical.frames.items()}
    frame = machine.storage.table_at[NESTED, NORMAL_VM, ROOT_LEVEL, 0]
    result = reach(MemoryPhotograph(memory), Root("n", KINDS[nested], 4, frame), Options())
    normal = [one for one in range(machine.layout.memory_end) if is_normal(machine.layout, one)]
    reached = {right: frames_with(result, right) for right in (Rights.READ, Rights.WRITE)}
    assert reached[Rights.WRITE] == normal
    assert sorted({*reached[Rights.READ]} - {*normal}) == [machine.layout.zero_frame]


def frames_with(result: TableReach, right: Rights) -> list[int]:
    frames = Ranges.union(ranges for rights, ranges in result.spans.parts.items() if rights & right)
    return [one for first, end in frames for one in range(first, end)]
