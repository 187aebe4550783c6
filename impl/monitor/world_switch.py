"""Registers between the normal VM and an enclave: what is loaded, saved, masked and given back."""

from __future__ import annotations

from typing import Final

from impl.machine.primitives import Machine
from impl.machine.registers import (
    CR3,
    EFER,
    FS_BASE,
    GENERAL,
    GS_BASE,
    IDT_BASE,
    IDT_LIMIT,
    KEPT,
    NESTED_ROOT,
    RAX,
    RBP,
    RBX,
    RCX,
    RFLAGS,
    RIP,
    RSP,
    SWITCHED,
    XCR0,
)
from impl.monitor import threads
from impl.monitor.codes import ENCLAVE, LOW_HALF, MASK32, MASK64
from impl.monitor.entries import GUEST, NESTED
from impl.monitor.structures import (
    SSA_EXINFO_ADDRESS,
    SSA_EXINFO_ERROR,
    SSA_EXITINFO,
    SSA_FS_BASE,
    SSA_GENERAL,
    SSA_GS_BASE,
    SSA_MXCSR,
    SSA_RFLAGS,
    SSA_RIP,
    SSA_URBP,
    SSA_URSP,
    SSA_XSAVE_RESERVED,
    SSA_XSTATE_BV,
    TCS_AEP,
    TCS_CSSA,
    TCS_OENTRY,
    TCS_OFSBASE,
    TCS_OGSBASE,
)

CALL_BYTES: Final = 3
"""Length of VMCALL and VMMCALL."""

ERESUME_CODE: Final = 0x80000005

STATUS_FLAGS: Final = 0x8D5  # CF PF AF ZF SF OF
FIXED_FLAGS: Final = 0x202  # bit 1 is always set; IF
RESUMED_FLAGS: Final = STATUS_FLAGS | (1 << 10) | (1 << 18) | (1 << 21)  # and DF, AC, ID of the interrupted enclave
SCE: Final = 1  # EFER: SYSCALL is enabled

INITIAL_MXCSR_MASK: Final = 0xFFFF
"""The bits of MXCSR that may be set; XRSTOR faults on others (SDM 1, 10.2.3)."""


def _enter_enclave(machine: Machine, cpu: int, enclave: int) -> None:
    """Save the normal VM's control state and load the enclave's; cached translations go."""
    s = machine.storage
    for number in KEPT:
        s.saved_register[cpu, number] = s.register[cpu, number]
    s.register[cpu, CR3] = s.table_at[GUEST, enclave, 4, 0] << 12
    s.register[cpu, NESTED_ROOT] = s.table_at[NESTED, enclave, 4, 0] << 12
    s.register[cpu, EFER] = s.register[cpu, EFER] & (MASK64 ^ SCE)
    s.register[cpu, IDT_BASE] = 0
    s.register[cpu, IDT_LIMIT] = 0
    s.register[cpu, XCR0] = s.xfrm[enclave]
    s.cpu_mode[cpu] = ENCLAVE
    machine.tlb_flush(cpu)


def load_entry(machine: Machine, cpu: int) -> None:
    """EENTER: start at the TCS's entry point; other general registers and x87/SSE state flow in from the caller."""
    s = machine.storage
    enclave, tcs, ssa = s.cpu_enclave[cpu], s.cpu_tcs[cpu], s.cpu_ssa[cpu]
    base = s.elrange_first[enclave] << 12
    s.memory[tcs, TCS_AEP] = s.register[cpu, RCX]
    s.memory[ssa, SSA_URSP] = s.register[cpu, RSP]
    s.memory[ssa, SSA_URBP] = s.register[cpu, RBP]
    back = (s.register[cpu, RIP] + CALL_BYTES) & MASK64
    flags = (s.register[cpu, RFLAGS] & STATUS_FLAGS) | FIXED_FLAGS
    _enter_enclave(machine, cpu, enclave)
    s.register[cpu, RFLAGS] = flags
    s.register[cpu, RIP] = (base + s.memory[tcs, TCS_OENTRY]) & MASK64
    s.register[cpu, FS_BASE] = (base + s.memory[tcs, TCS_OFSBASE]) & MASK64
    s.register[cpu, GS_BASE] = (base + s.memory[tcs, TCS_OGSBASE]) & MASK64
    s.register[cpu, RAX] = s.memory[tcs, TCS_CSSA] & MASK32
    s.register[cpu, RCX] = back


def load_resumed(machine: Machine, cpu: int) -> None:
    """ERESUME: continue from the SSA frame.

    Other threads of the enclave can write that frame at any time, so nothing in it is checked; what hardware would
    refuse or what belongs to the system is masked.
    """
    s = machine.storage
    enclave, tcs, ssa = s.cpu_enclave[cpu], s.cpu_tcs[cpu], s.cpu_ssa[cpu]
    counts = s.memory[tcs, TCS_CSSA]
    s.memory[tcs, TCS_CSSA] = (counts & (MASK32 << 32)) | ((counts + MASK32) & MASK32)
    s.memory[tcs, TCS_AEP] = s.register[cpu, RCX]
    _enter_enclave(machine, cpu, enclave)
    for number in GENERAL:
        s.register[cpu, number] = s.memory[ssa, SSA_GENERAL + number]
    s.register[cpu, RFLAGS] = (s.memory[ssa, SSA_RFLAGS] & RESUMED_FLAGS) | FIXED_FLAGS
    s.register[cpu, RIP] = s.memory[ssa, SSA_RIP] & (LOW_HALF - 1)
    s.register[cpu, FS_BASE] = s.memory[ssa, SSA_FS_BASE] & (LOW_HALF - 1)
    s.register[cpu, GS_BASE] = s.memory[ssa, SSA_GS_BASE] & (LOW_HALF - 1)
    _restore_xstate(machine, cpu, ssa)


def _restore_xstate(machine: Machine, cpu: int, ssa: int) -> None:
    """Load x87 and SSE state from a private copy whose header and MXCSR XRSTOR accepts."""
    s = machine.storage
    staging = machine.layout.staging_first + cpu
    machine.memory_copy(staging, ssa)
    s.memory[staging, SSA_XSTATE_BV] = s.memory[staging, SSA_XSTATE_BV] & s.xfrm[s.cpu_enclave[cpu]]
    for index in SSA_XSAVE_RESERVED:
        s.memory[staging, index] = 0
    s.memory[staging, SSA_MXCSR] = s.memory[staging, SSA_MXCSR] & ((MASK32 << 32) | INITIAL_MXCSR_MASK)
    machine.xstate_restore(cpu, staging)
    machine.memory_zero(staging)


def leave_enclave(machine: Machine, cpu: int) -> None:
    """Give the normal VM its control state back, free the TCS, and forget the enclave's translations."""
    s = machine.storage
    for number in SWITCHED:
        s.register[cpu, number] = s.saved_register[cpu, number]
    for number in KEPT:
        s.saved_register[cpu, number] = 0
    threads.leave(machine, cpu)
    machine.tlb_flush(cpu)


def save_interrupted(machine: Machine, cpu: int, exit_information: int) -> None:
    """AEX, first half: the enclave's registers go to its SSA frame, and CSSA counts it."""
    s = machine.storage
    tcs, ssa = s.cpu_tcs[cpu], s.cpu_ssa[cpu]
    for number in GENERAL:
        s.memory[ssa, SSA_GENERAL + number] = s.register[cpu, number]
    s.memory[ssa, SSA_RFLAGS] = s.register[cpu, RFLAGS]
    s.memory[ssa, SSA_RIP] = s.register[cpu, RIP]
    s.memory[ssa, SSA_FS_BASE] = s.register[cpu, FS_BASE]
    s.memory[ssa, SSA_GS_BASE] = s.register[cpu, GS_BASE]
    s.memory[ssa, SSA_EXITINFO] = exit_information
    machine.xstate_save(cpu, ssa)
    counts = s.memory[tcs, TCS_CSSA]
    s.memory[tcs, TCS_CSSA] = (counts & (MASK32 << 32)) | ((counts + 1) & MASK32)


def note_fault(machine: Machine, cpu: int, address: int, error: int) -> None:
    """EXINFO for #PF and #GP: the full address and the error code, for the enclave's own handler."""
    s = machine.storage
    ssa = s.cpu_ssa[cpu]
    s.memory[ssa, SSA_EXINFO_ADDRESS] = address
    s.memory[ssa, SSA_EXINFO_ERROR] = error & MASK32


def load_synthetic(machine: Machine, cpu: int) -> None:
    """AEX, second half: the caller sees registers that do not depend on what the enclave computed.

    RSP and RBP come from the monitor's own copy: URSP and URBP in the SSA frame are the enclave's to write.
    """
    s = machine.storage
    tcs = s.cpu_tcs[cpu]
    aep, linear = s.memory[tcs, TCS_AEP], s.epcm[tcs, 1]
    stack, frame = s.saved_register[cpu, RSP], s.saved_register[cpu, RBP]
    machine.xstate_reset(cpu)
    leave_enclave(machine, cpu)
    for number in GENERAL:
        s.register[cpu, number] = 0
    s.register[cpu, RAX] = ERESUME_CODE
    s.register[cpu, RBX] = linear
    s.register[cpu, RCX] = aep
    s.register[cpu, RSP] = stack
    s.register[cpu, RBP] = frame
    s.register[cpu, RIP] = aep
