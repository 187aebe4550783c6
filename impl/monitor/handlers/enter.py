"""EENTER and ERESUME, each a check and a commit that other CPUs may come between."""

from __future__ import annotations

from impl.machine.layout import is_epc
from impl.machine.primitives import Machine
from impl.machine.registers import RBX, RCX
from impl.monitor import tables, threads
from impl.monitor.codes import (
    ENTERING,
    FAULT_PRESENT,
    FAULT_USER,
    FAULT_WRITE,
    INITIALIZED,
    MASK32,
    Code,
    Refusal,
)
from impl.monitor.entries import GUEST, leaf_frame
from impl.monitor.epcm import TCS_WORD
from impl.monitor.guest_memory import is_canonical, translate
from impl.monitor.structures import TCS_CSSA, TCS_OSSA
from impl.monitor.world_switch import load_entry, load_resumed

PRESENT_AND_WRITABLE = 3


def enter_check(machine: Machine, cpu: int) -> Code:
    """EENTER, first step; RBX: linear address of the TCS, RCX: asynchronous exit pointer.

    The thread counts as inside from here on, so that destruction cannot start before the second step.
    """
    return _check(machine, cpu, 0)


def resume_check(machine: Machine, cpu: int) -> Code:
    """ERESUME, first step; registers as for EENTER."""
    return _check(machine, cpu, 1)


def _check(machine: Machine, cpu: int, resuming: int) -> Code:
    s = machine.storage
    address = s.register[cpu, RBX]
    # FETCH
    if not is_canonical(s.register[cpu, RCX]):  # an exit to where no CPU can continue
        raise Refusal(Code.GENERAL_PROTECTION)
    tcs = translate(machine, cpu, address, True, True)
    # CHECK
    if not is_epc(machine.layout, tcs):  # ordinary memory passes for a TCS
        raise Refusal(Code.PAGE_FAULT, address, FAULT_PRESENT | FAULT_WRITE | FAULT_USER)
    if s.epcm[tcs, 0] != TCS_WORD or s.epcm[tcs, 1] != address:  # another page, or the TCS at another address
        raise Refusal(Code.PAGE_FAULT, address, FAULT_PRESENT | FAULT_WRITE | FAULT_USER)
    enclave = s.epcm[tcs, 2]
    if s.life[enclave] != INITIALIZED:  # running before EINIT or during destruction
        raise Refusal(Code.EINVAL)
    if s.busy[tcs] != 0:  # two CPUs share one TCS and its SSA frame
        raise Refusal(Code.EBUSY)
    counts = s.memory[tcs, TCS_CSSA]
    depth = counts & MASK32
    if resuming == 1:
        if depth == 0:  # resuming what was never interrupted
            raise Refusal(Code.EIO)
        depth = depth - 1
    elif depth >= counts >> 32:  # the SSA stack overflows
        raise Refusal(Code.EINVAL)
    page = s.elrange_first[enclave] + (s.memory[tcs, TCS_OSSA] >> 12) + depth
    if page >= s.elrange_end[enclave]:  # registers saved outside the enclave
        raise Refusal(Code.EINVAL)
    leaf = tables.leaf_word(machine, GUEST, enclave, page)
    if leaf & PRESENT_AND_WRITABLE != PRESENT_AND_WRITABLE:  # ... or over a page that it cannot write
        raise Refusal(Code.EINVAL)
    # COMMIT
    s.busy[tcs] = 1
    threads.join(machine, cpu, enclave)
    s.cpu_mode[cpu] = ENTERING
    s.cpu_enclave[cpu] = enclave
    s.cpu_tcs[cpu] = tcs
    s.cpu_ssa[cpu] = leaf_frame(leaf)
    s.cpu_resuming[cpu] = resuming
    return Code.OK


def enter_commit(machine: Machine, cpu: int) -> Code:
    """EENTER or ERESUME, second step: switch; EINVAL, and the thread is out again, if destruction began since."""
    s = machine.storage
    # COMMIT
    if s.life[s.cpu_enclave[cpu]] != INITIALIZED:  # a thread enters an enclave under destruction
        threads.leave(machine, cpu)
        return Code.EINVAL
    if s.cpu_resuming[cpu] != 0:
        load_resumed(machine, cpu)
    else:
        load_entry(machine, cpu)
    return Code.OK
