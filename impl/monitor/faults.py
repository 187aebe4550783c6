"""Page faults of an enclave: a shared page is mapped, everything else leaves the enclave."""

from __future__ import annotations

from typing import Final

from impl.machine.primitives import Machine
from impl.monitor import tables
from impl.monitor.codes import (
    EXECUTE,
    FAULT_FETCH,
    FAULT_PRESENT,
    FAULT_USER,
    FAULT_WRITE,
    VECTOR_GP,
    VECTOR_PF,
    WRITE,
    Code,
    Refusal,
)
from impl.monitor.entries import GUEST
from impl.monitor.handlers.asynchronous_exit import exception_exit
from impl.monitor.handlers.shared_fill import is_shared, shared_fill

ATTRIBUTE_MISMATCH: Final = 1 << 15
"""EXINFO: the EPCM does not grant the access."""
SHARED_MEMORY: Final = 1 << 31
"""EXINFO: the address lies in a registered shared range."""


def enclave_fault(machine: Machine, cpu: int, address: int, access: int) -> bool:
    """The enclave's load (READ), store (WRITE) or fetch (EXECUTE) at a linear address has no translation.

    True: the access is to be tried again.  False: the CPU has left the enclave.
    """
    s = machine.storage
    enclave, page = s.cpu_enclave[cpu], address >> 12
    error = FAULT_USER
    if access == WRITE:
        error = error | FAULT_WRITE
    if access == EXECUTE:
        error = error | FAULT_FETCH
    if page >= s.elrange_first[enclave] and page < s.elrange_end[enclave]:
        _private_fault(machine, cpu, address, error)
        return False
    if not is_shared(machine, enclave, page):
        exception_exit(machine, cpu, VECTOR_PF, error, address, shown=FAULT_PRESENT | FAULT_USER)
        return False
    if access == EXECUTE:  # code of the normal VM inside an enclave
        exception_exit(machine, cpu, VECTOR_PF, error, address, SHARED_MEMORY, error)
        return False
    if tables.leaf_word(machine, GUEST, enclave, page) != 0:  # another CPU was faster
        return True
    try:
        shared_fill(machine, cpu, page)
    except Refusal as refusal:
        _refused_fill(machine, cpu, address, error, refusal)
        return False
    return True


def _private_fault(machine: Machine, cpu: int, address: int, error: int) -> None:
    """A fault in ELRANGE: no page, a TCS, or a right that the page does not have."""
    leaf = tables.leaf_word(machine, GUEST, machine.storage.cpu_enclave[cpu], address >> 12)
    if leaf == 0:
        exception_exit(machine, cpu, VECTOR_PF, error, address, shown=error)
    elif leaf & FAULT_PRESENT == 0:
        error = error | FAULT_PRESENT
        exception_exit(machine, cpu, VECTOR_PF, error, address, ATTRIBUTE_MISMATCH, error)
    else:
        error = error | FAULT_PRESENT
        exception_exit(machine, cpu, VECTOR_PF, error, address, shown=error)


def _refused_fill(machine: Machine, cpu: int, address: int, error: int, refusal: Refusal) -> None:
    """The application has no such page: it gets the fault that it would get itself; else #GP."""
    if refusal.code is Code.PAGE_FAULT:
        exception_exit(machine, cpu, VECTOR_PF, error, address, SHARED_MEMORY, refusal.error)
    else:
        exception_exit(machine, cpu, VECTOR_GP, 0, address, SHARED_MEMORY)
