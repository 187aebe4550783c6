"""Who reaches which memory: the normal VM, enclaves and devices, through the modelled hardware, in both formats."""

from __future__ import annotations

import pytest

from impl.machine import iommu, mmu
from impl.machine.primitives import NestedFormat
from impl.machine.registers import CPL, CR2, CR3
from tests.impl.world import KERNEL, PAGE, READ, REG, World, secinfo

SHARED = 0x5000_0000


@pytest.fixture(params=list(NestedFormat), ids=lambda n: n.name)
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


def test_normal_vm(world: World) -> None:
    frame = world.allocate()
    address = world.kernel_address(frame)
    assert world.store(0, address + 8, 99)
    assert world.load(0, address + 8) == 99
    assert world.s.memory[frame, 1] == 99
    assert world.fetch(0, address + 8) == 99


def test_reserved_memory_reads_as_zero_and_cannot_be_written(world: World) -> None:
    enclave = world.build()
    for frame in (
        enclave.pages[enclave.base],
        world.layout.pool_first,
        world.layout.monitor_first,
        world.layout.epc_end - 1,
    ):
        address = world.kernel_address(frame)
        assert world.load(0, address) == 0
        assert not world.store(0, address, 1)
        assert world.fetch(0, address) is None
        assert iommu.dma_load(world.machine, frame, 0) == iommu.Access(False, 0)
        assert not iommu.dma_store(world.machine, frame, 0, 1)


def test_the_device_hole_and_beyond(world: World) -> None:
    assert world.load(0, world.kernel_address(world.layout.device_first)) is None
    assert not iommu.dma_load(world.machine, world.layout.device_first, 0).granted
    assert not iommu.dma_load(world.machine, 1 << 36, 0).granted
    world.map_user(0x9000, (1 << 36) + 5)
    assert mmu.fill(world.machine, 0, 9).kind is mmu.Kind.NESTED_FAULT


def test_devices_reach_normal_memory(world: World) -> None:
    frame = world.allocate()
    assert iommu.dma_store(world.machine, frame, 3, 7)
    assert iommu.dma_load(world.machine, frame, 3) == iommu.Access(True, 7)


def test_rights_of_the_guest_table(world: World) -> None:
    frame = world.allocate()
    for bits, user, rights in (
        (7, True, 7),
        (5, True, 5),
        (3, True, 0),
        (3, False, 7),
        (6, False, 0),
        (5 | 1 << 63, True, 1),
    ):
        world.map_user(0x9000, frame, bits)
        world.s.register[0, CPL] = 3 if user else 0
        assert mmu.walk(world.machine, 0, 9).rights == rights


def test_large_leaves(world: World) -> None:
    upper = world.allocate()
    world.s.memory[world.root, 1] = upper << 12 | 7
    world.s.memory[upper, 0] = 0x87  # 1 GiB at 0
    frame = world.allocate()
    page = (1 << 27) + frame
    assert mmu.walk(world.machine, 0, page) == mmu.Walk(mmu.Kind.TRANSLATED, frame, 7)
    assert mmu.walk(world.machine, 0, ((KERNEL >> 12) + frame) & ((1 << 36) - 1)).frame == frame


def test_page_tables_in_reserved_memory_are_empty(world: World) -> None:
    enclave = world.build()
    world.s.register[0, CR3] = enclave.pages[enclave.base] << 12
    assert mmu.fill(world.machine, 0, 0).kind is mmu.Kind.GUEST_FAULT


def test_an_enclave_reaches_its_pages_with_their_rights(world: World) -> None:
    enclave = world.build()
    base = enclave.base
    assert world.enter(enclave).code == 0
    assert world.load(0, base) == int.from_bytes(b"\x90code\0\0\0", "little")
    assert world.fetch(0, base) is not None
    assert world.store(0, base + PAGE, 5)
    assert world.s.memory[enclave.pages[base + PAGE], 0] == 5
    assert not world.store(0, base, 1)
    assert world.event() == (14, 7)
    assert world.s.register[0, CR2] == base


@pytest.mark.parametrize("offset", [4, 9], ids=["TCS", "no page"])
def test_an_enclave_faults_on_a_tcs_and_on_nothing(world: World, offset: int) -> None:
    enclave = world.build()
    assert world.enter(enclave).code == 0
    assert world.load(0, enclave.base + offset * PAGE) is None
    assert world.event() == (14, 5 if offset == 4 else 4)


def test_an_enclave_does_not_reach_unregistered_memory(world: World) -> None:
    enclave = world.build()
    world.map_user(SHARED, world.allocate())
    assert world.enter(enclave).code == 0
    assert world.load(0, SHARED + 5) is None
    assert world.event() == (14, 5)
    assert world.s.register[0, CR2] == SHARED


def test_shared_memory(world: World) -> None:
    enclave, other = world.build(), world.build(0x20_0000_0000)
    frame = world.allocate()
    world.map_user(SHARED, frame)
    assert world.share(enclave, SHARED, SHARED + 2 * PAGE).code == 0
    assert world.enter(enclave).code == 0
    assert world.store(0, SHARED + 16, 42)
    assert world.s.memory[frame, 2] == 42
    assert world.load(0, SHARED + 16) == 42
    assert world.fetch(0, SHARED) is None
    assert world.event() == (14, 20)
    assert world.enter(other).code == 0
    assert world.load(0, SHARED) is None


def test_the_application_provides_the_shared_page(world: World) -> None:
    enclave = world.build()
    assert world.share(enclave, SHARED, SHARED + PAGE).code == 0
    assert world.enter(enclave).code == 0
    assert world.load(0, SHARED) is None
    assert world.event() == (14, 6)
    assert world.s.memory[enclave.pages[enclave.base + 2 * PAGE], 488] == 4 | 1 << 31
    world.map_user(SHARED, world.allocate(), bits=5)
    assert world.enter(enclave, name="resume").code == 0
    assert world.load(0, SHARED) is None
    assert world.event() == (14, 7)
    world.map_user(SHARED, world.allocate())
    assert world.enter(enclave, name="resume").code == 0
    assert world.load(0, SHARED) == 0


def test_what_cannot_stand_behind_a_shared_page(world: World) -> None:
    enclave, other = world.build(), world.build(0x20_0000_0000)
    assert world.share(enclave, SHARED, SHARED + 4 * PAGE).code == 0
    frame = world.allocate()
    world.map_user(SHARED, frame)
    assert world.enter(enclave).code == 0
    assert world.load(0, SHARED) == 0
    own, foreign = enclave.pages[enclave.base], other.pages[other.base]
    for bad in (frame, own, foreign, world.layout.pool_first, world.layout.device_first, 1 << 36):
        world.map_user(SHARED + PAGE, bad)
        assert world.load(0, SHARED + PAGE) is None
        assert world.event() == (13, 0)
        assert world.enter(enclave, name="resume").code == 0
    while world.s.pool_free[()] >= 15:
        world.machine.pool_take(2)
    world.map_user(SHARED + PAGE, world.allocate())
    assert world.load(0, SHARED + PAGE) is None
    assert world.event() == (13, 0)


def test_removing_shared_memory_removes_both_mappings(world: World) -> None:
    enclave = world.build()
    identity, frame = world.identity(enclave), world.allocate()
    world.map_user(SHARED, frame)
    assert world.share(enclave, SHARED, SHARED + 2 * PAGE).code == 0
    assert world.enter(enclave).code == 0
    assert world.store(0, SHARED, 1)
    assert world.call("exit", rbx=0x1000).code == 0
    assert world.unshare(enclave, SHARED, SHARED + 2 * PAGE).code == 0
    root = world.s.table_at[2, identity, 4, 0]
    assert mmu.nested_walk(world.machine, root, frame).kind is mmu.Kind.NESTED_FAULT
    assert world.enter(enclave).code == 0
    assert world.load(0, SHARED) is None


def test_another_cpu_was_faster(world: World) -> None:
    enclave = world.build()
    world.map_user(SHARED, world.allocate())
    assert world.share(enclave, SHARED, SHARED + PAGE).code == 0
    assert world.enter(enclave).code == 0
    assert world.load(0, SHARED) == 0
    assert world.monitor.enclave_fault(0, SHARED, READ)
    assert world.s.cpu_mode[0] == 3


def test_translations_do_not_survive_a_switch(world: World) -> None:
    enclave = world.build()
    assert world.load(0, world.kernel_address(world.allocate())) == 0
    assert world.enter(enclave).code == 0
    assert not world.s.sparse["tlb_rights"]
    assert world.load(0, enclave.base) is not None
    world.monitor.interrupt(0, 32)
    assert not world.s.sparse["tlb_rights"]


def test_evicted_translations_are_walked_again(world: World) -> None:
    enclave = world.build()
    assert world.enter(enclave).code == 0
    assert world.load(0, enclave.base) is not None
    mmu.evict(world.machine, 0, enclave.base >> 12)
    assert not mmu.load(world.machine, 0, enclave.base >> 12, 0).granted
    assert world.load(0, enclave.base) is not None


def test_life_cycle_leaves_nothing_behind(world: World) -> None:
    before = world.s.copy()
    enclave = world.build()
    world.map_user(SHARED, world.allocate())
    assert world.share(enclave, SHARED, SHARED + PAGE).code == 0
    assert world.enter(enclave).code == 0
    assert world.store(0, SHARED, 1)
    assert world.store(0, enclave.base + PAGE, 0x5EC2E7)
    world.monitor.interrupt(0, 32)
    assert world.enter(enclave, name="resume").code == 0
    assert world.load(0, enclave.base + PAGE) == 0x5EC2E7
    assert world.call("exit", rbx=0x1000).code == 0
    world.destroy(enclave)
    for name, cells in world.s.sparse.items():
        if name not in ("register", "xstate", "tlb_rights", "tlb_frame"):
            assert cells == before.sparse[name], name
    for frame in range(world.layout.epcm_first, world.layout.epc_end):
        if not world.layout.staging_first <= frame < world.layout.zero_frame:
            assert world.read(frame) == before.physical.page(frame).tobytes()
    assert not world.machine.logs


def test_a_handle_may_be_used_again(world: World) -> None:
    enclave = world.build()
    world.destroy(enclave)
    assert world.call("create", enclave.secs).code == 0
    for offset in range(3):
        assert (
            world.add(enclave, offset * PAGE, b"", secinfo(REG, READ), frame=world.layout.epc_first + offset).code == 0
        )
