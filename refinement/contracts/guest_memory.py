"""Contract of the software walk of the normal VM's tables: since each entry is untrusted, any frame may come out."""

from __future__ import annotations

from impl.monitor.codes import Code, Refusal
from refinement.engine.machine import SymbolicMachine
from refinement.engine.values import Number


def translate(machine: SymbolicMachine, cpu: Number, address: Number, write: bool, user: bool) -> Number:
    """An arbitrary frame, or a refusal: GENERAL_PROTECTION, or PAGE_FAULT at the address with some error code.

    Nothing is written.  Bits of the error code as SDM 3A 4.7: 0 present, 1 write, 2 user.
    """
    run = machine.run
    run.event("translate", cpu, address, write, user)
    if run.split("translated"):
        return run.fresh("translated", 40)
    if run.split("page_fault"):
        present = run.fresh("fault_present", 1)
        raise Refusal(Code.PAGE_FAULT, address, present | (2 if write else 0) | (4 if user else 0))  # type: ignore[arg-type]  # symbolic
    raise Refusal(Code.GENERAL_PROTECTION)
