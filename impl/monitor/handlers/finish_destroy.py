"""FinishDestroy: the last trace of an enclave goes."""

from __future__ import annotations

from impl.machine.primitives import Machine
from impl.machine.registers import RDI
from impl.monitor.codes import IN_DESTROY, NONE, Code, Refusal
from impl.monitor.guest_memory import enclave_handle


def finish_destroy(machine: Machine, cpu: int) -> Code:
    """RDI: linear address of the SECS.  Its tables go back to the pool, and its id may be used again."""
    s = machine.storage
    # FETCH
    enclave = enclave_handle(machine, cpu, s.register[cpu, RDI])
    # CHECK
    if s.life[enclave] == NONE:  # destroying an enclave that does not exist
        raise Refusal(Code.EFAULT)
    if s.life[enclave] != IN_DESTROY:  # destruction that was not prepared
        raise Refusal(Code.EINVAL)
    if s.page_total[enclave] != 0:  # pages without an owner
        raise Refusal(Code.EBUSY)
    # COMMIT
    machine.pool_release(enclave)
    machine.measure_drop(enclave)
    for field in (s.life, s.elrange_first, s.elrange_end, s.ssa_frame_size, s.attributes, s.xfrm, s.unextended, s.isv):
        field[enclave] = 0
    for k in range(4):
        s.mrenclave[enclave, k] = 0
        s.mrsigner[enclave, k] = 0
        s.shared_first[enclave, k] = 0
        s.shared_end[enclave, k] = 0
    return Code.OK
