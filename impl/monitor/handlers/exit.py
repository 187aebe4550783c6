"""EEXIT: the enclave hands the CPU back of its own accord."""

from __future__ import annotations

from impl.machine.primitives import Machine
from impl.machine.registers import RBX, RCX, RIP
from impl.monitor.codes import Code, Refusal
from impl.monitor.guest_memory import is_canonical
from impl.monitor.structures import TCS_AEP
from impl.monitor.world_switch import leave_enclave


def exit_enclave(machine: Machine, cpu: int) -> Code:
    """RBX: where to continue.  RCX becomes the asynchronous exit pointer; every other register stays as it is."""
    s = machine.storage
    # CHECK
    target = s.register[cpu, RBX]
    if not is_canonical(target):  # an exit to where no CPU can continue
        raise Refusal(Code.GENERAL_PROTECTION)
    # COMMIT
    aep = s.memory[s.cpu_tcs[cpu], TCS_AEP]
    leave_enclave(machine, cpu)
    s.register[cpu, RCX] = aep
    s.register[cpu, RIP] = target
    return Code.OK
