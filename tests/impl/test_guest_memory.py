"""The software walk against the hardware's, and memory that changes while the monitor reads it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impl.machine import mmu
from impl.machine.layout import is_normal
from impl.machine.registers import CPL, CR3
from impl.monitor.codes import Code, Refusal
from impl.monitor.guest_memory import is_canonical, translate
from tests.impl.world import KERNEL, PAGE, REG, WRITE, World, secinfo

WORLD = World()
TABLES = [WORLD.allocate() for _ in range(4)]
ENTRY = st.builds(
    lambda frame, bits, large: frame << 12 | bits | (0x80 if large else 0),
    st.sampled_from([*TABLES, 0, 20, WORLD.layout.device_first - 1]),
    st.sampled_from([7, 7, 7, 5, 3, 6, 0]),
    st.booleans(),
)


def software_walk(address: int, write: bool, user: bool) -> tuple[int, Code]:
    try:
        return translate(WORLD.machine, 0, address, write, user), Code.OK
    except Refusal as refusal:
        return 0, refusal.code


@given(st.lists(ENTRY, min_size=16, max_size=16), st.integers(0, 255), st.booleans(), st.booleans())
def test_the_software_walk_agrees_with_the_hardware(entries: list[int], path: int, write: bool, user: bool) -> None:
    for k, entry in enumerate(entries):
        WORLD.s.memory[TABLES[k >> 2], k & 3] = entry
    address = sum((path >> 2 * level & 3) << 12 + 9 * level for level in range(4))
    WORLD.s.register[0, CR3] = TABLES[0] << 12
    WORLD.s.register[0, CPL] = 3 if user else 0
    hardware = mmu.walk(WORLD.machine, 0, address >> 12)
    granted = hardware.rights & (2 if write else 1) != 0
    frame, code = software_walk(address, write, user)
    if code is Code.PAGE_FAULT:
        assert not granted
    if code is Code.OK and is_normal(WORLD.layout, frame):
        assert granted
        assert hardware.frame == frame


@given(st.integers(0, (1 << 64) - 1))
def test_canonical_addresses(address: int) -> None:
    assert is_canonical(address) == (address >> 47 in (0, 0x1FFFF))
    assert is_canonical(address & (1 << 47) - 1)
    assert is_canonical(address | 0x1FFFF << 47)


def test_a_source_page_that_changes_while_it_is_copied_is_measured_as_it_was_copied() -> None:
    world = World()
    _, enclave = world.create()
    source = world.allocate()

    def change(frame: int, index: int) -> None:
        if frame == source:
            world.s.memory[frame, index] += 1
            world.s.memory[frame, 511 - index] += 1

    frame = world.allocate_epc()
    descriptor = world.new_page(enclave.secs, source << 12, enclave.base, frame << 12, secinfo(REG, 3), 3)
    world.machine.on_fetch = change
    assert world.call("add_page", descriptor).code == 0
    world.machine.on_fetch = None
    again = World()
    _, copy = again.create()
    assert again.add(copy, 0, world.read(frame)).code == 0
    assert again.measured(copy) == world.measured(enclave)
    assert world.s.memory[frame, 0] == 1
    assert world.s.memory[frame, 511] == 2


def test_each_word_of_a_descriptor_is_fetched_once() -> None:
    world = World()
    _, enclave = world.create()
    info = world.place_words(secinfo(REG, 1))
    frame = world.allocate_epc()
    words = (enclave.secs, world.allocate() << 12, enclave.base, frame << 12, info, 3)
    descriptor = world.place_words(*words)
    seen: list[tuple[int, int]] = []

    def change(place: int, index: int) -> None:
        seen.append((place, index))
        if len(seen) > 1 and seen[-2] == ((info - KERNEL) >> 12, 0):
            world.s.memory[(info - KERNEL) >> 12, 0] = secinfo(REG, 1 | WRITE)

    world.machine.on_fetch = change
    assert world.call("add_page", descriptor).code == 0
    data = [place for place in seen if place[0] in {(info - KERNEL) >> 12, (descriptor - KERNEL) >> 12}]
    assert len(data) == len(set(data)) == 7
    assert world.s.epcm[frame, 0] >> 8 & 0xFF == 0x81


@pytest.mark.parametrize("offset", [PAGE - 40, PAGE - 8])
def test_a_descriptor_across_pages_is_refused(offset: int) -> None:
    world = World()
    address = world.place(b"") + offset
    assert world.call("add_page", address).code is Code.GENERAL_PROTECTION
