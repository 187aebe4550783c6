"""Entering and leaving an enclave: every register, the SSA frame byte by byte, and what the normal VM gets to see."""

from __future__ import annotations

import struct

import pytest

from impl.machine import registers as r
from impl.machine.primitives import NestedFormat
from tests.impl.world import AEP, PAGE, Enclave, World

FORMATS = pytest.mark.parametrize("nested", list(NestedFormat), ids=lambda n: n.name)


def entered(nested: NestedFormat = NestedFormat.EPT) -> tuple[World, Enclave]:
    world = World(nested)
    enclave = world.build()
    for number in r.GENERAL:
        world.s.register[0, number] = 0x1000 + number
    world.s.register[0, r.RIP] = 0x400000
    world.s.register[0, r.RFLAGS] = 0x47FD7 | 0x400
    world.s.register[0, r.IDT_BASE] = 0xFFFF_8000_0000_1000
    world.s.register[0, r.IDT_LIMIT] = 0xFFF
    assert world.enter(enclave).code == 0
    return world, enclave


@FORMATS
def test_registers_after_enter(nested: NestedFormat) -> None:
    world, enclave = entered(nested)
    s, identity = world.s, world.identity(enclave)
    assert s.register[0, r.RIP] == enclave.base + 0x10
    assert s.register[0, r.FS_BASE] == s.register[0, r.GS_BASE] == enclave.base + PAGE
    assert s.register[0, r.RAX] == 0
    assert s.register[0, r.RCX] == 0x400003
    assert s.register[0, r.RFLAGS] == 0xAD7  # arithmetic flags kept; TF, DF, IOPL, NT, AC cleared; IF set
    assert s.register[0, r.EFER] == 0xD00
    assert s.register[0, r.IDT_BASE] == s.register[0, r.IDT_LIMIT] == 0
    assert s.register[0, r.XCR0] == 3
    assert s.register[0, r.CR3] == s.table_at[1, identity, 4, 0] << 12
    assert s.register[0, r.NESTED_ROOT] == s.table_at[2, identity, 4, 0] << 12
    assert [s.register[0, n] for n in range(8, 16)] == [0x1000 + n for n in range(8, 16)]
    tcs = world.read(enclave.pages[enclave.tcs])
    assert struct.unpack_from("<Q", tcs, 40) == (AEP,)
    ssa = world.read(enclave.pages[enclave.base + 2 * PAGE])
    assert struct.unpack_from("<QQ", ssa, 4056) == (0x1000 + r.RSP, 0x1000 + r.RBP)


def test_ssa_frame_and_synthetic_state_after_an_exception() -> None:
    world, enclave = entered()
    s = world.s
    for number in r.GENERAL:
        s.register[0, number] = 0xABC0 + number
    s.register[0, r.RIP] = enclave.base + 0x44
    s.register[0, r.FS_BASE] = 0x1234
    for k in range(r.XSTATE_WORDS):
        s.xstate[0, k] = 0x5E00 + k
    assert world.load(0, enclave.base + 9 * PAGE + 0x123) is None
    ssa = world.read(enclave.pages[enclave.base + 2 * PAGE])
    assert struct.unpack_from("<72Q", ssa) == tuple(0x5E00 + k for k in range(72))
    assert struct.unpack_from("<QI", ssa, 3896) == (enclave.base + 9 * PAGE + 0x123, 4)
    assert struct.unpack_from("<16Q", ssa, 3912) == tuple(0xABC0 + n for n in range(16))
    assert struct.unpack_from("<QQ", ssa, 4040) == (0xAD7, enclave.base + 0x44)
    assert struct.unpack_from("<I", ssa, 4072) == (0x8000030E,)
    assert struct.unpack_from("<QQ", ssa, 4080) == (0x1234, enclave.base + PAGE)
    assert struct.unpack_from("<II", world.read(enclave.pages[enclave.tcs]), 24) == (1, 2)

    general = dict.fromkeys(r.GENERAL, 0)
    general |= {r.RAX: 0x80000005, r.RBX: enclave.tcs, r.RCX: AEP, r.RSP: 0x1000 + r.RSP, r.RBP: 0x1000 + r.RBP}
    assert {n: s.register[0, n] for n in r.GENERAL} == general
    assert s.register[0, r.RIP] == AEP
    assert s.register[0, r.CR2] == enclave.base + 9 * PAGE
    assert world.event() == (14, 4)
    assert s.register[0, r.CR3] == world.root << 12
    assert s.register[0, r.IDT_LIMIT] == 0xFFF
    assert s.register[0, r.EFER] == 0xD01
    assert [s.xstate[0, k] for k in range(5)] == [0x37F, 0, 0, 0x1F80, 0]
    assert not any(s.xstate[0, k] for k in range(4, r.XSTATE_WORDS))
    assert (s.cpu_mode[0], s.cpu_enclave[0], s.cpu_tcs[0], s.cpu_ssa[0]) == (1, 0, 0, 0)
    assert not s.sparse["saved_register"]
    assert not s.sparse["busy"]


@pytest.mark.parametrize(
    ("vector", "information"),
    [(0, 0x80000300), (3, 0x80000603), (6, 0x80000306), (13, 0x8000030D), (19, 0x80000313), (2, 2), (18, 18)],
)
def test_exit_information(vector: int, information: int) -> None:
    world, enclave = entered()
    world.monitor.exception(0, vector)
    assert struct.unpack_from("<I", world.read(enclave.pages[enclave.base + 2 * PAGE]), 4072) == (information,)
    assert world.event()[0] == vector


def test_an_interrupt_is_handed_on_without_valid_information() -> None:
    world, enclave = entered()
    world.monitor.interrupt(0, 0x41)
    assert struct.unpack_from("<I", world.read(enclave.pages[enclave.base + 2 * PAGE]), 4072) == (0x41,)
    assert world.event() == (0x41, 0)
    world.monitor.interrupt(1, 0x42)
    assert world.event(1) == (0x42, 0)


@FORMATS
def test_resume_gives_everything_back(nested: NestedFormat) -> None:
    world, enclave = entered(nested)
    s = world.s
    for number in r.GENERAL:
        s.register[0, number] = 0xABC0 + number
    s.register[0, r.RFLAGS] = 0x246 | 0x400
    before = {n: s.register[0, n] for n in range(28)}
    xstate = [s.xstate[0, k] for k in range(r.XSTATE_WORDS)]
    world.monitor.interrupt(0, 32)
    s.register[0, r.RFLAGS] = 0x100
    s.xstate[0, 20] = 77
    assert world.enter(enclave, name="resume", aep=AEP + 16).code == 0
    assert {n: s.register[0, n] for n in range(28)} == before
    assert [s.xstate[0, k] for k in range(r.XSTATE_WORDS)] == xstate
    assert struct.unpack_from("<II", world.read(enclave.pages[enclave.tcs]), 24) == (0, 2)
    world.monitor.interrupt(0, 32)
    assert s.register[0, r.RIP] == AEP + 16


def test_resume_masks_what_another_thread_wrote_into_the_ssa_frame() -> None:
    world, enclave = entered()
    world.monitor.interrupt(0, 32)
    ssa = enclave.pages[enclave.base + 2 * PAGE]
    for k in range(512):
        world.s.memory[ssa, k] = (1 << 64) - 1
    assert world.enter(enclave, name="resume").code == 0
    s = world.s
    assert s.register[0, r.RFLAGS] == 0x240ED7  # no TF, IOPL, NT, RF, VM
    assert s.register[0, r.RIP] == s.register[0, r.FS_BASE] == s.register[0, r.GS_BASE] == (1 << 47) - 1
    assert s.xstate[0, 3] == 0xFFFFFFFF_0000FFFF
    assert s.xstate[0, 64] == 3
    assert not any(s.xstate[0, k] for k in range(65, 72))
    assert world.machine.memory_is_zero(world.layout.staging_first, 0, 512)


def test_exit() -> None:
    world, enclave = entered()
    s = world.s
    for number in r.GENERAL:
        s.register[0, number] = 0xABC0 + number
    s.register[0, r.RAX] = 0x80000001
    s.register[0, r.RBX] = 0x123456
    s.xstate[0, 9] = 5
    assert world.monitor.dispatch(0).code == 0
    assert s.register[0, r.RIP] == 0x123456
    assert s.register[0, r.RCX] == AEP
    assert s.register[0, r.RSI] == 0xABC0 + r.RSI
    assert s.xstate[0, 9] == 5
    assert s.register[0, r.CR3] == world.root << 12
    assert s.cpu_mode[0] == 1
    assert s.thread_total[world.identity(enclave)] == 0


def test_nested_interruptions_use_further_ssa_frames() -> None:
    world, enclave = entered()
    world.monitor.interrupt(0, 32)
    assert world.enter(enclave).code == 0
    assert world.s.register[0, r.RAX] == 1
    assert world.s.cpu_ssa[0] == enclave.pages[enclave.base + 3 * PAGE]
    world.monitor.interrupt(0, 33)
    for _ in range(2):
        assert world.enter(enclave, name="resume").code == 0
        assert world.call("exit", rbx=0x1000).code == 0
    assert world.enter(enclave, name="resume").code != 0


def test_a_cpu_between_the_steps_makes_no_calls_and_takes_no_interrupts() -> None:
    world = World()
    enclave = world.build()
    assert world.call("enter", rbx=enclave.tcs, rcx=AEP).pending
    before = world.s.copy()
    world.monitor.interrupt(0, 32)
    assert world.monitor.dispatch(0).code.name == "IGNORED"
    assert world.s.same(before)
