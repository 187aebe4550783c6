"""AEX: an interrupt or a fault takes a CPU out of an enclave."""

from __future__ import annotations

from typing import Any

from model.hyperenclave.actions.common import concerns_running, leave
from model.hyperenclave.state import HYPERENCLAVE
from model.hyperenclave.vocabulary import (
    DEPTH,
    EXECUTE,
    READ,
    WRITE,
    Cpu,
    Leaf,
    Mode,
    Operation,
    Word,
)
from model.language.logic import And, Not, Or, eq, grants, ite, meet, plus
from model.language.specification import ENCLAVE, HARDWARE


def _exit(s: Any, c: Any, event: Any) -> None:
    t, saved = s.tcs[c], s.saved[c]
    s.contents[s.ssa[c]] = s.K.ssa_saved(s.contents[s.ssa[c]], s.registers[c], event)
    s.cssa[t] = plus(s.cssa[t], 1, DEPTH.width)
    leave(s, c, s.K.scrubbed(saved, s.linear[t], s.aep[t]))


@HYPERENCLAVE.action(HARDWARE, names=concerns_running, c=Cpu, event=Word)
def interrupt(s: Any, c: Any, event: Any) -> None:
    """An interrupt: save the enclave's registers in its SSA frame and hand the CPU back, scrubbed."""
    s.require(eq(s.mode[c], Mode.ENCLAVE))
    _exit(s, c, event)


def faults(s: Any, c: Any) -> Any:
    """The next instruction traps, or accesses a page that the tables do not grant."""
    e, r = s.current[c], s.registers[c]
    v, operation = s.K.page(r), s.K.operation(r)
    walked = meet(s.guest_rights[e, v], s.nested_rights[e, s.guest_frame[e, v]])
    table = ite(eq(s.guest_leaf[e, v], Leaf.PRESENT), walked, 0)
    cached = s.tlb_rights[c, v]

    def denied(wanted: int) -> Any:
        return And(Not(grants(table, wanted)), Not(grants(cached, wanted)))

    return Or(
        eq(operation, Operation.TRAP),
        And(eq(operation, Operation.LOAD), denied(READ)),
        And(eq(operation, Operation.STORE), denied(WRITE)),
        And(eq(operation, Operation.FETCH), denied(EXECUTE)),
    )


@HYPERENCLAVE.action(ENCLAVE, names=concerns_running, c=Cpu, event=Word)
def fault(s: Any, c: Any, event: Any) -> None:
    """An exception: as an interrupt, and the event (vector, page-aligned fault address) becomes visible."""
    happens = And(eq(s.mode[c], Mode.ENCLAVE), faults(s, c))
    s.require(happens)
    s.release("exception vector and fault page", happens, s.K.operation(s.registers[c]), s.K.page(s.registers[c]))
    _exit(s, c, event)
