"""Refusals of EENTER, ERESUME and EEXIT, and of calls from inside an enclave."""

from __future__ import annotations

import pytest

from impl.machine.registers import CR3
from impl.monitor.codes import Code
from tests.impl.refusing import delivered, refused
from tests.impl.world import AEP, PAGE, READ, REG, TCS, Enclave, World, secinfo, tcs_bytes

BASE = 0x10_0000_0000


@pytest.fixture
def world() -> World:
    return World()


def test_enter(world: World) -> None:
    enclave = world.build()
    assert world.call("enter", rbx=enclave.tcs, rcx=1 << 63).code is Code.GENERAL_PROTECTION
    refused(world, Code.EIO, lambda: world.enter(enclave, name="resume"))
    normal = world.allocate()
    world.map_user(0x40_0000, normal)
    world.map_user(0x40_1000, enclave.pages[BASE])  # a REG page
    world.map_user(0x40_2000, enclave.pages[enclave.tcs])  # the TCS elsewhere
    world.map_user(0x40_3000, world.layout.epc_end - 1)  # a free EPC page
    for address in (0x40_0000, 0x40_1000, 0x40_2000, 0x40_3000, 0x50_0000, enclave.tcs + 8):
        refused(world, Code.PAGE_FAULT, lambda a=address: world.call("enter", rbx=a, rcx=AEP))
    for bits in (3, 5, 6):
        world.map_user(enclave.tcs, enclave.pages[enclave.tcs], bits)
        refused(world, Code.PAGE_FAULT, lambda: world.enter(enclave))
    world.map_user(enclave.tcs, enclave.pages[enclave.tcs])
    assert world.enter(enclave, cpu=1).code == 0
    refused(world, Code.EBUSY, lambda: world.enter(enclave))
    assert world.call("prepare_destroy", enclave.secs).code is Code.EENCLAVEACT
    refused(world, Code.EINVAL, lambda: world.enter(enclave))


def test_enter_before_initialisation_and_over_the_stack(world: World) -> None:
    _, enclave = world.create()
    assert world.add(enclave, 4 * PAGE, tcs_bytes(), secinfo(TCS, 0)).code == 0
    refused(world, Code.EINVAL, lambda: world.enter(enclave))
    other = world.build(BASE << 1)
    for _ in range(2):
        assert world.enter(other).code == 0
        world.monitor.interrupt(0, 32)
    refused(world, Code.EINVAL, lambda: world.enter(other))


@pytest.mark.parametrize(
    ("ossa", "info"),
    [(15 * PAGE, None), (14 * PAGE, secinfo(REG, READ)), (4 * PAGE, None)],
    ids=["no page", "read-only", "over the TCS"],
)
def test_enter_with_an_unusable_ssa(world: World, ossa: int, info: int | None) -> None:
    _, enclave = world.create()
    assert world.add(enclave, 4 * PAGE, tcs_bytes(ossa=ossa), secinfo(TCS, 0)).code == 0
    if info is not None:
        assert world.add(enclave, ossa, b"", info).code == 0
    assert world.initialize(enclave).code == 0
    refused(world, Code.EINVAL, lambda: world.enter(enclave))


def interrupted(world: World, ossa: int, end: int) -> Enclave:
    """An enclave whose TCS has one SSA frame in use and the next at `end`."""
    _, enclave = world.create()
    assert world.add(enclave, 4 * PAGE, tcs_bytes(ossa=ossa, nssa=end), secinfo(TCS, 0)).code == 0
    for offset in (ossa, ossa + PAGE):
        world.add(enclave, offset)
    assert world.initialize(enclave).code == 0
    assert world.share(enclave, BASE + 16 * PAGE, BASE + 17 * PAGE).code == 0
    world.map_user(BASE + 16 * PAGE, world.allocate())
    assert world.enter(enclave).code == 0
    assert world.load(0, BASE + 16 * PAGE) == 0
    world.monitor.interrupt(0, 32)
    return enclave


def test_enter_with_no_ssa_frame_left(world: World) -> None:
    enclave = interrupted(world, 8 * PAGE, 1)
    refused(world, Code.EINVAL, lambda: world.enter(enclave))


def test_enter_with_ssa_in_shared_memory_beyond_elrange(world: World) -> None:
    enclave = interrupted(world, 15 * PAGE, 2)
    refused(world, Code.EINVAL, lambda: world.enter(enclave))


def test_destruction_between_the_steps_of_an_entry(world: World) -> None:
    enclave = world.build()
    assert world.call("enter", rbx=enclave.tcs, rcx=AEP).pending
    assert world.call("prepare_destroy", enclave.secs, cpu=1).code is Code.EENCLAVEACT
    world.set_ip(0x5000)
    assert world.monitor.complete_entry(0).code is Code.EINVAL
    delivered(world, Code.EINVAL)
    assert world.call("prepare_destroy", enclave.secs, cpu=1).code == 0
    assert not world.s.sparse["busy"]


def test_page_tables_outside_normal_memory(world: World) -> None:
    enclave = world.build()
    for frame in (world.layout.epc_first, world.layout.pool_first, world.layout.memory_end, (1 << 40) - 1):
        world.s.register[0, CR3] = frame << 12
        refused(world, Code.GENERAL_PROTECTION, lambda: world.call("prepare_destroy", enclave.secs))


def test_calls_that_an_enclave_may_not_make(world: World) -> None:
    for position, name in enumerate(("enter", "resume", "create")):
        enclave = world.build(BASE << position)
        assert world.enter(enclave).code == 0
        assert world.call(name, cpl=3).code is Code.INVALID_OPCODE
        assert world.s.cpu_mode[0] == 1
        assert world.event() == (6, 0)


def test_an_exit_to_nowhere(world: World) -> None:
    enclave = world.build()
    assert world.enter(enclave).code == 0
    assert world.call("exit", rbx=1 << 47).code is Code.GENERAL_PROTECTION
    assert world.s.cpu_mode[0] == 1
    assert world.event() == (13, 0)


def test_page_fault_error_codes(world: World) -> None:
    world.map_user(0x60_0000, world.allocate(), bits=1)
    assert world.call("enter", rbx=0x60_0000, rcx=AEP).code is Code.PAGE_FAULT
    assert world.event() == (14, 7)
    assert world.call("enter", rbx=0x61_0000, rcx=AEP).code is Code.PAGE_FAULT
    assert world.event() == (14, 6)
    assert world.call("prepare_destroy", 0x61_0000).code is Code.PAGE_FAULT
    assert world.event() == (14, 0)
