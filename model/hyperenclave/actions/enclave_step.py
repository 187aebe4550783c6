"""One instruction of an enclave; which one is a function of its registers."""

from __future__ import annotations

from typing import Any

from model.hyperenclave.actions.common import concerns_running, leave
from model.hyperenclave.state import HYPERENCLAVE
from model.hyperenclave.vocabulary import EXECUTE, READ, WRITE, Cpu, Mode, Operation
from model.language.logic import And, Not, Or, eq, grants, ite
from model.language.specification import ENCLAVE


@HYPERENCLAVE.action(ENCLAVE, names=concerns_running, c=Cpu)
def enclave_step(s: Any, c: Any) -> None:
    """Compute, load, store, fetch or EEXIT, through the TLB; without a usable entry nothing happens yet.

    Visible to others are only the class "store to shared memory" with page and value, and EEXIT with its registers;
    which private instruction ran is not.
    """
    s.require(eq(s.mode[c], Mode.ENCLAVE))
    e, r = s.current[c], s.registers[c]
    v, operation = s.K.page(r), s.K.operation(r)
    frame, cached = s.tlb_frame[c, v], s.tlb_rights[c, v]
    private = s.elrange[e, v]
    load = And(eq(operation, Operation.LOAD), grants(cached, READ))
    store = And(eq(operation, Operation.STORE), grants(cached, WRITE))
    fetch = And(eq(operation, Operation.FETCH), grants(cached, EXECUTE))
    reads = Or(load, fetch)
    leaves = eq(operation, Operation.EXIT)
    memory = s.contents[frame]

    s.release("store to shared memory", And(store, Not(private)), v, s.K.stored(memory, r))
    s.release("EEXIT", leaves, s.K.exit_registers(r, s.saved[c], s.aep[s.tcs[c]]))
    s.endorse("translation is cached", True, Or(reads, store))
    s.endorse("load from shared memory", And(reads, Not(private)), memory)

    advances = Or(store, eq(operation, Operation.COMPUTE))
    t = s.tcs[c]
    s.registers[c] = ite(
        leaves,
        s.K.exit_registers(r, s.saved[c], s.aep[t]),
        ite(reads, s.K.loaded(r, memory), ite(advances, s.K.advanced(r), r)),
    )
    s.contents[frame] = ite(store, s.K.stored(memory, r), memory)
    s.mode[c] = ite(leaves, Mode.NORMAL, s.mode[c])
    s.busy[t] = ite(leaves, False, s.busy[t])
    s.tlb_rights.fill(lambda k, x: And(eq(k, c), leaves), 0)


__all__ = ["enclave_step", "leave"]
