"""EENTER and ERESUME, each a check and a commit that other CPUs may come between."""

from __future__ import annotations

from typing import Any

from model.hyperenclave.actions.common import concerns_running, pointer_rows, user_call
from model.hyperenclave.state import HYPERENCLAVE
from model.hyperenclave.vocabulary import (
    DEPTH,
    NO_RIGHTS,
    POINTER,
    READ_WRITE,
    Code,
    Cpu,
    Frame,
    FrameClass,
    Leaf,
    Life,
    Mode,
    Page,
    PageType,
)
from model.language.logic import And, Not, Or, eq, grants, ite, le, minus, ne
from model.language.specification import HARDWARE, OS
from model.language.terms import BOOL


def _concerns_owner(s: Any, protected: Any, **arguments: Any) -> Any:
    c, f = arguments["c"], arguments["f"]
    return And(eq(s.mode[c], Mode.NORMAL), s.valid[f], eq(s.owner[f], protected))


@HYPERENCLAVE.action(
    OS,
    caller="c",
    names=_concerns_owner,
    placement=("f",),
    c=Cpu,
    supervisor=BOOL,
    pointer=POINTER,
    v=Page,
    f=Frame,
    resuming=BOOL,
)
def enter_check(s: Any, c: Any, supervisor: Any, pointer: Any, v: Any, f: Any, resuming: Any) -> None:
    """EENTER or ERESUME, first step: the TCS at page v, in frame f by the normal VM's tables, and its SSA frame.

    The thread counts as inside from here on, so that destruction cannot start before the second step.
    """
    user_call(s, c, supervisor)
    pointer_rows(s, pointer, "the TCS pointer leads where the caller may not read and write")
    tcs = And(
        eq(s.frame_class[f], FrameClass.EPC),
        s.valid[f],
        eq(s.page_type[f], PageType.TCS),
        eq(s.flags[f], 0),
        eq(s.linear[f], v),
    )
    s.refuse(Code.PAGE_FAULT, Not(tcs), "ordinary memory, or another page, passes for a TCS")
    e = s.owner[f]
    s.refuse(Code.EINVAL, ne(s.life[e], Life.INITIALIZED), "running before EINIT or during destruction")
    s.refuse(Code.EBUSY, s.busy[f], "two CPUs share one TCS and its SSA frame")
    cssa = s.cssa[f]
    s.refuse(Code.EIO, And(resuming, eq(cssa, 0)), "resuming what was never interrupted")
    s.refuse(Code.EINVAL, And(Not(resuming), le(s.K.nssa(s.contents[f]), cssa)), "the SSA stack overflows")
    depth = ite(resuming, minus(cssa, 1, DEPTH.width), cssa)
    p = s.K.ssa_page(s.contents[f], depth, s.base[e])
    ssa = s.guest_frame[e, p]
    usable = And(s.elrange[e, p], eq(s.guest_leaf[e, p], Leaf.PRESENT), grants(s.guest_rights[e, p], READ_WRITE))
    s.refuse(Code.EINVAL, Not(usable), "registers saved outside the enclave, or over a page it cannot write")

    s.busy[f] = True
    s.mode[c] = Mode.ENTERING
    s.current[c] = e
    s.tcs[c] = f
    s.ssa[c] = ssa
    s.resuming[c] = resuming


@HYPERENCLAVE.action(OS, caller="c", names=concerns_running, c=Cpu)
def enter_commit(s: Any, c: Any) -> None:
    """EENTER or ERESUME, second step: switch, unless destruction began since the check."""
    s.require(eq(s.mode[c], Mode.ENTERING))
    e, t, r = s.current[c], s.tcs[c], s.registers[c]
    gone = ne(s.life[e], Life.INITIALIZED)
    s.answer(Code.EINVAL, gone, "a thread enters an enclave under destruction")
    resuming = s.resuming[c]
    s.endorse("entry registers", Not(Or(gone, resuming)), r)

    entered = s.K.entry_registers(r, s.contents[t], s.cssa[t], s.base[e])
    restored = s.K.ssa_restored(s.contents[s.ssa[c]])
    noted = s.K.ssa_entered(s.contents[s.ssa[c]], r)
    s.busy[t] = ite(gone, False, s.busy[t])
    s.mode[c] = ite(gone, Mode.NORMAL, Mode.ENCLAVE)
    s.saved[c] = ite(gone, s.saved[c], r)
    s.registers[c] = ite(gone, r, ite(resuming, restored, entered))
    s.contents[s.ssa[c]] = ite(Or(gone, resuming), s.contents[s.ssa[c]], noted)
    s.cssa[t] = ite(And(Not(gone), resuming), minus(s.cssa[t], 1, DEPTH.width), s.cssa[t])
    s.aep[t] = ite(gone, s.aep[t], s.K.aep_of(r))
    s.tlb_rights.fill(lambda k, v: And(eq(k, c), Not(gone)), NO_RIGHTS)


__all__ = ["HARDWARE", "enter_check", "enter_commit"]
