"""SharedMemoryRemove: a registered range stops being shared memory."""

from __future__ import annotations

from impl.machine.primitives import Machine
from impl.machine.registers import RDI
from impl.monitor import tables
from impl.monitor.codes import NONE, Code, Refusal
from impl.monitor.guest_memory import enclave_handle, fetch_words
from impl.monitor.handlers.shared_memory_add import SLOTS
from impl.monitor.structures import SHARED_END, SHARED_SECS, SHARED_START, SHARED_WORDS


def is_registered(machine: Machine, enclave: int, k: int, start: int, stop: int) -> bool:
    """Slot k of the enclave holds exactly this range, given in bytes."""
    s = machine.storage
    return s.shared_first[enclave, k] << 12 == start and s.shared_end[enclave, k] << 12 == stop


def shared_memory_remove(machine: Machine, cpu: int) -> Code:
    """RDI: linear address of a SharedMemDesc that names exactly a registered range.

    Refused while a CPU is in, or enters, the enclave: the monitor cannot flush another CPU's TLB, whose entries would
    outlive the range.  The caller interrupts the CPUs and retries.
    """
    s = machine.storage
    # FETCH
    descriptor = fetch_words(machine, cpu, s.register[cpu, RDI], SHARED_WORDS)
    enclave = enclave_handle(machine, cpu, descriptor[SHARED_SECS])
    start, stop = descriptor[SHARED_START], descriptor[SHARED_END]
    # CHECK
    if s.life[enclave] == NONE:  # an enclave that does not exist
        raise Refusal(Code.EFAULT)
    if stop == 0:  # a free slot passes for a range
        raise Refusal(Code.EINVAL)
    for k in range(SLOTS):
        if is_registered(machine, enclave, k, start, stop):
            if s.thread_total[enclave] != 0:  # a cached translation outlives the range
                raise Refusal(Code.EENCLAVEACT)
            # COMMIT
            tables.unmap_range(machine, enclave, s.shared_first[enclave, k], s.shared_end[enclave, k])
            s.shared_first[enclave, k] = 0
            s.shared_end[enclave, k] = 0
            return Code.OK
    raise Refusal(Code.EINVAL)  # a range that was never shared, or a part of one
