"""AEX: an interrupt or exception takes the CPU away from the enclave."""

from __future__ import annotations

from typing import Final

from impl.machine.primitives import Machine
from impl.machine.registers import CR2, EVENT
from impl.monitor.codes import MASK32, VECTOR_GP, VECTOR_PF
from impl.monitor.world_switch import load_synthetic, note_fault, save_interrupted

EVENT_VALID: Final = 1 << 31
EVENT_ERROR_CODE: Final = 1 << 11
HARDWARE_EXCEPTION: Final = 3 << 8
SOFTWARE_EXCEPTION: Final = 6 << 8
BREAKPOINT: Final = 3
REPORTED: Final = (0, 1, 3, 5, 6, 13, 14, 16, 17, 19)
"""#DE #DB #BP #BR #UD #GP #PF #MF #AC #XM: the exceptions that EXITINFO reports (SDM 3D, 38.9.1.1)."""
WITH_ERROR_CODE: Final = (8, 10, 11, 12, 13, 14, 17, 21)


def exit_information(vector: int) -> int:
    """SSA.EXITINFO of an exception: vector, type and valid bit if it is reported, else the vector alone."""
    for reported in REPORTED:
        if vector == reported:
            kind = SOFTWARE_EXCEPTION if reported == BREAKPOINT else HARDWARE_EXCEPTION
            return reported | kind | EVENT_VALID
    return vector


def exception_event(vector: int, error: int) -> int:
    """The event of an exception: bits 7:0 vector, 10:8 type, 11 has error code, 31 valid, 63:32 error code."""
    for with_error in WITH_ERROR_CODE:
        if vector == with_error:
            return with_error | HARDWARE_EXCEPTION | EVENT_ERROR_CODE | EVENT_VALID | (error << 32)
    return vector | HARDWARE_EXCEPTION | EVENT_VALID


def interrupt_exit(machine: Machine, cpu: int, vector: int) -> None:
    """An external interrupt: save, scrub, and let the normal VM handle the vector."""
    save_interrupted(machine, cpu, vector)
    load_synthetic(machine, cpu)
    machine.storage.register[cpu, EVENT] = vector | EVENT_VALID


def exception_exit(
    machine: Machine, cpu: int, vector: int, error: int, address: int = 0, detail: int = 0, shown: int = 0
) -> None:
    """An exception: as an interrupt, and the normal VM handles it at the asynchronous exit pointer.

    For a page fault `address` is the full linear address and `error | detail` what the enclave finds in EXINFO; the
    normal VM gets the address of the page and the error code `shown`.
    """
    s = machine.storage
    save_interrupted(machine, cpu, exit_information(vector))
    for described in (VECTOR_PF, VECTOR_GP):
        if vector == described:
            note_fault(machine, cpu, address, error | detail)
    load_synthetic(machine, cpu)
    if vector == VECTOR_PF:
        s.register[cpu, CR2] = (address >> 12) << 12
        s.register[cpu, EVENT] = exception_event(vector, shown)
    else:
        s.register[cpu, EVENT] = exception_event(vector, error & MASK32)
