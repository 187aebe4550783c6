"""PrepareDestroy: no thread enters any more; destruction starts once none is inside."""

from __future__ import annotations

from impl.machine.primitives import Machine
from impl.machine.registers import RDI
from impl.monitor.codes import IN_DESTROY, NONE, TRY_DESTROY, Code, Refusal
from impl.monitor.guest_memory import enclave_handle


def prepare_destroy(machine: Machine, cpu: int) -> Code:
    """RDI: linear address of the SECS.

    EENCLAVEACT is an answer, not a refusal: entries stop from now on, and the caller interrupts the CPUs and retries.
    """
    s = machine.storage
    # FETCH
    enclave = enclave_handle(machine, cpu, s.register[cpu, RDI])
    # CHECK
    if s.life[enclave] == NONE:  # destroying an enclave that does not exist
        raise Refusal(Code.EFAULT)
    # COMMIT
    if s.thread_total[enclave] != 0:  # pages disappear under a running thread
        s.life[enclave] = TRY_DESTROY
        return Code.EENCLAVEACT
    s.life[enclave] = IN_DESTROY
    return Code.OK
