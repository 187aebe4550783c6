"""A call that is refused: its code, how that reaches the caller, and that nothing else changes."""

from __future__ import annotations

from collections.abc import Callable

from impl.machine.registers import EVENT, RAX, RIP
from impl.monitor.codes import Code
from impl.monitor.dispatch import Outcome
from tests.impl.world import World


def refused(world: World, code: Code, call: Callable[[], Outcome]) -> None:
    """The call is refused, and all storage but the caller's registers and untrusted memory is as before."""

    def watched(name: str, rdi: int = 0, cpu: int = 0, cpl: int | None = None, rbx: int = 0, rcx: int = 0) -> Outcome:
        world.s.register[cpu, RIP] = 0x5000
        before = world.s.copy()
        outcome = World.call(world, name, rdi, cpu, cpl, rbx, rcx)
        for field, cells in world.s.sparse.items():
            assert field == "register" or cells == before.sparse[field], field
        for frame, words in world.s.physical.frames.items():
            assert frame == world.layout.staging_first + cpu or words == before.physical.page(frame)
        return outcome

    world.call = watched  # a probe around the method for the length of one call
    try:
        assert call().code is code
    finally:
        del world.call
    delivered(world, code)


def delivered(world: World, code: Code, cpu: int = 0) -> None:
    """The answer is in the registers as the ABI says."""
    s = world.s
    if code is Code.EENCLAVEACT:
        assert s.register[cpu, RAX] == (1 << 64) - code
        assert (s.register[cpu, EVENT], s.register[cpu, RIP]) == (0, 0x5003)
        return
    vector = {Code.PAGE_FAULT: 14, Code.INVALID_OPCODE: 6}.get(code, 13)
    assert world.event(cpu)[0] == vector
    assert s.register[cpu, RIP] == 0x5000
